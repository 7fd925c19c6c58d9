//! What can fail on the host: what was attempted, on what, and what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::PortHolder;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("could not write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder could not be made.
    #[error("could not make the folder `{path}`")]
    MakeFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A FIFO for a replica's output could not be made or opened.
    #[error("could not open the FIFO `{path}`")]
    OpenFifo {
        /// The FIFO.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of a replica's folder is not what it should be.
    #[error("`{path}` cannot be understood: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// In a few words.
        why: &'static str,
    },
    /// A shim could not be started.
    #[error("could not start a shim from `{binary}`")]
    SpawnShim {
        /// The program that was run as shim.
        binary: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The shim of a folder could not be reached.
    #[error("could not reach the shim of `{folder}`")]
    ConnectShim {
        /// The replica's folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The shim went away, or does not take frames any more.
    #[error("lost the connection to a shim")]
    ShimLost {
        /// Why.
        source: io::Error,
    },
    /// A process could not be watched or asked about.
    #[error("could not look at process {pid}")]
    Process {
        /// The process.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// It could not be found out what really runs as a replica.
    #[error("could not find out what really runs as process {pid}")]
    Attest {
        /// The process; 0 where not even that is known.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// A signal could not be sent.
    #[error("could not send signal {number} to process {pid}")]
    Signal {
        /// The process.
        pid: i32,
        /// The signal.
        number: i32,
        /// Why.
        source: io::Error,
    },
    /// Processes of a tree outlived every SIGKILL.
    #[error("{left} processes of the tree of process {pid} are still there after SIGKILL")]
    KillTree {
        /// The root of the tree.
        pid: i32,
        /// How many are left.
        left: usize,
    },
    /// This process could not become the one that inherits orphans.
    #[error("could not become the reaper of orphaned processes")]
    Subreaper {
        /// Why.
        source: io::Error,
    },
    /// Something could not be done to a control group.
    #[error("could not {action} the control group `{path}`")]
    Cgroup {
        /// What was attempted: `make`, `enter`, `limit`, `read`, `kill`, `remove`.
        action: &'static str,
        /// The group or its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An address is taken by somebody else.
    #[error("port {} on {} is already taken{}", address.port(), address.ip(), holder_text(holder.as_ref()))]
    PortTaken {
        /// The address that was wanted.
        address: SocketAddr,
        /// Who has it, where that could be found out.
        holder: Option<PortHolder>,
        /// What the kernel said.
        source: io::Error,
    },
    /// An address could not be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No port is left.
    #[error("no free port between {first} and {last}")]
    NoFreePort {
        /// First port tried.
        first: u16,
        /// Last port tried.
        last: u16,
    },
    /// A unix socket could not be made.
    #[error("could not listen on the socket `{path}`")]
    BindSocket {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A frame could not be sent.
    #[error("could not send a frame to the other process")]
    SendFrame {
        /// Why.
        source: io::Error,
    },
    /// A frame could not be received.
    #[error("could not receive a frame from the other process")]
    ReceiveFrame {
        /// Why.
        source: io::Error,
    },
    /// The other side of a socket could not be identified.
    #[error("could not find out who is on the other side of a socket")]
    Peer {
        /// Why.
        source: io::Error,
    },
    /// There is no such user.
    #[error("there is no user `{name}` on this machine")]
    UnknownUser {
        /// As written.
        name: String,
    },
    /// There is no such group.
    #[error("there is no group `{name}` on this machine")]
    UnknownGroup {
        /// As written.
        name: String,
    },
    /// The user database could not be asked.
    #[error("could not look up `{name}` among the users and groups")]
    LookUp {
        /// As written.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A second instance.
    #[error("tend is already running with pid {pid}{}", since.as_ref().map(|s| format!(" since {s}")).unwrap_or_default())]
    AlreadyRunning {
        /// Its process.
        pid: i32,
        /// When it took the lock, RFC 3339; absent where the lock file does not say.
        since: Option<String>,
        /// The lock file.
        path: PathBuf,
    },
    /// The lock file could not be taken.
    #[error("could not lock `{path}`")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Returns what the reader can do next, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::PortTaken {
                address,
                holder: Some(holder),
                ..
            } => format!(
                "stop process {} or choose another port than {}",
                holder.pid,
                address.port()
            ),
            Self::PortTaken { address, .. } => format!(
                "see who has it with `ss -ltnp 'sport = :{port}'` as root, or choose another port than {port}",
                port = address.port()
            ),
            Self::Listen { address, source }
                if source.kind() == io::ErrorKind::PermissionDenied && address.port() < 1024 =>
            {
                format!(
                    "port {} is a privileged one: start tend as root, or use a port from 1024 up",
                    address.port()
                )
            }
            Self::Listen { address, source }
                if source.kind() == io::ErrorKind::AddrNotAvailable =>
            {
                format!("no interface of this machine has the address {}", address.ip())
            }
            Self::NoFreePort { .. } => "stop services that are not needed any more".to_owned(),
            Self::UnknownUser { name } => format!(
                "make the user with `useradd --system {name}`, or write another after `user:`"
            ),
            Self::UnknownGroup { name } => format!(
                "make the group with `groupadd --system {name}`, or write another after `user:`"
            ),
            Self::AlreadyRunning { .. } => {
                "use it with `tend status`, or end it with `tend shutdown` first".to_owned()
            }
            Self::Read { path, source }
            | Self::Write { path, source }
            | Self::MakeFolder { path, source }
            | Self::OpenFifo { path, source }
            | Self::Lock { path, source }
            | Self::BindSocket { path, source } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    format!("make `{}` accessible to the user tend runs as", path.display())
                }
                io::ErrorKind::StorageFull => {
                    format!("free space on the disk that holds `{}`", path.display())
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    format!("the disk that holds `{}` is mounted read-only", path.display())
                }
                _ => return None,
            },
            Self::Cgroup { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run tend as root or from a systemd unit with `Delegate=yes`; without it limits are kept by polling".to_owned()
            }
            Self::SpawnShim { binary, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("`{}` is missing: restart the daemon so that it copies itself again", binary.display())
            }
            Self::ShimLost { .. } | Self::ConnectShim { .. } => {
                "the daemon starts a new shim, which takes the replica over".to_owned()
            }
            Self::Attest { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "the program may hide itself (prctl PR_SET_DUMPABLE), or runs as a user that only root can look at".to_owned()
            }
            Self::KillTree { .. } => {
                "a process that outlives SIGKILL waits in the kernel, mostly for a disk or a network file system: look at `dmesg`".to_owned()
            }
            _ => return None,
        })
    }

    /// Whether trying the same again may work without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::ShimLost { .. } | Self::ConnectShim { .. } => true,
            Self::SpawnShim { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory | io::ErrorKind::Interrupted
            ),
            _ => false,
        }
    }
}

fn holder_text(holder: Option<&PortHolder>) -> String {
    match holder {
        Some(holder) => format!(" by `{}` (pid {})", holder.name, holder.pid),
        None => String::new(),
    }
}
