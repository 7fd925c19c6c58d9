//! Whatever is changed from outside is found, and said in a sentence.

use std::fs;

use rusqlite::{Connection, params};
use serde_json::json;
use tend_base::Wall;
use tend_core::journal::{EventId, Filter, Finding, Kind, Row};
use tend_store::{Files, Options, Reader, Store};

use crate::files::{Folder, SetClock, daemon, write};

/// The moment all of these journals are written at.
const THEN: u64 = 1_795_265_075_123;

fn open_then(folder: &Folder) -> Store {
    let options = Options {
        clock: SetClock::at(THEN),
        ..Options::new("a test", daemon())
    };
    Store::open(&folder.files(), options).unwrap()
}

/// A closed journal of 20 events.
fn written() -> Folder {
    let folder = Folder::new();
    let store = open_then(&folder);
    write(&store, 20);
    store.close().unwrap();
    assert!(folder.verify().is_intact(), "{}", folder.verify());
    folder
}

fn outside(folder: &Folder) -> Connection {
    Connection::open(folder.files().database).unwrap()
}

fn findings(folder: &Folder) -> Vec<String> {
    let report = folder.verify();
    report.findings.iter().map(Finding::to_string).collect()
}

#[test]
fn rows_changed_with_sql_are_found() {
    const CUT: &str = "the journal ends at event 15, but event 20 was anchored at 2026-11-21T12:44:35.123Z: \
                       its end was cut off, or an older copy was put back";
    let cases: &[(&str, &[&str])] = &[
        (
            "UPDATE events SET data = '{\"number\":999}' WHERE seq = 7",
            &["event 7 was changed after it was written"],
        ),
        (
            "UPDATE events SET at = at + 1 WHERE seq = 20",
            &["event 20 was changed after it was written"],
        ),
        (
            "UPDATE events SET hash = x'00' WHERE seq = 3",
            &["event 3 was changed after it was written"],
        ),
        (
            "UPDATE events SET seq = 1000 WHERE seq = 5; UPDATE events SET seq = 5 WHERE seq = 9; \
             UPDATE events SET seq = 9 WHERE seq = 1000",
            &[
                "event 5 was written as event 9: the order was changed",
                "event 9 was written as event 5: the order was changed",
            ],
        ),
        ("DELETE FROM events WHERE seq = 7", &["event 7 is missing"]),
        (
            "DELETE FROM events WHERE seq BETWEEN 5 AND 8 OR seq = 12",
            &["events 5 to 8 are missing", "event 12 is missing"],
        ),
        ("DELETE FROM events WHERE seq <= 4", &["events 1 to 4 are missing"]),
        ("DELETE FROM events WHERE seq > 15", &[CUT]),
        (
            "DELETE FROM events WHERE seq = 18; UPDATE events SET seq = 18 WHERE seq = 19; \
             UPDATE events SET seq = 19 WHERE seq = 20",
            &[
                "event 18 was written as event 19: the order was changed",
                "event 19 was written as event 20: the order was changed",
                "the journal ends at event 19, but event 20 was anchored at 2026-11-21T12:44:35.123Z: \
                 its end was cut off, or an older copy was put back",
            ],
        ),
        (
            "DELETE FROM events WHERE seq <= 4; INSERT INTO checkpoints VALUES (4, 'tend-checkpoint-1 4 ' || \
             (SELECT lower(hex(prev_hash)) FROM events WHERE seq = 5) || ' 1 ' || lower(hex(zeroblob(64))))",
            &[
                "events 1 to 4 are missing",
                "the checkpoint that stands for the events up to 4 does not carry this machine's signature",
            ],
        ),
    ];
    for (sql, expected) in cases {
        let folder = written();
        outside(&folder).execute_batch(sql).unwrap();
        assert_eq!(findings(&folder), *expected, "{sql}");
    }
}

/// Puts an event in place of event `seq` with a hash that fits, as somebody would who has read the documentation.
fn forge(connection: &Connection, seq: u64, data: &str, prev_hash: Option<tend_core::journal::Hash>) -> Row {
    let reader = Reader::open(std::path::Path::new(connection.path().unwrap())).unwrap();
    let event = reader.event(EventId(seq)).unwrap().unwrap();
    let entry = tend_core::journal::Entry::new(event.principal, event.kind)
        .on(event.subject)
        .with(json!({"forged": data}));
    let now = tend_base::Now {
        mono: event.mono,
        wall: event.at,
    };
    let row = Row::chained(prev_hash.unwrap_or(event.prev_hash), &entry, event.id, now);
    connection
        .execute(
            "UPDATE events SET data = ?, prev_hash = ?, hash = ? WHERE seq = ?",
            params![row.data, row.prev_hash.0, row.hash.0, seq.cast_signed()],
        )
        .unwrap();
    row
}

#[test]
fn rows_changed_together_with_their_hashes_are_found() {
    let folder = written();
    forge(&outside(&folder), 7, "x", None);
    assert_eq!(
        findings(&folder),
        ["event 8 does not follow from what stands before it: that was written anew"]
    );

    let folder = written();
    let connection = outside(&folder);
    let mut prev = None;
    for seq in 7..=20 {
        prev = Some(forge(&connection, seq, "x", prev).hash);
    }
    assert_eq!(
        findings(&folder),
        ["event 20 is not the one anchored at 2026-11-21T12:44:35.123Z: the journal was written anew up to it"]
    );
}

#[test]
fn a_row_added_after_the_journal_was_closed_is_found() {
    let folder = written();
    let connection = outside(&folder);
    connection
        .execute_batch(
            "INSERT INTO events SELECT 21, at, mono, principal, subject, kind, data, cause, hash, hash FROM events WHERE seq = 20",
        )
        .unwrap();
    let previous = Reader::open(&folder.files().database).unwrap().event(EventId(20));
    forge(&connection, 21, "x", Some(previous.unwrap().unwrap().hash));
    assert_eq!(
        findings(&folder),
        ["event 21 was added after tend had closed the journal"]
    );
    // The next start records it, and the evidence stays beside the anchor file.
    drop(connection);
    let store = open_then(&folder);
    write(&store, 1);
    store.close().unwrap();
    assert_eq!(
        findings(&folder),
        ["event 22 records that tend found earlier: event 21 was added after tend had closed the journal"]
    );
    assert!(aside(&folder.files()).contains("tend-closing-1 20 "));
}

/// The anchor file that was put aside.
fn aside(files: &Files) -> String {
    fs::read_to_string(format!("{}.damaged-{THEN}", files.anchors.display())).unwrap()
}

#[test]
fn an_edited_anchor_file_is_found() {
    let folder = written();
    let anchors = folder.files().anchors;
    let text = fs::read_to_string(&anchors).unwrap();
    let lines = text.lines().count();

    fs::write(&anchors, text.replace("tend-closing-1 20 ", "tend-closing-1 15 ")).unwrap();
    assert_eq!(
        findings(&folder),
        [format!(
            "line {lines} of the anchor file does not carry this machine's signature"
        )]
    );
    fs::write(&anchors, format!("{text}what is this\n")).unwrap();
    assert_eq!(
        findings(&folder),
        [format!("line {} of the anchor file is not an anchor", lines + 1)]
    );
    fs::remove_file(&anchors).unwrap();
    assert_eq!(
        findings(&folder),
        ["there is no anchor: whether the end of the journal was cut off cannot be told"]
    );
    // Starting tend does not make that good.
    open_then(&folder).close().unwrap();
    assert_eq!(
        findings(&folder),
        [
            "event 21 records that tend found earlier: there is no anchor: whether the end of the journal was cut off cannot be told"
        ]
    );
    // Signed by another machine.
    fs::write(&anchors, fs::read_to_string(written().files().anchors).unwrap()).unwrap();
    let found = findings(&folder);
    assert_eq!(found.len(), lines + 2, "{found:?}");
}

#[test]
fn an_older_copy_that_was_put_back_is_found_and_recorded_at_the_next_start() {
    let folder = Folder::new();
    let files = folder.files();
    let store = open_then(&folder);
    write(&store, 10);
    store.close().unwrap();
    let copy = fs::read(&files.database).unwrap();
    let store = open_then(&folder);
    write(&store, 10);
    store.close().unwrap();
    fs::write(&files.database, copy).unwrap();
    let sentence =
        "but event 20 was anchored at 2026-11-21T12:44:35.123Z: its end was cut off, or an older copy was put back";
    assert_eq!(findings(&folder), [format!("the journal ends at event 10, {sentence}")]);

    let store = open_then(&folder);
    assert_eq!(write(&store, 30), EventId(41));
    store.close().unwrap();
    assert_eq!(
        findings(&folder),
        [format!(
            "event 11 records that tend found earlier: the journal ends at event 10, {sentence}"
        )]
    );
    assert!(aside(&files).contains("tend-closing-1 20 "));
    let reader = Reader::open(&files.database).unwrap();
    let recorded = reader.events(&Filter::all().kind(Kind::JournalDamaged)).unwrap();
    assert_eq!(recorded[0].data["expected"]["seq"], json!(20));
    assert!(
        recorded[0].data["anchor"]
            .as_str()
            .unwrap()
            .starts_with("tend-closing-1 20 ")
    );
}

#[test]
fn a_change_while_tend_writes_is_recorded_at_the_next_commit() {
    let folder = Folder::new();
    let store = folder.open();
    write(&store, 10);
    outside(&folder)
        .execute_batch("DELETE FROM events WHERE seq > 6")
        .unwrap();
    // The numbers go on, so that the gap stays to be seen.
    assert_eq!(write(&store, 1), EventId(12));
    store.close().unwrap();
    assert_eq!(
        findings(&folder),
        [
            "events 7 to 10 are missing",
            "event 11 records that tend found earlier: event 10 was removed or changed while tend was writing: \
             the last one found is 6"
        ]
    );
}

#[test]
fn pruning_leaves_a_journal_that_verifies_and_refuses_to_remove_evidence() {
    let folder = Folder::new();
    let clock = SetClock::at(0);
    let options = Options {
        clock: clock.clone(),
        ..Options::new("a test", daemon())
    };
    let store = Store::open(&folder.files(), options).unwrap();
    for second in 1..=20 {
        clock.set(second * 1000);
        write(&store, 1);
    }
    let pruned = store.prune(Wall(0), daemon()).wait().unwrap();
    assert_eq!((pruned.rows, pruned.upto), (0, None));
    let pruned = store.prune(Wall(8000), daemon()).wait().unwrap();
    assert_eq!((pruned.rows, pruned.upto), (7, Some(EventId(7))));
    assert!(!pruned.is_partial);
    // Everything but the last event, which is that of the pruning before.
    let pruned = store.prune(Wall(1_000_000), daemon()).wait().unwrap();
    assert_eq!((pruned.rows, pruned.upto), (13, Some(EventId(20))));
    let report = folder.verify();
    assert!(report.is_intact(), "{report}");
    assert_eq!((report.first, report.head), (Some(EventId(21)), Some(EventId(22))));
    assert_eq!(report.pruned_upto, Some(EventId(20)));

    write(&store, 5);
    outside(&folder)
        .execute_batch("UPDATE events SET data = '{}' WHERE seq = 23")
        .unwrap();
    clock.set(60_000);
    write(&store, 1);
    let error = store.prune(Wall(50_000), daemon()).wait().unwrap_err();
    assert!(error.to_string().starts_with("event 23 of"), "{error}");
    store.close().unwrap();
    assert_eq!(findings(&folder), ["event 23 was changed after it was written"]);
}

#[test]
fn filters_look_at_nothing_that_is_not_hashed() {
    let folder = written();
    let connection = outside(&folder);
    let mut statement = connection
        .prepare("SELECT name, hidden FROM pragma_table_xinfo('events')")
        .unwrap();
    let columns: Vec<(String, u32)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (name, hidden) in columns {
        let is_hashed = [
            "seq",
            "at",
            "mono",
            "principal",
            "subject",
            "kind",
            "data",
            "cause",
            "prev_hash",
            "hash",
        ]
        .contains(&name.as_str());
        // 2: computed when it is read, never kept.
        assert!(is_hashed || hidden == 2, "{name}");
    }
}
