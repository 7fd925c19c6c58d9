//! What can go wrong on the way to an answer, for a person. No variant holds a password, a header or more of an address than host and port.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tend_base::format_duration;

/// A cause of any kind.
pub(crate) type Anything = Box<dyn Error + Send + Sync>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address cannot be used.
    #[error("`{shown}` is no address: {why}")]
    Address {
        /// What was written, up to its path, a password hidden.
        shown: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The request cannot be written as one.
    #[error("what is to be asked of {at} cannot be written: {why}")]
    Unwritable {
        /// Host and port.
        at: String,
        /// What is wrong with it; nothing of a value.
        why: String,
    },
    /// No authority that signs certificates is known.
    #[error("no root certificates were found on this machine")]
    NoRoots,
    /// A file of certificates or of a key cannot be used.
    #[error("{what} in `{path}` cannot be used")]
    File {
        /// What it should hold: `the root certificates`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Anything,
    },
    /// The name is not known.
    #[error("the name `{host}` was not found")]
    Lookup {
        /// Which name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody took the connection.
    #[error("{at} was not reached")]
    Unreachable {
        /// Host and port, or the path of a socket.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// The connection did not come about in time.
    #[error("no connection to {at} came about within {}", format_duration(*within))]
    Unconnected {
        /// Host and port, or the path of a socket.
        at: String,
        /// So long was waited.
        within: Duration,
    },
    /// A proxy did not let us through.
    #[error("the proxy {proxy} did not let us through to {at}: {said}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// Host and port of the other side.
        at: String,
        /// Its status line, or what is wrong with it.
        said: String,
    },
    /// No encrypted connection came about.
    #[error("TLS with {at} failed")]
    Tls {
        /// Host and port.
        at: String,
        /// Why.
        source: Anything,
    },
    /// The answer did not come in time.
    #[error("{at} did not answer within {}", format_duration(*within))]
    Silent {
        /// Host and port, or the path of a socket.
        at: String,
        /// So long was waited.
        within: Duration,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the connection to {at} broke")]
    Broken {
        /// Host and port, or the path of a socket.
        at: String,
        /// Why.
        source: Anything,
    },
    /// The answer is not compressed as it says.
    #[error("the answer of {at} is not the gzip that it says it is")]
    Garbled {
        /// Host and port, or the path of a socket.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// The other side leads elsewhere, and is not followed.
    #[error("{at} leads elsewhere, and is not followed: {why}")]
    Redirect {
        /// Host and port.
        at: String,
        /// Why not.
        why: String,
    },
}

impl FetchError {
    /// Returns whether asking again later may help without anything being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Lookup { .. }
            | Self::Unreachable { .. }
            | Self::Unconnected { .. }
            | Self::Proxy { .. }
            | Self::Tls { .. }
            | Self::Silent { .. }
            | Self::Broken { .. }
            | Self::Garbled { .. } => true,
            Self::Address { .. }
            | Self::Unwritable { .. }
            | Self::NoRoots
            | Self::File { .. }
            | Self::Redirect { .. } => false,
        }
    }

    /// Returns the error and its causes as one sentence.
    #[must_use]
    pub fn with_causes(&self) -> String {
        tend_base::without_os_numbers(&tend_base::with_causes(self))
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Address { .. } => "write http://HOST:PORT/PATH, https://HOST/PATH or unix:/PATH/OF/SOCKET:/PATH",
            Self::Unwritable { .. } => {
                "header names are letters and `-`; values are one line, without a line end behind them"
            }
            Self::NoRoots => "install the package `ca-certificates`, or name a file of certificates (`ca_file`)",
            Self::File { .. } => "the file must be readable for the user this runs as, and be PEM",
            Self::Lookup { .. } => {
                "is the name written right, and does this machine's DNS know it? `getent hosts NAME` shows"
            }
            Self::Unreachable { .. } => {
                "does it run, does it listen at this address, and does no firewall stand between?"
            }
            Self::Unconnected { .. } => "a firewall that drops packets, or a machine that is away, looks like this",
            Self::Proxy { .. } => "may this machine use the proxy, with this user and password, and to this host?",
            Self::Tls { .. } => {
                "is it TLS there, is the certificate for this name (`server_name`), and is its authority known here (`ca_file`)?"
            }
            Self::Silent { .. } => "is the other side overloaded? a longer `timeout` waits longer",
            Self::Broken { .. } => "is it HTTP there, and not HTTPS? its own log may say more",
            Self::Garbled { .. } => "a proxy in between may have changed the answer",
            Self::Redirect { .. } => "name the address where it leads, if that is right",
        }
    }
}
