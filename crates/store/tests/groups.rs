//! Many callers, few commits; events and documents written together; what was closed stays closed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use serde_json::{Value, json};
use tend_core::journal::{Entry, Filter, Kind, Principal, Via};
use tend_store::{Anchors, Batch, DocumentKind, Error, Options, Reader, Store};

use crate::files::{Folder, daemon, entry, write};

#[test]
fn entries_of_many_callers_share_commits_and_each_learns_its_own_numbers() {
    let folder = Folder::new();
    let commits = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&commits);
    let all_handed_in = Arc::new(Barrier::new(9));
    let wait = Arc::clone(&all_handed_in);
    let store = Store::open(
        &folder.files(),
        Options {
            // Keeps the writer in its first commit until everything else waits behind it.
            on_commit: Some(Box::new(move |_| {
                if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                    wait.wait();
                }
            })),
            ..Options::new("a test", daemon())
        },
    )
    .unwrap();
    let first = store.append(vec![entry(Kind::DaemonStarted, 1, 0)]);
    assert_eq!(first.wait().unwrap().first.0, 1);
    let threads: Vec<_> = (0..8u64)
        .map(|thread| {
            let (store, all_handed_in) = (store.clone(), Arc::clone(&all_handed_in));
            std::thread::spawn(move || {
                let tickets: Vec<_> = (0..100)
                    .map(|number| {
                        let number = thread * 100 + number;
                        let ticket = store.append(vec![
                            entry(Kind::ReplicaStarted, 1, number),
                            entry(Kind::ReplicaReady, 1, number),
                        ]);
                        (number, ticket)
                    })
                    .collect();
                all_handed_in.wait();
                tickets
                    .into_iter()
                    .map(|(number, ticket)| (number, ticket.wait().unwrap()))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let reader = Reader::open(&folder.files().database).unwrap();
    let mut seen = BTreeSet::new();
    for thread in threads {
        for (number, committed) in thread.join().unwrap() {
            for (id, kind) in committed.ids().zip([Kind::ReplicaStarted, Kind::ReplicaReady]) {
                let event = reader.event(id).unwrap().unwrap();
                assert_eq!((&event.kind, &event.data), (&kind, &json!({"number": number})));
                assert!(seen.insert(id));
            }
        }
    }
    assert_eq!(seen.len(), 1600);
    assert_eq!(store.head().0, 1601);
    store.close().unwrap();
    assert_eq!(commits.load(Ordering::SeqCst), 2, "commits for 801 batches");
    assert!(folder.verify().is_intact(), "{}", folder.verify());
}

#[test]
fn events_and_documents_are_written_together() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = Batch::new()
        .entry(entry(Kind::ReplicaStarted, 1, 1))
        .put(DocumentKind::Replica, "mps/api/1", &json!({"port": 4000}))
        .unwrap()
        .put(DocumentKind::Replica, "mps/api/2", &json!({"port": 4001}))
        .unwrap();
    store.commit(batch).wait().unwrap();
    let batch = Batch::new()
        .entry(entry(Kind::ReplicaStopped, 2, 2))
        .put(DocumentKind::Replica, "mps/api/1", &json!({"port": 4002}))
        .unwrap()
        .delete(DocumentKind::Replica, "mps/api/2")
        .delete(DocumentKind::Stack, "never-was");
    store.commit(batch).wait().unwrap();
    // Documents alone are fine too.
    let batch = Batch::new()
        .put(DocumentKind::Stack, "mps", &json!({"revision": 1}))
        .unwrap();
    assert_eq!(store.commit(batch).wait().unwrap().entries, 0);
    let reader = Reader::open(&folder.files().database).unwrap();
    assert_eq!(
        reader.documents::<Value>(DocumentKind::Replica).unwrap(),
        [("mps/api/1".to_owned(), json!({"port": 4002}))]
    );
    assert_eq!(
        reader.document::<Value>(DocumentKind::Stack, "mps").unwrap(),
        Some(json!({"revision": 1}))
    );
    assert_eq!(reader.document::<Value>(DocumentKind::Machine, "none").unwrap(), None);
    let error = reader.document::<u32>(DocumentKind::Stack, "mps").unwrap_err();
    assert!(error.to_string().starts_with("the stack `mps` kept in"));
    assert_eq!(reader.events(&Filter::all()).unwrap().len(), 2);
}

#[test]
fn a_closed_store_refuses_and_a_reopened_one_goes_on_where_it_was() {
    let folder = Folder::new();
    let store = folder.open();
    write(&store, 3);
    store.record(vec![entry(Kind::ReplicaReady, 1, 9)]);
    store.close().unwrap();
    assert!(matches!(
        store.commit(entry(Kind::ReplicaReady, 1, 1)).wait(),
        Err(Error::Closed)
    ));
    let again = folder.open();
    assert_eq!(again.head().0, 4);
    assert_eq!(write(&again, 1).0, 5);
    // Dropping the last handle closes as well.
    drop(again);
    let report = folder.verify();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.anchored_upto, report.head);
}

#[test]
fn who_does_something_is_answered_once_it_is_anchored() {
    let folder = Folder::new();
    let store = folder.open();
    let anchored = || {
        let anchors = Anchors::read(&folder.files().anchors).unwrap();
        anchors.statements().last().map(|anchor| anchor.seq)
    };
    let ana = Principal::Person {
        uid: Some(1000),
        name: "ana".to_owned(),
        via: Via::Socket,
    };
    for number in 1..=20 {
        write(&store, 1);
        let done = store
            .commit(Entry::new(ana.clone(), Kind::ServiceScaled))
            .wait()
            .unwrap();
        assert!(anchored() >= Some(done.first), "{number}: {:?}", anchored());
    }
    let status = store.status();
    assert_eq!((status.anchored, status.anchor_error.is_none()), (status.head, true));
    store.close().unwrap();
    assert!(folder.verify().is_intact());
}

#[test]
fn a_mistake_in_a_callback_does_not_end_the_writer() {
    let folder = Folder::new();
    let store = folder.open();
    store.commit_then(entry(Kind::ReplicaReady, 1, 1), |_| {
        panic!("this panic is part of the test")
    });
    assert_eq!(write(&store, 1).0, 2);
}
