//! Whether a program can run here is said in one sentence each.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tend_release::{Error, ExecutableKind, executable};
use tend_testkit::Folder;

use crate::fixture::run;

fn program(folder: &Folder, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = folder.write(name, content);
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn refused(path: &Path) -> String {
    let error = executable(path, Some(OsStr::new("/usr/bin:/bin"))).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    error.to_string()
}

#[test]
fn a_program_that_can_run_is_known_by_its_hash() {
    let this = std::env::current_exe().unwrap();
    let found = executable(&this, None).unwrap();
    let sum = run("sha256sum", &[this.to_str().unwrap()], Path::new("/"));
    assert_eq!(Some(found.sha256.as_str()), sum.split(' ').next());
    let ExecutableKind::Elf { machine, class } = found.kind else {
        panic!("{found:?}");
    };
    assert_eq!(machine, run("uname", &["-m"], Path::new("/")).trim());
    assert_eq!(class, 64);

    let folder = Folder::new();
    let search = Some(OsStr::new("/usr/bin:/bin"));
    for (content, interpreter) in [
        ("#!/bin/sh\necho\n", "/bin/sh"),
        ("#! /bin/sh -e\n", "/bin/sh"),
        ("#!/usr/bin/env sh\n", "/usr/bin/sh"),
        ("#!/usr/bin/env -S A=1 sh -e\n", "/usr/bin/sh"),
    ] {
        let path = program(&folder, "script", content.as_bytes(), 0o755);
        let kind = executable(&path, search).unwrap().kind;
        assert_eq!(
            kind,
            ExecutableKind::Script {
                interpreter: interpreter.into()
            },
            "{content}"
        );
    }
    let path = program(&folder, "other", b"MZ", 0o755);
    assert_eq!(executable(&path, None).unwrap().kind, ExecutableKind::Other);
}

#[test]
fn why_a_program_cannot_run_is_one_sentence() {
    let folder = Folder::new();
    let missing = folder.path().join("api");
    assert_eq!(
        refused(&missing),
        format!("the program `{}` is missing", missing.display())
    );
    let below = program(&folder, "file", b"#!/bin/sh\n", 0o644);
    assert!(refused(&below.join("api")).ends_with("is missing"));
    assert!(refused(&below).ends_with("is not executable: its mode allows nobody to execute it"));
    assert!(refused(folder.path()).ends_with("is not executable: it is no file"));
    let empty = program(&folder, "empty", b"", 0o755);
    assert!(refused(&empty).ends_with("is not executable: it is empty"));
    for (content, interpreter) in [
        ("#!/usr/local/bin/no-such-node\n", "/usr/local/bin/no-such-node"),
        ("#!/usr/bin/env no-such-node\n", "no-such-node"),
        // Saved on Windows.
        ("#!/bin/sh\r\necho\r\n", "/bin/sh\r"),
    ] {
        let script = program(&folder, "script", content.as_bytes(), 0o755);
        let says = refused(&script);
        assert!(
            says.ends_with(&format!("needs the interpreter `{interpreter}`, which is missing")),
            "{says}"
        );
    }
}

#[test]
fn a_program_of_another_machine_or_linker_is_told_from_its_header() {
    let folder = Folder::new();
    let this = fs::read(std::env::current_exe().unwrap()).unwrap();
    let (number, name) = if cfg!(target_arch = "aarch64") {
        (62_u16, "x86_64")
    } else {
        (183, "aarch64")
    };
    let mut foreign = this.clone();
    foreign[18..20].copy_from_slice(&number.to_ne_bytes());
    let path = program(&folder, "foreign", &foreign, 0o755);
    let error = executable(&path, None).unwrap_err();
    assert!(
        matches!(&error, Error::WrongArchitecture { built_for, .. } if built_for == name),
        "{error}"
    );

    let mut unlinked = this;
    let linker = b"/ld-linux";
    let at = unlinked
        .windows(linker.len())
        .position(|window| window == linker)
        .unwrap();
    unlinked[at + 1..at + 3].copy_from_slice(b"no");
    let path = program(&folder, "unlinked", &unlinked, 0o755);
    let error = executable(&path, None).unwrap_err();
    assert!(
        matches!(&error, Error::InterpreterMissing { interpreter, .. } if interpreter.contains("/no-linux")),
        "{error}"
    );

    // Cut off behind its header: nothing to look at, and no panic.
    let path = program(&folder, "cut", &foreign_free(&unlinked), 0o755);
    assert!(executable(&path, None).is_ok());
}

fn foreign_free(elf: &[u8]) -> Vec<u8> {
    elf[..64].to_vec()
}
