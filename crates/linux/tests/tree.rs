//! Ending a replica with all it started.

use std::fs;

use tend_linux::{Command, Exit, Scope, Tree, kill_tree};

use crate::rig::{Rig, exit, hello, is_alive, kill, obey, until};

/// A child in the replica's session, and a daemon: another session, and its parent gone.
const FAMILY: &str = "sleep 1001 & echo $! > child; \
    sh -c 'setsid sh -c \"echo \\$\\$ > daemon; exec sleep 1002\" & exit 0'; \
    while [ ! -s daemon ]; do sleep 0.01; done; echo ready; wait";

fn pid_in(rig: &Rig, name: &str) -> i32 {
    fs::read_to_string(rig.home.join(name)).unwrap().trim().parse().unwrap()
}

#[test]
fn kill_tree_ends_children_and_daemonised_grandchildren() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell(FAMILY));
    let replica = hello(&shim.connection).replica.unwrap();
    until("the family is there", || rig.stdout() == "ready\n");
    let (child, daemon) = (pid_in(&rig, "child"), pid_in(&rig, "daemon"));
    assert!(is_alive(child) && is_alive(daemon));
    shim.connection.send(Command::KillTree).unwrap();
    assert_eq!(exit(&shim.connection), Exit::Signalled { signal: 9, core: false });
    for pid in [replica.pid, child, daemon] {
        assert!(!is_alive(pid));
    }
}

#[test]
fn what_a_replica_left_behind_can_still_be_ended() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell(&FAMILY.replace("; wait", "")));
    exit(&shim.connection);
    let (child, daemon) = (pid_in(&rig, "child"), pid_in(&rig, "daemon"));
    assert!(is_alive(child) && is_alive(daemon));
    obey(&shim.connection, Command::KillTree);
    assert!(!is_alive(child) && !is_alive(daemon));
}

#[test]
fn the_daemon_ends_a_tree_whose_shim_was_killed() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell(FAMILY));
    let replica = hello(&shim.connection).replica.unwrap();
    until("the family is there", || rig.stdout() == "ready\n");
    let (child, daemon) = (pid_in(&rig, "child"), pid_in(&rig, "daemon"));
    kill(shim.pid);
    let tree = Tree {
        replica: replica.clone(),
        shim_pid: None,
        folder: rig.folder(),
        cgroup: None,
    };
    let members: Vec<i32> = tree.members().unwrap().iter().map(|stat| stat.pid).collect();
    for pid in [replica.pid, child, daemon] {
        assert!(members.contains(&pid), "{pid} of {members:?}");
    }
    kill_tree(&tree).unwrap();
    for pid in [replica.pid, child, daemon] {
        assert!(!is_alive(pid));
    }
}

#[test]
fn a_signal_to_the_tree_reaches_children_one_to_the_replica_does_not() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell(
        "trap 'echo asked' USR1; sh -c 'trap \"echo child asked\" USR1; echo ready; while :; do sleep 0.01; done' & \
         while :; do sleep 0.01; done",
    ));
    let replica = hello(&shim.connection).replica.unwrap();
    until("both are there", || rig.stdout() == "ready\n");
    let signal = |scope| Command::Signal { number: 10, scope };
    obey(&shim.connection, signal(Scope::Replica));
    until("the replica was asked", || rig.stdout() == "ready\nasked\n");
    obey(&shim.connection, signal(Scope::Tree));
    until("its child was asked", || rig.stdout().contains("child asked\n"));
    assert!(is_alive(replica.pid));
}
