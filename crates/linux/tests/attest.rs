//! What really runs: said by the shim, or looked at where the shim cannot say it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind, listen, recv, send,
    socket_with,
};
use tend_linux::{Attestation, AttestedBy, Command, Error, Report, Spec, attest};

use crate::rig::{Rig, hello, kill, report, until};
use crate::samples::sample;

/// Longer than reading any program takes on a busy machine.
const WITHIN: Duration = Duration::from_secs(20);

/// The SHA-256 of a file by another program than ours.
fn sha256sum(path: &Path) -> String {
    let output = Program::new("sha256sum").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", path.display());
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// Makes a program in the rig's folder by a line of shell.
///
/// By another process: a file that this one writes is open in every shim that another test forks just then, and cannot be executed.
fn make(rig: &Rig, line: &str) {
    let made = Program::new("/bin/sh")
        .args(["-ec", line])
        .current_dir(&rig.home)
        .status();
    assert!(made.unwrap().success(), "{line}");
}

/// Puts a program of the test's own into the rig's folder: a shell by another name.
fn program(rig: &Rig) -> PathBuf {
    make(rig, "cp -L /bin/sh service");
    rig.home.join("service")
}

/// A spec that runs it, as release 17. A loop, so that the shell does not execute `sleep` in its own place.
fn spec(rig: &Rig) -> Spec {
    let mut spec = rig.spec(&["./service", "-c", "while true; do sleep 1000; done"]);
    spec.release = Some("17".to_owned());
    spec
}

fn assert_is_the_service(found: &Attestation, rig: &Rig, pid: i32) {
    assert_eq!(found.incarnation, "test/1");
    assert_eq!(found.release.as_deref(), Some("17"));
    assert_eq!(found.process.pid, pid);
    let stat = tend_linux::ProcStat::read(pid).unwrap();
    assert_eq!(found.process.start_time, stat.start_time);
    assert_eq!(found.directory, fs::canonicalize(&rig.home).unwrap());
}

#[test]
fn a_shim_says_what_really_runs() {
    let rig = Rig::new();
    let path = program(&rig);
    let shim = rig.spawn(&spec(&rig));
    let pid = hello(&shim.connection).replica.unwrap().pid;
    let found = attest(&rig.folder(), WITHIN).unwrap();
    assert_eq!(found.attested_by, AttestedBy::Shim);
    assert_is_the_service(&found, &rig, pid);
    assert_eq!(found.executable, fs::canonicalize(&path).unwrap());
    assert_eq!(found.executable_sha256, sha256sum(&path));
    assert_eq!(found.executable_bytes, fs::metadata(&path).unwrap().len());
}

#[test]
fn a_program_replaced_on_disk_is_attested_as_it_runs() {
    let rig = Rig::new();
    let path = program(&rig);
    let digest = sha256sum(&path);
    let shim = rig.spawn(&spec(&rig));
    let pid = hello(&shim.connection).replica.unwrap().pid;
    let next = rig.home.join("service.new");
    fs::write(&next, "#!/bin/sh\necho the next version\n").unwrap();
    fs::rename(&next, &path).unwrap();
    let replaced = attest(&rig.folder(), WITHIN).unwrap();
    assert_is_the_service(&replaced, &rig, pid);
    assert!(
        replaced.executable.to_str().unwrap().ends_with("/service (deleted)"),
        "{}",
        replaced.executable.display()
    );
    assert_eq!(replaced.executable_sha256, digest);
    assert_ne!(replaced.executable_sha256, sha256sum(&path));
    fs::remove_file(&path).unwrap();
    assert_eq!(attest(&rig.folder(), WITHIN).unwrap(), replaced);
}

#[test]
fn a_script_is_attested_as_its_interpreter_with_its_release_and_folder() {
    let rig = Rig::new();
    make(
        &rig,
        "printf '#!/bin/sh\\nwhile true; do sleep 1000; done\\n' > serve; chmod +x serve",
    );
    let mut script = rig.spec(&["./serve"]);
    script.release = Some("17".to_owned());
    let shim = rig.spawn(&script);
    let pid = hello(&shim.connection).replica.unwrap().pid;
    let found = attest(&rig.folder(), WITHIN).unwrap();
    assert_is_the_service(&found, &rig, pid);
    let interpreter = fs::canonicalize("/bin/sh").unwrap();
    assert_eq!(found.executable, interpreter);
    assert_eq!(found.executable_sha256, sha256sum(&interpreter));
}

#[test]
fn a_shim_that_took_over_still_knows_the_release() {
    let rig = Rig::new();
    program(&rig);
    let shim = rig.spawn(&spec(&rig));
    let pid = hello(&shim.connection).replica.unwrap().pid;
    kill(shim.pid);
    let second = rig.take_over();
    hello(&second.connection);
    let found = attest(&rig.folder(), WITHIN).unwrap();
    assert_eq!(found.attested_by, AttestedBy::Shim);
    assert_is_the_service(&found, &rig, pid);
}

#[test]
fn without_a_shim_the_same_is_looked_at_from_here_and_marked_so() {
    let rig = Rig::new();
    program(&rig);
    let shim = rig.spawn(&spec(&rig));
    let pid = hello(&shim.connection).replica.unwrap().pid;
    let by_shim = attest(&rig.folder(), WITHIN).unwrap();
    kill(shim.pid);
    let by_daemon = attest(&rig.folder(), WITHIN).unwrap();
    assert_is_the_service(&by_daemon, &rig, pid);
    assert_eq!(by_daemon.attested_by, AttestedBy::Daemon);
    let said = Attestation {
        attested_by: AttestedBy::Shim,
        ..by_daemon
    };
    assert_eq!(said, by_shim);
}

#[test]
fn a_shim_older_than_the_question_says_so_and_the_same_is_looked_at_from_here() {
    let rig = Rig::new();
    let path = program(&rig);
    let mut old = spec(&rig);
    // An older state has no release on record; the replica was told it all the same.
    old.release = None;
    old.env.push(("TEND_RELEASE".into(), "17".into()));
    let shim = rig.spawn(&old);
    let replica = hello(&shim.connection).replica.unwrap();
    kill(shim.pid);
    let recorded = sample("attest-of-an-older-shim")
        .replace("@PID@", &replica.pid.to_string())
        .replace("@START_TIME@", &replica.start_time.to_string())
        .replace("@BOOT_ID@", &replica.boot_id);
    let listener = older_shim(&rig);
    let answering = std::thread::spawn(move || play(&listener, &recorded));
    let found = attest(&rig.folder(), WITHIN).unwrap();
    assert_eq!(answering.join().unwrap(), "attest");
    assert_eq!(found.attested_by, AttestedBy::Daemon);
    assert_is_the_service(&found, &rig, replica.pid);
    assert_eq!(found.executable_sha256, sha256sum(&path));
}

/// Listens where the shim of a rig's folder would.
fn older_shim(rig: &Rig) -> OwnedFd {
    let path = rig.folder().join("shim.sock");
    fs::remove_file(&path).unwrap();
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&socket, 1).unwrap();
    socket
}

/// Greets with the first recorded frame, and answers the first command with the second; returns the command.
fn play(listener: &OwnedFd, recorded: &str) -> String {
    readable(listener);
    let client = accept(listener).unwrap();
    let (greeting, answer) = recorded.trim_end().split_once('\n').unwrap();
    send(&client, greeting.as_bytes(), SendFlags::NOSIGNAL).unwrap();
    readable(&client);
    let mut command = [0u8; 256];
    let (read, _) = recv(&client, &mut command, RecvFlags::empty()).unwrap();
    send(&client, answer.as_bytes(), SendFlags::NOSIGNAL).unwrap();
    String::from_utf8(command[..read].to_vec()).unwrap()
}

/// Waits until there is something to read, not for ever.
fn readable(socket: &OwnedFd) {
    let wait = Timespec {
        tv_sec: WITHIN.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    assert_eq!(poll(&mut polled, Some(&wait)).unwrap(), 1, "nobody came");
}

#[test]
fn a_long_program_is_read_beside_everything_else() {
    let rig = Rig::new();
    let path = program(&rig);
    // What follows a program in its file does not disturb it.
    make(&rig, "truncate -s 96M service");
    let shim = rig.spawn(&spec(&rig));
    assert!(hello(&shim.connection).replica.is_some());
    shim.connection.send(Command::Attest).unwrap();
    shim.connection.send(Command::Attest).unwrap();
    shim.connection.send(Command::Logs).unwrap();
    let mut said = Vec::new();
    let found = report(&shim.connection, |report| match report {
        Report::Attested(found) => Some(found),
        Report::Failed { why, .. } => panic!("{why}"),
        other => {
            said.push(other);
            None
        }
    });
    assert!(
        matches!(said[..], [Report::Logs(_)]),
        "a later question was answered before, and both askers get one answer: {said:?}"
    );
    assert_eq!(found.executable_bytes, 96 << 20);
    assert_eq!(found.executable_sha256, sha256sum(&path));
}

#[test]
fn of_a_replica_that_is_over_nothing_is_attested() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("exit 0"));
    crate::rig::exited(&shim.connection);
    match attest(&rig.folder(), WITHIN).unwrap_err() {
        Error::Attest { pid, source } => {
            assert!(pid > 0);
            assert_eq!(source.to_string(), "it has ended, or never ran");
        }
        other => panic!("{other}"),
    }
    shim.connection.send(Command::Attest).unwrap();
    let why = report(&shim.connection, |report| match report {
        Report::Failed { command, why } => Some((command, why)),
        _ => None,
    });
    assert_eq!(why, ("attest".to_owned(), "the replica has ended".to_owned()));
    shim.connection.send(Command::Release).unwrap();
    until("the shim ended", || !crate::rig::is_alive(shim.pid));
}
