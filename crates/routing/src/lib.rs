//! Which replica a request goes to, and whether to any: routes, balancing, ejection, limits, bans, and when a failed try may be repeated.
//!
//! Map: [`Snapshot`] what the daemon tells the edge, [`RouteTable`] which service answers a request, [`choose`] which of its replicas,
//! [`Health`], [`outliers`] and [`Wellness`] which replicas are left out for a while, [`Circuit`] when a whole service is, [`Split`] which requests a new release gets, [`may_retry`] what happens after a
//! failure. Before that: [`BanSet`] who is let in nowhere, [`Hops`] and [`proxy_header`] for whom a request comes, [`limit_key`] who is
//! counted as one, [`Leak`] how often one may ask, with its state in a [`BucketTable`].
//!
//! Invariant: nothing here reads a clock, a disk or a socket; time comes in as [`tend_base::Mono`]. Nothing on the way of a
//! request allocates.

mod balance;
mod ban_file;
mod ban_set;
mod bucket_table;
mod circuit;
mod ejection;
mod error;
mod hash_key;
mod hops;
mod leak;
mod limit_key;
mod outlier;
mod proxy_header;
mod retry;
mod snapshot;
mod split;
mod table;
mod wellness;

pub use balance::{By, Load, Standing, Turns, choose, pick, pick_by_hash, ramped};
pub use ban_file::{Ban, ban_file};
pub use ban_set::BanSet;
pub use bucket_table::BucketTable;
pub use circuit::{Circuit, Pass, Switched};
pub use ejection::{Availability, EjectionPolicy, Failure, Health, Ticket, Verdict};
pub use error::{BanFileError, ProxyHeaderError, SnapshotError};
pub use hash_key::hash_key;
pub use hops::{HOPS_MAX, Hops, trusts};
pub use leak::{Bucket, Leak, Leaked};
pub use limit_key::{limit_key, network_of};
pub use outlier::{Sample, ejection_time, outliers};
pub use proxy_header::{PROXY_HEADER_BYTES_MAX, ProxyHeader, proxy_header};
pub use retry::{Refusal, Try, is_idempotent, may_retry};
pub use snapshot::{
    BansFile, Certificate, Challenges, FORMAT_VERSION, Http01, ListenerTls, Maintenance, Pause, Replica, ReplicaState,
    Route, Service, Snapshot, WEIGHT_MAX,
};
pub use split::{Aim, CANDIDATE_HEADER, Fields, SHARE_PERMILLE_MAX, Split};
pub use table::{Match, RouteTable};
pub use wellness::Wellness;
