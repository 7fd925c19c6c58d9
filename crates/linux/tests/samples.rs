//! What earlier versions wrote is still understood: recorded files and frames, replayed against today's shim and daemon.
//!
//! `UPDATE=1` rewrites the expected files; the recorded ones are never changed, a new version gets a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tend_linux::{Report, adopt, connect_shim};

use crate::rig::{Rig, hello, probe, until};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/v1")
}

pub(crate) fn sample(name: &str) -> String {
    fs::read_to_string(samples().join(name)).unwrap()
}

fn compare(name: &str, actual: &str) {
    let path = samples().join(format!("{name}.expected"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, actual).unwrap();
    }
    assert_eq!(actual, fs::read_to_string(&path).unwrap(), "{}", path.display());
}

#[test]
fn reports_of_an_older_shim_are_understood() {
    for name in ["reports", "attested"] {
        let understood: String = sample(name)
            .lines()
            .map(|line| format!("{:?}\n", Report::decode(line.as_bytes()).unwrap()))
            .collect();
        compare(name, &understood);
    }
}

#[test]
fn files_of_an_older_shim_are_understood() {
    for name in ["state", "exit"] {
        let rig = Rig::new();
        fs::create_dir(rig.folder()).unwrap();
        fs::copy(samples().join(name), rig.folder().join(name)).unwrap();
        compare(name, &format!("{:?}\n", adopt(&rig.folder()).unwrap()));
    }
}

#[test]
fn an_older_daemon_is_obeyed() {
    let rig = Rig::new();
    fs::create_dir(rig.folder()).unwrap();
    let spec = sample("spec").replace("@HOME@", rig.home.to_str().unwrap());
    fs::write(rig.folder().join("spec"), spec).unwrap();
    let mut shim = Command::new(probe())
        .arg("shim")
        .arg(rig.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the replica said something", || rig.stdout() == "good day!\n");
    assert!(
        !rig.folder().join("spec").exists(),
        "the spec holds secrets and must not stay"
    );
    let connection = connect_shim(&rig.folder()).unwrap();
    assert!(hello(&connection).replica.is_some());
    let socket = std::os::fd::OwnedFd::from(connection);
    let mut answers = String::new();
    for line in sample("commands").lines() {
        send(&socket, line.as_bytes(), SendFlags::empty()).unwrap();
        let mut bytes = [0u8; 4096];
        let mut answered = None;
        until("the shim answered", || {
            answered = recv(&socket, &mut bytes, RecvFlags::DONTWAIT).ok();
            answered.is_some()
        });
        let (read, _) = answered.unwrap();
        answers.push_str(&format!("{line}\n    {}\n", String::from_utf8_lossy(&bytes[..read])));
    }
    compare("commands", &answers);
    drop(socket);
    drop(rig);
    shim.wait().unwrap();
}
