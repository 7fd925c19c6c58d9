//! Behaviour as data: each folder of `tests/cases` is loaded and must give what its `expected` file says.
//!
//! A folder has a stack file (or the files named in `input`), an `expected` file, and whatever those name. `input` has lines
//! `file NAME`, `set NAME=VALUE`, `profile NAME` and `name NAME`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tend_base::format_duration;
use tend_stackfile::{Input, Loaded, Report, find, load};

use crate::disk::{Disk, Memory, compare, repository};

/// What `input` says.
#[derive(Default)]
struct Asked {
    paths: Vec<PathBuf>,
    environment: BTreeMap<String, String>,
    profiles: Vec<String>,
    name: Option<String>,
}

fn folders() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

fn load_case(folder: &Path) -> (Result<Loaded, Report>, Asked) {
    let mut asked = Asked::default();
    let input = std::fs::read_to_string(folder.join("input")).unwrap_or_default();
    for line in input.lines() {
        let (what, value) = line.split_once(' ').expect("`input` has lines of two words");
        match what {
            "file" => asked.paths.push(folder.join(value)),
            "set" => {
                let (name, value) = value.split_once('=').expect("set NAME=VALUE");
                asked.environment.insert(name.to_owned(), value.to_owned());
            }
            "profile" => asked.profiles.push(value.to_owned()),
            "name" => asked.name = Some(value.to_owned()),
            _ => panic!("`{what}` means nothing in {}", folder.display()),
        }
    }
    if asked.paths.is_empty() {
        asked.paths = find(&Disk, folder);
        assert!(!asked.paths.is_empty(), "{} has no stack file", folder.display());
    }
    let loaded = load(&Input {
        files: &Disk,
        paths: asked.paths.clone(),
        environment: asked.environment.clone(),
        profiles: asked.profiles.clone(),
        name: asked.name.clone(),
    });
    (loaded, asked)
}

/// Returns all there is to say about the stack of a folder, without the folder's own path.
fn outcome(folder: &Path) -> String {
    let text = match load_case(folder).0 {
        Ok(mut loaded) => {
            // Who owns the checkout is not part of the case.
            loaded.stack.source.owner_uid = 0;
            loaded.stack.source.owner_gid = 0;
            let notes: String = loaded.notes.iter().map(|note| format!("{note}\n")).collect();
            let stack = serde_json::to_value(&loaded.stack).unwrap();
            let stack = serde_json::to_string_pretty(&readable(stack)).unwrap();
            format!("{notes}{stack}\n")
        }
        Err(report) => format!("{report}\n"),
    };
    text.replace(folder.to_str().expect("the checkout has a plain path"), "CASE")
}

/// Writes durations as people do and leaves out what is not there.
fn readable(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            if let (2, Some(secs), Some(nanos)) = (map.len(), map.get("secs"), map.get("nanos")) {
                let nanos = u32::try_from(nanos.as_u64().unwrap()).unwrap();
                return format_duration(Duration::new(secs.as_u64().unwrap(), nanos)).into();
            }
            map.into_iter()
                .map(|(key, value)| (key, readable(value)))
                .filter(|(_, value)| !(value.is_null() || value.as_array().is_some_and(Vec::is_empty)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(readable).collect(),
        other => other,
    }
}

/// What is printed reads back as the same stack.
#[test]
fn the_printed_document_is_the_same_stack() {
    let mut count = 0;
    for case in folders() {
        let (Ok(loaded), input) = load_case(&case) else {
            continue;
        };
        let path = case.join("printed.yml");
        let files = Memory::one(path.to_str().unwrap(), loaded.document.to_yaml());
        let again = load(&Input {
            files: &files,
            paths: vec![path],
            environment: input.environment,
            profiles: input.profiles,
            name: None,
        });
        // Files of variables and secrets are not in memory; what they brought is compared by the other cases.
        if loaded.document.to_yaml().contains("env_file:") || !loaded.secrets.is_empty() {
            continue;
        }
        let again = again.unwrap_or_else(|report| panic!("{}: {report}", case.display()));
        assert_eq!(again.stack.name, loaded.stack.name, "{}", case.display());
        let text = serde_json::to_string(&again.stack.services).unwrap();
        let same = serde_json::to_string(&loaded.stack.services).unwrap();
        assert_eq!(text, same, "{}", case.display());
        assert_eq!(again.stack.edge, loaded.stack.edge, "{}", case.display());
        assert_eq!(again.stack.deploy, loaded.stack.deploy, "{}", case.display());
        // What is hidden reads back as something else.
        if !loaded.document.to_yaml().contains("***") {
            assert_eq!(again.stack.metrics, loaded.stack.metrics, "{}", case.display());
            assert_eq!(again.stack.alerts, loaded.stack.alerts, "{}", case.display());
        }
        count += 1;
    }
    assert!(count > 5, "{count}");
}

#[test]
fn every_case_gives_what_is_expected() {
    let failures: Vec<String> = folders()
        .iter()
        .filter_map(|case| compare(&case.join("expected"), &outcome(case)).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The reference systems are what users copy from.
#[test]
fn every_stack_of_the_repository_loads_without_a_warning() {
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("stacks")).unwrap() {
        let folder = entry.unwrap().path();
        let paths = find(&Disk, &folder);
        if paths.is_empty() {
            continue;
        }
        let production = folder.join("production.yml");
        let with_production = production.exists().then(|| [&paths[..], &[production]].concat());
        for paths in std::iter::once(paths).chain(with_production) {
            let loaded = load(&Input {
                files: &Disk,
                paths,
                environment: BTreeMap::new(),
                profiles: Vec::new(),
                name: None,
            })
            .unwrap_or_else(|report| panic!("{report}"));
            assert!(loaded.notes.is_empty(), "{}", loaded.notes[0]);
            count += 1;
        }
    }
    assert!(count > 0, "no stack was found");
}
