//! Behaviour as data: each folder of `tests/cases` is loaded and must give what its `expected` file says.
//!
//! A folder has a stack file (or the files named in `input`), an `expected` file, and whatever those name. `input` has lines
//! `file NAME`, `set NAME=VALUE`, `profile NAME` and `name NAME`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tend_stackfile::{Input, find, load};

use crate::disk::{Disk, compare};

/// Loads the stack of a folder and returns all there is to say about it, without the folder's own path.
fn outcome(folder: &Path) -> String {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut environment = BTreeMap::new();
    let mut profiles = Vec::new();
    let mut name = None;
    let input = std::fs::read_to_string(folder.join("input")).unwrap_or_default();
    for line in input.lines() {
        let (what, value) = line
            .split_once(' ')
            .expect("`input` has lines of two words");
        match what {
            "file" => paths.push(folder.join(value)),
            "set" => {
                let (name, value) = value.split_once('=').expect("set NAME=VALUE");
                environment.insert(name.to_owned(), value.to_owned());
            }
            "profile" => profiles.push(value.to_owned()),
            "name" => name = Some(value.to_owned()),
            _ => panic!("`{what}` means nothing in {}", folder.display()),
        }
    }
    if paths.is_empty() {
        paths = find(&Disk, folder);
        assert!(!paths.is_empty(), "{} has no stack file", folder.display());
    }
    let text = match load(&Input {
        files: &Disk,
        paths,
        environment,
        profiles,
        name,
    }) {
        Ok(mut loaded) => {
            // Who owns the checkout is not part of the case.
            loaded.stack.source.owner_uid = 0;
            loaded.stack.source.owner_gid = 0;
            let notes: String = loaded
                .notes
                .iter()
                .map(|note| format!("{note}\n"))
                .collect();
            let stack = serde_json::to_string_pretty(&loaded.stack).unwrap();
            format!("{notes}{stack}\n")
        }
        Err(report) => format!("{report}\n"),
    };
    text.replace(
        folder.to_str().expect("the checkout has a plain path"),
        "CASE",
    )
}

#[test]
fn every_case_gives_what_is_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(!folders.is_empty());
    let failures: Vec<String> = folders
        .iter()
        .filter_map(|case| compare(&case.join("expected"), &outcome(case)).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
