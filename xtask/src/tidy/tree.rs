//! What the rules read: the files of the checkout and the crates of the workspace.
//!
//! Owns which files count as part of the repository and what cargo says about the crates. Knows no rule.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::source::Source;
use crate::error::Error;
use crate::process;

/// Folders that hold what was made, not what was written: what .gitignore names, and git's own.
const NOT_OURS: &[&str] = &[".git", "target", "fuzz/target", "fuzz/artifacts"];

/// Folders whose files are input or expected output of tests, where odd bytes and spaces are the point.
const TEST_DATA: &[&str] = &["corpus", "cases", "samples", "data"];

/// Bytes past which a file is data and not something a person wrote.
const TEXT_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The checkout, read once.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    pub(crate) packages: Vec<Package>,
    /// Licence expressions of all crates of the lock file that are not ours; empty without a deny.toml to compare with.
    pub(crate) licences: Vec<Licence>,
}

/// A file of the repository.
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// None for what is not UTF-8 or is too large to be written by a person.
    pub(crate) text: Option<String>,
    /// The scanned source, of Rust files only.
    pub(crate) rust: Option<Source>,
}

/// A crate of the workspace, as cargo describes it.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the root, with `/`.
    pub(crate) folder: String,
    pub(crate) description: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Names of the integration test binaries.
    pub(crate) test_targets: Vec<String>,
}

/// A line of a manifest's dependencies.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Only needed to build tests.
    pub(crate) dev: bool,
}

/// The licence of a crate from a registry.
pub(crate) struct Licence {
    pub(crate) package: String,
    pub(crate) expression: Option<String>,
}

impl Tree {
    /// Reads the files under `root` and asks cargo for the crates.
    pub(crate) fn load(root: &Path) -> Result<Self, Error> {
        let mut files = Vec::new();
        walk(root, "", &mut files)?;
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let (packages, root_shown) = packages(root)?;
        let licences = if root.join("deny.toml").exists() {
            licences(root, &root_shown)?
        } else {
            Vec::new()
        };
        Ok(Self {
            files,
            packages,
            licences,
        })
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files
            .binary_search_by(|file| file.path.as_str().cmp(path))
            .ok()
            .map(|index| &self.files[index])
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.file(path)?.text.as_deref()
    }

    /// True for a file or a folder of the repository.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.file(path).is_some() || self.files.iter().any(|file| file.path.starts_with(&folder))
    }

    /// The crate a file belongs to.
    pub(crate) fn package_of(&self, path: &str) -> Option<&Package> {
        self.packages
            .iter()
            .filter(|package| path.starts_with(&format!("{}/", package.folder)))
            .max_by_key(|package| package.folder.len())
    }
}

impl File {
    /// True for input and expected output of tests.
    pub(crate) fn is_test_data(&self) -> bool {
        self.rust.is_none() && self.path.split('/').any(|part| TEST_DATA.contains(&part))
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(crate) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }
}

fn walk(root: &Path, folder: &str, files: &mut Vec<File>) -> Result<(), Error> {
    let here = root.join(folder);
    let entries = fs::read_dir(&here).map_err(|source| Error::Read {
        path: here.clone(),
        source,
    })?;
    for entry in entries {
        let entry = entry.map_err(|source| Error::Read {
            path: here.clone(),
            source,
        })?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        let kind = entry.file_type().map_err(|source| Error::Read {
            path: entry.path(),
            source,
        })?;
        if kind.is_dir() {
            if !NOT_OURS.contains(&path.as_str()) {
                walk(root, &path, files)?;
            }
        } else if kind.is_file() && name != ".git" && !name.ends_with(".tmp") {
            files.push(read(&entry.path(), path)?);
        }
    }
    Ok(())
}

fn read(absolute: &Path, path: String) -> Result<File, Error> {
    let fail = |source| Error::Read {
        path: absolute.to_owned(),
        source,
    };
    let text = if fs::metadata(absolute).map_err(fail)?.len() > TEXT_BYTES_MAX {
        None
    } else {
        String::from_utf8(fs::read(absolute).map_err(fail)?).ok()
    };
    let rust = text.as_deref().filter(|_| path.ends_with(".rs")).map(Source::scan);
    Ok(File { path, text, rust })
}

fn metadata(root: &Path, arguments: &[&str]) -> Result<Value, Error> {
    let output = process::cargo_output(root, arguments)?;
    serde_json::from_slice(&output.stdout).map_err(|source| Error::Metadata {
        command: process::shown(arguments),
        source,
    })
}

/// The crates, and the root as cargo writes it.
fn packages(root: &Path) -> Result<(Vec<Package>, String), Error> {
    let described = metadata(root, &["metadata", "--no-deps", "--format-version", "1"])?;
    let root_shown = text_of(&described, "workspace_root").unwrap_or_default();
    let mut packages: Vec<Package> = list(&described, "packages")
        .iter()
        .filter_map(|package| to_package(package, &root_shown))
        .collect();
    packages.sort_by(|left, right| left.folder.cmp(&right.folder));
    Ok((packages, root_shown))
}

fn to_package(package: &Value, root_shown: &str) -> Option<Package> {
    let manifest = text_of(package, "manifest_path")?;
    let folder = manifest
        .strip_prefix(root_shown)?
        .trim_start_matches('/')
        .strip_suffix("Cargo.toml")?;
    Some(Package {
        name: text_of(package, "name")?,
        folder: folder.trim_end_matches('/').to_owned(),
        description: text_of(package, "description"),
        dependencies: list(package, "dependencies")
            .iter()
            .filter_map(|dependency| {
                Some(Dependency {
                    name: text_of(dependency, "name")?,
                    dev: text_of(dependency, "kind").as_deref() == Some("dev"),
                })
            })
            .collect(),
        test_targets: list(package, "targets")
            .iter()
            .filter(|target| list(target, "kind").iter().any(|kind| kind == "test"))
            .filter_map(|target| text_of(target, "name"))
            .collect(),
    })
}

/// The licences of every crate of the lock file that is not ours.
fn licences(root: &Path, root_shown: &str) -> Result<Vec<Licence>, Error> {
    // Without the filter cargo would download the crates of every other operating system.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let described = metadata(
        root,
        &[
            "metadata",
            "--locked",
            "--filter-platform",
            &platform,
            "--format-version",
            "1",
        ],
    )?;
    Ok(list(&described, "packages")
        .iter()
        .filter(|package| {
            !text_of(package, "manifest_path")
                .unwrap_or_default()
                .starts_with(root_shown)
        })
        .filter_map(|package| {
            Some(Licence {
                package: text_of(package, "name")?,
                expression: text_of(package, "license"),
            })
        })
        .collect())
}

fn text_of(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(String::from)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
