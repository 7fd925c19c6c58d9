//! A journal of every past format can be read, verified and written on; and other tools can check it from the documentation alone.
//!
//! `tests/samples/journal-N` is a state folder as a tend with format N left it. `UPDATE=1` makes that of the present format when it is
//! missing; one that exists is never made anew. Needs `python3` and `openssl`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};
use tend_base::Wall;
use tend_core::journal::{Entry, EventId, Filter, Kind, Principal, Subject, Via};
use tend_store::{Batch, DocumentKind, Files, Options, Reader, Store};

use crate::files::{Folder, SetClock, daemon, write};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

/// Makes the sample of the present format: each kind of principal, causes, texts that need care, documents, a checkpoint.
fn make(state: &Path) {
    fs::create_dir_all(state).unwrap();
    let clock = SetClock::at(1_795_265_075_123);
    let options = Options {
        clock: clock.clone(),
        ..Options::new("tend 0.1.0", daemon())
    };
    let store = Store::open(&Files::of(state), options).unwrap();
    write(&store, 4);
    clock.set(1_795_265_076_000);
    store.prune(Wall(1_795_265_076_000), daemon()).wait().unwrap();
    let subject = Subject {
        stack: Some("mps".parse().unwrap()),
        service: Some("api".parse().unwrap()),
        slot: Some(2),
        incarnation: Some(7),
        release: Some("r3".to_owned()),
    };
    let person = Principal::Person {
        uid: Some(1000),
        name: "Zoë".to_owned(),
        via: Via::Socket,
    };
    let rule = Principal::Rule {
        name: "mps/api restart".to_owned(),
    };
    let text = "tab\t, quote \", backslash \\, line\nbreak, \u{1}, 付款, 😀";
    let applied = Entry::new(person, Kind::StackApplied)
        .on("mps".parse::<tend_core::model::StackName>().unwrap())
        .with(json!({"revision": 1, "note": text, "nested": {"z": [1, -2, null, true], "a": 0.5}}));
    let exited = Entry::new(rule, Kind::ReplicaExited)
        .on(subject)
        .with(json!({"exit": "exited with code 1"}))
        .caused_by(EventId(5));
    let newer = Entry::new(daemon(), Kind::Other("galaxy.collided".to_owned()));
    let batch = Batch {
        entries: vec![applied, exited, newer],
        ..Batch::new()
    };
    let batch = batch.put(DocumentKind::Stack, "mps", &json!({"revision": 1})).unwrap();
    store.commit(batch).wait().unwrap();
    store.close().unwrap();
    fs::remove_file(Files::of(state).database.with_extension("db.lock")).unwrap();
}

/// Copies a sample into a folder of its own, with the mode a repository does not keep.
fn copy(sample: &Path) -> Folder {
    let folder = Folder::new();
    let state = folder.files().database.parent().unwrap().to_owned();
    for entry in fs::read_dir(sample).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), state.join(entry.file_name())).unwrap();
    }
    fs::set_permissions(folder.files().key, fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

/// What the independent script says, and whether it is content.
fn script(folder: &Folder) -> (String, bool) {
    let files = folder.files();
    let output = Command::new("/usr/bin/python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_journal.py"))
        .arg(files.database.parent().unwrap())
        .output()
        .expect("this test needs python3");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "");
    let text = String::from_utf8(output.stdout).unwrap();
    (text.trim_end().to_owned(), output.status.success())
}

#[test]
fn journals_of_every_format_are_read_verified_and_written_on() {
    let present = samples().join("journal-2");
    if std::env::var_os("UPDATE").is_some() && !present.exists() {
        make(&present);
    }
    let mut seen = 0;
    for sample in fs::read_dir(samples()).unwrap() {
        let folder = copy(&sample.unwrap().path());
        seen += 1;
        let report = folder.verify();
        assert!(report.is_intact(), "{report}");
        let reader = Reader::open(&folder.files().database).unwrap();
        let events = reader.events(&Filter::all()).unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "replica.started",
                "journal.checkpoint",
                "stack.applied",
                "replica.exited",
                "galaxy.collided"
            ]
        );
        assert_eq!(events[2].principal.to_string(), "Zoë");
        assert_eq!(events[3].cause, Some(EventId(5)));
        assert_eq!(
            reader.document::<Value>(DocumentKind::Stack, "mps").unwrap(),
            Some(json!({"revision": 1}))
        );
        let head = report.head.unwrap();
        assert_eq!(write(&folder.open(), 2), EventId(head.0 + 2));
        let report = folder.verify();
        assert!(report.is_intact(), "{report}");
    }
    assert_eq!(seen, 2, "one sample for each format");
}

#[test]
fn another_tool_checks_the_chain_from_the_documentation_alone() {
    let sample = samples().join("journal-1");
    assert_eq!(
        script(&copy(&sample)),
        ("intact: events up to 8, 5 of them here, 3 anchors".to_owned(), true)
    );
    for (sql, expected) in [
        ("UPDATE events SET data = '{}' WHERE seq = 6", "event 6 was changed"),
        ("DELETE FROM events WHERE seq = 7", "events 7 to 7 are missing"),
        (
            "DELETE FROM events WHERE seq > 6",
            "the journal ends at 6, but 8 was anchored",
        ),
    ] {
        let folder = copy(&sample);
        Connection::open(folder.files().database)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        assert_eq!(script(&folder), (expected.to_owned(), false), "{sql}");
    }
    let folder = copy(&sample);
    let anchors = folder.files().anchors;
    let text = fs::read_to_string(&anchors).unwrap();
    fs::write(&anchors, text.replace("tend-anchor-1 0 ", "tend-anchor-1 1 ")).unwrap();
    assert_eq!(
        script(&folder),
        ("an anchor is not signed by this machine".to_owned(), false)
    );
}
