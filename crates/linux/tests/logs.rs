//! What becomes of output: rotation, the time index, and a disk that gives out.

use std::fs;

use tend_base::{Clock as _, SystemClock};
use tend_linux::{Command, Exit, StreamKind, WhenBehind, log_files};

use crate::rig::{Rig, exit, exited, hello, is_alive, obey, until};

#[test]
fn rotation_keeps_its_limits_and_loses_no_line() {
    let rig = Rig::new();
    let mut spec = rig.shell("seq -f 'number %.0f' 1 20000");
    spec.logs.file_bytes_max = 100_000;
    spec.logs.files_max = 100;
    let shim = rig.spawn(&spec);
    assert_eq!(exit(&shim.connection), Exit::Exited(0));
    let files = log_files(&rig.logs(), StreamKind::Stdout).unwrap();
    assert_eq!(files.len(), 3);
    for file in &files {
        let text = fs::read_to_string(&file.path).unwrap();
        assert!(text.len() <= 100_000 && text.ends_with('\n'), "{:?}", file.path);
        assert!(text.starts_with("number "), "a line was cut");
        assert!(file.index.time_at(0).is_some(), "{:?} has no index", file.path);
    }
    let wanted: String = (1..=20_000).map(|n| format!("number {n}\n")).collect();
    assert_eq!(rig.stdout(), wanted);
}

#[test]
fn no_more_files_are_kept_than_allowed_and_the_newest_stay() {
    for files_max in [1, 2, 3] {
        let rig = Rig::new();
        let mut spec = rig.shell("seq -f 'number %.0f' 1 20000");
        spec.logs.file_bytes_max = 10_000;
        spec.logs.files_max = files_max;
        let shim = rig.spawn(&spec);
        assert_eq!(exit(&shim.connection), Exit::Exited(0));
        let files = log_files(&rig.logs(), StreamKind::Stdout).unwrap();
        assert_eq!(files.len(), files_max as usize);
        assert!(rig.stdout().ends_with("number 19999\nnumber 20000\n"));
        let names = fs::read_dir(rig.logs()).unwrap().count();
        assert_eq!(names, 2 * files_max as usize, "files of stdout and their indexes only");
    }
}

#[test]
fn a_line_longer_than_a_file_is_cut_and_not_lost() {
    let rig = Rig::new();
    let mut spec = rig.shell("head -c 25000 /dev/zero | tr '\\0' x; echo end");
    spec.logs.file_bytes_max = 10_000;
    spec.logs.files_max = 9;
    let shim = rig.spawn(&spec);
    exit(&shim.connection);
    assert_eq!(rig.stdout(), format!("{}end\n", "x".repeat(25_000)));
    for file in log_files(&rig.logs(), StreamKind::Stdout).unwrap() {
        assert!(fs::metadata(file.path).unwrap().len() <= 10_000);
    }
}

#[test]
fn the_index_tells_when_a_line_came() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("echo early; while [ ! -e go ]; do sleep 0.01; done; echo late; exec sleep 1000"));
    hello(&shim.connection);
    until("the early line is there", || rig.stdout() == "early\n");
    // The index has a record for every 100 ms of activity, so the two lines are kept further apart than that.
    let start = SystemClock.now().wall.0;
    until("300 ms passed", || SystemClock.now().wall.0 >= start + 300);
    let between = SystemClock.now().wall;
    fs::write(rig.home.join("go"), "").unwrap();
    until("the late line is there", || rig.stdout() == "early\nlate\n");
    let files = log_files(&rig.logs(), StreamKind::Stdout).unwrap();
    let index = &files[0].index;
    assert!(index.time_at(0).unwrap() < between);
    assert!(index.time_at(6).unwrap() >= between);
    assert_eq!(index.offset_since(between), Some(0));
    assert_eq!(index.offset_since(tend_base::Wall(between.0 + 3_600_000)), Some(6));
}

#[test]
fn after_reopen_output_goes_to_a_new_file_and_clear_removes_all() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell(
        "echo one; while [ ! -e two ]; do sleep 0.01; done; echo two; while [ ! -e three ]; do sleep 0.01; done; echo three; exec sleep 1000",
    ));
    until("one is there", || rig.stdout() == "one\n");
    let (current, moved) = (rig.logs().join("stdout.log"), rig.logs().join("moved"));
    fs::rename(&current, &moved).unwrap();
    obey(&shim.connection, Command::Reopen);
    fs::write(rig.home.join("two"), "").unwrap();
    until("two is there", || rig.stdout() == "two\n");
    assert_eq!(fs::read_to_string(&moved).unwrap(), "one\n");
    obey(&shim.connection, Command::Clear);
    assert_eq!(rig.stdout(), "");
    fs::write(rig.home.join("three"), "").unwrap();
    until("three is there", || rig.stdout() == "three\n");
}

#[test]
fn a_file_that_somebody_cut_is_written_on_without_a_hole() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("echo one; while [ ! -e two ]; do sleep 0.01; done; echo two; exec sleep 1000"));
    hello(&shim.connection);
    until("one is there", || rig.stdout() == "one\n");
    fs::File::create(rig.logs().join("stdout.log")).unwrap();
    fs::write(rig.home.join("two"), "").unwrap();
    until("two is there", || rig.stdout() == "two\n");
}

/// Sets how large a file a shim may write, as a stand-in for a disk that is full, and that room can be made on.
fn limit_files(pid: i32, bytes: Option<u64>) {
    let limit = rustix::process::Rlimit {
        current: bytes,
        maximum: None,
    };
    rustix::process::prlimit(
        rustix::process::Pid::from_raw(pid),
        rustix::process::Resource::Fsize,
        limit,
    )
    .unwrap();
}

const FLOOD: &str = "while [ ! -e go ]; do sleep 0.01; done; \
    seq -f 'number %.0f' 1 300000; touch written; while [ ! -e more ]; do sleep 0.01; done; echo after; exec sleep 1000";

#[test]
fn with_drop_a_full_disk_stops_nobody_and_a_marker_tells_what_is_missing() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell(FLOOD));
    hello(&shim.connection);
    limit_files(shim.pid, Some(50_000));
    fs::write(rig.home.join("go"), "").unwrap();
    until("the replica has written all", || rig.home.join("written").exists());
    let kept = rig.stdout();
    assert!(kept.len() <= 50_000);
    limit_files(shim.pid, None);
    until("the marker is there", || rig.stdout().contains("\n[tend] "));
    fs::write(rig.home.join("more"), "").unwrap();
    until("output is kept again", || rig.stdout().ends_with("\nafter\n"));
    let text = rig.stdout();
    let markers: Vec<&str> = text.lines().filter(|l| l.starts_with("[tend] ")).collect();
    assert_eq!(markers.len(), 1, "{markers:?}");
    assert!(markers[0].ends_with("bytes of output dropped here: the file may not grow any more"));
    let told: u64 = markers[0].split(' ').nth(1).unwrap().parse().unwrap();
    let all: usize = (1..=300_000).map(|n: u32| format!("number {n}\n").len()).sum();
    let stored = text.len() - markers[0].len() - 1 - "after\n".len();
    // A line cut by the gap was given an end of its own.
    let ended = usize::from(!kept.ends_with('\n'));
    assert_eq!(stored - ended + told as usize, all);
    shim.connection.send(Command::Logs).unwrap();
    let counted = crate::rig::report(&shim.connection, |report| match report {
        tend_linux::Report::Logs(counters) => Some(counters),
        _ => None,
    });
    assert_eq!(counted.stdout_dropped, told);
}

#[test]
fn with_block_a_full_disk_makes_the_replica_wait_and_loses_nothing() {
    let rig = Rig::new();
    let mut spec = rig.shell(FLOOD);
    spec.logs.when_behind = WhenBehind::Block;
    let shim = rig.spawn(&spec);
    let replica = hello(&shim.connection).replica.unwrap();
    limit_files(shim.pid, Some(50_000));
    fs::write(rig.home.join("go"), "").unwrap();
    until("the file is at its end", || rig.stdout().len() == 50_000);
    until("the replica waits in write", || {
        children(replica.pid).iter().any(|pid| {
            fs::read_to_string(format!("/proc/{pid}/wchan"))
                .unwrap_or_default()
                .contains("pipe")
        })
    });
    assert!(!rig.home.join("written").exists());
    limit_files(shim.pid, None);
    until("the replica has written all", || rig.home.join("written").exists());
    obey(&shim.connection, Command::Flush);
    let wanted: String = (1..=300_000).map(|n| format!("number {n}\n")).collect();
    assert!(rig.stdout() == wanted, "something is missing or twice");
}

fn children(pid: i32) -> Vec<i32> {
    tend_linux::process_tree(pid).unwrap()
}

#[test]
fn a_log_folder_that_cannot_be_written_does_not_stop_a_replica() {
    let rig = Rig::new();
    fs::write(rig.home.join("logs"), "not a folder").unwrap();
    let shim = rig.spawn(&rig.shell("echo lost; exit 4"));
    let record = exited(&shim.connection);
    assert_eq!(record.outcome, tend_linux::Outcome::Ended(Exit::Exited(4)));
    assert_eq!(record.output.stdout_dropped, 5);
    obey(&shim.connection, Command::Release);
    until("the shim ended", || !is_alive(shim.pid));
}
