//! One writer at a time, and a second one is told who the first is.

use std::fs;

use rusqlite::Connection;
use tend_core::journal::Kind;
use tend_store::{Error, Files, Options, Store};

use crate::files::{Folder, daemon, entry, options, write};

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let folder = Folder::new();
    let files = folder.files();
    let first = Store::open(&files, Options::new("tend daemon 0.1.0", daemon())).unwrap();
    let named = |error: Error| {
        let me = std::process::id();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!(
                "the journal `{}` is being written by tend daemon 0.1.0 (process {me}, since 20",
                files.database.display()
            )),
            "{text}"
        );
        assert_eq!(
            error.hint(),
            Some(format!("talk to that one, or stop it first: kill {me}"))
        );
        assert!(error.is_transient());
    };
    named(Store::open(&files, options()).unwrap_err());
    // Without the lock file the name in the database still stands, because its process lives.
    fs::remove_file(folder.files().database.with_extension("db.lock")).unwrap();
    named(Store::open(&files, options()).unwrap_err());
    write(&first, 1);
    first.close().unwrap();
    write(&folder.open(), 1);
}

#[test]
fn a_copy_is_not_held_by_the_writer_of_the_original() {
    let folder = Folder::new();
    let store = folder.open();
    write(&store, 3);
    let copy = Folder::new();
    let Files {
        database,
        anchors,
        key,
        public_key,
    } = copy.files();
    // The log still holds the rows.
    fs::copy(folder.files().database, &database).unwrap();
    fs::copy(
        folder.files().database.with_extension("db-wal"),
        database.with_extension("db-wal"),
    )
    .unwrap();
    fs::copy(folder.files().anchors, anchors).unwrap();
    fs::copy(folder.files().key, key).unwrap();
    fs::copy(folder.files().public_key, public_key).unwrap();
    assert_eq!(write(&copy.open(), 1).0, 4);
    assert!(copy.verify().is_intact(), "{}", copy.verify());
    assert_eq!(write(&store, 1).0, 4);
}

#[test]
fn a_writer_that_was_taken_over_writes_nothing_more() {
    let folder = Folder::new();
    let store = folder.open();
    write(&store, 2);
    Connection::open(folder.files().database)
        .unwrap()
        .execute("UPDATE lease SET name = 'somebody', pid = 1", [])
        .unwrap();
    let error = store.commit(entry(Kind::ReplicaReady, 1, 1)).wait().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("was taken over by somebody (process 1, since"),
        "{error}"
    );
    assert!(!error.is_transient());
    assert_eq!(store.head().0, 2);
    assert_eq!(folder.verify().rows, 2);
}
