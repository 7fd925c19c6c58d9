//! The configuration of a stack: keys, layers, sets, revisions, and what a change asks of whom.
//!
//! Map: [`Schema`] declares the keys; [`Layers`] are the texts, rows and variables that say something about them; [`Set::build`] makes
//! one set of all of them or a [`Report`] of everything that is wrong; [`take()`] decides whether it becomes the next [`Revision`];
//! [`plan`] says what the change asks of each service, [`render`] writes what a service is given, and [`liveness`] says when a revision
//! is live, by what [`Deliveries`] has observed of who was given what. Below them: `yaml` and `json` read texts into a tree that knows its places, `interpolate` knows references to secrets,
//! `flatten` finds the keys, `decimal` and `quantity` keep numbers exact. Places, variables and how all of it is told are `tend_text`'s.
//!
//! Invariant: nothing here reads a disk, a clock or the environment of the process.
//! Invariant: no text makes it panic, and every error has a place (the tests `malformed`, `mutation` and the fuzz targets `config_*`).
//! Invariant: a secret's value is in no message, no set that can be printed, and no revision.

mod ask;
mod assumed;
mod build;
mod decimal;
mod delivery;
mod error;
mod flatten;
mod interpolate;
mod json;
mod layers;
mod live;
mod offers;
mod quantity;
mod render;
mod revision;
mod schema;
mod set;
mod stand;
mod started;
mod take;
mod value;
mod yaml;

pub use ask::{Ask, Asked, Selection, Taker, plan};
pub use assumed::{assumed_secret, named_secrets};
pub use decimal::Decimal;
pub use delivery::{Deliveries, News, Part, Publication, TakingReplica, Telling, Told, Way};
pub use error::Error;
pub use layers::{Layer, Layers, Origin, Row, SetEntry, SetLayer, StoredSecret};
pub use live::{Holding, LATE_AFTER, Liveness, liveness};
pub use render::{Given, environment, given, render, variable};
pub use revision::{History, Revision};
pub use schema::{Key, Preset, Reload, Required, Schema, Shape, Type, docs, json_schema};
pub use set::{Change, Diff, Entry, Said, Set, Whence, Why};
pub use stand::{Offer, Record, Source, Sources, Stand};
pub use started::{STARTED_FOR, started_with};
pub use take::{Candidate, Confirm, Standing, Step, Taken, take, take_back};
pub use tend_text::{Diagnostic, Location, Report, Severity};
pub use value::{Held, SecretRef, SecretVersion, Value};
