//! The data plane: accepts connections and forwards requests to replicas.
//!
//! Map: [`edge_main`] is the process; `control` does what the daemon says over `control_socket` (`frame`, `message`); `live` is the
//! snapshot in service; each `worker` is a thread that accepts (`listeners`) and, past `arrival` and, where a listener wants it, the
//! handshake of `tls`, hands a `stream` to `engine`, which asks
//! `exchange` where each request goes, once the `gate`s let it pass; what limits count is in `zone`, who is let in nowhere in `bans`;
//! `minder` looks after servers beside the requests; `content` and `encode` are what is done to answers on their way;
//! `access_log`, `metrics`, `trace`, `latency`, `answer` and `refusal` are what the names say.
//! Money: `call` holds requests and answers whole, `vault` keeps them on disk, `replay` delivers callbacks that were kept.
//!
//! Invariants: the control side is never on the way of a request; nothing a client sends is waited for without a deadline; nothing
//! is queued without a bound. Which replica, whether to repeat and whom to leave out is decided in `tend-routing`.

mod access_log;
mod answer;
mod arrival;
mod bans;
mod call;
mod content;
mod control;
mod control_socket;
mod encode;
mod engine;
mod error;
mod exchange;
mod follow;
mod frame;
mod gate;
mod latency;
mod limits;
mod listeners;
mod live;
mod message;
mod metrics;
mod minder;
mod notes;
mod number;
mod refusal;
mod replay;
mod role;
mod stream;
mod tls;
mod trace;
mod vault;
mod worker;
mod zone;

pub use access_log::LogRotation;
pub use content::ERROR_PAGE_BYTES_MAX;
pub use control_socket::ControlClient;
pub use error::EdgeError;
pub use limits::Patience;
pub use message::{
    CertificateStats, CircuitStats, FromEdge, HandedSocket, LimitKind, LimitStats, PROTOCOL_VERSION, ReplicaStats,
    Stats, TlsStats, ToEdge, Unbound, Unreadable,
};
pub use role::{EdgeConfig, edge_main};
pub use tls::check_authorities;
