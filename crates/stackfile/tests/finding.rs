//! Which file of a folder is the stack file; and that what was loaded does not print its secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tend_core::model::Database;
use tend_stackfile::{FILE_NAMES, Input, find, load};

use crate::disk::Memory;

fn folder(names: &[&str]) -> Memory {
    let file = |name: &&str| (PathBuf::from("/s").join(name), Vec::new());
    Memory(names.iter().map(file).collect())
}

fn found(names: &[&str]) -> Vec<String> {
    find(&folder(names), Path::new("/s"))
        .iter()
        .map(|path| path.strip_prefix("/s").unwrap().display().to_string())
        .collect()
}

#[test]
fn the_first_of_the_known_names_is_taken() {
    for first in 0..FILE_NAMES.len() {
        assert_eq!(found(&FILE_NAMES[first..]), [FILE_NAMES[first]]);
    }
    assert!(found(&[]).is_empty());
    assert!(found(&["compose.override.yml", "other.yml"]).is_empty());
}

#[test]
fn composes_names_bring_their_override_file() {
    for (names, wanted) in [
        (
            ["docker-compose.yml", "docker-compose.override.yml"],
            vec!["docker-compose.yml", "docker-compose.override.yml"],
        ),
        (
            ["compose.yaml", "compose.override.yaml"],
            vec!["compose.yaml", "compose.override.yaml"],
        ),
        (["compose.yaml", "docker-compose.override.yml"], vec!["compose.yaml"]),
        (["stack.yml", "stack.override.yml"], vec!["stack.yml"]),
    ] {
        assert_eq!(found(&names), wanted);
    }
}

#[test]
fn what_was_loaded_does_not_print_its_secrets() {
    let text = "services:\n  api:\n    command: run $WORD\n    env_file: a.env\n    environment: {KEY: $WORD, GONE: $NOBODY}\n";
    let mut files = Memory::one("/s/stack.yml", text);
    files.0.insert("/s/a.env".into(), "FILE=hunter2\n".into());
    let loaded = load(&Input {
        files: &files,
        paths: vec!["/s/stack.yml".into()],
        environment: BTreeMap::from([("WORD".to_owned(), "hunter2".to_owned())]),
        profiles: Vec::new(),
        name: None,
    })
    .unwrap();
    let shown = format!("{loaded:?}");
    assert!(shown.contains("NOBODY") && !shown.contains("hunter2"), "{shown}");
    // It is there all the same.
    let environment = &loaded.environments[&"api".parse().unwrap()];
    assert_eq!(environment["FILE"], "hunter2");
    assert_eq!(environment["KEY"], "hunter2");
}

/// A wrong value that came out of a variable is named by the variable.
#[test]
fn errors_do_not_print_what_variables_stand_for() {
    let text = "name: x\nservices:\n  api:\n    command: \"run '$WORD\"\n    replicas: $WORD\n    ports: [\"$WORD:80\"]\n    restart: $WORD\n    stop_signal: ${WORD}\n    environment: $WORD\n";
    let report = load(&Input {
        files: &Memory::one("/s/stack.yml", text),
        paths: vec!["/s/stack.yml".into()],
        environment: BTreeMap::from([("WORD".to_owned(), "hunter2".to_owned())]),
        profiles: Vec::new(),
        name: None,
    })
    .unwrap_err();
    assert!(report.errors() >= 6, "{report}");
    assert!(!report.to_string().contains("hunter2"), "{report}");
}

/// The daemon needs the password of a database; whoever reads what is printed does not.
#[test]
fn the_password_of_a_database_is_not_printed() {
    let text = "name: x\nservices:\n  api: {command: run}\ndeploy:\n  databases: [{postgres: \"postgres://me:$WORD@db/x\"}, {postgres: \"postgres://me:hunter2@db/y\"}]\n";
    let loaded = load(&Input {
        files: &Memory::one("/s/stack.yml", text),
        paths: vec!["/s/stack.yml".into()],
        environment: BTreeMap::from([("WORD".to_owned(), "hunter2".to_owned())]),
        profiles: Vec::new(),
        name: None,
    })
    .unwrap();
    for shown in [
        loaded.document.to_yaml(),
        loaded.document.to_json().to_string(),
        format!("{:?} {loaded:?}", loaded.stack.deploy),
    ] {
        assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
    }
    let url = |name: &str| Database::Postgres(format!("postgres://me:hunter2@db/{name}"));
    assert!(loaded.stack.deploy.databases == [url("x"), url("y")]);
}
