//! Callbacks that were refused: shown, and removed by a person, but never one that waits.

use std::sync::mpsc::sync_channel;

use tend_base::Wall;
use tend_money::{Books, Callback, Error, Kept, Store};

use crate::window::{Folder, PATIENCE};

fn callback(id: &str) -> Callback {
    Callback {
        route: "mps/api */callbacks".to_owned(),
        delivery_id: id.to_owned(),
        listener: "127.0.0.1:80".to_owned(),
        host: "any.test".to_owned(),
        client: "127.0.0.1".to_owned(),
        method: "POST".to_owned(),
        target: "/callbacks?from=bank".to_owned(),
        fields: Vec::new(),
        body: b"amount=5".to_vec(),
    }
}

fn wait<T: Send + 'static>(ask: impl FnOnce(Box<dyn FnOnce(Result<T, Error>) + Send>)) -> T {
    let (tell, told) = sync_channel(1);
    ask(Box::new(move |answer| {
        let _ = tell.send(answer);
    }));
    told.recv_timeout(PATIENCE).expect("no answer").unwrap()
}

#[test]
fn only_what_was_refused_is_dropped_and_once() {
    let folder = Folder::new();
    let store = Store::open(&folder.0, || {}).unwrap();
    for (id, behind) in [("aa11", 0), ("aa22", 1), ("bb33", 2)] {
        let kept = wait(|reply| store.keep(callback(id), 10, Wall(1000), reply));
        assert_eq!(kept, Kept::Behind(behind));
    }
    let mut books = Books::open(&folder.0).unwrap().unwrap();
    for _ in 0..2 {
        let next = wait(|reply| store.next("mps/api */callbacks".to_owned(), reply)).unwrap();
        wait(|reply| store.refused(next.seq, "it was answered with 400".to_owned(), Wall(2000), reply));
    }
    let shown = books.refused().unwrap();
    let ids: Vec<&str> = shown.iter().map(|one| one.delivery_id.as_str()).collect();
    assert_eq!(ids, ["aa11", "aa22"]);
    assert_eq!(
        (shown[0].target.as_str(), shown[0].why.as_str(), shown[0].tries),
        ("/callbacks?from=bank", "it was answered with 400", 1)
    );
    assert!(
        matches!(books.drop_refused("aa"), Err(Error::AmbiguousCallback { candidates, .. }) if candidates.len() == 2)
    );
    assert!(matches!(books.drop_refused("bb"), Err(Error::StillWaits { .. })));
    for unknown in ["", "cc", "aa%", "%"] {
        assert!(
            matches!(books.drop_refused(unknown), Err(Error::UnknownCallback { .. })),
            "{unknown}"
        );
    }
    assert_eq!(books.drop_refused("aa2").unwrap().delivery_id, "aa22");
    assert!(matches!(books.drop_refused("aa2"), Err(Error::UnknownCallback { .. })));
    assert_eq!(books.refused().unwrap().len(), 1);
    let line = books.spool().unwrap().remove(0);
    assert_eq!((line.waiting, line.refused), (1, 1));
}
