//! Decides when replicas start, are probed, restart and stop, and whom the edge may send requests to.
//!
//! Owns the order between services, the restart policy, the pace of probes, the way a replica leaves service. Knows no process,
//! clock or socket: it looks at a [`World`](tend_core::world::World) and returns steps.
//!
//! Map: `gate` who may start yet, `restart` when, `launch` how, `probe` whom to ask, `stop` who has to go,
//! `quiesce` what is emptied before, `route` what the edge is told, `state` what a person is told.
//!
//! Invariants:
//! - the edge is never pointed at a replica that is not ready (simulator);
//! - a replica that is wanted is never silent for ever: it is up, or waits for a stated time or dependency (simulator);
//! - a restart on purpose takes at most one replica of a service out of service (simulator);
//! - what is quiesced has nothing in flight when it is sent its stop signal, or its deadline is over (simulator).

mod chapter;
mod gate;
mod launch;
mod probe;
mod quiesce;
mod restart;
mod route;
mod state;
mod stop;

pub use chapter::Supervise;
pub use launch::{LOOPBACK, launch};
pub use state::{Goal, GoalState, ReplicaState, goals, replica_state};
