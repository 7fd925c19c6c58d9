//! Control groups of version 2, on the kernel this runs on.

use std::fs;
use std::path::{Path, PathBuf};

use tend_linux::{Command, GroupLimits, group_usage, remove_group, set_limits};

use crate::rig::{Rig, exit, exited, hello, is_alive, obey, probe, until};

/// A group of this test's own, removed at its end.
struct Group(PathBuf);

impl Group {
    /// Returns nothing, and says so, where groups cannot be made: without privilege, or without version 2.
    fn new(test: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let made = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1).filter(|_| line.contains(" cgroup2 ")))
            .map(|mount| Path::new(mount).join(format!("tend-test-{}-{test}", std::process::id())))
            .find(|group| fs::create_dir(group).is_ok());
        if made.is_none() {
            let message = format!("{test}: not run, no control group of version 2 can be made here\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), message.as_bytes());
        }
        made.map(Self)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for below in ["tend/a.b.1", "tend", "tend-daemon", "new", ""] {
            let _ = remove_group(&self.0.join(below));
        }
    }
}

#[test]
fn a_replica_runs_in_its_group_and_is_killed_with_all_in_it() {
    let Some(group) = Group::new("replica") else {
        return;
    };
    let rig = Rig::new();
    let mut spec = rig.shell("setsid sleep 1003 >/dev/null 2>&1 & cat /proc/self/cgroup; echo ready; wait");
    let new = group.0.join("new");
    spec.cgroup = Some(new.clone());
    let shim = rig.spawn(&spec);
    hello(&shim.connection);
    until("the replica is ready", || rig.stdout().ends_with("ready\n"));
    let name = format!("/{}/new\n", group.0.file_name().unwrap().to_str().unwrap());
    assert!(rig.stdout().contains(&name), "{}", rig.stdout());
    let members = fs::read_to_string(new.join("cgroup.procs")).unwrap();
    let members: Vec<i32> = members.lines().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(members.len(), 2);
    assert!(
        !members.contains(&shim.pid),
        "the shim would be killed with its replica"
    );
    assert!(group_usage(&new).cpu.is_some());
    shim.connection.send(Command::KillTree).unwrap();
    exit(&shim.connection);
    assert!(members.iter().all(|&pid| !is_alive(pid)));
    until("the group can be removed", || remove_group(&new).is_ok());
}

#[test]
fn a_group_that_cannot_be_entered_is_a_start_failure() {
    let rig = Rig::new();
    let mut spec = rig.shell("true");
    spec.cgroup = Some("/proc/nonexistent".into());
    let shim = rig.spawn(&spec);
    match exited(&shim.connection).outcome {
        tend_linux::Outcome::NotStarted(failure) => assert_eq!(
            failure.to_string(),
            "could not enter the control group `/proc/nonexistent`: No such file or directory (os error 2)"
        ),
        other => panic!("{other:?}"),
    }
    obey(&shim.connection, Command::Release);
}

#[test]
fn a_daemon_settles_in_a_leaf_of_its_group_and_finds_itself_there_again() {
    let Some(group) = Group::new("hierarchy") else {
        return;
    };
    let output = std::process::Command::new(probe())
        .arg("hierarchy")
        .arg(&group.0)
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let (first, second) = text.trim_end().split_once('\n').unwrap();
    assert_eq!(first, second);
    let (path, rest) = first.split_once('|').unwrap();
    assert_eq!(Path::new(path), group.0.join("tend/a.b.1"));
    let enabled = fs::read_to_string(group.0.join("tend/cgroup.subtree_control")).unwrap();
    let complete = ["memory", "cpu", "pids"].iter().all(|name| enabled.contains(name));
    // What is missing is said, what is there is not.
    assert_eq!(rest, if complete { "true|".to_owned() } else { rest.to_owned() });
    assert_eq!(rest.contains("controller"), !complete, "{rest}");
    let made = group.0.join("tend/a.b.1");
    fs::create_dir(&made).unwrap();
    set_limits(
        &made,
        &GroupLimits {
            memory_max: Some(64 << 20),
            pids_max: Some(50),
            ..GroupLimits::default()
        },
    )
    .unwrap();
    if enabled.contains("memory") {
        let max = fs::read_to_string(made.join("memory.max")).unwrap();
        assert_eq!(max, format!("{}\n", 64 << 20));
    }
}
