//! What really runs as a replica, as the kernel shows it: which program with which content, in which folder, as which release.
//!
//! Owns the look itself, the value that comes of it, and asking a shim for it. Does not know what should run: that is compared elsewhere.
//!
//! The program is read through `/proc/PID/exe`, which leads to what was executed even when the file of that name was replaced or
//! removed since. For a script that is its interpreter; release and folder then tell more than the digest does.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tend_base::{Clock as _, Mono, SystemClock, to_hex};

use crate::error::Error;
use crate::host::{Adoption, Command, Report, ShimConnection, adopt};
use crate::process::ProcStat;
use crate::spec::path;
use crate::state::{Evidence, evidence_from_pairs, evidence_to_pairs, executable_of};
use crate::wire::Pairs;

/// The variable by which a replica is told its release.
pub const RELEASE_VARIABLE: &str = "TEND_RELEASE";

/// Read at once; a shim has little memory, and this much is on its stack.
const PIECE_BYTES: usize = 16 << 10;
/// Read between two looks at everything else: 512 KiB take a millisecond or two, in which a FIFO of 1 MiB does not fill up.
const TURN_PIECES: usize = 32;

/// What really runs as a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Who looked.
    pub attested_by: AttestedBy,
    /// The caller's name for this run.
    pub incarnation: String,
    /// The release it was started with, [`RELEASE_VARIABLE`] in its environment; none when it was started without.
    pub release: Option<String>,
    /// The process; its `executable` is that of the file whose content was read.
    pub process: Evidence,
    /// Where the program was when it was executed, as the kernel names it: with ` (deleted)` at its end when it is not there any more.
    pub executable: PathBuf,
    /// SHA-256 of the program that runs, 64 lower-case hexadecimal digits.
    pub executable_sha256: String,
    /// Its length, bytes.
    pub executable_bytes: u64,
    /// The folder the process is in.
    pub directory: PathBuf,
}

/// Who looked at a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttestedBy {
    /// Its shim, which started it and has watched it since.
    Shim,
    /// This process itself, because the shim is older than the question or was killed.
    Daemon,
}

impl AttestedBy {
    /// Returns the word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            AttestedBy::Shim => "shim",
            AttestedBy::Daemon => "daemon",
        }
    }
}

impl Attestation {
    pub(crate) fn to_pairs(&self, pairs: &mut Pairs) {
        pairs.push("incarnation", &self.incarnation);
        if let Some(release) = &self.release {
            pairs.push("release", release);
        }
        evidence_to_pairs(&self.process, pairs);
        pairs.push("exe", self.executable.as_os_str().as_bytes());
        pairs.push("exe_sha256", &self.executable_sha256);
        pairs.push_number("exe_bytes", self.executable_bytes);
        pairs.push("cwd", self.directory.as_os_str().as_bytes());
    }

    /// Reads what a shim said; nothing when it does not say enough to mean something.
    pub(crate) fn from_pairs(pairs: &Pairs) -> Option<Self> {
        let digest = pairs.text("exe_sha256")?;
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
        is_digest.then_some(())?;
        Some(Self {
            attested_by: AttestedBy::Shim,
            incarnation: pairs.text("incarnation")?,
            release: pairs.text("release"),
            process: evidence_from_pairs(pairs)?,
            executable: path(pairs, "exe")?,
            executable_sha256: digest,
            executable_bytes: pairs.number("exe_bytes")?,
            directory: path(pairs, "cwd")?,
        })
    }
}

/// A look at a process that is under way.
pub(crate) struct Look {
    incarnation: String,
    release: Option<String>,
    process: Evidence,
    executable: PathBuf,
    file: File,
    digest: Context,
    bytes: u64,
}

impl Look {
    /// Begins to look at a process. `release` is what is on record of it; without a record its environment is asked.
    pub(crate) fn begin(process: &Evidence, incarnation: &str, release: Option<&str>) -> io::Result<Self> {
        let of = |what: &str| format!("/proc/{}/{what}", process.pid);
        let executable = fs::read_link(of("exe"))?;
        let file = File::open(of("exe"))?;
        let stat = rustix::fs::fstat(&file)?;
        Ok(Self {
            incarnation: incarnation.to_owned(),
            release: match release {
                Some(release) => Some(release.to_owned()),
                None => release_in(&fs::read(of("environ"))?),
            },
            process: Evidence {
                executable: Some((stat.st_dev, stat.st_ino)),
                ..process.clone()
            },
            executable,
            file,
            digest: Context::new(&SHA256),
            bytes: 0,
        })
    }

    /// Reads on for a moment; returns whether there is more.
    pub(crate) fn read_on(&mut self) -> io::Result<bool> {
        let mut piece = [0u8; PIECE_BYTES];
        for _ in 0..TURN_PIECES {
            match self.file.read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.digest.update(&piece[..read]);
                    self.bytes += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Ends the look, once all was read: what was read has to be what still runs.
    pub(crate) fn end(self, attested_by: AttestedBy) -> io::Result<Attestation> {
        let pid = self.process.pid;
        let directory = fs::read_link(format!("/proc/{pid}/cwd"))?;
        let executable = executable_of(pid);
        // The start time last: it proves that all of the above was about one and the same process.
        if ProcStat::read(pid)?.start_time != self.process.start_time {
            return Err(io::ErrorKind::NotFound.into());
        }
        if executable != self.process.executable {
            return Err(io::Error::other("it executed another program meanwhile"));
        }
        Ok(Attestation {
            attested_by,
            incarnation: self.incarnation,
            release: self.release,
            process: self.process,
            executable: self.executable,
            executable_sha256: to_hex(self.digest.finish().as_ref()),
            executable_bytes: self.bytes,
            directory,
        })
    }
}

/// Finds the release in an environment as the kernel shows it.
fn release_in(environment: &[u8]) -> Option<String> {
    environment.split(|&byte| byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(RELEASE_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        Some(OsStr::from_bytes(value).to_string_lossy().into_owned())
    })
}

impl ShimConnection {
    /// Asks the shim what really runs and waits for the answer, at most `within`; nothing when the shim is older than the question.
    ///
    /// What else the shim says meanwhile is lost: this is for a connection of its own, see [`attest`].
    ///
    /// # Errors
    /// [`Error::ShimLost`] when the shim is gone or says nothing in time, [`Error::Attest`] when it cannot tell.
    pub fn attest(&self, within: Duration) -> Result<Option<Attestation>, Error> {
        self.send(Command::Attest)?;
        let until = SystemClock.now().mono + within;
        let mut pid = 0;
        loop {
            match self.receive_until(until)? {
                Report::Hello(hello) => pid = hello.replica.map_or(0, |replica| replica.pid),
                Report::Attested(attestation) => return Ok(Some(attestation)),
                Report::Unsupported(word) if word == "attest" => return Ok(None),
                Report::Failed { command, why } if command == "attest" => {
                    let source = io::Error::other(why);
                    return Err(Error::Attest { pid, source });
                }
                _ => {}
            }
        }
    }

    fn receive_until(&self, until: Mono) -> Result<Report, Error> {
        loop {
            if let Some(report) = self.try_receive()? {
                return Ok(report);
            }
            let left = until.since(SystemClock.now().mono);
            if left.is_zero() {
                let source = io::ErrorKind::TimedOut.into();
                return Err(Error::ShimLost { source });
            }
            let wait = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            // An interrupted poll comes back with nothing, and is repeated.
            let _ = poll(
                &mut [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)],
                Some(&wait),
            );
        }
    }
}

/// Returns what really runs as the replica of a folder: its shim says it, on a connection of its own, or where the shim is older than
/// the question or was killed, this process looks itself. [`Attestation::attested_by`] tells which.
///
/// Blocks, for `within` at most where the shim is asked, and for as long as the program is read where not: call it on a thread that may.
///
/// # Errors
/// [`Error::Attest`] when the replica is not there, or cannot be looked at.
pub fn attest(folder: &Path, within: Duration) -> Result<Attestation, Error> {
    let adopted = match adopt(folder)? {
        Adoption::Running(adopted) => adopted,
        Adoption::Gone(record) => {
            let source = io::Error::other("it has ended, or never ran");
            let pid = record.replica_pid;
            return Err(Error::Attest { pid, source });
        }
        Adoption::Foreign(why) => {
            let source = io::Error::other(why);
            return Err(Error::Attest { pid: 0, source });
        }
    };
    let said = match &adopted.shim {
        Some(shim) => match shim.attest(within) {
            // Killed just now: the replica runs on.
            Err(Error::ShimLost { source }) if source.kind() != io::ErrorKind::TimedOut => None,
            said => said?,
        },
        None => None,
    };
    match said {
        Some(attestation) => Ok(attestation),
        None => look(&adopted.evidence, &adopted.incarnation, adopted.release.as_deref()),
    }
}

/// Looks at a process in one go.
fn look(process: &Evidence, incarnation: &str, release: Option<&str>) -> Result<Attestation, Error> {
    let looked = || {
        let mut look = Look::begin(process, incarnation, release)?;
        while look.read_on()? {}
        look.end(AttestedBy::Daemon)
    };
    looked().map_err(|source| Error::Attest {
        pid: process.pid,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_found_in_an_environment_and_only_under_its_whole_name() {
        let environment = b"PATH=/bin\0MY_TEND_RELEASE=1\0TEND_RELEASES=2\0TEND_RELEASE=17\0";
        assert_eq!(release_in(environment), Some("17".to_owned()));
        assert_eq!(release_in(b"TEND_RELEASES=2\0PATH=/bin"), None);
    }

    #[test]
    fn an_answer_that_says_too_little_is_no_attestation() {
        let mut pairs = Pairs::default();
        let process = Evidence::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let whole = look(&process, "a/1", None).unwrap();
        whole.to_pairs(&mut pairs);
        let back = Attestation::from_pairs(&pairs).unwrap();
        assert_eq!(back.attested_by, AttestedBy::Shim);
        let by_daemon = Attestation {
            attested_by: AttestedBy::Daemon,
            ..back
        };
        assert_eq!(by_daemon, whole);
        let mut short = Pairs::default();
        let cut = Attestation {
            executable_sha256: "00".to_owned(),
            ..whole
        };
        cut.to_pairs(&mut short);
        assert_eq!(Attestation::from_pairs(&short), None);
    }
}
