//! What the tests stand on: a repository of their own, a service in it, and a build of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tend_core::model::StackName;
use tend_release::{Built, Error, Owner, Prepare, Request, build};
use tend_testkit::Folder;

/// Runs a program to its end and returns what it wrote; it has to succeed.
pub(crate) fn run(program: &str, arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        // Not the configuration of whoever runs the tests.
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null")])
        .envs([("GIT_AUTHOR_NAME", "Test"), ("GIT_AUTHOR_EMAIL", "test@example.org")])
        .envs([
            ("GIT_COMMITTER_NAME", "Test"),
            ("GIT_COMMITTER_EMAIL", "test@example.org"),
        ])
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A private folder with a state folder and a source in it.
pub(crate) struct Place {
    pub(crate) folder: Folder,
    pub(crate) stack: StackName,
    pub(crate) prepare: Option<Vec<String>>,
    pub(crate) keep: Vec<PathBuf>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) revision: Option<String>,
    pub(crate) allow_dirty: bool,
    pub(crate) owner: Option<Owner>,
    /// The service's folder, relative to the source.
    pub(crate) service: &'static str,
    /// How often `prepare` ran.
    pub(crate) prepared: u32,
}

impl Place {
    /// A service in a folder without git.
    pub(crate) fn plain() -> Self {
        let folder = Folder::new();
        fs::create_dir(folder.path().join("source")).unwrap();
        Self {
            folder,
            stack: "shop".parse().unwrap(),
            prepare: None,
            keep: Vec::new(),
            environment: BTreeMap::new(),
            revision: None,
            allow_dirty: false,
            owner: None,
            service: "",
            prepared: 0,
        }
    }

    /// A service below a repository, built from a file beside it into the repository's `target`, as cargo does it.
    pub(crate) fn repository() -> Self {
        let mut place = Self::plain();
        place.service = "stacks/shop";
        place.write("src/program", "#!/bin/sh\necho one\n");
        place.write("stacks/shop/stack.yml", "name: shop\n");
        place.write("stacks/shop/public/index.html", "hello\n");
        place.write(".gitignore", "target/\n");
        place.git(&["init", "--quiet"]);
        place.commit();
        place.prepare(
            "mkdir -p ../../target/release && cp ../../src/program ../../target/release/api && chmod +x ../../target/release/api",
        );
        place.keep = vec!["../../target/release/api".into()];
        place
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.source().join(self.service)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        self.folder.write(&format!("source/{name}"), content)
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        run("git", arguments, &self.source()).trim().to_owned()
    }

    /// Commits all that is there and returns the commit.
    pub(crate) fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn prepare(&mut self, script: &str) {
        self.prepare = Some(["sh", "-c", script].map(str::to_owned).to_vec());
    }

    pub(crate) fn with_request<T>(&self, act: impl FnOnce(&Request<'_>) -> T) -> T {
        act(&Request {
            state: &self.state(),
            stack: &self.stack,
            directory: &self.directory(),
            prepare: self.prepare.as_deref(),
            keep: &self.keep,
            environment: &self.environment,
            revision: self.revision.as_deref(),
            allow_dirty: self.allow_dirty,
            timeout: Duration::from_secs(60),
            owner: self.owner,
        })
    }

    /// Builds, running `prepare` as the daemon does: in the copy, as the owner.
    pub(crate) fn build(&mut self) -> Result<Built, Error> {
        let mut prepared = 0;
        let owner = self.owner;
        let built = self.with_request(|request| {
            build(request, &mut |prepare| {
                prepared += 1;
                run_prepare(prepare, owner)
            })
        });
        self.prepared += prepared;
        built
    }

    /// Returns what lies in a folder below the state folder.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.state().join(folder)) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Returns the artifacts that are there.
    pub(crate) fn artifacts(&self) -> Vec<String> {
        let names = self.names("artifacts");
        names.into_iter().filter(|name| name != "keys").collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.state().exists() {
            // Artifacts let nobody take anything out, not even who removes this folder.
            run("chmod", &["-R", "u+w", "state/"], self.folder.path());
        }
    }
}

pub(crate) fn run_prepare(prepare: &Prepare<'_>, owner: Option<Owner>) -> Result<(), String> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&prepare.command[0]);
    command.args(&prepare.command[1..]).current_dir(prepare.directory);
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// Returns the paths below a folder with their modes, such as `755 bin/api`, sorted.
pub(crate) fn listing(folder: &Path) -> Vec<String> {
    let text = run("find", &[".", "-mindepth", "1", "-printf", "%m %P\n"], folder);
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort_by_key(|line| line.split_once(' ').map(|(_, path)| path.to_owned()));
    lines
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}
