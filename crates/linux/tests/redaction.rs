//! No secret of a replica reaches a file: whatever its form, however it is cut, whoever is killed.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tend_linux::{Command, Exit, Report, Spec, StreamKind, WhenBehind, log_files};
use tend_redact::{Value, forms};

use crate::rig::{Rig, exit, exited, hello, is_alive, kill, obey, report, until};
use crate::samples::sample;

const SECRET: &str = "s3cr3t/with+signs&ends";

fn rig(secrets: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new();
    rig.secrets = secrets.iter().map(|(name, value)| Value::new(name, *value)).collect();
    rig
}

fn shell(rig: &Rig, line: &str) -> Spec {
    let mut spec = rig.shell(line);
    spec.logs.redact = true;
    spec
}

/// Every file below a folder, but for FIFOs and sockets.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn assert_none_on_disk(rig: &Rig, secret: &str) {
    for content in files(&rig.folder()).into_iter().chain(files(&rig.logs())) {
        for form in forms(secret.as_bytes()) {
            let stands = content.windows(form.len()).any(|part| part == form);
            assert!(!stands, "{} is on disk", String::from_utf8_lossy(&form));
        }
    }
}

#[test]
fn a_secret_is_replaced_before_it_reaches_a_file() {
    let rig = rig(&[("DB_PASSWORD", SECRET)]);
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "plain {SECRET}\nhex {hex}\nurl s3cr3t%2Fwith%2Bsigns%26ends\njson s3cr3t\\/with+signs\\u0026ends\n\
         base64 czNjcjN0L3dpdGgrc2lnbnMmZW5kcw==\ntoken=abc card 4111 1111 1111 1111\nend\n"
    );
    fs::write(rig.home.join("text"), &text).unwrap();
    let shim = rig.spawn(&shell(&rig, "cat text; cat text >&2"));
    assert_eq!(exit(&shim.connection), Exit::Exited(0));
    let wanted = "plain [secret DB_PASSWORD]\nhex [secret DB_PASSWORD]\nurl [secret DB_PASSWORD]\n\
         json [secret DB_PASSWORD]\nbase64 [secret DB_PASSWORD]w==\ntoken=[redacted] card [redacted card]\nend\n";
    assert_eq!(rig.stdout(), wanted);
    assert_eq!(rig.stderr(), wanted);
    assert_none_on_disk(&rig, SECRET);
}

#[test]
fn a_secret_written_in_pieces_is_held_until_it_is_whole_and_a_line_is_not() {
    let rig = rig(&[("K", SECRET)]);
    let (one, other) = SECRET.split_at(9);
    let shim = rig.spawn(&shell(
        &rig,
        &format!(
            "printf 'a line\\nand a prompt: {one}'; while [ ! -e go ]; do sleep 0.01; done; echo '{other}'; \
             while [ ! -e more ]; do sleep 0.01; done; printf '{one}'; exec sleep 1000"
        ),
    ));
    hello(&shim.connection);
    until("what is no secret is there", || {
        rig.stdout() == "a line\nand a prompt: "
    });
    // Also when all is asked for that was written so far.
    obey(&shim.connection, Command::Flush);
    assert_eq!(rig.stdout(), "a line\nand a prompt: ");
    fs::write(rig.home.join("go"), "").unwrap();
    until("the marker is there", || {
        rig.stdout() == "a line\nand a prompt: [secret K]\n"
    });
    // What was only the begin of one is written when the replica ends.
    fs::write(rig.home.join("more"), "").unwrap();
    shim.connection.send(Command::KillTree).unwrap();
    exited(&shim.connection);
    let out = rig.stdout();
    assert!(
        out == "a line\nand a prompt: [secret K]\n" || out.ends_with(&format!("[secret K]\n{one}")),
        "{out}"
    );
    assert_none_on_disk(&rig, SECRET);
}

/// Lines with secrets in five forms, and between them lines with none, numbered.
const FLOOD: &str =
    "i=0; while [ $i -lt ROUNDS ]; do cat block; i=$((i+1)); done; echo end; touch done; exec sleep 1000";

fn flood(rig: &Rig, rounds: u32) -> Spec {
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02X}")).collect();
    let planted = [
        SECRET.to_owned(),
        hex,
        "czNjcjN0L3dpdGgrc2lnbnMmZW5kcw".to_owned(),
        "s3cr3t%2fwith%2bsigns%26ends".to_owned(),
        "s3cr3t\\/with+signs\\u0026ends".to_owned(),
    ];
    let mut block = String::new();
    for number in 0..2000 {
        let line = format!("line {number} of the block, which says nothing of note");
        block.push_str(&line);
        if number % 5 == 0 {
            block.push_str(&planted[number / 5 % planted.len()]);
        }
        block.push('\n');
    }
    fs::write(rig.home.join("block"), block).unwrap();
    let mut spec = shell(rig, &FLOOD.replace("ROUNDS", &rounds.to_string()));
    spec.logs.file_bytes_max = 3 << 20;
    spec.logs.files_max = 100;
    spec.logs.when_behind = WhenBehind::Block;
    spec
}

fn assert_flood(rig: &Rig, rounds: u32) {
    assert_none_on_disk(rig, SECRET);
    for file in log_files(&rig.logs(), StreamKind::Stdout).unwrap() {
        assert!(fs::metadata(file.path).unwrap().len() <= 3 << 20);
    }
    let out = rig.stdout();
    let mut lines = 0;
    for (at, line) in out.lines().filter(|line| *line != "end").enumerate() {
        let number = at % 2000;
        let plain = format!("line {number} of the block, which says nothing of note");
        let rest = line
            .strip_prefix(&plain)
            .unwrap_or_else(|| panic!("line {at} is {line:?}"));
        // A kill between a marker and the taking of what it stands for repeats it, and nothing else.
        let rest = rest.replace("[secret K]", "");
        assert!(rest.is_empty() || rest == "w", "line {at} is {line:?}");
        assert_eq!(line.contains("[secret K]"), number % 5 == 0, "line {at} is {line:?}");
        lines += 1;
    }
    assert_eq!(lines, rounds as usize * 2000);
}

#[test]
fn under_a_flood_with_killed_shims_no_secret_reaches_the_disk_and_no_line_is_lost() {
    let rig = rig(&[("K", SECRET), ("OTHER", "never printed at all")]);
    let rounds = 150;
    let mut shim = rig.spawn(&flood(&rig, rounds));
    hello(&shim.connection);
    let bytes = || rig.stdout().len();
    let mut kills = 0;
    while kills < 5 || !rig.home.join("done").exists() && kills < 30 {
        let before = bytes();
        until("output flows or is over", || {
            bytes() > before || rig.home.join("done").exists()
        });
        kill(shim.pid);
        shim = rig.take_over();
        hello(&shim.connection);
        kills += 1;
    }
    until("all is written", || rig.stdout().ends_with("end\n"));
    assert_flood(&rig, rounds);
}

#[test]
fn what_to_look_for_can_be_changed_while_it_runs() {
    let rig = rig(&[("OLD", "the old value")]);
    let line = "echo the old value, the new value; while [ ! -e go ]; do sleep 0.01; done; \
        echo the old value, the new value; exec sleep 1000";
    let shim = rig.spawn(&shell(&rig, line));
    hello(&shim.connection);
    until("the first line is there", || {
        rig.stdout() == "[secret OLD], the new value\n"
    });
    let both = [Value::new("OLD", "the old value"), Value::new("NEW", "the new value")];
    shim.connection.redact(&both).unwrap();
    let answer = report(&shim.connection, |report| match report {
        Report::Done(word) => Some(word),
        other => panic!("{other:?}"),
    });
    assert_eq!(answer, "redact");
    fs::write(rig.home.join("go"), "").unwrap();
    until("the second line is there", || {
        rig.stdout().ends_with("\n[secret OLD], [secret NEW]\n")
    });
}

#[test]
fn a_shim_that_was_told_nothing_writes_nothing_until_it_is() {
    let rig = rig(&[("K", SECRET)]);
    let shim = rig.spawn(&shell(
        &rig,
        &format!("echo '{SECRET}'; while [ ! -e go ]; do sleep 0.01; done; exit 3"),
    ));
    let replica = hello(&shim.connection).replica.unwrap();
    until("the first line is there", || rig.stdout() == "[secret K]\n");
    kill(shim.pid);
    // As somebody would start it by hand, or a daemon older than redaction.
    let mut second = std::process::Command::new(crate::rig::probe())
        .args(["shim", "--takeover"])
        .arg(rig.folder())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut connection = None;
    until("it listens", || {
        connection = tend_linux::connect_shim(&rig.folder()).ok();
        connection.is_some()
    });
    let connection = connection.unwrap();
    assert_eq!(hello(&connection).replica.unwrap().pid, replica.pid);
    let mut fifo = fs::File::options()
        .write(true)
        .open(rig.folder().join("stdout.fifo"))
        .unwrap();
    writeln!(fifo, "again {SECRET}").unwrap();
    connection.send(Command::Flush).unwrap();
    report(&connection, |report| match report {
        Report::Failed { why, .. } => Some(why),
        other => panic!("{other:?}"),
    });
    assert_eq!(rig.stdout(), "[secret K]\n");
    connection.redact(&rig.secrets).unwrap();
    until("it is written", || rig.stdout() == "[secret K]\nagain [secret K]\n");
    fs::write(rig.home.join("go"), "").unwrap();
    exited(&connection);
    // Whoever holds the FIFOs keeps the shim.
    drop((fifo, connection, shim));
    until("the shim ended", || second.try_wait().unwrap().is_some());
    assert!(!is_alive(replica.pid));
    assert_none_on_disk(&rig, SECRET);
}

#[test]
fn never_told_it_drops_what_is_in_the_way_and_says_why() {
    let rig = rig(&[]);
    let mut spec = shell(
        &rig,
        "head -c 3000000 /dev/zero | tr '\\0' x; echo; touch done; exec sleep 1000",
    );
    spec.logs.when_behind = WhenBehind::Drop;
    let shim = rig.spawn(&spec);
    hello(&shim.connection);
    until("it was told and writes", || rig.home.join("done").exists());
    kill(shim.pid);
    let mut second = std::process::Command::new(crate::rig::probe())
        .args(["shim", "--takeover"])
        .arg(rig.folder())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut fifo = fs::File::options()
        .write(true)
        .open(rig.folder().join("stdout.fifo"))
        .unwrap();
    // More than the FIFO holds: returns only when it was taken out.
    fifo.write_all(&[b'y'; 3_000_000]).unwrap();
    let mut connection = None;
    until("it listens", || {
        connection = tend_linux::connect_shim(&rig.folder()).ok();
        connection.is_some()
    });
    let connection = connection.unwrap();
    connection.redact(&[]).unwrap();
    until("it says so", || {
        rig.stdout()
            .contains("bytes of output dropped here: tend has not told which secrets to look for\n")
    });
    writeln!(fifo, "\nafter").unwrap();
    until("it writes again", || rig.stdout().ends_with("after\n"));
    connection.send(Command::KillTree).unwrap();
    exited(&connection);
    // Whoever holds the FIFOs keeps the shim.
    drop((fifo, connection, shim));
    until("the shim ended", || second.try_wait().unwrap().is_some());
}

#[test]
fn a_recorded_frame_of_an_older_daemon_is_understood() {
    let rig = rig(&[]);
    let line = "while [ ! -e go ]; do sleep 0.01; done; echo good day to all of you; exec sleep 1000";
    let shim = rig.spawn(&shell(&rig, line));
    hello(&shim.connection);
    let mut memory = fs::File::from(rustix::fs::memfd_create("sample", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    memory.write_all(sample("redact").as_bytes()).unwrap();
    memory.rewind().unwrap();
    let socket = OwnedFd::from(shim.connection);
    let descriptors = [memory.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(
        &socket,
        &[std::io::IoSlice::new(b"redact a_key_of_a_later_version=1")],
        &mut ancillary,
        SendFlags::empty(),
    )
    .unwrap();
    let mut bytes = [0u8; 4096];
    let mut answer = None;
    until("it answered", || {
        answer = rustix::net::recv(&socket, &mut bytes, rustix::net::RecvFlags::DONTWAIT).ok();
        answer.is_some()
    });
    let (read, _) = answer.unwrap();
    assert_eq!(&bytes[..read], b"done command=redact");
    fs::write(rig.home.join("go"), "").unwrap();
    until("the line is there", || rig.stdout() == "[secret GREETING] of you\n");
    drop(socket);
}
