//! When nothing can be written, everybody is told, nothing acknowledged is lost, and it goes on by itself when there is room again.
//!
//! Runs in a child: once on a small file system of its own that is filled up, once under a limit on the size of files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tend_core::journal::{EventId, Filter, Kind};
use tend_store::{Error, Files, PublicKey, Reader, Status, Store, verify};

use crate::files::{Folder, entry, in_name_space, options, passed};

const ON_FILE_SYSTEM: &str = "TEND_STORE_TEST_FULL_FILE_SYSTEM";
const UNDER_LIMIT: &str = "TEND_STORE_TEST_FULL_BY_LIMIT";

/// More than the writer keeps in memory.
const UNWAITED: u64 = 9000;

/// Waits until the writer is as wanted.
fn until(store: &Store, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = store.status();
        if is_so(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{what}: {status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes until nothing can be written any more, makes room, and looks at what is there.
fn scenario(state: &Path, fill: impl FnOnce(), free: impl FnOnce(), is_expected: fn(&Error) -> bool) {
    let files = Files::of(state);
    let store = Store::open(&files, options()).unwrap();
    let mut acknowledged: Vec<(EventId, u64)> = Vec::new();
    let mut number = 0;
    let mut try_one = |store: &Store| {
        number += 1;
        let result = store.commit(entry(Kind::ReplicaReady, 1, number)).wait();
        result.map(|committed| (committed.first, number))
    };
    for _ in 0..20 {
        acknowledged.push(try_one(&store).unwrap());
    }
    fill();
    // The last page of the log may still have room for some.
    let error = loop {
        match try_one(&store) {
            Ok(ack) => acknowledged.push(ack),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 10_000, "it never was full");
    };
    assert!(is_expected(&error), "{error:?}");
    assert!(error.is_transient());
    let head = store.head();
    assert_eq!(head, acknowledged.last().unwrap().0);
    assert_eq!(store.status().commit_error.unwrap().to_string(), error.to_string());

    // Everyone who waits is told.
    let tickets: Vec<_> = (0..3).map(|_| store.commit(entry(Kind::ReplicaExited, 1, 0))).collect();
    for ticket in tickets {
        assert!(is_expected(&ticket.wait().unwrap_err()));
    }
    // What nobody waits for is kept, and counted where it is too much.
    for number in 0..UNWAITED {
        store.record(vec![entry(Kind::LogsDropped, 1, number)]);
        if number % 1000 == 0 {
            until(&store, "the writer keeps up", |status| {
                status.retained as u64 + status.lost == number + 1
            });
        }
    }
    let status = until(&store, "all is kept or counted", |status| {
        status.retained as u64 + status.lost == UNWAITED
    });
    assert!(status.lost > 0 && status.retained > 0, "{status:?}");
    assert_eq!(store.head(), head);

    free();
    // Nobody hands anything in: it is tried again by itself.
    until(&store, "what was kept is written", |status| {
        status.retained == 0 && status.commit_error.is_none()
    });
    acknowledged.push(try_one(&store).unwrap());
    store.close().unwrap();

    let reader = Reader::open(&files.database).unwrap();
    for (id, number) in acknowledged {
        let event = reader.event(id).unwrap().unwrap();
        assert_eq!(
            (event.kind, event.data["number"].as_u64()),
            (Kind::ReplicaReady, Some(number))
        );
    }
    let kept = reader.events(&Filter::all().kind(Kind::LogsDropped)).unwrap();
    let numbers: Vec<u64> = kept
        .iter()
        .map(|event| event.data["number"].as_u64().unwrap())
        .collect();
    assert_eq!(
        numbers,
        (0..kept.len() as u64).collect::<Vec<_>>(),
        "the oldest are kept, in order"
    );
    let gaps = reader.events(&Filter::all().kind(Kind::JournalGap)).unwrap();
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert_eq!(gap.data["entries"].as_u64().unwrap() + kept.len() as u64, UNWAITED);
    assert_eq!(gap.data["kinds"]["logs.dropped"], gap.data["entries"]);
    assert!(
        reader
            .events(&Filter::all().kind(Kind::ReplicaExited))
            .unwrap()
            .is_empty()
    );
    let report = verify(
        &files.database,
        PublicKey::read(&files.public_key).unwrap(),
        &files.anchors,
    )
    .unwrap();
    assert!(report.is_intact(), "{report}");
}

#[test]
fn a_full_disk_is_told_and_survived() {
    if let Some(state) = std::env::var_os(ON_FILE_SYSTEM).map(PathBuf::from) {
        let ballast = state.join("ballast");
        return scenario(
            &state,
            || {
                let mut file = fs::File::create(&ballast).unwrap();
                let block = [0u8; 4096];
                while file.write_all(&block).is_ok() {}
            },
            || fs::remove_file(&ballast).unwrap(),
            |error| matches!(error, Error::DiskFull { .. }) && error.hint().unwrap().contains("make room"),
        );
    }
    let folder = Folder::new();
    let state = folder.files().database.parent().unwrap().to_owned();
    // The file system is mounted in a name space of the child's own, and goes with it.
    let output = in_name_space()
        .arg("mount -t tmpfs -o size=64m tmpfs \"$1\" && exec \"$2\" --exact \"$3\"")
        .arg("sh")
        .arg(&state)
        .arg(std::env::current_exe().unwrap())
        .arg("full_disk::a_full_disk_is_told_and_survived")
        .env(ON_FILE_SYSTEM, &state)
        .output()
        .unwrap();
    passed(&output);
}

#[test]
fn a_limit_on_file_sizes_is_told_and_survived() {
    if let Some(state) = std::env::var_os(UNDER_LIMIT).map(PathBuf::from) {
        let log = Files::of(&state).database.with_extension("db-wal");
        let limit = getrlimit(Resource::Fsize);
        let at = |current| rustix::process::Rlimit { current, ..limit };
        return scenario(
            &state,
            || {
                let length = fs::metadata(&log).unwrap().len();
                setrlimit(Resource::Fsize, at(Some(length + 20_000))).unwrap();
            },
            || setrlimit(Resource::Fsize, at(limit.maximum)).unwrap(),
            |error| {
                matches!(error, Error::Commit { .. }) && error.to_string().starts_with("could not write to the journal")
            },
        );
    }
    let folder = Folder::new();
    let state = folder.files().database.parent().unwrap().to_owned();
    // The signal that comes with the error would end the child.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ && exec \"$1\" --exact \"$2\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .arg("full_disk::a_limit_on_file_sizes_is_told_and_survived")
        .env(UNDER_LIMIT, &state)
        .output()
        .unwrap();
    passed(&output);
}
