//! Why a snapshot, or what came with it or over a connection, cannot be used. Knows nothing of how it arrived.

use std::net::SocketAddr;

use tend_core::model::{ReplicaId, ServiceId};

/// Says why a snapshot was refused; the one served before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Not the JSON of a snapshot.
    #[error("could not read the routing snapshot")]
    Read {
        /// Where the text stops making sense.
        source: serde_json::Error,
    },
    /// Written in a format this program is too old for.
    #[error("the routing snapshot has format {found}, this edge reads up to {known}")]
    Format {
        /// What the snapshot says.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// A route or listener names a service that is not in the snapshot.
    #[error("the route for `{path_prefix}` goes to service `{service}`, which the snapshot does not have")]
    UnknownService {
        /// Who was named.
        service: ServiceId,
        /// By which route.
        path_prefix: String,
    },
    /// A route names a listener that is not in the snapshot.
    #[error("the route for `{path_prefix}` is for listener {listener}, which the snapshot does not have")]
    UnknownListener {
        /// Who was named.
        listener: SocketAddr,
        /// By which route.
        path_prefix: String,
    },
    /// Two routes claim the same requests.
    #[error("two routes claim host `{host}` and path `{path_prefix}` at {listener}: {first} and {second}")]
    Ambiguous {
        /// Where.
        listener: SocketAddr,
        /// `any` where the route names no host.
        host: String,
        /// As written in the second route.
        path_prefix: String,
        /// Who claimed it first.
        first: Box<str>,
        /// Who claimed it again.
        second: Box<str>,
    },
    /// A route that nobody answers: no service, no files, no redirect.
    #[error("the route for `{path_prefix}` has no service, no files and no redirect")]
    NoAnswer {
        /// Which.
        path_prefix: String,
    },
    /// One address is to be listened on for two purposes.
    #[error("address {address} is listed twice among the listeners")]
    ListenerTwice {
        /// Which.
        address: SocketAddr,
    },
    /// A host is neither a name nor `*.` and a name.
    #[error("`{host}` is not a host: write a lower-case name without port, or `*.` and a name")]
    Host {
        /// What was written.
        host: String,
    },
    /// A path prefix does not start with a slash.
    #[error("`{path_prefix}` is not a path prefix: it has to start with `/`")]
    PathPrefix {
        /// What was written.
        path_prefix: String,
    },
    /// A weight outside 1 to [`crate::WEIGHT_MAX`].
    #[error("replica {replica} has weight {weight}, which is outside 1 to {max}", max = crate::WEIGHT_MAX)]
    Weight {
        /// Whose.
        replica: ReplicaId,
        /// What was written.
        weight: u32,
    },
    /// A replica stands under a service it is not part of, or twice.
    #[error("replica {replica} does not belong under service {service}, or is there twice")]
    Misplaced {
        /// Which.
        replica: ReplicaId,
        /// Where it stands.
        service: ServiceId,
    },
    /// A candidate of a service that is not split, so that nothing says which requests it gets.
    #[error("replica {replica} is a candidate, and its service has no split")]
    Unsplit {
        /// Which.
        replica: ReplicaId,
    },
    /// A share above [`crate::SHARE_PERMILLE_MAX`].
    #[error("service {service} gives its candidates {share_permille} of 1000 requests, which is outside 0 to {max}", max = crate::SHARE_PERMILLE_MAX)]
    Share {
        /// Whose.
        service: ServiceId,
        /// What was written.
        share_permille: u32,
    },
    /// The token of a split is empty, or cannot stand in a header. It is not shown.
    #[error("the token of the split of service {service} is empty or has a character that a header cannot hold")]
    Token {
        /// Whose.
        service: ServiceId,
    },
    /// An entry of a split's list names what no header or cookie can be called.
    #[error("`{name}` in the split of service {service} is no name of a header, in lower case, or cookie")]
    AllowName {
        /// Whose.
        service: ServiceId,
        /// What was written.
        name: String,
    },
    /// One service is described twice.
    #[error("service {service} is described twice")]
    ServiceTwice {
        /// Which.
        service: ServiceId,
    },
}

impl SnapshotError {
    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Format { .. } => {
                "the daemon that wrote it is of another version: `tend upgrade` brings both to one"
            }
            Self::Ambiguous { .. } => "give one of the two routes another host or path; `tend check` names the lines",
            Self::AllowName { .. } => "correct the list of the canary in the stack file; `tend check` names the line",
            Self::Host { .. } | Self::PathPrefix { .. } => {
                "correct the route in the stack file; `tend check` names the line"
            }
            _ => "this is a mistake of the daemon: please report it with the snapshot",
        }
    }
}

/// Says why a connection does not begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    /// It begins with something else.
    #[error("the connection does not begin with a PROXY header")]
    NoHeader,
    /// It begins like a header and goes on otherwise.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// It is longer than any that has to be read.
    #[error("the PROXY header is longer than {max} bytes", max = crate::PROXY_HEADER_BYTES_MAX)]
    TooLong,
}

/// Says why the bytes of a file are no bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BanFileError {
    /// It begins otherwise.
    #[error("this is no file of bans")]
    NoBans,
    /// Written in another format.
    #[error("the file of bans has format {found}, this edge reads {known}")]
    Format {
        /// What the file says.
        found: u32,
        /// The one this program reads.
        known: u32,
    },
    /// Cut, or with something behind its end.
    #[error("the file of bans has {found} bytes where its head says {expected}")]
    Length {
        /// Its length.
        found: usize,
        /// By what its head says.
        expected: usize,
    },
    /// Changed after it was written.
    #[error("the check sum of the file of bans is wrong")]
    Sum,
    /// A prefix longer than an address.
    #[error("the record at byte {offset} of the file of bans has a prefix longer than its address")]
    Record {
        /// Where.
        offset: usize,
    },
}
