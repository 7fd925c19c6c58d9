//! The data plane: accepts connections and forwards requests to replicas.
//!
//! Map: [`edge_main`] is the process; `control` does what the daemon says over `control_socket` (`frame`, `message`); `live` is the
//! snapshot in service; each `worker` is a thread that accepts (`listeners`) and hands connections to `engine`, which asks
//! `exchange` where each request goes, once the `gate`s let it pass; before that, `tls` shakes hands where a listener wants it, and both
//! give engines a `stream`; `access_log`, `latency` and `answer` are what the names say.
//!
//! Invariants: the control side is never on the way of a request; nothing a client sends is waited for without a deadline; nothing
//! is queued without a bound. Which replica, whether to repeat and whom to leave out is decided in `tend-routing`.

mod access_log;
mod answer;
mod control;
mod control_socket;
mod engine;
mod error;
mod exchange;
mod frame;
mod gate;
mod latency;
mod limits;
mod listeners;
mod live;
mod message;
mod role;
mod stream;
mod tls;
mod worker;

pub use access_log::LogRotation;
pub use control_socket::ControlClient;
pub use error::EdgeError;
pub use limits::Patience;
pub use message::{
    CertificateStats, FromEdge, HandedSocket, PROTOCOL_VERSION, ReplicaStats, Stats, TlsStats, ToEdge, Unbound,
    Unreadable,
};
pub use role::{EdgeConfig, edge_main};
