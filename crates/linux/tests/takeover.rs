//! Shims that are killed, and those that take over from them.

use std::fs;

use tend_linux::{Adoption, Exit, Outcome, adopt, has_shim};

use crate::rig::{Rig, exit, hello, is_alive, kill, until};

/// Numbered lines, fast enough that every kill strikes while some are on their way.
fn numbered(count: u32) -> String {
    format!("seq -f 'line %.0f of the replica' 1 {count}; touch done; sleep 1000")
}

fn assert_numbered(text: &str, count: usize) {
    let mut lines = 0;
    for (at, line) in text.lines().enumerate() {
        assert_eq!(line, format!("line {} of the replica", at + 1));
        lines += 1;
    }
    assert_eq!(lines, count);
}

#[test]
fn killing_shims_under_a_flood_loses_no_line_and_repeats_none() {
    let rig = Rig::new();
    let count = 2_000_000;
    let mut spec = rig.shell(&numbered(count));
    spec.logs.file_bytes_max = 1 << 30;
    let mut shim = rig.spawn(&spec);
    let replica = hello(&shim.connection).replica.unwrap();
    let mut kills = 0;
    while kills < 5 || !rig.home.join("done").exists() && kills < 50 {
        let before = rig_bytes(&rig);
        until("output flows or is over", || {
            rig_bytes(&rig) > before || rig.home.join("done").exists()
        });
        kill(shim.pid);
        assert!(is_alive(replica.pid), "the replica died with its shim");
        shim = rig.take_over();
        assert_eq!(hello(&shim.connection).replica.unwrap().pid, replica.pid);
        kills += 1;
    }
    until("all is written", || {
        rig.home.join("done").exists() && rig.stdout().ends_with(&format!("line {count} of the replica\n"))
    });
    assert_numbered(&rig.stdout(), count as usize);
}

fn rig_bytes(rig: &Rig) -> u64 {
    fs::metadata(rig.logs().join("stdout.log")).map_or(0, |file| file.len())
}

#[test]
fn what_a_replica_wrote_before_it_ended_without_a_shim_is_still_logged() {
    let rig = Rig::new();
    let go = rig.home.join("go");
    let shim = rig.spawn(&rig.shell("echo first; while [ ! -e go ]; do sleep 0.01; done; echo last words; exit 3"));
    let replica = hello(&shim.connection).replica.unwrap();
    until("the first line is there", || rig.stdout() == "first\n");
    kill(shim.pid);
    fs::write(go, "").unwrap();
    until("the replica ended", || !is_alive(replica.pid));
    // `shim.output` is what keeps the last words meanwhile.
    let second = rig.take_over();
    exit(&second.connection);
    assert_eq!(rig.stdout(), "first\nlast words\n");
    drop(shim);
}

#[test]
fn a_shim_that_took_over_tells_how_the_replica_ended() {
    for (end, wanted) in [
        ("exit 5", Exit::Exited(5)),
        ("kill -9 $$", Exit::Signalled { signal: 9, core: false }),
    ] {
        let rig = Rig::new();
        let shim = rig.spawn(&rig.shell(&format!("while [ ! -e go ]; do sleep 0.01; done; {end}")));
        hello(&shim.connection);
        kill(shim.pid);
        let second = rig.take_over();
        assert!(!hello(&second.connection).ended);
        fs::write(rig.home.join("go"), "").unwrap();
        match exit(&second.connection) {
            // Kernels before 6.15 do not tell, and then the shim must say so rather than guess.
            Exit::Unknown(why) => assert!(!why.is_empty() && !kernel_tells(), "{why}"),
            exit => assert_eq!(exit, wanted),
        }
    }
}

/// Whether this kernel tells through a pidfd how a process ended.
fn kernel_tells() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn a_second_shim_cannot_take_over_from_one_that_lives() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("exec sleep 1000"));
    let replica = hello(&shim.connection).replica.unwrap();
    assert!(has_shim(&rig.folder()));
    let second = rig.take_over();
    until("the second gave up", || !is_alive(second.pid));
    assert!(is_alive(shim.pid) && is_alive(replica.pid));
}

#[test]
fn a_replica_that_executed_another_program_is_still_recognised() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("while [ ! -e go ]; do sleep 0.01; done; exec sleep 1000"));
    let replica = hello(&shim.connection).replica.unwrap();
    kill(shim.pid);
    fs::write(rig.home.join("go"), "").unwrap();
    until("the other program runs", || {
        fs::read_to_string(format!("/proc/{}/comm", replica.pid)).unwrap() == "sleep\n"
    });
    let second = rig.take_over();
    assert_eq!(hello(&second.connection).replica.unwrap().pid, replica.pid);
}

#[test]
fn a_process_with_another_start_time_is_foreign() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("exec sleep 1000"));
    let replica = hello(&shim.connection).replica.unwrap();
    kill(shim.pid);
    let path = rig.folder().join("state");
    let state = fs::read_to_string(&path).unwrap();
    let forged = state.replace(
        &format!("start_time={}\n", replica.start_time),
        &format!("start_time={}\n", replica.start_time - 1),
    );
    assert_ne!(forged, state);
    fs::write(&path, &forged).unwrap();
    match adopt(&rig.folder()).unwrap() {
        Adoption::Foreign(why) => assert!(why.contains("is another one"), "{why}"),
        other => panic!("{other:?}"),
    }
    let second = rig.take_over();
    assert!(matches!(exit(&second.connection), Exit::Unknown(_)));
    assert!(is_alive(replica.pid), "a foreign process was touched");
    fs::remove_file(rig.folder().join("exit")).unwrap();
    fs::write(&path, &state).unwrap();
}

#[test]
fn another_program_under_the_same_number_and_start_time_is_foreign() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("exec sleep 1000 >/dev/null 2>&1"));
    let replica = hello(&shim.connection).replica.unwrap();
    kill(shim.pid);
    let path = rig.folder().join("state");
    let state = fs::read_to_string(&path).unwrap();
    let (_, inode) = state.split_once("exe_ino=").unwrap();
    let inode = inode.lines().next().unwrap();
    fs::write(&path, state.replace(&format!("exe_ino={inode}"), "exe_ino=1")).unwrap();
    match adopt(&rig.folder()).unwrap() {
        Adoption::Foreign(why) => assert!(why.contains("another program"), "{why}"),
        other => panic!("{other:?}"),
    }
    kill(replica.pid);
}

#[test]
fn a_state_of_an_earlier_boot_is_of_a_replica_that_is_gone() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("exec sleep 1000"));
    hello(&shim.connection);
    let path = rig.folder().join("state");
    let state = fs::read_to_string(&path).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(&path, state.replace(boot.trim(), "00000000-earlier")).unwrap();
    match adopt(&rig.folder()).unwrap() {
        Adoption::Gone(record) => assert_eq!(
            record.outcome,
            Outcome::Ended(Exit::Unknown("the machine was restarted meanwhile".to_owned()))
        ),
        other => panic!("{other:?}"),
    }
    fs::write(&path, state).unwrap();
}

#[test]
fn an_end_without_a_daemon_is_learned_later_and_the_shim_does_not_stay() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("while [ ! -e go ]; do sleep 0.01; done; exit 9"));
    hello(&shim.connection);
    let pid = shim.pid;
    drop(shim);
    fs::write(rig.home.join("go"), "").unwrap();
    until("the shim ended by itself", || !is_alive(pid));
    match adopt(&rig.folder()).unwrap() {
        Adoption::Gone(record) => assert_eq!(record.outcome, Outcome::Ended(Exit::Exited(9))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_daemon_collects_a_replica_whose_shim_was_killed_and_the_new_shim_agrees() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("while [ ! -e go ]; do sleep 0.01; done; exit 6"));
    let replica = hello(&shim.connection).replica.unwrap();
    kill(shim.pid);
    let second = rig.take_over();
    assert!(!hello(&second.connection).ended);
    fs::write(rig.home.join("go"), "").unwrap();
    let mut collected = Vec::new();
    until("the replica was collected", || {
        collected = tend_linux::reap_orphans(|pid| pid != replica.pid).unwrap();
        !collected.is_empty()
    });
    assert_eq!(collected, [(replica.pid, Exit::Exited(6))]);
    match exit(&second.connection) {
        Exit::Unknown(why) => assert!(!kernel_tells(), "{why}"),
        exit => assert_eq!(exit, Exit::Exited(6)),
    }
}

#[test]
fn how_a_replica_is_emptied_is_told_to_whoever_finds_it_by_every_shim_it_has() {
    let rig = Rig::new();
    let mut spec = rig.shell("while :; do sleep 0.1; done");
    spec.quiesce = Some("{\"path\":\"/stop claiming\"}".to_owned());
    let shim = rig.spawn(&spec);
    hello(&shim.connection).replica.unwrap();
    let told = || match adopt(&rig.folder()).unwrap() {
        Adoption::Running(running) => running.quiesce,
        other => panic!("it runs, and is said to be {other:?}"),
    };
    assert_eq!(told(), spec.quiesce);
    kill(shim.pid);
    assert_eq!(told(), spec.quiesce, "without a shim");
    let second = rig.take_over();
    hello(&second.connection);
    assert_eq!(told(), spec.quiesce, "by the one that took over");
}
