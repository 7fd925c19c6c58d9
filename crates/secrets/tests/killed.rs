//! Killed at any instant, the store is what it was before or what it was to become.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tend_base::{Secret, Wall};
use tend_secrets::{Book, Passphrase, Store};
use tend_testkit::{Folder, wait_until};

/// Tells the test below to be the program that is killed, and where to write.
const FOLDER: &str = "TEND_SECRETS_TEST_FOLDER";

fn book(number: u64) -> Book {
    let mut book = Book::new(1000);
    for name in ["a", "b"] {
        book.put(name, Secret::new(format!("value {number}")), "alice", Wall(number))
            .unwrap();
    }
    book
}

/// Is the writer when it is started as that, and else kills one again and again, each time a little later.
#[test]
fn a_writer_that_is_killed_leaves_the_old_or_the_new() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = std::path::PathBuf::from(folder);
        let begun = Instant::now();
        let mut number = 0;
        // Ends by itself should the test that started it be gone.
        while begun.elapsed() < Duration::from_secs(30) {
            number += 1;
            Store::open(&folder, None).unwrap().write("mps", &book(number)).unwrap();
        }
        return;
    }
    let own = std::env::current_exe().unwrap();
    for round in 0..24_u64 {
        let folder = Folder::new();
        let mut writer = Command::new(&own)
            .args(["--exact", "killed::a_writer_that_is_killed_leaves_the_old_or_the_new"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let key = folder.path().join("key");
        let file = folder.path().join("stacks/mps.age");
        // Some rounds fall into the making of the keys, the others into the writing.
        let until = if round % 3 == 0 { &key } else { &file };
        wait_until(Duration::from_secs(20), "the writer has begun", || until.exists());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(round * 173) {}
        writer.kill().unwrap();
        writer.wait().unwrap();
        let left = Store::open(folder.path(), None).unwrap().read("mps").unwrap();
        let Some(left) = left else {
            assert!(!file.exists());
            continue;
        };
        let number = left.of("a").unwrap().versions[&1].made_at.0;
        assert_eq!(left, book(number), "round {round}");
        // And it is written to again.
        Store::open(folder.path(), None)
            .unwrap()
            .write("mps", &book(number + 1))
            .unwrap();
    }
}

/// Every order in which the files of the keys can be left, when the daemon is killed between two of their writes.
#[test]
fn keys_that_were_half_made_are_finished() {
    let passphrase = Passphrase::new(&Secret::new("correct horse".to_owned()));
    // The key without the list of keys.
    let folder = Folder::new();
    Store::open(folder.path(), None)
        .unwrap()
        .write("mps", &book(1))
        .unwrap();
    std::fs::remove_file(folder.path().join("recipients")).unwrap();
    Store::open(folder.path(), None)
        .unwrap()
        .write("mps", &book(2))
        .unwrap();
    assert_eq!(
        Store::open(folder.path(), None).unwrap().read("mps").unwrap(),
        Some(book(2))
    );
    // The key under its passphrase, and the one without still there.
    let plain = std::fs::read(folder.path().join("key")).unwrap();
    Store::open(folder.path(), Some(&passphrase)).unwrap();
    std::fs::write(folder.path().join("key"), plain).unwrap();
    let again = Store::open(folder.path(), Some(&passphrase)).unwrap();
    assert_eq!(again.read("mps").unwrap(), Some(book(2)));
    assert!(!folder.path().join("key").exists());
}
