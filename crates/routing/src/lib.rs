//! Which replica a request goes to: routes, balancing, ejection, and when a failed try may be repeated.
//!
//! Map: [`Snapshot`] what the daemon tells the edge, [`RouteTable`] which service answers a request, [`choose`] which of its replicas,
//! [`Health`] which replicas are left out for a while, [`Split`] which requests a new release gets, [`may_retry`] what happens after a
//! failure.
//!
//! Invariant: nothing here reads a clock, a disk or a socket; time comes in as [`tend_base::Mono`]. Nothing on the way of a
//! request allocates.

mod balance;
mod ejection;
mod error;
mod retry;
mod snapshot;
mod split;
mod table;

pub use balance::{Load, Standing, choose, pick};
pub use ejection::{Availability, EjectionPolicy, Failure, Health, Ticket, Verdict};
pub use error::SnapshotError;
pub use retry::{Refusal, Try, is_idempotent, may_retry};
pub use snapshot::{
    BansFile, Certificate, Challenges, FORMAT_VERSION, Http01, ListenerTls, Maintenance, Pause, Replica, ReplicaState,
    Route, Service, Snapshot, WEIGHT_MAX,
};
pub use split::{Aim, CANDIDATE_HEADER, Fields, SHARE_PERMILLE_MAX, Split};
pub use table::{Match, RouteTable};
