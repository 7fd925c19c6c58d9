//! The private folder of one run, and the processes that belong to it. Knows no supervisor.
//!
//! Invariant: when it is dropped, no process that was started in it is left; each is ended by its pid.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::error::{Error, Result};

/// How long what was killed may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(10);

/// How often a condition is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// A folder whose path is carried by every process of the run, in its command line or its environment.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// Makes the folder, readable by everybody: replicas may run as another user.
    pub(crate) fn new(name: &str, keep: bool) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("tend-bench-deploy-{}-{name}", std::process::id()));
        let made =
            fs::create_dir_all(&path).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        made.map_err(|source| file("make the folder", &path, source))?;
        Ok(Self { path, keep })
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of something in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it, with the folders above it.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.join(name);
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| file("write", &path, source))?;
        Ok(path)
    }

    fn processes(&self) -> Vec<i32> {
        let myself = i32::try_from(std::process::id()).unwrap_or_default();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let holds = |name| {
                let text = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
                let part = self.path.as_os_str().as_encoded_bytes();
                text.windows(part.len()).any(|window| window == part)
            };
            *pid != myself && (holds("cmdline") || holds("environ"))
        })
        .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let begun = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() || begun.elapsed() > GONE_MAX {
                break;
            }
            left.into_iter().for_each(|pid| signal(pid, Signal::KILL));
            std::thread::sleep(LOOK);
        }
        if !self.keep {
            // What is left in the folder for temporary files harms nobody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Sends a signal. The process may have ended by itself.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// What a program said, and whether it ended with success.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) status: String,
    pub(crate) said: String,
}

/// Runs a program to its end, or ends it when it takes too long. `log` keeps what it says.
pub(crate) fn run(command: &mut Command, log: &Path, within: Duration) -> Result<Ended> {
    let name = format!("{command:?}");
    let output = fs::File::create(log).and_then(|file| Ok((file.try_clone()?, file)));
    let (stdout, stderr) = output.map_err(|source| file("write", log, source))?;
    let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
    let failed = |source| Error::Run {
        command: name.clone(),
        source,
    };
    let mut child = child.map_err(failed)?;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            let said = fs::read(log).unwrap_or_default();
            return Ok(Ended {
                success: status.success(),
                status: status.to_string(),
                said: String::from_utf8_lossy(&said).trim().to_owned(),
            });
        }
        if begun.elapsed() > within {
            // It may end at this very moment.
            let _ = child.kill().and_then(|()| child.wait().map(drop));
            return Err(Error::Late {
                command: name,
                seconds: within.as_secs(),
            });
        }
        std::thread::sleep(LOOK);
    }
}

/// As [`run`], and anything but success is an error.
pub(crate) fn insist(command: &mut Command, log: &Path, within: Duration) -> Result<String> {
    let ended = run(command, log, within)?;
    if ended.success {
        return Ok(ended.said);
    }
    Err(Error::Failed {
        command: format!("{command:?}"),
        status: ended.status,
        said: ended.said,
    })
}

/// Returns ports that were free a moment ago, all different.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::Port)?;
        *port = listener.local_addr().map_err(Error::Port)?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Returns the error of an act on a file.
pub(crate) fn file(what: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File {
        what,
        path: path.to_path_buf(),
        source,
    }
}
