//! The data plane: accepts connections and forwards requests to replicas.
//!
//! Map: [`edge_main`] is the process; `control` does what the daemon says over `control_socket` (`frame`, `message`); `live` is the
//! snapshot in service; each `worker` is a thread that accepts (`listeners`) and hands connections to `engine`, which asks
//! `exchange` where each request goes, once the `gate`s let it pass; `content` and `encode` are what
//! is done to answers on their way; `access_log`, `metrics`, `trace`, `latency` and `answer` are what the names say.
//!
//! Invariants: the control side is never on the way of a request; nothing a client sends is waited for without a deadline; nothing
//! is queued without a bound. Which replica, whether to repeat and whom to leave out is decided in `tend-routing`.

mod access_log;
mod answer;
mod content;
mod control;
mod control_socket;
mod encode;
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
mod metrics;
mod role;
mod trace;
mod worker;

pub use access_log::LogRotation;
pub use control_socket::ControlClient;
pub use error::EdgeError;
pub use limits::Patience;
pub use message::{FromEdge, HandedSocket, PROTOCOL_VERSION, ReplicaStats, Stats, ToEdge, Unbound};
pub use role::{EdgeConfig, edge_main};
