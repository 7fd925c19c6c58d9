//! A full disk: what was taken is still served, the store says that nothing is durable, and comes back by itself with nothing lost.
//!
//! Runs in a child, on a small file system of its own that goes with it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tend_metrics::{MetricStore, Options};
use tend_testkit::Folder;

use crate::{all, labels, open, round};

const CHILD: &str = "TEND_METRICS_TEST_FULL_DISK";
const TEST: &str = "full_disk::a_full_disk_is_told_and_nothing_that_was_taken_is_lost";

fn scenario(disk: &Path) {
    let options = Options {
        memory_ms: 0,
        ..Options::default()
    };
    let store = open(&disk.join("metrics"), options);
    let mut feed = store.feed(&labels(&[("job", "j")]), true);
    let mut time = 0;
    let mut rounds = |store: &MetricStore, count: i64| {
        for _ in 0..count {
            time += 1000;
            let body: String = (0..200)
                .map(|at| format!("a{{n=\"{at}\"}} {:?}\n", ((time + at) as f64).sqrt()))
                .collect();
            round(store, &mut feed, time, &body);
        }
        time
    };
    rounds(&store, 100);
    store.cut().expect("there is room");
    let before = rounds(&store, 50);
    store.sync().expect("there is room");

    let ballast = disk.join("ballast");
    let mut file = fs::File::create(&ballast).expect("made");
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
    drop(file);

    rounds(&store, 50);
    let error = store.sync().expect_err("the disk is full");
    assert!(error.hint().contains("make room"), "{error}");
    let error = store.maintain(before).expect_err("the disk is full");
    assert!(error.hint().contains("make room"), "{error}");
    let now = rounds(&store, 50);
    let status = store.status();
    assert!(
        status.log_failed.is_some() && status.block_failed.is_some() && status.lost == 0,
        "{status:?}"
    );
    let everything = |store: &MetricStore| {
        let found = all(store);
        assert_eq!(found.len(), 200);
        for (name, samples) in &found {
            let times: Vec<i64> = samples.iter().map(|sample| sample.0).collect();
            assert_eq!(
                times,
                (1..=times.len() as i64).map(|row| row * 1000).collect::<Vec<_>>(),
                "{name}"
            );
        }
        found.values().next().map_or(0, |samples| samples.len() as i64 * 1000)
    };
    assert_eq!(everything(&store), now);
    // A moment later it is tried again, in vain.
    store.maintain(before + 60_000).expect_err("the disk is full");

    fs::remove_file(&ballast).expect("removed");
    let done = store.maintain(before + 120_000).expect("there is room");
    assert!(done.healed && done.cut_samples > 0, "{done:?}");
    let status = store.status();
    assert!(
        status.log_failed.is_none() && status.block_failed.is_none(),
        "{status:?}"
    );
    let now = rounds(&store, 10);
    store.sync().expect("there is room");
    assert_eq!(everything(&store), now);
    drop(store);
    let store = open(&disk.join("metrics"), options);
    assert_eq!(everything(&store), now);
}

#[test]
fn a_full_disk_is_told_and_nothing_that_was_taken_is_lost() {
    if let Some(disk) = std::env::var_os(CHILD).map(PathBuf::from) {
        return scenario(&disk);
    }
    let folder = Folder::new();
    let mut child = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        child.arg("--map-root-user");
    }
    let output = child
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=4m tmpfs \"$1\" && exec \"$2\" --exact \"$3\"")
        .arg("sh")
        .arg(folder.path())
        .arg(std::env::current_exe().expect("this test"))
        .arg(TEST)
        .env(CHILD, folder.path())
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{said}");
}
