//! A state folder for a test, a clock that can be set, entries to write, and children in a name space. Owns no claims.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tend_base::{Clock, Mono, Now, Wall};
use tend_core::journal::{Entry, EventId, Kind, Principal, Subject, VerifyReport};
use tend_store::{Files, Options, PublicKey, Store, verify};

/// A folder of its own, removed with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tend-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn files(&self) -> Files {
        Files::of(&self.0)
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.files(), options()).unwrap()
    }

    pub(crate) fn verify(&self) -> VerifyReport {
        let files = self.files();
        let key = PublicKey::read(&files.public_key).unwrap();
        verify(&files.database, key, &files.anchors).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn daemon() -> Principal {
    Principal::Daemon {
        pid: std::process::id(),
        build: "test".to_owned(),
    }
}

pub(crate) fn options() -> Options {
    Options::new("a test", daemon())
}

/// An entry about replica `mps/api/SLOT` with a number to know it by.
pub(crate) fn entry(kind: Kind, slot: u32, number: u64) -> Entry {
    Entry::new(daemon(), kind)
        .on(Subject {
            stack: Some("mps".parse().unwrap()),
            service: Some("api".parse().unwrap()),
            slot: Some(slot),
            ..Subject::default()
        })
        .with(json!({"number": number}))
}

/// Writes `count` events, each in a commit of its own, and returns the last.
pub(crate) fn write(store: &Store, count: u64) -> EventId {
    let mut last = EventId(0);
    for number in 0..count {
        let batch = entry(Kind::ReplicaStarted, 1, number);
        last = store.commit(batch).wait().unwrap().first;
    }
    last
}

/// A shell in a mount name space of its own, to be given its script: what it mounts goes with it. Needs root, or a kernel that
/// lets users make user name spaces.
pub(crate) fn in_name_space() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c"]);
    command
}

/// Fails unless a child that ran one test of this program says that it passed.
pub(crate) fn passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A clock that stands still until it is set.
#[derive(Default)]
pub(crate) struct SetClock(AtomicU64);

impl SetClock {
    pub(crate) fn at(millis: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(millis)))
    }

    pub(crate) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Now {
        let millis = self.0.load(Ordering::SeqCst);
        Now {
            mono: Mono(millis * 1_000_000),
            wall: Wall(millis),
        }
    }
}
