//! Keys: who begins first, what is waited for, what is in doubt, what is over.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use tend_base::Wall;
use tend_money::{Answer, Begun, Books, Error, Key, LineState, RequestHash, Resolution, Store};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const WINDOW: Duration = Duration::from_secs(60);

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("tend-money-{}-{number}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks and waits for the answer.
fn wait<T: Send + 'static>(ask: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T {
    let (tell, told) = sync_channel(1);
    ask(Box::new(move |answer| {
        let _ = tell.send(answer);
    }));
    told.recv_timeout(PATIENCE).expect("no answer")
}

fn open(folder: &Folder) -> Store {
    Store::open(&folder.0, || {}).unwrap()
}

fn key(name: &str) -> Key {
    Key {
        scope: "mps/api".to_owned(),
        account: String::new(),
        method: "POST".to_owned(),
        path: "/pay".to_owned(),
        key: name.to_owned(),
    }
}

fn begin_at(store: &Store, name: &str, body: &str, idempotent: bool, now: u64) -> Result<Begun, Error> {
    let request = RequestHash::of("POST", "/pay", body.as_bytes());
    wait(|reply| store.begin(key(name), request, "r-1".to_owned(), idempotent, Wall(now), reply))
}

fn begin(store: &Store, name: &str) -> Begun {
    begin_at(store, name, "amount=5", false, 1000).unwrap()
}

fn answer() -> Answer {
    Answer {
        status: 201,
        fields: vec![("x-one".to_owned(), vec![1, 200])],
        body: Some(b"paid".to_vec()),
        replica: Some("mps/api/1".to_owned()),
    }
}

fn claimed(begun: Begun) -> tend_money::Claim {
    match begun {
        Begun::Claimed(claim) => claim,
        other => panic!("{other:?}"),
    }
}

fn finish(claim: tend_money::Claim, now: u64) {
    wait(|reply: Box<dyn FnOnce(_) + Send>| claim.finish(answer(), Wall(now), WINDOW, reply)).unwrap();
}

#[test]
fn two_edges_at_once_begin_a_key_once_and_both_give_its_answer() {
    let folder = Folder::new();
    let (one, two) = (open(&folder), open(&folder));
    let claim = claimed(begin(&one, "k"));
    assert!(matches!(begin(&one, "k"), Begun::UnderWay));
    assert!(matches!(begin(&two, "k"), Begun::UnderWay));
    assert!(matches!(
        begin_at(&two, "k", "amount=6", false, 1000),
        Ok(Begun::Reused)
    ));
    finish(claim, 1000);
    for store in [&one, &two] {
        assert!(matches!(begin(store, "k"), Begun::Answered(kept) if kept == answer()));
    }
}

#[test]
fn under_load_from_two_edges_each_key_is_claimed_exactly_once() {
    let folder = Folder::new();
    let stores = [open(&folder), open(&folder)];
    let (tell, told) = sync_channel(400);
    for number in 0..200 {
        for store in &stores {
            let tell = tell.clone();
            let request = RequestHash::of("POST", "/pay", b"");
            let key = key(&format!("k-{number}"));
            store.begin(key, request, String::new(), false, Wall(1), move |begun| {
                let _ = tell.send(begun.unwrap());
            });
        }
    }
    let begun: Vec<Begun> = (0..400).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect();
    let claims = begun.iter().filter(|one| matches!(one, Begun::Claimed(_))).count();
    let waits = begun.iter().filter(|one| matches!(one, Begun::UnderWay)).count();
    assert_eq!((claims, waits), (200, 200));
}

#[test]
fn what_an_edge_that_died_had_begun_is_in_doubt() {
    let folder = Folder::new();
    // This edge ends without having said what became of its request, as one that was killed: see `main` of the child.
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "window::begins_and_dies", "--nocapture"])
        .env("TEND_MONEY_TEST_FOLDER", &folder.0)
        // What it prints reads as if it were of these tests, and has no end.
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
    let (tell, told) = sync_channel(16);
    let store = Store::open(&folder.0, move || {
        let _ = tell.send(());
    })
    .unwrap();
    assert!(matches!(begin(&store, "k"), Begun::InDoubt));
    told.recv_timeout(PATIENCE).expect("nobody was told of the doubt");
    let books = Books::open(&folder.0).unwrap().unwrap();
    let line = books.in_doubt().unwrap().remove(0);
    assert!(matches!(line.state, LineState::InDoubt { ref why, .. } if why.contains("ended before")));
    assert!(matches!(
        begin_at(&store, "k", "amount=6", true, 1000),
        Ok(Begun::Reused)
    ));
    drop(claimed(begin_at(&store, "k", "amount=5", true, 1000).unwrap()));
    // Dropped without a word it is in doubt again.
    eventually("the doubt", || matches!(begin(&store, "k"), Begun::InDoubt));
}

/// Run by [`what_an_edge_that_died_had_begun_is_in_doubt`] as a process of its own; on its own it has nothing to do.
#[test]
fn begins_and_dies() {
    let Some(folder) = std::env::var_os("TEND_MONEY_TEST_FOLDER") else {
        return;
    };
    let store = Store::open(std::path::Path::new(&folder), || {}).unwrap();
    let _claim = claimed(begin(&store, "k"));
    std::process::abort();
}

#[test]
fn a_key_that_was_released_is_free_and_an_answer_is_over_with_its_window() {
    let folder = Folder::new();
    let store = open(&folder);
    let claim = claimed(begin(&store, "k"));
    wait(|reply: Box<dyn FnOnce(_) + Send>| claim.release(Wall(1000), reply)).unwrap();
    finish(claimed(begin_at(&store, "k", "amount=6", false, 1000).unwrap()), 1000);
    let at = |now| begin_at(&store, "k", "amount=6", false, now).unwrap();
    assert!(matches!(at(60_999), Begun::Answered(_)));
    let again = begin_at(&store, "k", "another request", false, 61_000).unwrap();
    finish(claimed(again), 61_000);
}

#[test]
fn a_key_in_doubt_that_is_sent_again_and_not_taken_is_in_doubt_as_before() {
    let folder = Folder::new();
    let store = open(&folder);
    let claim = claimed(begin(&store, "k"));
    wait(|reply: Box<dyn FnOnce(_) + Send>| claim.doubt("cut", Wall(2000), reply)).unwrap();
    let again = claimed(begin_at(&store, "k", "amount=5", true, 3000).unwrap());
    wait(|reply: Box<dyn FnOnce(_) + Send>| again.release(Wall(3000), reply)).unwrap();
    assert!(matches!(begin(&store, "k"), Begun::InDoubt));
    assert!(matches!(
        begin_at(&store, "k", "amount=6", true, 3000),
        Ok(Begun::Reused)
    ));
    finish(claimed(begin_at(&store, "k", "amount=5", true, 4000).unwrap()), 4000);
    assert!(matches!(begin(&store, "k"), Begun::Answered(_)));
}

#[test]
fn a_person_ends_a_doubt_once() {
    let folder = Folder::new();
    assert!(Books::open(&folder.0).unwrap().is_none());
    let store = open(&folder);
    for name in ["k", "l"] {
        let claim = claimed(begin(&store, name));
        wait(|reply: Box<dyn FnOnce(_) + Send>| claim.doubt("cut", Wall(2000), reply)).unwrap();
    }
    let mut books = Books::open(&folder.0).unwrap().unwrap();
    assert_eq!(books.doubts().unwrap(), 2);
    let by_id = books.find("k").unwrap().id;
    let happened = Resolution::Happened(answer());
    assert_eq!(books.resolve(&by_id, &happened, Wall(3000), WINDOW).unwrap().key, "k");
    assert!(matches!(
        books.resolve("k", &Resolution::DidNotHappen, Wall(3000), WINDOW),
        Err(Error::NotInDoubt { state: "answered", .. })
    ));
    books
        .resolve("l", &Resolution::DidNotHappen, Wall(3000), WINDOW)
        .unwrap();
    assert!(matches!(books.find("l"), Err(Error::Unknown { .. })));
    assert!(matches!(begin(&store, "k"), Begun::Answered(_)));
    drop(claimed(begin(&store, "l")));
}
