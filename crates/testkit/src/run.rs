//! Running the real programs with a state of their own, keeping what they say, and leaving no process behind.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::processes::GONE_WITHIN;
use crate::{Folder, kill, kill_all_of, processes_of, program, wait_until};

/// How long a command line may take before the test gives it up. Far above any: builds of stacks run within it.
const COMMAND_WITHIN: Duration = Duration::from_secs(300);

/// A `tend` with a state folder and sockets of its own. Everything it and its daemon started is killed by id when this is dropped.
#[derive(Debug)]
pub struct Tend {
    // Dropped last: processes still write into it.
    folder: Folder,
    number: Mutex<u32>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// With this status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// A command that runs on; it is killed when this is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Tend {
    /// Makes the folders; starts nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            folder: Folder::new(),
            number: Mutex::new(0),
        }
    }

    /// Returns the folder that holds the state, the sockets and whatever the test writes.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Returns a command of any program that sees this state: `TEND_STATE`, `TEND_RUN`.
    ///
    /// # Panics
    /// When there is no such program.
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command
            .env("TEND_STATE", self.folder.path().join("state"))
            .env("TEND_RUN", self.folder.path().join("run"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs `tend` with these arguments to its end.
    ///
    /// # Panics
    /// When it does not end within five minutes.
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Finished {
        let mut command = self.command("tend");
        command.args(arguments);
        self.start(command).finish(COMMAND_WITHIN)
    }

    /// Starts a command, with its output going to files: a pipe that nobody reads would block it, and a daemon it leaves
    /// behind would hold the pipe open.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, mut command: Command) -> Background {
        let number = {
            let mut number = self.number.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *number += 1;
            *number
        };
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.folder.path().join(format!("{number}.{name}")));
        let file = |path: &Path| {
            File::create(path).unwrap_or_else(|error| panic!("cannot make `{}`: {error}", path.display()))
        };
        let child = command.stdout(file(&stdout)).stderr(file(&stderr)).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Background { child, stdout, stderr }
    }

    /// Returns the processes that carry this state in their environment: the daemon, the edge, shims and replicas.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        processes_of(self.folder.path())
    }
}

impl Default for Tend {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Tend {
    fn drop(&mut self) {
        kill_all_of(self.folder.path());
    }
}

impl Background {
    /// Returns its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it SIGKILL and waits for its end.
    pub fn kill(mut self) -> Finished {
        kill(self.child.id());
        self.finished(GONE_WITHIN)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than `deadline`.
    pub fn finish(mut self, deadline: Duration) -> Finished {
        self.finished(deadline)
    }

    /// Returns what it wrote to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Returns what it wrote to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    fn finished(&mut self, deadline: Duration) -> Finished {
        let mut status = None;
        wait_until(deadline, "the command ends", || {
            status = self
                .child
                .try_wait()
                .unwrap_or_else(|error| panic!("cannot wait for it: {error}"));
            status.is_some()
        });
        let status = status.expect("invariant: it was waited for");
        Finished {
            status,
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Already waited for: its id may be somebody else's by now, and `kill` of std knows that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}
