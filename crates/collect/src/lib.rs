//! Built-in collectors of metrics: the host, processes, PostgreSQL, MySQL and Redis, under the names, labels and units of the exporters that
//! users' rules were written for.
//!
//! Map: [`Collector`] is what all of them are; [`Node`], [`Processes`], [`Postgres`], [`Mysql`], [`Redis`]. Each reads what there is into
//! `families`, whose text it gives. It knows no store, no interval and no target: who asks does.
//!
//! Invariants: whatever hangs, a round ends within its limits (tests `a_mount_that_hangs_costs_its_limit_once_and_is_told_as_broken_until_it_answers`,
//! `a_redis_that_says_nothing_is_away`); a server that is away is told by its `*_up` (`servers_that_are_away_are_told_by_up`); no password
//! stands in a text or an error (`no_password_is_shown`); no answer of a Redis makes it panic (`no_bytes_make_it_panic`).

mod blocking;
mod collector;
mod error;
mod families;
mod files;
mod mysql;
mod node;
mod postgres;
mod process;
mod redis;

pub use collector::{Collecting, Collector};
pub use error::CollectError;
pub use mysql::Mysql;
pub use node::Node;
pub use postgres::Postgres;
pub use process::{Processes, ReplicaProcess};
pub use redis::{Redis, RedisAddress};
