//! Running git and PostgreSQL's tools to their end, with a limit, and reading what they say.
//!
//! Passwords reach a program through its environment only. Knows no verb of any of them, and does not run a service's own commands.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::error::Error;
use crate::source::Owner;

/// How often the end of a program is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a failed program said that is shown; its end tells why.
const SAID_BYTES_MAX: usize = 2000;

/// Kept of the daemon's environment.
const INHERITED: &[&str] = &["PATH", "LANG", "TZ"];

/// A program to be run.
pub(crate) struct Program {
    /// What it is called in errors: `git status`.
    pub(crate) called: String,
    pub(crate) command: Command,
    /// Debian's package that has it.
    pub(crate) package: &'static str,
    /// Written to its standard input.
    pub(crate) input: Vec<u8>,
    pub(crate) limit: Duration,
}

impl Program {
    /// Makes a program with little of the daemon's environment, run as `owner` where one is given.
    pub(crate) fn new(name: &str, verb: &str, package: &'static str, owner: Option<Owner>, limit: Duration) -> Self {
        let mut command = Command::new(name);
        command.env_clear().process_group(0).stdin(Stdio::null());
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("LC_ALL", "C");
        match owner {
            // Its home is not known here, and that of the daemon is not for it.
            Some(owner) => {
                command.uid(owner.uid).gid(owner.gid);
            }
            None => {
                if let Some(home) = std::env::var_os("HOME") {
                    command.env("HOME", home);
                }
            }
        }
        Self {
            called: format!("{name} {verb}").trim_end().to_owned(),
            command,
            package,
            input: Vec::new(),
            limit,
        }
    }

    /// Runs it; returns what it wrote to its standard output when it ended with 0.
    pub(crate) fn output(self) -> Result<Vec<u8>, Error> {
        let called = self.called.clone();
        self.read(all)?.map_err(|source| Error::Program {
            program: called,
            why: format!("its output cannot be read: {source}"),
        })
    }

    /// Runs it; returns its status, and what it wrote to its standard output, or to its standard error when it failed.
    pub(crate) fn ended(self) -> Result<(ExitStatus, String), Error> {
        let (status, output, said) = self.run(Stdio::piped(), all)?;
        let output = output.and_then(Result::ok).unwrap_or_default();
        let text = if status.success() {
            String::from_utf8_lossy(&output).into_owned()
        } else {
            said
        };
        Ok((status, text))
    }

    /// Runs it with its standard output going to a file.
    pub(crate) fn into_file(self, file: File) -> Result<(), Error> {
        let called = self.called.clone();
        let (status, _, said) = self.run(Stdio::from(file), |_| ())?;
        succeeded(&called, status, &said)
    }

    /// Runs it with `read` getting its standard output while it comes.
    pub(crate) fn read<T: Send>(self, read: impl FnOnce(std::process::ChildStdout) -> T + Send) -> Result<T, Error> {
        let called = self.called.clone();
        let (status, output, said) = self.run(Stdio::piped(), read)?;
        succeeded(&called, status, &said)?;
        output.ok_or_else(|| Error::Program {
            program: called,
            why: "its output cannot be read".to_owned(),
        })
    }

    fn run<T: Send>(
        mut self,
        stdout: Stdio,
        read: impl FnOnce(std::process::ChildStdout) -> T + Send,
    ) -> Result<(ExitStatus, Option<T>, String), Error> {
        let failed = |why: std::io::Error| Error::Program {
            program: self.called.clone(),
            why: why.to_string(),
        };
        self.command.stdout(stdout).stderr(Stdio::piped());
        if !self.input.is_empty() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.spawn().map_err(|source| {
            if source.kind() == std::io::ErrorKind::NotFound && self.command_is_missing() {
                Error::NoProgram {
                    program: self.command.get_program().to_string_lossy().into_owned(),
                    package: self.package,
                }
            } else {
                failed(source)
            }
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let input = std::mem::take(&mut self.input);
        // What it says is read beside the waiting: a program that says much must not wait for us to listen.
        let (status, output, said) = std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // A program that does not want to read it all says so by its status.
                    let _ = stdin.write_all(&input);
                }
            });
            let output = scope.spawn(move || stdout.map(read));
            let said = scope.spawn(move || stderr.map(end_of).unwrap_or_default());
            let status = wait(&mut child, self.limit);
            (status, output.join(), said.join())
        });
        let status = status.map_err(failed)?.ok_or_else(|| Error::ProgramTimeout {
            program: self.called.clone(),
            limit: self.limit,
        })?;
        let output = output.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((status, output, said.unwrap_or_default()))
    }

    /// Tells a program that is not there from a working folder that is not.
    fn command_is_missing(&self) -> bool {
        self.command.get_current_dir().is_none_or(Path::is_dir)
    }
}

/// Waits until it ends, or ends it at the limit, and what it started with it; none when it was ended.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(std::io::ErrorKind::InvalidInput)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let in_time = loop {
        if rustix::process::waitid(WaitId::Pid(pid), options)?.is_some() {
            break true;
        }
        if begun.elapsed() >= limit {
            break false;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    // It was not waited for yet, so its number cannot be anybody else's. Nobody else in its group is what is hoped for: whatever it
    // left behind would hold the pipes open.
    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    let status = child.wait()?;
    Ok(in_time.then_some(status))
}

fn all(mut from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).map(|_| bytes)
}

/// Reads to the end and returns the last of it.
fn end_of(mut from: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        let surplus = kept.len().saturating_sub(SAID_BYTES_MAX);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn succeeded(called: &str, status: ExitStatus, said: &str) -> Result<(), Error> {
    if status.success() {
        return Ok(());
    }
    let why = if said.is_empty() {
        status.to_string()
    } else {
        said.to_owned()
    };
    Err(Error::Program {
        program: called.to_owned(),
        why,
    })
}
