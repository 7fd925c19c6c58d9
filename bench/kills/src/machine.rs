//! A tend of its own with `stacks/mps` up: private folders, a private port, copies of the programs. Knows no kills.
//!
//! Invariant: when it is dropped, no process that was started in it is left; each is ended by its pid.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::error::{Error, Result};

/// How long anything may take before the run is given up.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A tend of its own.
pub(crate) struct Machine {
    folder: PathBuf,
    port: u16,
}

impl Machine {
    /// Copies the programs out of a folder and brings the system up.
    pub(crate) fn up(programs: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .map_err(Error::Port)?
            .port();
        let folder = std::env::temp_dir().join(format!("tend-bench-kills-{}", std::process::id()));
        let machine = Self { folder, port };
        let stack = machine.folder.join("stacks/mps");
        std::fs::create_dir_all(&stack).map_err(|source| file("make the folder", &stack, source))?;
        // Replicas may run as another user than this one.
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&machine.folder, everybody)
            .map_err(|source| file("open the folder", &machine.folder, source))?;
        for program in ["tend", "mps-api"] {
            copy(&programs.join(program), &machine.folder.join(program))?;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks/mps");
        let environments = stack.join("config/environments");
        std::fs::create_dir_all(&environments).map_err(|source| file("make the folder", &environments, source))?;
        for name in ["stack.yml", "config/schema.yaml", "config/environments/development.yml"] {
            copy(&source.join(name), &stack.join(name))?;
        }
        machine.tend(&["up", "stacks/mps"])?;
        Ok(machine)
    }

    /// Returns where the system is reached.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.folder.join("tend"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("TEND_STATE", self.folder.join("state"))
            .env("TEND_RUN", self.folder.join("run"))
            .env("MPS_API", self.folder.join("mps-api"))
            .env("MPS_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs `tend` to its end and returns what it printed.
    pub(crate) fn tend(&self, arguments: &[&str]) -> Result<String> {
        let command = format!("tend {}", arguments.join(" "));
        let output = self.command(arguments).output().map_err(|source| Error::Run {
            command: command.clone(),
            source,
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Err(Error::Failed { command, said })
    }

    /// Runs `tend` and reads each line it prints as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let arguments = [arguments, &["--json"]].concat();
        let printed = self.tend(&arguments)?;
        let read: std::result::Result<_, _> = printed.lines().map(serde_json::from_str).collect();
        read.map_err(|source| Error::Json {
            command: format!("tend {}", arguments.join(" ")),
            source,
        })
    }

    /// Starts the daemon in place of one that was killed.
    pub(crate) fn start_daemon(&self) -> Result<()> {
        let path = self.folder.join("daemon-again.log");
        let log = std::fs::File::options().create(true).append(true).open(&path);
        let log = log.map_err(|source| file("write", &path, source))?;
        let child = self.command(&["daemon"]).stdout(Stdio::null()).stderr(log).spawn();
        let mut child = child.map_err(|source| Error::Run {
            command: "tend daemon".to_owned(),
            source,
        })?;
        // Collected beside: a daemon that is killed is then gone, and no zombie of ours.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Returns the daemon's process id.
    pub(crate) fn daemon(&self) -> Result<i32> {
        let path = self.folder.join("run/daemon.lock");
        let text = std::fs::read_to_string(&path).map_err(|source| file("read", &path, source))?;
        let pid = text.split_whitespace().next().and_then(|word| word.parse().ok());
        pid.ok_or_else(|| {
            let source = std::io::Error::from(std::io::ErrorKind::InvalidData);
            file("find a process id in", &path, source)
        })
    }

    /// Returns the processes of a role, `edge` or `shim`, oldest first where ids were not used up meanwhile.
    pub(crate) fn roles(&self, role: &str) -> Vec<i32> {
        let folder = self.folder.display().to_string();
        let mut pids: Vec<i32> = processes()
            .into_iter()
            .filter(|(_, command)| {
                let mut words = command.split('\0');
                words.next().is_some_and(|program| program.starts_with(&folder)) && words.next() == Some(role)
            })
            .map(|(pid, _)| pid)
            .collect();
        pids.sort_unstable();
        pids
    }

    /// Returns the process ids of the replicas, by slot, where all are ready; fewer where not.
    pub(crate) fn ready_replicas(&self) -> Result<Vec<i32>> {
        let status = self.json(&["status", "mps"])?;
        let replicas = status[0]["services"][0]["replicas"].as_array().cloned();
        let ready = replicas.unwrap_or_default().into_iter();
        Ok(ready
            .filter(|replica| replica["state"] == "ready")
            .filter_map(|replica| i32::try_from(replica["pid"].as_i64()?).ok())
            .collect())
    }

    /// Waits until three replicas are ready and returns their process ids.
    pub(crate) fn wait_ready(&self) -> Result<Vec<i32>> {
        wait("three replicas are ready", || {
            // A daemon that comes back does not answer at once.
            Ok(self.ready_replicas().ok().filter(|pids| pids.len() == 3))
        })
    }

    /// Returns the events of a kind, oldest first.
    pub(crate) fn events(&self, kind: &str) -> Result<Vec<Value>> {
        self.json(&["events", "--kind", kind, "--tail", "1000"])
    }

    /// Takes the system down as a person would.
    pub(crate) fn down(&self) -> Result<()> {
        self.tend(&["down", "mps"])?;
        // With its last stack gone the daemon may have ended by itself; what is left is ended when this is dropped.
        let _ = self.tend(&["shutdown"]);
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let folder = self.folder.display().to_string();
        let myself = i32::try_from(std::process::id()).unwrap_or_default();
        let begun = Instant::now();
        loop {
            let mine: BTreeSet<i32> = processes()
                .into_iter()
                .filter(|(pid, command)| command.contains(&folder) && *pid != myself)
                .map(|(pid, _)| pid)
                .collect();
            if mine.is_empty() || begun.elapsed() > DEADLINE {
                break;
            }
            mine.into_iter().for_each(kill);
            std::thread::sleep(LOOK);
        }
        // What is left in the folder for temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Sends SIGKILL. The process may have ended by itself.
pub(crate) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Waits until something is there, and returns it.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begun.elapsed() > DEADLINE {
            return Err(Error::Late {
                what: what.to_owned(),
                seconds: DEADLINE.as_secs(),
            });
        }
        std::thread::sleep(LOOK);
    }
}

/// Returns all processes with their command lines, words separated by NUL.
fn processes() -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&command).into_owned()))
        })
        .collect()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map_err(|source| file("copy", from, source))?;
    Ok(())
}

fn file(what: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File {
        what,
        path: path.to_owned(),
        source,
    }
}
