//! The monitor: one process that scrapes, evaluates rules, pages, and answers the APIs of Prometheus and Alertmanager.
//!
//! Map: `role` is the process; `machine` all that is watched, `stack` one stack of it, `plan` what its texts come to, `local` what is measured
//! here; `view` is what a stack sees of the store, `remote` another server in its place, `write_out` who else gets the samples, `judge` whether what
//! rules read is there; `backend` is what a stack shows at the `doors` (`own` are ours), `server` HTTP; `alerts` what became of alerts; `send`
//! tells receivers, `trial` tests that they can be told, `dead_man` gives signs of life while they are; [`Snapshot`] is what the daemon says, [`Note`]
//! what the journal is to hear, in `outbox` until it did; `kept_file` keeps values also on a full disk.
//!
//! It knows no stack file and no replica: the daemon says whom to ask. What it decides is decided in the pure crates that it joins.
//!
//! Invariants: what receivers were told outlives a kill at any moment (e2e `what_fires_is_told_once_over_kills_of_the_daemon_and_of_the_monitor`); no
//! stack sees another's series (`a_stack_sees_its_own_series_and_those_of_the_machine`); a file that is wrong leaves standing what stood before (e2e
//! `what_is_wrong_leaves_standing_what_stood_and_is_told_with_its_line`).

mod alerts;
mod backend;
mod dead_man;
mod doors;
mod error;
mod judge;
mod kept_file;
mod local;
mod machine;
mod outbox;
mod own;
mod plan;
mod random;
mod remote;
mod role;
mod send;
mod server;
mod snapshot;
mod stack;
mod trial;
mod view;
mod world;
mod write_out;

use std::time::Duration;

pub use doors::Hello;
pub use error::MonitorError;
pub use local::{DaemonGather, EdgeGather};
pub use outbox::Note;
pub use role::{MonitorConfig, monitor_main};
pub use snapshot::{
    FileText, GoingsOn, Heartbeat, Pace, ProcessTarget, RemoteWrite, ReplicaTarget, SNAPSHOT_VERSION, ServerKind,
    ServerTarget, Snapshot, StackPart,
};
pub use tend_alert::{Change, Deploying};
pub use tend_scrape::{Gather, Gathered};

use tend_base::{Clock, SystemClock};

/// The time of day, in milliseconds since 1970.
fn now_ms() -> i64 {
    i64::try_from(SystemClock.now().wall.0).unwrap_or(i64::MAX)
}

/// How long it is until a moment; nothing when it has passed.
fn until(moment_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(moment_ms - now_ms()).unwrap_or(0))
}
