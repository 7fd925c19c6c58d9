//! Bytes on the disk that nobody wrote: the store opens, says so, and serves the rest.

use std::fs;
use std::path::{Path, PathBuf};

use tend_base::Random;
use tend_metrics::{MetricStore, Options};
use tend_promql::{Selection, Store};
use tend_testkit::Folder;

use crate::{labels, open, round};

fn options() -> Options {
    Options {
        memory_ms: 0,
        ..Options::default()
    }
}

/// A store with two blocks and two segments of a log.
fn prepare(folder: &Path) {
    let store = open(folder, options());
    let mut feeds: Vec<_> = ["x", "y"].map(|job| store.feed(&labels(&[("job", job)]), true)).into();
    for time in 0..200i64 {
        for feed in &mut feeds {
            let body = format!("a{{n=\"1\"}} {time}\nb 0.5\nc{{z=\"{}\"}} 1\n", time / 50);
            round(&store, feed, time * 1000, &body);
        }
        if time == 60 || time == 120 {
            store.cut().expect("a block");
        }
    }
    store.sync().expect("synced");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|path| path.file_name().is_some_and(|name| name != "lock"));
    files.sort();
    files
}

fn copy(from: &[PathBuf], to: &Path) {
    for path in from {
        fs::copy(path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

#[test]
fn no_bytes_on_the_disk_make_it_panic() {
    let whole = Folder::new();
    prepare(whole.path());
    let originals = files(whole.path());
    assert!(originals.len() >= 3, "{originals:?}");
    let mut random = Random::new(0x5eed);
    for _ in 0..150 {
        let folder = Folder::new();
        copy(&originals, folder.path());
        let victims = files(folder.path());
        let victim = &victims[random.below(victims.len() as u64) as usize];
        let mut bytes = fs::read(victim).expect("a file");
        match random.below(3) {
            0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            1 => {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            _ => bytes.extend((0..random.below(100)).map(|_| random.below(256) as u8)),
        }
        fs::write(victim, &bytes).expect("written");
        let (store, _) = MetricStore::open(folder.path(), options()).expect("the store opens");
        // A block whose middle is damaged says so when it is read; all else is answered.
        let selection = Selection::new(&[], 0, i64::MAX);
        let _ = store.select(&selection, &mut |_, _| std::ops::ControlFlow::Continue(()));
        let mut feed = store.feed(&labels(&[("job", "x")]), true);
        round(&store, &mut feed, 1_000_000, "a{n=\"1\"} 7\n");
        store.sync().expect("synced");
        store.cut().expect("a block");
    }
}

#[test]
fn a_torn_log_gives_all_before_the_tear() {
    let whole = Folder::new();
    prepare(whole.path());
    let originals = files(whole.path());
    let (log, rest): (Vec<PathBuf>, Vec<PathBuf>) = originals
        .into_iter()
        .partition(|path| path.to_string_lossy().contains("/wal-"));
    let bytes = fs::read(&log[0]).expect("the log");
    let mut before = 0;
    for cut in (0..=bytes.len()).step_by(97) {
        let folder = Folder::new();
        copy(&rest, folder.path());
        fs::write(folder.path().join(log[0].file_name().expect("a name")), &bytes[..cut]).expect("written");
        let (_, recovered) = MetricStore::open(folder.path(), options()).expect("the store opens");
        assert!(recovered.samples >= before, "{cut}: {recovered:?}");
        before = recovered.samples;
    }
    assert!(before > 400, "{before}");
}

#[test]
fn a_damaged_block_is_put_aside_and_named() {
    let folder = Folder::new();
    prepare(folder.path());
    let block = files(folder.path())
        .into_iter()
        .find(|path| path.to_string_lossy().contains("/block-"))
        .expect("a block");
    let bytes = fs::read(&block).expect("read");
    fs::write(&block, &bytes[..bytes.len() - 1]).expect("written");
    let (store, recovered) = MetricStore::open(folder.path(), options()).expect("the store opens");
    assert_eq!((recovered.blocks, recovered.damaged.len()), (1, 1));
    assert!(
        recovered.damaged[0].0.exists() && recovered.damaged[0].1.contains("is damaged"),
        "{recovered:?}"
    );
    assert!(!crate::all(&store).is_empty());
}
