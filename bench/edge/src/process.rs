//! Starting programs on a core, and ending them by pid. Knows none of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::error::{Error, Result};
use crate::machine;

/// How long a program that was told to end may take.
const END_WITHIN: Duration = Duration::from_secs(5);

/// How often a condition is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// A folder of one run, removed at its end.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tend-bench-edge-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|source| file("make", &path, source))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.join(name);
        fs::write(&path, bytes).map_err(|source| file("write", &path, source))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left among temporary files harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the error of an act on a file.
pub(crate) fn file(what: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File {
        what,
        path: path.to_path_buf(),
        source,
    }
}

/// A program that runs until this goes.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program on a core; what it says goes to `log`.
    pub(crate) fn start(core: usize, program: &Path, arguments: &[String], log: PathBuf) -> Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(program).args(arguments);
        Self::spawn(command, log)
    }

    /// Starts a program on whatever core.
    pub(crate) fn anywhere(program: &Path, arguments: &[String], log: PathBuf) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::spawn(command, log)
    }

    fn spawn(mut command: Command, log: PathBuf) -> Result<Self> {
        let output = fs::File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) = output.map_err(|source| file("write", &log, source))?;
        let started = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
        let child = started.map_err(|source| Error::Run {
            command: format!("{command:?}"),
            source,
        })?;
        Ok(Self { child, log })
    }

    /// Returns its pid; `taskset` becomes the program.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has said.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default())
            .trim()
            .to_owned()
    }

    /// Says whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let children = machine::children(self.pid());
        signal(self.pid(), Signal::TERM);
        let begun = Instant::now();
        while !self.has_ended() && begun.elapsed() < END_WITHIN {
            std::thread::sleep(LOOK);
        }
        // Both may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        children.into_iter().for_each(|pid| signal(pid, Signal::KILL));
    }
}

/// Sends a signal. The process may have ended by itself.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Runs a program on a core to its end and returns what it said.
pub(crate) fn run(core: usize, program: &str, arguments: &[String]) -> Result<String> {
    let command = format!("{program} {}", arguments.join(" "));
    let output = Command::new("taskset")
        .args(["-c", &core.to_string(), program])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Run {
            command: command.clone(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let said = text + &String::from_utf8_lossy(&output.stderr);
    Err(Error::Failed {
        command,
        status: output.status.to_string(),
        said: said.trim().to_owned(),
    })
}

/// Waits until somebody accepts at a port.
pub(crate) fn await_port(front: &str, port: u16, running: &mut Running) -> Result<()> {
    let begun = Instant::now();
    let within = Duration::from_secs(10);
    loop {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        if begun.elapsed() > within || running.has_ended() {
            return Err(Error::NotUp {
                front: front.to_owned(),
                port,
                seconds: within.as_secs(),
                said: running.said(),
            });
        }
        std::thread::sleep(LOOK);
    }
}
