//! Scraping: who is asked for metrics and when, as a `prometheus.yml` or the model says, and what becomes of the answers. It does not know what
//! a query or a rule is, nor where samples are kept: it hands them to `tend-metrics`.
//!
//! Map: [`read_config`] makes a [`Config`] of a file, with everything that is wrong or not done at its line; a [`Job`] of it, or one made of the
//! model, is given to a [`Scraper`]. `target` makes targets of what a job finds, `schedule` says when each is due; both are pure. `pool` keeps
//! the targets of a job, `files` reads those that files name; `follow` waits for one target, `ask` asks it over HTTP, [`Gather`] gathers here, and
//! `round` puts the answer into the store. [`Targets`] is what is told of it all.
//!
//! Invariants: no secret of a file can be printed, by a value or an error (test `no_secret_is_shown`); a target that hangs keeps no other from
//! being asked (`a_target_that_hangs_costs_nobody_else`); a target that stays when jobs are set anew has no gap
//! (`what_stays_goes_on_and_what_goes_ends`); no text makes reading panic (`fuzz_corpus_prometheus_config`).

mod ask;
mod config;
mod error;
mod files;
mod follow;
mod gather;
mod metadata;
mod paths;
mod pool;
mod read;
mod round;
mod schedule;
mod scraper;
mod target;
mod view;

pub use config::{
    Alertmanager, Authorization, BODY_BYTES_MAX, Config, DROPPED_SHOWN_MAX, Given, Global, Group, Http, Job, Limits,
    Protocol, Settings,
};
pub use error::ScrapeError;
pub use gather::{BuiltIn, Gather, Gathered};
pub use metadata::{JobMetadata, Metadata};
pub use paths::expand;
pub use read::{read_config, read_targets};
pub use scraper::Scraper;
pub use view::{DroppedView, Health, JobView, LastScrape, TargetView, Targets};
