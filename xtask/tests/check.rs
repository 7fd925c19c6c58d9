//! What `./check` says and does on a machine that lacks something.
//!
//! It runs the real script, with a PATH that holds only what a case grants. The package manager and cargo are stand-ins that
//! write down how they were called: a test may install nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of programs that is the whole PATH of one run.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// A machine with the shell's own tools and the C compiler, on which `id -u` answers `user`.
    fn new(name: &str, user: u32) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("check-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("could not make {}: {error}", folder.display()));
        let machine = Self { folder };
        for tool in ["bash", "env", "dirname", "sed", "cut", "sort", "head", "ln"] {
            machine.grant(tool);
        }
        // There, like the files that every machine of the tests has; what a case is about is granted by the case.
        for tool in ["cc", "openssl", "unshare", "setpriv", "mount"] {
            machine.script(tool, "");
        }
        machine.script("id", &format!("echo {user}"));
        machine
    }

    /// Puts a program of the real machine into the PATH.
    fn grant(&self, tool: &str) {
        let path = std::env::var("PATH").unwrap_or_default();
        let real = path
            .split(':')
            .map(|folder| Path::new(folder).join(tool))
            .find(|program| program.exists());
        let real = real.unwrap_or_else(|| panic!("no {tool} in PATH"));
        symlink(real, self.folder.join(tool)).unwrap_or_else(|error| panic!("could not link {tool}: {error}"));
    }

    /// Puts a shell script into the PATH.
    ///
    /// Another process writes it: were the file open for writing here, a child that another test starts at that moment would
    /// hold it open too, and running it would fail with «text file busy».
    fn script(&self, name: &str, body: &str) {
        let path = self.folder.join(name);
        let status = Command::new("bash")
            .args([
                "-c",
                "printf '#!/usr/bin/env bash\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"",
            ])
            .arg(&path)
            .arg(body)
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "could not write {}",
            path.display()
        );
    }

    /// Runs `./check format`; returns whether it succeeded, and both its outputs.
    fn check(&self) -> (bool, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../check");
        let output = Command::new(script)
            .arg("format")
            .env("PATH", &self.folder)
            .output()
            .unwrap_or_else(|error| panic!("could not start ./check: {error}"));
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What is left behind lies in cargo's own target folder; a failure to remove it fails no test.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Answers as a cargo that is new enough and has all its parts.
const CARGO: &str = "[ \"$1\" = --version ] && echo 'cargo 1.999.0 (x)' || echo \"cargo $*\"";

#[test]
fn without_root_it_prints_the_line_that_installs_and_fails() {
    let machine = Machine::new("user", 1000);
    machine.script("apt-get", "echo must not be called");
    machine.script("cargo", CARGO);
    let (passed, printed) = machine.check();
    assert!(!passed, "{printed}");
    assert!(
        printed.contains("missing: docker-compose (Debian package docker-compose): "),
        "{printed}"
    );
    assert!(
        printed.contains("sudo apt-get install -y --no-install-recommends curl"),
        "{printed}"
    );
    assert!(!printed.contains("must not be called"), "{printed}");
}

#[test]
fn as_root_it_refreshes_the_package_lists_installs_and_goes_on_to_ci() {
    let machine = Machine::new("root", 0);
    machine.script("cargo", CARGO);
    // Fails until it was told to update, as on a machine without package lists.
    machine.script(
        "apt-get",
        "here=$(dirname \"$0\"); echo \"apt-get $*\"\n\
         [ \"$1\" = update ] && { ln -s x \"$here/updated\"; exit; }\n\
         [ -L \"$here/updated\" ] || exit 100\n\
         for tool in age curl docker-compose pebble nghttp node tsc promtool; do ln -s cc \"$here/$tool\"; done",
    );
    let (passed, printed) = machine.check();
    assert!(passed, "{printed}");
    assert!(printed.contains("apt-get update\n"), "{printed}");
    assert!(printed.ends_with("cargo xtask ci format\n"), "{printed}");
}

#[test]
fn a_package_that_brings_nothing_is_an_error() {
    let machine = Machine::new("empty", 0);
    machine.script("cargo", CARGO);
    machine.script("apt-get", "");
    let (passed, printed) = machine.check();
    assert!(
        !passed && printed.contains("still missing after the installation: curl"),
        "{printed}"
    );
}

#[test]
fn an_old_cargo_and_a_missing_part_are_named() {
    let machine = Machine::new("cargo", 1000);
    machine.script("curl", "");
    machine.script("docker-compose", "");
    for tool in ["age", "nghttp", "pebble", "node", "tsc", "promtool"] {
        machine.script(tool, "");
    }
    let (passed, printed) = machine.check();
    assert!(!passed && printed.contains("no cargo in PATH"), "{printed}");
    machine.script("cargo", "echo 'cargo 1.63.0 (x)'");
    let (passed, printed) = machine.check();
    assert!(!passed && printed.contains("cargo is 1.63.0, but Rust "), "{printed}");
    machine.script("cargo", &format!("[ \"$1\" = clippy ] && exit 1\n{CARGO}"));
    let (passed, printed) = machine.check();
    assert!(
        !passed && printed.contains("cargo clippy is missing: rustup component add"),
        "{printed}"
    );
}
