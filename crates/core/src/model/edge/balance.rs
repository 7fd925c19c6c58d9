//! How a service's requests are divided among those that can answer them, and when one is left out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who answers under a name of `edge.upstreams`, and how requests are divided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Outside servers. Empty: the replicas of the service of that name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Server>,
    /// How.
    #[serde(default)]
    pub balance: Balance,
}

/// A server that tend does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share relative to the others, 1 to 1000.
    pub weight: u32,
}

/// How requests are divided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Balance {
    /// By what.
    pub method: Method,
    /// So many failures within `fail_timeout` leave a server out (nginx's `max_fails`); 0 never.
    pub max_fails: u32,
    /// See `max_fails`; also for how long it is left out.
    pub fail_timeout: Duration,
    /// A server that has just come gets its share only after so long, growing evenly; at once when zero.
    pub slow_start: Duration,
    /// Idle connections kept to each server, by each thread of the edge (nginx's `keepalive`). With the 32 of the guides and more than
    /// that in flight, nginx closes and opens connections all the time, at 1.8 times the CPU.
    pub keepalive: u32,
    /// Connections open at once to each server, over all threads; any number when absent.
    pub connections_max: Option<u32>,
    /// What is spoken with the servers.
    pub protocol: Protocol,
    /// How TLS is spoken with the servers; not at all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Leaves out who answers worse than the others.
    pub outlier: Option<Outlier>,
    /// Stops asking for a while when most answers are failures.
    pub breaker: Option<Breaker>,
    /// Asks outside servers whether they are well; replicas are probed by supervision.
    pub check: Option<ActiveCheck>,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            method: Method::LeastConnections,
            max_fails: 3,
            fail_timeout: Duration::from_secs(30),
            slow_start: Duration::ZERO,
            keepalive: 128,
            connections_max: None,
            protocol: Protocol::Http1,
            tls: None,
            outlier: None,
            breaker: None,
            check: None,
        }
    }
}

/// By what requests are divided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The fewest requests in flight for the weight.
    #[default]
    LeastConnections,
    /// In turn, by weight.
    RoundRobin,
    /// The less loaded of two drawn at random.
    PowerOfTwo,
    /// The same server for the same key, as far as servers stay (consistent hashing).
    Hash(HashKey),
}

/// What is hashed. A request without it is given by least connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashKey {
    /// The client's address.
    Client,
    /// A request header, in lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// What is spoken with servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: without TLS with prior knowledge, as gRPC servers speak it; with TLS agreed on by ALPN.
    Http2,
}

/// How TLS is spoken with servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerTls {
    /// The name their certificates have to be for, which they are told as well (SNI); their IP addresses when absent.
    pub name: Option<String>,
    /// Authorities in PEM whose certificates are trusted; those of the system when absent.
    pub roots: Option<PathBuf>,
    /// Whether their certificates are looked at. Without it anybody between us and them can read and change everything.
    pub verify: bool,
}

impl Default for ServerTls {
    fn default() -> Self {
        Self {
            name: None,
            roots: None,
            verify: true,
        }
    }
}

/// When a server answers so much worse than the others that it is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outlier {
    /// Looked at so often.
    pub interval: Duration,
    /// Only with so many answers in the interval.
    pub requests_min: u32,
    /// Left out when the share of its failures (500 and above, or none) is above that of the others by so much, of a thousand.
    pub worse_permille: u32,
    /// First for so long, doubling each time.
    pub ejection: Duration,
    /// Never more than this share of the servers, of a thousand; at least one stays.
    pub ejected_permille_max: u32,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            requests_min: 100,
            worse_permille: 200,
            ejection: Duration::from_secs(30),
            ejected_permille_max: 500,
        }
    }
}

/// When a service is not asked at all for a while, so that it can recover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// Opens when so many of a thousand answers within `window` are failures.
    pub failures_permille: u32,
    /// Only with so many answers in the window.
    pub requests_min: u32,
    /// See `failures_permille`.
    pub window: Duration,
    /// Stays open so long; then one request is a trial.
    pub open: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures_permille: 500,
            requests_min: 20,
            window: Duration::from_secs(10),
            open: Duration::from_secs(5),
        }
    }
}

/// Asks whether a server is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActiveCheck {
    /// The path asked for; 200 to 399 is well.
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// An answer may take so long.
    pub timeout: Duration,
    /// So many failures in a row, and it is left out.
    pub fails: u32,
    /// So many successes in a row, and it is back.
    pub passes: u32,
}

impl Default for ActiveCheck {
    fn default() -> Self {
        Self {
            path: "/health".to_owned(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            fails: 3,
            passes: 2,
        }
    }
}
