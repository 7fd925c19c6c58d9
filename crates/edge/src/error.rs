//! Why the edge could not start or go on. Failures of single requests are answers, not errors of this kind.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Says what the edge attempted in vain.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A folder of its own could not be made.
    #[error("could not create the edge's folder `{path}`")]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket the daemon talks to it by could not be made.
    #[error("could not listen on the edge's control socket `{path}`")]
    ControlSocket {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody could not reach an edge.
    #[error("could not reach an edge at `{path}`")]
    Connect {
        /// Its control socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A message could not be exchanged with the edge.
    #[error("the connection to the edge at `{path}` failed")]
    Talk {
        /// Its control socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An address could not be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a certificate or its key could not be read.
    #[error("could not read the certificate file `{path}`")]
    ReadCertificate {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a certificate or its key was read, and cannot be used.
    #[error("cannot use the certificate file `{path}`: {why}")]
    Certificate {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The access log could not be opened.
    #[error("could not open the access log `{path}`")]
    AccessLog {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bans that a snapshot names could not be read.
    #[error("could not read the bans `{path}`")]
    Bans {
        /// Where.
        path: PathBuf,
        /// What the system said, or what is wrong with the file.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A thread or its event loop could not be started.
    #[error("could not start the edge's {what}")]
    Start {
        /// Such as `thread 1`.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl EdgeError {
    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } | Self::AccessLog { .. } => {
                "check that the state folder belongs to the user tend runs as and that its disk is not full"
            }
            Self::ControlSocket { .. } => {
                "check that the run folder belongs to the user tend runs as; a socket's path has at most 107 bytes"
            }
            Self::Connect { .. } | Self::Talk { .. } => {
                "the edge may have ended; the daemon starts it again with the same listening sockets"
            }
            Self::Listen { .. } => {
                "see who holds the port with `ss -ltnp`, or give the listener another one; ports below 1024 need privilege"
            }
            Self::Bans { .. } => {
                "the edge goes on with the bans it has; the daemon writes the file anew with the next change"
            }
            Self::ReadCertificate { .. } => {
                "check that the file is there and that the user tend runs as may read it; the certificate before it is shown meanwhile"
            }
            Self::Certificate { .. } => {
                "look at it with `openssl x509 -in FILE -noout -text`; the certificate before it is shown meanwhile"
            }
            Self::Start { .. } => "the machine is out of memory, threads or file descriptors",
        }
    }
}
