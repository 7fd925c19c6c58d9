//! What daemon and edge say to each other. Owns the JSON of the messages; knows neither sockets nor what is done about them.
//!
//! Every message is one JSON object with `v`, the version of the protocol, and `type`. Unknown fields are ignored; an unknown type is
//! answered by `refused` and otherwise ignored, so an older edge can be asked something new.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tend_base::Wall;
use tend_core::model::{LimitKey, ReplicaId, ServiceId};
use tend_routing::Failure;

use crate::zone::Outcomes;

/// Version of the protocol. Raised only when an older side would misunderstand.
pub const PROTOCOL_VERSION: u32 = 1;

/// From the daemon, or whoever connects to the control socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToEdge {
    /// Answered by [`FromEdge::Hello`].
    Hello {
        /// Process id of the sender.
        pid: u32,
        /// Build of the sender.
        build: String,
    },
    /// Listening sockets, bound and listening, in the order of the descriptors that come with the message.
    ///
    /// To be sent before the snapshot that names their addresses; what no snapshot names is kept until the next snapshot.
    Listeners {
        /// One entry for each descriptor.
        sockets: Vec<HandedSocket>,
    },
    /// Serve this from now on. Answered by [`FromEdge::Serving`] or [`FromEdge::Refused`].
    Snapshot {
        /// A [`tend_routing::Snapshot`].
        snapshot: serde_json::Value,
    },
    /// Answered by one or more [`FromEdge::Listeners`], so that a daemon that came back holds the same sockets.
    GiveListeners,
    /// Answered by [`FromEdge::Stats`].
    Stats,
    /// Answered by [`FromEdge::Metrics`].
    Metrics,
    /// Stop accepting, finish what is in flight, exit.
    DrainAndExit {
        /// Exit after this even if something is still in flight, in milliseconds.
        deadline_ms: u64,
    },
}

/// A listening socket among the descriptors of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedSocket {
    /// The address as the snapshot names it.
    pub address: SocketAddr,
    /// Which of the edge's threads accepts on it, from 0; taken modulo the number of threads.
    pub thread: usize,
}

/// From the edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromEdge {
    /// Sent first on every connection, and in answer to a hello.
    Hello {
        /// Process id of the edge.
        pid: u32,
        /// Build of the edge.
        build: String,
        /// The generation it serves; the next snapshot must not have a lower one.
        generation: u64,
        /// So many threads accept; bind so many sockets for each address.
        threads: usize,
    },
    /// Some of the edge's listening sockets, in the order of the descriptors.
    Listeners {
        /// One entry for each descriptor.
        sockets: Vec<HandedSocket>,
        /// False when another message with more follows.
        last: bool,
    },
    /// The sockets handed over were taken.
    ListenersTaken {
        /// So many were new; the others the edge already had.
        new: usize,
    },
    /// Every thread serves this generation, and it is on disk.
    Serving {
        /// Of the snapshot.
        generation: u64,
        /// Addresses of the snapshot that could not be listened on.
        unbound: Vec<Unbound>,
        /// Certificates of the snapshot that could not be read. The others are shown.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unreadable: Vec<Unreadable>,
    },
    /// What was asked was not done.
    Refused {
        /// The type of the message.
        what: String,
        /// The reason, for a person.
        why: String,
        /// What to do next.
        hint: String,
        /// The generation still served.
        generation: u64,
    },
    /// The counters.
    Stats(Stats),
    /// The metrics, as Prometheus reads them (text form 0.0.4).
    Metrics {
        /// The page.
        text: String,
    },
    /// A replica answers, and what was counted of it. Sent when the first answer of its life was passed on to a client, and while its
    /// service is split about once a second, whether anything changed or not: what is lost is said again.
    ///
    /// The counts only grow, since this edge first heard of the replica: requests of clients, without those that ask for a candidate
    /// by its token. One that a client gave up on before there was an answer counts neither as a request nor as a failure.
    Answered {
        /// Whose replica.
        service: ServiceId,
        /// Who answered.
        replica: ReplicaId,
        /// In which of its lives.
        incarnation: u64,
        /// The status of its latest answer; 0 when there was none.
        status: u16,
        /// Requests that it answered or failed to; absent in messages of edges from before there were counts.
        #[serde(default)]
        requests: u64,
        /// Of these: answered with 500 or more, not answered (no connection, no head in time, cut, not HTTP), or cut by the replica
        /// in the middle of the answer.
        #[serde(default)]
        failed: u64,
    },
    /// A replica is left out for a while.
    Ejected {
        /// Which.
        replica: ReplicaId,
        /// In which of its lives.
        incarnation: u64,
        /// What tipped it.
        why: Failure,
        /// More about it for a person: what is wrong with the certificate of a server elsewhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// Until a trial, in milliseconds.
        lasts_ms: u64,
    },
    /// A trial succeeded.
    Readmitted {
        /// Which.
        replica: ReplicaId,
        /// In which of its lives.
        incarnation: u64,
    },
    /// How much a replica that is draining, or has left the snapshot, has in flight. After the one with 0 nothing is sent to it any
    /// more. Said when it begins, with each snapshot while there is something, when it becomes 0, and about once a second while the
    /// snapshot has the replica as draining.
    InFlight {
        /// Which.
        replica: ReplicaId,
        /// In which of its lives.
        incarnation: u64,
        /// Requests and upgraded connections.
        n: u32,
    },
    /// What became of a request that moves money is not known. Which one stands on disk, where who reads this finds it.
    MoneyInDoubt,
    /// Requests that move money are refused: what must be on disk before they are sent cannot be written.
    MoneyUnavailable {
        /// The reason, for a person.
        why: String,
        /// What to do next.
        hint: String,
    },
    /// The edge stops accepting and will exit.
    Draining {
        /// Connections still open.
        connections: u64,
    },
}

/// An address that could not be listened on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbound {
    /// Which.
    pub address: SocketAddr,
    /// What the kernel said.
    pub why: String,
}

/// A file of certificates that could not be read or used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The names it is for; none for a file of authorities whose clients are let in.
    pub names: Vec<String>,
    /// The file the snapshot names; `why` says which file it is about.
    pub path: PathBuf,
    /// The reason, for a person.
    pub why: String,
    /// What was in use before for one of the names still is. Without it clients that ask for the names are shown another certificate;
    /// a listener that demands certificates lets nobody in without its authorities.
    pub last_good: bool,
}

/// The counters since the edge started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The generation served.
    pub generation: u64,
    /// Connections of clients now open.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Requests answered, in whatever way.
    pub requests: u64,
    /// Answers the edge gave by itself, by the code in `X-Tend-Error`.
    pub errors: Vec<(String, u64)>,
    /// Requests that wait for the end of a pause now.
    #[serde(default)]
    pub paused: u64,
    /// What became of handshakes, and what is shown in them.
    #[serde(default)]
    pub tls: TlsStats,
    /// Access log lines dropped because the disk was behind or failed.
    pub log_lines_dropped: u64,
    /// The replicas of the snapshot, and those that left it with something in flight.
    pub replicas: Vec<ReplicaStats>,
    /// The limits of the snapshot; absent in messages of edges from before there were limits.
    #[serde(default)]
    pub limits: Vec<LimitStats>,
    /// The circuits of the snapshot's services.
    #[serde(default)]
    pub circuits: Vec<CircuitStats>,
    /// Connections and requests of banned addresses that were refused.
    #[serde(default)]
    pub banned: u64,
    /// Connections that did not begin with the PROXY header their listener asks for.
    #[serde(default)]
    pub proxy_headers_bad: u64,
}

/// The circuit of one service. The counters go on from snapshot to snapshot, while its rules stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitStats {
    /// Whose.
    pub service: ServiceId,
    /// Nothing is asked of it now, but for a trial.
    pub open: bool,
    /// So often it opened.
    pub opened: u64,
    /// Requests answered with 503 meanwhile.
    pub refused: u64,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Requests in a time.
    Rate,
    /// Requests at once.
    InFlight,
    /// Connections at once that changed their protocol.
    Upgraded,
    /// Connections at once from one client.
    Connections,
    /// How fast a body has to come. Only what was refused, or would have been, is counted.
    UploadRate,
    /// How large a body may be, where the route says so. Only what was refused, or would have been, is counted.
    Body,
}

/// The counters of one limit. They go on from snapshot to snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStats {
    /// What it counts.
    pub kind: LimitKind,
    /// The stack whose rates of that name count together, with which the name begins; empty for the others.
    pub stack: String,
    /// Of a rate its name, of another limit of a route its host and path, of connections the listener's address.
    pub name: String,
    /// Who is counted as one: `client`, `route`, `header NAME` or `claim NAME`.
    pub key: String,
    /// Let through at once.
    pub admitted: u64,
    /// Let through after a wait.
    pub delayed: u64,
    /// Refused.
    pub refused: u64,
    /// Let through where the limit, which is only tried out, would have refused or delayed.
    pub shadowed: u64,
}

impl LimitStats {
    pub(crate) fn of(kind: LimitKind, name: &str, key: &LimitKey, outcomes: &Outcomes) -> Self {
        let told = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            kind,
            stack: String::new(),
            name: name.to_owned(),
            key: match key {
                LimitKey::Client => "client".to_owned(),
                LimitKey::Route => "route".to_owned(),
                LimitKey::Header(name) => format!("header {name}"),
                LimitKey::Claim(name) => format!("claim {name}"),
            },
            admitted: told(&outcomes.admitted),
            delayed: told(&outcomes.delayed),
            refused: told(&outcomes.refused),
            shadowed: told(&outcomes.shadowed),
        }
    }
}

/// What became of handshakes of TLS, and what is shown in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsStats {
    /// Handshakes done in version 1.2.
    pub v12: u64,
    /// Handshakes done in version 1.3.
    pub v13: u64,
    /// Of these: by a ticket of an earlier connection.
    pub resumed: u64,
    /// Handshakes that came to nothing, by the reason: `closed` (the client left), `timeout`, `plain_http`, `not_tls`, `version`,
    /// `parameters`, `no_certificate` (of ours), `client_certificate` (none, or not trusted), `refused` (by the client).
    pub failures: Vec<(String, u64)>,
    /// The certificates that are shown, in the order of the snapshot.
    pub certificates: Vec<CertificateStats>,
}

/// A certificate that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStats {
    /// The names it is shown for.
    pub names: Vec<String>,
    /// Its file.
    pub chain: PathBuf,
    /// The end of its validity.
    pub expires: Wall,
    /// Until then; 0 afterwards.
    pub seconds_left: u64,
}

/// The counters of one life of one replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaStats {
    /// Which.
    pub replica: ReplicaId,
    /// In which of its lives.
    pub incarnation: u64,
    /// Requests and upgraded connections now on it.
    pub in_flight: u32,
    /// Heads of responses received from it.
    pub answered: u64,
    /// Tries that failed, by [`Failure::as_str`].
    pub failures: Vec<(String, u64)>,
    /// Whether it is left out now.
    pub ejected: bool,
    /// Of its latest answer; 0 when there was none.
    pub last_status: u16,
    /// Half of its answers took at most so many microseconds from sending the request to the head of the response, or up to a quarter less.
    pub p50_us: u64,
    /// 95 of a hundred did.
    pub p95_us: u64,
}

/// A message with its version.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope<T> {
    pub(crate) v: u32,
    #[serde(flatten)]
    pub(crate) message: T,
}

/// Writes a message as the bytes of a frame.
pub(crate) fn to_bytes(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(&Envelope {
        v: PROTOCOL_VERSION,
        message,
    })
    .expect("messages have nothing JSON cannot hold")
}
