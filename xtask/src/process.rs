//! Starts cargo, with the terminal or with its output read.
//!
//! Owns the one way in which the other commands start a program. Knows nothing of what the program is for.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::Error;
use crate::tree;

/// For a command that a person started and can end.
pub(crate) const NO_LIMIT: Duration = Duration::MAX;

/// How long is waited for what a command that has ended printed last.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often a command under a limit is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs cargo in `root` with the caller's terminal and fails when it does, or when it is not done within `limit`.
///
/// What hangs is shown before it is ended: a log of CI can tell of a test that never comes back only what it waited for.
pub(crate) fn cargo(root: &Path, arguments: &[&str], limit: Duration) -> Result<(), Error> {
    run(command(root, arguments), &shown(arguments), limit)
}

/// As [`cargo`], and returns too the lines it printed that `is_kept` says.
pub(crate) fn cargo_read(
    root: &Path,
    arguments: &[&str],
    limit: Duration,
    is_kept: fn(&str) -> bool,
) -> (Result<(), Error>, Vec<String>) {
    let shown = shown(arguments);
    let (reader, writer) = match io::pipe() {
        Ok(ends) => ends,
        Err(source) => return (Err(Error::Start { command: shown, source }), Vec::new()),
    };
    let kept = Arc::new(Mutex::new(Vec::new()));
    let (ended, end) = mpsc::sync_channel::<()>(1);
    let keeping = Arc::clone(&kept);
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            println!("{line}");
            if is_kept(&line) {
                keeping.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }
        drop(ended);
    });
    let mut command = command(root, arguments);
    command.stdout(writer);
    let outcome = run(command, &shown, limit);
    // Ends when nobody can write any more; something that was left behind may for ever.
    let _ = end.recv_timeout(LAST_WORDS);
    let kept = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
    (outcome, kept)
}

fn run(mut command: Command, shown: &str, limit: Duration) -> Result<(), Error> {
    let start = |source| Error::Start {
        command: shown.to_owned(),
        source,
    };
    let mut child = command.stdin(Stdio::null()).spawn().map_err(start)?;
    // With it goes our end of a pipe that it was given.
    drop(command);
    let Some(status) = wait(&mut child, limit).map_err(start)? else {
        println!("--- `{shown}` is not done after {} s; what runs:", limit.as_secs());
        print!("{}", tree::below(child.id()));
        end(&mut child).map_err(start)?;
        return Err(Error::TooLong {
            command: shown.to_owned(),
            seconds: limit.as_secs(),
        });
    };
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed {
            command: shown.to_owned(),
            status: status.to_string(),
        })
    }
}

/// Runs cargo in `root` and returns what it printed; its error output goes to the terminal.
pub(crate) fn cargo_output(root: &Path, arguments: &[&str]) -> Result<Output, Error> {
    let shown = shown(arguments);
    let output = command(root, arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Start {
            command: shown.clone(),
            source,
        })?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(Error::Failed {
            command: shown,
            status: output.status.to_string(),
        })
    }
}

/// The end of `child`, or nothing when it has not come within `limit`.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= limit {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// Ends `child` and all it started. Children first would let a parent start the next one.
fn end(child: &mut Child) -> io::Result<()> {
    for id in tree::ids_below(child.id()) {
        if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            // Ended by itself in the meantime: nothing to do.
            let _ = kill_process(id, Signal::KILL);
        }
    }
    child.wait().map(drop)
}

/// The command as a person would type it.
pub(crate) fn shown(arguments: &[&str]) -> String {
    format!("cargo {}", arguments.join(" "))
}

fn command(root: &Path, arguments: &[&str]) -> Command {
    // Cargo names itself to the programs it runs; that one also fits the toolchain chosen with `cargo +name`.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments);
    // What cargo told this program of its own package is nothing to the build. ring's build script watches these variables: with
    // them it runs again, and all that stands on ring is compiled again, here and once more at the next build by hand.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}
