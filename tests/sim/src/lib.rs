//! The seeded simulator: the real controller with its chapters, over a fake host, edge and store, in virtual time.
//!
//! A seed makes a scenario, and the same seed and commit replay a run exactly. It proves the decisions, whatever is killed between any two
//! steps; it claims nothing about the real shells, which the end-to-end tests prove with real processes.
//!
//! Map: `deploys` what deploys add, `run` one run, `scenario` what it starts from, `trouble` what goes wrong and what people want, `perform` what a step does to
//! the `host`, `configure` and `keeper` what configuration adds, `store` what is durable, `monitor` what was told and decided, `invariants` what must hold, `alerts`
//! the chapter about alerts with all of its own, `trace` and `words` how it reads.

mod alerts;
mod configure;
mod deploys;
mod host;
mod invariants;
mod keeper;
mod monitor;
mod perform;
mod random;
mod run;
mod scenario;
mod store;
mod trace;
mod trouble;
mod words;

pub use invariants::Violation;
pub use keeper::Planted;
pub use random::Random;
pub use run::{Outcome, run, run_planted};
pub use scenario::{Chapter, Fault, Profile, Scenario};
pub use trace::Trace;
