//! The files in which a shim leaves what a later shim or daemon has to know: `state` while the replica runs, `exit` after.
//!
//! Owns both formats and the evidence by which a process is recognised. Files are replaced by rename, so a reader sees
//! the old or the new; they are not synced, for they need to outlive processes only: after a restart of the machine
//! nothing runs any more, and the boot id in `state` says so.

use std::fs;
use std::io;
use std::path::Path;

use tend_base::Mono;

use crate::exit::Exit;
use crate::process::ProcStat;
use crate::spec::{LogSettings, path};
use crate::wire::{Pairs, decode_record, encode_record};

pub(crate) const STATE_FILE: &str = "state";
pub(crate) const EXIT_FILE: &str = "exit";
const STATE_WORD: &str = "tend-shim-state";
const EXIT_WORD: &str = "tend-exit";
const VERSION: u32 = 1;

/// What makes a process the one that was started, and not another that got its number.
///
/// Start time is in clock ticks after boot, which within one boot makes a pid unique unless the whole range of pids is
/// used up within a tick. The executable is checked as well; a replica may lawfully have executed another program since
/// (`sh -c 'exec api'`), and is then known by holding the FIFO of its shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id` when it was started.
    pub boot_id: String,
    /// Device and inode of its executable; absent until it executed, or where it may not be read.
    pub executable: Option<(u64, u64)>,
}

impl Evidence {
    /// Returns when the process was started, on the clock of its boot.
    #[must_use]
    pub fn started(&self) -> Mono {
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Mono(self.start_time.saturating_mul(1_000_000_000 / per_second))
    }

    /// Looks at a process as it is now.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: i32) -> io::Result<Self> {
        Ok(Self {
            pid,
            start_time: ProcStat::read(pid)?.start_time,
            boot_id: boot_id()?,
            executable: executable_of(pid),
        })
    }
}

/// Returns device and inode of the program a process runs, where that may be read.
pub(crate) fn executable_of(pid: i32) -> Option<(u64, u64)> {
    let stat = rustix::fs::stat(format!("/proc/{pid}/exe")).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The file `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) incarnation: String,
    pub(crate) release: Option<String>,
    pub(crate) quiesce: Option<String>,
    pub(crate) shim_pid: i32,
    pub(crate) replica: Evidence,
    pub(crate) cgroup: Option<std::path::PathBuf>,
    pub(crate) oom_kills_before: u64,
    pub(crate) logs: LogSettings,
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut pairs = Pairs::default();
        pairs.push("incarnation", &self.incarnation);
        if let Some(release) = &self.release {
            pairs.push("release", release);
        }
        if let Some(quiesce) = &self.quiesce {
            pairs.push("quiesce", quiesce);
        }
        pairs.push_number("shim_pid", self.shim_pid);
        evidence_to_pairs(&self.replica, &mut pairs);
        if let Some(cgroup) = &self.cgroup {
            pairs.push("cgroup", std::os::unix::ffi::OsStrExt::as_bytes(cgroup.as_os_str()));
        }
        pairs.push_number("oom_kills_before", self.oom_kills_before);
        self.logs.to_pairs(&mut pairs);
        encode_record(STATE_WORD, VERSION, &pairs)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let pairs = decode_record(STATE_WORD, bytes)?;
        Ok(Self {
            incarnation: pairs.text("incarnation").unwrap_or_default(),
            release: pairs.text("release"),
            quiesce: pairs.text("quiesce"),
            shim_pid: pairs.number("shim_pid").ok_or("it has no `shim_pid`")?,
            replica: evidence_from_pairs(&pairs).ok_or("it does not say which process the replica is")?,
            cgroup: path(&pairs, "cgroup"),
            oom_kills_before: pairs.number("oom_kills_before").unwrap_or(0),
            logs: LogSettings::from_pairs(&pairs)?,
        })
    }
}

pub(crate) fn evidence_to_pairs(evidence: &Evidence, pairs: &mut Pairs) {
    pairs.push_number("replica_pid", evidence.pid);
    pairs.push_number("start_time", evidence.start_time);
    pairs.push("boot_id", &evidence.boot_id);
    if let Some((device, inode)) = evidence.executable {
        pairs.push_number("exe_dev", device);
        pairs.push_number("exe_ino", inode);
    }
}

pub(crate) fn evidence_from_pairs(pairs: &Pairs) -> Option<Evidence> {
    Some(Evidence {
        pid: pairs.number("replica_pid").filter(|&pid: &i32| pid > 0)?,
        start_time: pairs.number("start_time")?,
        boot_id: pairs.text("boot_id")?,
        executable: pairs.number("exe_dev").zip(pairs.number("exe_ino")),
    })
}

/// Why a replica never ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// What was being done.
    pub attempt: Attempt,
    /// On what: a program, a folder, a number.
    pub subject: String,
    /// The kernel's answer; 0 where the shim itself refused.
    pub errno: i32,
}

/// The steps of a start, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Reading `spec` or preparing the replica's folder.
    Prepare,
    /// Making the process.
    Fork,
    /// Entering the control group.
    Cgroup,
    /// Placing the listening socket and standard input and output.
    Descriptors,
    /// Setting the number of open files.
    OpenFiles,
    /// Becoming the user.
    User,
    /// Entering the working folder.
    Directory,
    /// Executing the program.
    Execute,
}

impl Attempt {
    pub(crate) const ALL: [(Self, &'static str); 8] = [
        (Self::Prepare, "prepare"),
        (Self::Fork, "fork"),
        (Self::Cgroup, "cgroup"),
        (Self::Descriptors, "descriptors"),
        (Self::OpenFiles, "open-files"),
        (Self::User, "user"),
        (Self::Directory, "directory"),
        (Self::Execute, "execute"),
    ];

    pub(crate) fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(attempt, _)| *attempt == self)
            .map_or("prepare", |(_, word)| word)
    }

    fn from_word(word: &str) -> Self {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == word)
            .map_or(Self::Prepare, |(attempt, _)| *attempt)
    }
}

impl StartFailure {
    pub(crate) fn to_pairs(&self, pairs: &mut Pairs) {
        pairs.push("attempt", self.attempt.word());
        pairs.push("subject", &self.subject);
        pairs.push_number("errno", self.errno);
    }

    pub(crate) fn from_pairs(pairs: &Pairs) -> Self {
        Self {
            attempt: Attempt::from_word(&pairs.text("attempt").unwrap_or_default()),
            subject: pairs.text("subject").unwrap_or_default(),
            errno: pairs.number("errno").unwrap_or(0),
        }
    }

    /// Returns what the reader can do next, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let subject = &self.subject;
        Some(match (self.attempt, self.errno) {
            (Attempt::Execute, libc::ENOENT) if !subject.contains('/') => {
                format!("install `{subject}`, or write its path; it was searched in the service's PATH")
            }
            (Attempt::Execute, libc::ENOENT) => {
                "build it first, or correct the path; for a script, the program after `#!` may be the one missing"
                    .to_owned()
            }
            (Attempt::Execute, libc::EACCES) => {
                format!("make it executable with `chmod +x {subject}`")
            }
            (Attempt::Execute, libc::ENOEXEC) => {
                "write the interpreter into its first line, such as `#!/bin/sh`".to_owned()
            }
            (Attempt::Directory, libc::ENOENT) => format!("make the folder `{subject}`"),
            (Attempt::Directory, libc::EACCES) => {
                format!("let the service's user enter `{subject}`")
            }
            (Attempt::User, libc::EPERM) => {
                "only root can run a service as another user: start tend as root or leave `user:` out".to_owned()
            }
            (Attempt::OpenFiles, libc::EPERM) => {
                "only root can raise the hard limit: lower `ulimits.nofile`".to_owned()
            }
            (Attempt::Fork, libc::EAGAIN) => {
                "too many processes: raise the limit on processes (`ulimit -u`)".to_owned()
            }
            _ => return None,
        })
    }
}

impl std::fmt::Display for StartFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let subject = &self.subject;
        match (self.attempt, self.errno) {
            (Attempt::Execute, libc::ENOENT) => return write!(f, "command not found: `{subject}`"),
            (Attempt::Execute, libc::EACCES) => return write!(f, "`{subject}` is not executable"),
            (Attempt::Execute, libc::ENOEXEC) => {
                return write!(f, "`{subject}` is neither a program nor a script with a `#!` line");
            }
            (Attempt::Prepare, _) => write!(f, "could not prepare the start: {subject}")?,
            (Attempt::Fork, _) => write!(f, "could not make a process")?,
            (Attempt::Cgroup, _) => write!(f, "could not enter the control group `{subject}`")?,
            (Attempt::Descriptors, _) => write!(f, "could not place {subject}")?,
            (Attempt::OpenFiles, _) => write!(f, "could not set the limit of open files to {subject}")?,
            (Attempt::User, _) => write!(f, "could not become user {subject}")?,
            (Attempt::Directory, _) => write!(f, "could not enter the folder `{subject}`")?,
            (Attempt::Execute, _) => write!(f, "could not execute `{subject}`")?,
        }
        if self.errno != 0 {
            write!(f, ": {}", io::Error::from_raw_os_error(self.errno))?;
        }
        Ok(())
    }
}

/// How a run of a replica ended, with what its shim counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitRecord {
    /// The name the caller gave this run.
    pub incarnation: String,
    /// Its process; 0 when it never ran.
    pub replica_pid: i32,
    /// How it ended, or why it never ran.
    pub outcome: Outcome,
    /// When it was started; absent when it never ran, and in records of older shims.
    pub started: Option<Mono>,
    /// When the shim saw it.
    pub at: Mono,
    /// What its output came to.
    pub output: OutputCounters,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran.
    Ended(Exit),
    /// It never ran.
    NotStarted(StartFailure),
}

/// What a shim counted of both streams since it began or took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputCounters {
    /// Bytes written to files from standard output.
    pub stdout_bytes: u64,
    /// Bytes written to files from standard error.
    pub stderr_bytes: u64,
    /// Bytes of standard output that were dropped.
    pub stdout_dropped: u64,
    /// Bytes of standard error that were dropped.
    pub stderr_dropped: u64,
}

impl OutputCounters {
    pub(crate) fn to_pairs(self, pairs: &mut Pairs) {
        pairs.push_number("stdout_bytes", self.stdout_bytes);
        pairs.push_number("stderr_bytes", self.stderr_bytes);
        pairs.push_number("stdout_dropped", self.stdout_dropped);
        pairs.push_number("stderr_dropped", self.stderr_dropped);
    }

    pub(crate) fn from_pairs(pairs: &Pairs) -> Self {
        Self {
            stdout_bytes: pairs.number("stdout_bytes").unwrap_or(0),
            stderr_bytes: pairs.number("stderr_bytes").unwrap_or(0),
            stdout_dropped: pairs.number("stdout_dropped").unwrap_or(0),
            stderr_dropped: pairs.number("stderr_dropped").unwrap_or(0),
        }
    }
}

impl ExitRecord {
    pub(crate) fn to_pairs(&self, pairs: &mut Pairs) {
        pairs.push("incarnation", &self.incarnation);
        pairs.push_number("replica_pid", self.replica_pid);
        match &self.outcome {
            Outcome::Ended(exit) => exit.to_pairs(pairs),
            Outcome::NotStarted(failure) => failure.to_pairs(pairs),
        }
        if let Some(started) = self.started {
            pairs.push_number("started_mono", started.0);
        }
        pairs.push_number("at_mono", self.at.0);
        self.output.to_pairs(pairs);
    }

    pub(crate) fn from_pairs(pairs: &Pairs) -> Self {
        Self {
            incarnation: pairs.text("incarnation").unwrap_or_default(),
            replica_pid: pairs.number("replica_pid").unwrap_or(0),
            outcome: if pairs.get("attempt").is_some() {
                Outcome::NotStarted(StartFailure::from_pairs(pairs))
            } else {
                Outcome::Ended(Exit::from_pairs(pairs))
            },
            started: pairs.number("started_mono").map(Mono),
            at: Mono(pairs.number("at_mono").unwrap_or(0)),
            output: OutputCounters::from_pairs(pairs),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut pairs = Pairs::default();
        self.to_pairs(&mut pairs);
        encode_record(EXIT_WORD, VERSION, &pairs)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        Ok(Self::from_pairs(&decode_record(EXIT_WORD, bytes)?))
    }
}

/// Replaces a file by rename, mode 0600, without syncing (see the head of this file for why).
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut neighbour = path.as_os_str().to_owned();
    neighbour.push(".new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&neighbour)?;
    file.write_all(content)?;
    fs::rename(&neighbour, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::WhenBehind;

    #[test]
    fn a_state_survives_its_file() {
        let state = State {
            incarnation: "mps/api/1#7".to_owned(),
            release: Some("17".to_owned()),
            quiesce: Some("/quiesce and wait".to_owned()),
            shim_pid: 41,
            replica: Evidence {
                pid: 42,
                start_time: 4711,
                boot_id: "0f".to_owned(),
                executable: Some((64, 12)),
            },
            cgroup: Some("/sys/fs/cgroup/tend/x".into()),
            oom_kills_before: 2,
            logs: LogSettings {
                directory: "/var/log/x y".into(),
                file_bytes_max: 1,
                files_max: 1,
                when_behind: WhenBehind::Drop,
                redact: true,
            },
        };
        assert_eq!(State::decode(&state.encode()), Ok(state));
    }

    #[test]
    fn an_exit_record_survives_its_file() {
        for outcome in [
            Outcome::Ended(Exit::Exited(3)),
            Outcome::NotStarted(StartFailure {
                attempt: Attempt::Execute,
                subject: "no such".to_owned(),
                errno: libc::ENOENT,
            }),
        ] {
            let record = ExitRecord {
                incarnation: "a".to_owned(),
                replica_pid: 5,
                outcome,
                started: Some(Mono(7)),
                at: Mono(9),
                output: OutputCounters {
                    stdout_bytes: 1,
                    stderr_bytes: 2,
                    stdout_dropped: 3,
                    stderr_dropped: 4,
                },
            };
            assert_eq!(ExitRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn every_attempt_has_a_word_of_its_own() {
        for (attempt, word) in Attempt::ALL {
            assert_eq!(Attempt::from_word(word), attempt);
            assert_eq!(attempt.word(), word);
        }
    }
}
