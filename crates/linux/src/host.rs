//! The daemon's side of a shim: starting one, connecting to one, and recognising a replica that is already there.
//!
//! Everything here returns at once; the descriptors handed out do not block, so a runtime can wait on them.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, recv, send, sendmsg, socket_with, socketpair,
};

use tend_redact::Value;

use crate::attest::Attestation;
use crate::error::Error;
use crate::exit::Exit;
use crate::fifo;
use crate::process::{ProcStat, pidfd};
use crate::redaction;
use crate::spec::{SPEC_FILE, Spec};
use crate::state::{
    EXIT_FILE, Evidence, ExitRecord, Outcome, OutputCounters, STATE_FILE, State, boot_id, evidence_from_pairs,
    executable_of, replace_file,
};
use crate::tree::holds_fifos;
use crate::wire::Frame;

pub(crate) const SOCKET_FILE: &str = "shim.sock";
pub(crate) const LOCK_FILE: &str = "shim.lock";
/// Version of the frames; raised when an old reader would misunderstand a new frame, which adding keys and words is not.
pub(crate) const PROTOCOL_VERSION: u32 = 1;
/// Longest frame of a shim.
pub(crate) const FRAME_BYTES: usize = 16 << 10;

/// What is asked of a shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send a signal.
    Signal {
        /// Its number.
        number: i32,
        /// To whom.
        scope: Scope,
    },
    /// SIGKILL every process of the replica, also what it left behind when it ended.
    KillTree,
    /// Write what the FIFOs hold at this moment, so that the files are complete up to now.
    Flush,
    /// Open the log files anew by name, after an external rotation.
    Reopen,
    /// Remove what was logged so far.
    Clear,
    /// Answer with the counters.
    Logs,
    /// Look at what really runs, and answer with it.
    Attest,
    /// The end is on record elsewhere: the shim may end as soon as the replica has.
    Release,
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The replica's first process.
    Replica,
    /// It and all it started.
    Tree,
}

impl Command {
    fn frame(self) -> Frame {
        match self {
            Self::Signal { number, scope } => {
                let mut frame = Frame::new("signal");
                frame.pairs.push_number("number", number);
                frame.pairs.push(
                    "scope",
                    match scope {
                        Scope::Replica => "replica",
                        Scope::Tree => "tree",
                    },
                );
                frame
            }
            Self::KillTree => Frame::new("kill-tree"),
            Self::Flush => Frame::new("flush"),
            Self::Reopen => Frame::new("reopen"),
            Self::Clear => Frame::new("clear"),
            Self::Logs => Frame::new("logs"),
            Self::Attest => Frame::new("attest"),
            Self::Release => Frame::new("release"),
        }
    }
}

/// What a shim says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Who it is; the first frame on every connection, and sent again when the replica has started.
    Hello(Hello),
    /// The replica ended or never ran.
    Exited(ExitRecord),
    /// Answer to [`Command::Logs`].
    Logs(OutputCounters),
    /// Answer to [`Command::Attest`], sent to everybody who is connected.
    Attested(Attestation),
    /// A command was carried out; its word.
    Done(String),
    /// A command failed.
    Failed {
        /// Its word.
        command: String,
        /// Why.
        why: String,
    },
    /// The shim is older than the command.
    Unsupported(String),
    /// The shim is newer than this program, and said something it does not know.
    Other(String),
}

/// Who a shim is and what it looks after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of its frames.
    pub version: u32,
    /// Its process.
    pub shim_pid: i32,
    /// The caller's name for this run.
    pub incarnation: String,
    /// The replica; absent before it started and when it never did.
    pub replica: Option<Evidence>,
    /// Whether the replica is over; [`Report::Exited`] follows then.
    pub ended: bool,
}

impl Report {
    /// Reads a frame; nothing when the bytes are no frame at all.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let frame = Frame::decode(bytes)?;
        let text = |key| frame.pairs.text(key).unwrap_or_default();
        Some(match frame.word.as_str() {
            "hello" => Self::Hello(Hello {
                version: frame.pairs.number("version").unwrap_or(0),
                shim_pid: frame.pairs.number("shim_pid").unwrap_or(0),
                incarnation: text("incarnation"),
                replica: evidence_from_pairs(&frame.pairs),
                ended: frame.pairs.get("state") == Some(b"ended"),
            }),
            "exited" | "not-started" => Self::Exited(ExitRecord::from_pairs(&frame.pairs)),
            "logs" => Self::Logs(OutputCounters::from_pairs(&frame.pairs)),
            "attested" => match Attestation::from_pairs(&frame.pairs) {
                Some(attestation) => Self::Attested(attestation),
                None => Self::Failed {
                    command: "attest".to_owned(),
                    why: "its shim's answer says too little".to_owned(),
                },
            },
            "done" => Self::Done(text("command")),
            "failed" => Self::Failed {
                command: text("command"),
                why: text("why"),
            },
            "unsupported" => Self::Unsupported(text("word")),
            other => Self::Other(other.to_owned()),
        })
    }
}

/// A connection to a shim.
#[derive(Debug)]
pub struct ShimConnection {
    socket: OwnedFd,
}

impl ShimConnection {
    /// Sends a command; the answer comes as a [`Report`].
    ///
    /// # Errors
    /// [`Error::ShimLost`] when the shim is gone.
    pub fn send(&self, command: Command) -> Result<(), Error> {
        send(
            &self.socket,
            &command.frame().encode(),
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )
        .map(|_| ())
        .map_err(|errno| Error::ShimLost { source: errno.into() })
    }

    /// Tells for which secrets to look from now on, in place of those told before. Answered by [`Report::Done`], or by
    /// [`Report::Unsupported`] of a shim older than November 2026, which writes output as it is.
    ///
    /// # Errors
    /// [`Error::ShimLost`] when the shim is gone, or no memory is left for it.
    pub fn redact(&self, secrets: &[Value]) -> Result<(), Error> {
        let failed = |source: io::Error| Error::ShimLost { source };
        let memory = redaction::memory_file(&redaction::encode(secrets)).map_err(failed)?;
        let descriptors = [memory.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(
            &self.socket,
            &[IoSlice::new(&Frame::new("redact").encode())],
            &mut ancillary,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )
        .map(|_| ())
        .map_err(|errno| failed(errno.into()))
    }

    /// Returns the next report, nothing when none has come yet. Wait for the descriptor to become readable to know when.
    ///
    /// # Errors
    /// [`Error::ShimLost`] when the shim is gone.
    pub fn try_receive(&self) -> Result<Option<Report>, Error> {
        let mut bytes = [0u8; FRAME_BYTES];
        loop {
            match recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    return Err(Error::ShimLost {
                        source: io::Error::from(io::ErrorKind::UnexpectedEof),
                    });
                }
                Ok((read, _)) => {
                    if let Some(report) = Report::decode(&bytes[..read]) {
                        return Ok(Some(report));
                    }
                }
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(Error::ShimLost { source: errno.into() });
                }
            }
        }
    }
}

impl AsFd for ShimConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<ShimConnection> for OwnedFd {
    fn from(connection: ShimConnection) -> Self {
        connection.socket
    }
}

/// Keeps the FIFOs of a replica open, and with them what is in them.
///
/// With its shim killed, a replica that ends takes its unread output along unless somebody else holds the FIFOs: keep
/// this until the replica's end was reported.
#[derive(Debug)]
pub struct OutputHold {
    _stdout: OwnedFd,
    _stderr: OwnedFd,
}

impl OutputHold {
    /// Opens the FIFOs of a replica's folder.
    ///
    /// # Errors
    /// [`Error::OpenFifo`].
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let open = |name| {
            let path = folder.join(name);
            fifo::open(&path, true).map_err(|source| Error::OpenFifo { path, source })
        };
        Ok(Self {
            _stdout: open(fifo::STDOUT)?,
            _stderr: open(fifo::STDERR)?,
        })
    }
}

/// A shim that was just started.
#[derive(Debug)]
pub struct ShimHandle {
    /// Its process: a child of the caller, to be collected by `reap_orphans`.
    pub pid: i32,
    /// The first frame is [`Report::Hello`], or [`Report::Exited`] after it when the replica could not be started.
    pub connection: ShimConnection,
    /// The replica's output, held.
    pub output: OutputHold,
}

/// Starts a shim for a new replica. Returns before the replica has started; reports follow on the connection.
///
/// `folder` is the replica's own and is made when missing. What an earlier replica left in it goes. `listen` becomes the
/// descriptor named in the spec. `secrets` is what must not reach a file, where the spec asks for that: the shim has it before the
/// replica begins, and never in a file.
///
/// # Errors
/// When the folder cannot be used or the program cannot be run.
pub fn spawn_shim(
    binary: &Path,
    folder: &Path,
    spec: &Spec,
    listen: Option<BorrowedFd<'_>>,
    secrets: &[Value],
) -> Result<ShimHandle, Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| Error::MakeFolder {
            path: folder.to_path_buf(),
            source,
        })?;
    for name in [EXIT_FILE, STATE_FILE] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Write { path, source });
            }
            _ => {}
        }
    }
    let path = folder.join(SPEC_FILE);
    replace_file(&path, &spec.encode()).map_err(|source| Error::Write { path, source })?;
    for name in [fifo::STDOUT, fifo::STDERR] {
        let path = folder.join(name);
        fifo::make(&path, spec.user.as_ref()).map_err(|source| Error::OpenFifo { path, source })?;
    }
    launch(binary, folder, false, listen, secrets)
}

/// Starts a shim for a replica whose shim was killed; `secrets` as for [`spawn_shim`].
///
/// # Errors
/// When the program cannot be run.
pub fn spawn_takeover(binary: &Path, folder: &Path, secrets: &[Value]) -> Result<ShimHandle, Error> {
    launch(binary, folder, true, None, secrets)
}

fn launch(
    binary: &Path,
    folder: &Path,
    takeover: bool,
    listen: Option<BorrowedFd<'_>>,
    secrets: &[Value],
) -> Result<ShimHandle, Error> {
    let failed = |source: io::Error| Error::SpawnShim {
        binary: binary.to_path_buf(),
        source,
    };
    let output = OutputHold::open(folder)?;
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .map_err(|errno| failed(errno.into()))?;
    let connection = ShimConnection { socket: ours };
    // Before it runs, so that it needs to wait for nothing.
    connection.redact(secrets)?;
    let mut program = Program::new(binary);
    program.arg("shim");
    if takeover {
        program.arg("--takeover");
    }
    // The socket pair and the listening socket travel as standard input and output: that needs no code between fork and
    // exec, so the standard library takes its cheap way (vfork), however large this process is.
    program
        .arg(folder)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(match listen {
            Some(socket) => Stdio::from(socket.try_clone_to_owned().map_err(failed)?),
            None => Stdio::null(),
        })
        .stderr(Stdio::null());
    let child = program.spawn().map_err(failed)?;
    Ok(ShimHandle {
        pid: i32::try_from(child.id()).unwrap_or(0),
        connection,
        output,
    })
}

/// Connects to the shim of a folder; its [`Report::Hello`] follows.
///
/// # Errors
/// [`Error::ConnectShim`] when there is none.
pub fn connect_shim(folder: &Path) -> Result<ShimConnection, Error> {
    let attempt = || -> io::Result<OwnedFd> {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        // The path of a socket may have 107 bytes; this way the folder's own length does not count.
        let folder = rustix::fs::open(
            folder,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let path = format!("/proc/self/fd/{}/{SOCKET_FILE}", folder.as_raw_fd());
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket)
    };
    attempt()
        .map(|socket| ShimConnection { socket })
        .map_err(|source| Error::ConnectShim {
            folder: folder.to_path_buf(),
            source,
        })
}

/// What [`adopt`] found in a replica's folder.
#[derive(Debug)]
pub enum Adoption {
    /// The replica runs and is the one that was started.
    Running(Adopted),
    /// It ran and is over, or never ran.
    Gone(ExitRecord),
    /// Another process has its number: not ours to touch. How the replica ended is not known.
    Foreign(String),
}

/// A replica that runs already.
#[derive(Debug)]
pub struct Adopted {
    /// By what it was recognised.
    pub evidence: Evidence,
    /// The caller's name for this run.
    pub incarnation: String,
    /// The release it was started with, where that is on record.
    pub release: Option<String>,
    /// How it is emptied before it is stopped, in the words of who had it started; none also where its shim is older than November 2026.
    pub quiesce: Option<String>,
    /// Its control group.
    pub cgroup: Option<PathBuf>,
    /// Becomes readable when it ends.
    pub pidfd: OwnedFd,
    /// Its shim; absent when that was killed, and then `spawn_takeover` is due.
    pub shim: Option<ShimConnection>,
    /// The replica's output, held.
    pub output: OutputHold,
}

/// Looks at a replica's folder and recognises the replica by pid, start time and executable, never by pid alone.
///
/// # Errors
/// When the folder's files are there and cannot be read.
pub fn adopt(folder: &Path) -> Result<Adoption, Error> {
    let unknown = |incarnation: &str, pid: i32, why: &str| {
        Adoption::Gone(ExitRecord {
            incarnation: incarnation.to_owned(),
            replica_pid: pid,
            outcome: Outcome::Ended(Exit::Unknown(why.to_owned())),
            started: None,
            at: tend_base::Mono(0),
            output: OutputCounters::default(),
        })
    };
    if let Some(mut record) = read_exit(folder)? {
        // An older shim did not write it down; what it was started from may still be there.
        record.started = record.started.or_else(|| started_on_record(folder, record.replica_pid));
        return Ok(Adoption::Gone(record));
    }
    let path = folder.join(STATE_FILE);
    let state = match fs::read(&path) {
        Ok(bytes) => State::decode(&bytes).map_err(|why| Error::Malformed { path, why })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(unknown("", 0, "it was never started"));
        }
        Err(source) => return Err(Error::Read { path, source }),
    };
    let (incarnation, pid) = (&state.incarnation, state.replica.pid);
    if boot_id().ok().as_ref() != Some(&state.replica.boot_id) {
        return Ok(unknown(incarnation, pid, "the machine was restarted meanwhile"));
    }
    match recognise(&state.replica, folder) {
        Ok(recognised) => Ok(Adoption::Running(Adopted {
            evidence: Evidence {
                executable: recognised.executable,
                ..state.replica
            },
            incarnation: state.incarnation,
            release: state.release,
            quiesce: state.quiesce,
            cgroup: state.cgroup,
            pidfd: recognised.pidfd,
            shim: connect_shim(folder).ok(),
            output: OutputHold::open(folder)?,
        })),
        // Its shim may just be writing the end down.
        Err(not) => match (read_exit(folder)?, not) {
            (Some(record), _) => Ok(Adoption::Gone(record)),
            (None, Unrecognised::Gone(exit)) => {
                let mut gone = unknown(incarnation, pid, "it ended while neither shim nor daemon was there");
                if let (Adoption::Gone(record), Some(exit)) = (&mut gone, exit) {
                    record.outcome = Outcome::Ended(exit);
                }
                Ok(gone)
            }
            (None, Unrecognised::Foreign(why)) => Ok(Adoption::Foreign(why)),
        },
    }
}

/// Returns when a replica was started as its state has it, if that state is of this very process.
fn started_on_record(folder: &Path, pid: i32) -> Option<tend_base::Mono> {
    let state = State::decode(&fs::read(folder.join(STATE_FILE)).ok()?).ok()?;
    (state.replica.pid == pid).then(|| state.replica.started())
}

fn read_exit(folder: &Path) -> Result<Option<ExitRecord>, Error> {
    let path = folder.join(EXIT_FILE);
    match fs::read(&path) {
        Ok(bytes) => ExitRecord::decode(&bytes)
            .map(Some)
            .map_err(|why| Error::Malformed { path, why }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// Whether a shim holds a replica's folder, connected or not.
#[must_use]
pub fn has_shim(folder: &Path) -> bool {
    let Ok(file) = rustix::fs::open(folder.join(LOCK_FILE), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) else {
        return false;
    };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::AGAIN)
}

/// A process that is the one on record.
pub(crate) struct Recognised {
    pub(crate) pidfd: OwnedFd,
    pub(crate) executable: Option<(u64, u64)>,
}

/// Why the process on record is not there.
pub(crate) enum Unrecognised {
    /// It ended; its status where it is still to be had.
    Gone(Option<Exit>),
    /// Another process has its number.
    Foreign(String),
}

impl std::fmt::Display for Unrecognised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone(_) => f.write_str("it ended while no shim was there"),
            Self::Foreign(why) => f.write_str(why),
        }
    }
}

/// Compares the process that has a number now with the evidence on record.
pub(crate) fn recognise(evidence: &Evidence, folder: &Path) -> Result<Recognised, Unrecognised> {
    let pid = evidence.pid;
    // First the descriptor, then the comparison: what was compared is then what the descriptor names.
    let Ok(pidfd) = pidfd(pid) else {
        return Err(Unrecognised::Gone(None));
    };
    let Ok(stat) = ProcStat::read(pid) else {
        return Err(Unrecognised::Gone(None));
    };
    if stat.start_time != evidence.start_time {
        return Err(Unrecognised::Foreign(format!(
            "process {pid} is another one: it started at tick {}, the replica at tick {}",
            stat.start_time, evidence.start_time
        )));
    }
    if stat.is_zombie() {
        return Err(Unrecognised::Gone(Some(Exit::from_wait_status(stat.exit_status))));
    }
    let executable = executable_of(pid);
    let same = match (evidence.executable, executable) {
        (Some(then), Some(now)) => then == now,
        // Not yet recorded, or not readable for us: the start time has to do.
        _ => true,
    };
    if same || holds_fifos(pid, folder) {
        return Ok(Recognised { pidfd, executable });
    }
    Err(Unrecognised::Foreign(format!(
        "process {pid} runs another program than the replica did, and does not write to its output"
    )))
}

/// Returns whether a path looks like a replica's folder: it has a state or an end on record.
#[must_use]
pub fn is_replica_folder(folder: &Path) -> bool {
    [STATE_FILE, EXIT_FILE]
        .iter()
        .any(|name| folder.join(OsStr::new(name)).exists())
}
