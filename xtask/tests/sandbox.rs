//! A small workspace in a folder of its own, tidy until a test spoils it.
//!
//! Owns the files of the good tree. Knows no rule.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tree's map: both crates, one edge, one pure crate.
pub(crate) const MAP: &str = "\
# Architecture
### `crates/base`
Ground.
### `crates/core`
The idea.
<!-- edges:begin -->
| crate | may depend on |
| --- | --- |
| `crates/base` | none |
| `crates/core` | `crates/base` |
<!-- edges:end -->
<!-- pure:begin -->
- `crates/core`
<!-- pure:end -->
";

pub(crate) struct Sandbox {
    folder: PathBuf,
}

impl Sandbox {
    /// Makes the good tree; `name` must be the test's own.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tidy-{}-{name}", std::process::id()));
        let sandbox = Self { folder };
        sandbox.write(
            "tree/Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n[workspace.lints.rust]\nunsafe_code = \"deny\"\n",
        );
        sandbox.write("tree/ARCHITECTURE.md", MAP);
        for name in ["base", "core"] {
            sandbox.write(&format!("tree/crates/{name}/Cargo.toml"), &manifest(name, ""));
            sandbox.write(&format!("tree/crates/{name}/src/lib.rs"), "//! A crate.\n");
        }
        sandbox
    }

    /// Writes a file, its folders too; the tree itself is the folder `tree`.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).unwrap_or_else(|error| panic!("could not make {}: {error}", parent.display()));
        fs::write(&path, text).unwrap_or_else(|error| panic!("could not write {}: {error}", path.display()));
    }

    /// Writes the lock file that `cargo --locked` asks for.
    pub(crate) fn lock(&self) {
        let status = Command::new(env!("CARGO"))
            .args(["generate-lockfile", "--offline", "--quiet"])
            .current_dir(self.folder.join("tree"))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "cargo generate-lockfile failed"
        );
    }

    /// Runs `xtask tidy` on the tree; returns whether it passed, and what it printed.
    pub(crate) fn tidy(&self) -> (bool, String) {
        self.run("tidy")
    }

    /// Runs a command of `xtask` on the tree; returns whether it succeeded, and what it printed.
    pub(crate) fn run(&self, command: &str) -> (bool, String) {
        self.run_with(command, &[])
    }

    /// As [`Self::run`], with more arguments.
    pub(crate) fn run_with(&self, command: &str, more: &[&str]) -> (bool, String) {
        let tree = self.folder.join("tree");
        let tree = tree.to_string_lossy();
        run(&[&[command, "--root", &tree], more].concat())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // What is left behind lies in cargo's own target folder; a failure to remove it fails no test.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A manifest that breaks no rule, with `rest` at its end.
pub(crate) fn manifest(name: &str, rest: &str) -> String {
    format!(
        "[package]\nname = \"tend-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\ndescription = \"A crate.\"\n\
         license = \"Apache-2.0\"\n\n[lints]\nworkspace = true\n\n{rest}"
    )
}

/// Runs the real program; returns whether it succeeded, and both its outputs.
pub(crate) fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments)
        // Crates of the same names from several trees would be built in one place.
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap_or_else(|error| panic!("could not start xtask: {error}"));
    let printed = [
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ];
    (output.status.success(), printed.concat())
}
