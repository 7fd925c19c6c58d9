//! A supervisor under test, whichever it is: brought up with some services, killed, started again, and always taken down by pid.

mod pm2;
mod supervisord;
mod tend;

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use pm2::Pm2;
pub(crate) use supervisord::{PROGRAM as SUPERVISORD, Supervisord};
pub(crate) use tend::{Form, Tend};

use crate::error::{Error, Result};
use crate::{http, process};

/// Tells the services of one run from all others; holds the run's folder.
const RUN_VARIABLE: &str = "BENCH_SUPERVISE_RUN";

/// How long a supervisor may take until all services answer.
const UP_MAX: Duration = Duration::from_secs(60);

/// How long what was killed may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(5);

/// How long a supervisor's own command may take. Stopping fifty services takes PM2 seconds.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// How often a command under way is looked at.
const COMMAND_AGAIN: Duration = Duration::from_millis(10);

/// What of a service's output is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keep {
    /// What the supervisor keeps without being told.
    Default,
    /// More than the comparison writes.
    All,
}

/// What all supervisors are given.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The run's own folder.
    pub(crate) folder: PathBuf,
    /// The program of the services.
    pub(crate) service: PathBuf,
    /// Where each service listens.
    pub(crate) ports: Vec<u16>,
    pub(crate) keep: Keep,
}

impl Job {
    /// Makes the folder of a run, empty, and makes sure that its ports are free.
    pub(crate) fn new(folder: PathBuf, service: &Path, ports: Vec<u16>, keep: Keep) -> Result<Self> {
        let write = |source| Error::Write {
            path: folder.clone(),
            source,
        };
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(write)?;
        }
        fs::create_dir_all(&folder).map_err(write)?;
        for port in &ports {
            TcpListener::bind(("127.0.0.1", *port)).map_err(|_| Error::PortTaken { port: *port })?;
        }
        Ok(Self {
            folder,
            service: service.to_path_buf(),
            ports,
            keep,
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        match fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    /// Returns the processes of the services.
    pub(crate) fn services(&self) -> Vec<i32> {
        process::find(|arguments, environment| {
            process::holds(arguments, &self.service)
                && process::holds(environment, Path::new(RUN_VARIABLE))
                && process::holds(environment, &self.folder)
                && arguments.starts_with(self.service.as_os_str().as_encoded_bytes())
        })
    }
}

/// One supervisor with its services.
pub(crate) trait Supervisor {
    /// What it is called in the figures.
    fn name(&self) -> String;

    fn job(&self) -> &Job;

    /// Starts the supervisor and with it the services.
    fn start(&mut self) -> Result<()>;

    /// Starts the supervisor again after it was killed, as its own manual has it.
    fn start_again(&mut self) -> Result<()>;

    /// Asks the supervisor to end itself and all services.
    fn stop(&mut self) -> Result<()>;

    /// Returns the supervisor's own processes.
    fn own(&self) -> Vec<i32>;

    /// Returns the part of [`Supervisor::own`] that decides; the same where there is one process only.
    fn deciding(&self) -> Vec<i32> {
        self.own()
    }

    /// Returns the files that the output of service `at` is in.
    fn logs(&self, at: usize) -> Vec<PathBuf>;

    /// Returns where the services listen; a supervisor that chooses the ports knows them once it is up.
    fn ports(&self) -> Vec<u16> {
        self.job().ports.clone()
    }
}

/// A supervisor that is up, and taken down when this goes, whatever happens.
pub(crate) struct Up {
    pub(crate) supervisor: Box<dyn Supervisor>,
}

impl Up {
    pub(crate) fn new(supervisor: Box<dyn Supervisor>) -> Result<Self> {
        let mut up = Self { supervisor };
        up.supervisor.start()?;
        up.await_all()?;
        Ok(up)
    }

    fn await_all(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let ports = self.supervisor.ports();
            let count = ports.iter().filter(|port| http::serving_pid(**port).is_some()).count();
            let wanted = self.supervisor.job().ports.len();
            if count == wanted {
                return Ok(());
            }
            if begun.elapsed() > UP_MAX {
                return Err(Error::NotUp {
                    supervisor: self.supervisor.name(),
                    count,
                    wanted,
                    seconds: UP_MAX.as_secs(),
                    folder: self.supervisor.job().folder.clone(),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl std::ops::Deref for Up {
    type Target = dyn Supervisor;

    fn deref(&self) -> &Self::Target {
        self.supervisor.as_ref()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have been killed, or may fail at it: what is left is killed by pid.
        let _ = self.supervisor.stop();
        let begun = Instant::now();
        loop {
            let mut left = self.supervisor.own();
            left.extend(self.supervisor.job().services());
            if left.is_empty() || begun.elapsed() > GONE_MAX {
                return;
            }
            left.into_iter().for_each(process::kill);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Runs a command to its end and returns what it said.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = format!("{command:?}");
    let failed = |source| Error::Run {
        command: name.clone(),
        source,
    };
    // Into a file and not a pipe: what a supervisor leaves running may hold a pipe open for ever, and its reader waits with it.
    let mut said = rustix::fs::memfd_create("said", rustix::fs::MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(|error| failed(error.into()))?;
    let (out, err) = (said.try_clone().map_err(failed)?, said.try_clone().map_err(failed)?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(failed)?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status.to_string(),
            None if begun.elapsed() > COMMAND_MAX => {
                // Ours and not waited for, so neither can fail.
                let _ = child.kill();
                let _ = child.wait();
                break format!("no end within {} s", COMMAND_MAX.as_secs());
            }
            None => std::thread::sleep(COMMAND_AGAIN),
        }
    };
    let mut text = Vec::new();
    said.rewind()
        .and_then(|()| said.read_to_end(&mut text))
        .map_err(failed)?;
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if child.wait().map_err(failed)?.success() {
        return Ok(text);
    }
    Err(Error::Failed {
        command: name,
        status,
        said: text,
    })
}

/// Returns the process named in a file, if it lives and its arguments or environment hold the run's folder.
fn pid_in(file: &Path, folder: &Path) -> Vec<i32> {
    let pid = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok());
    let of_this_run = process::find(|arguments, environment| {
        process::holds(arguments, folder) || process::holds(environment, folder)
    });
    pid.filter(|pid| of_this_run.contains(pid)).into_iter().collect()
}

/// Returns the files of a folder whose names begin so.
fn files(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}
