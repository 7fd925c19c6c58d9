//! Rules over a store of metrics: when they are evaluated and what that gives, whether they can work at all, and their tests.
//!
//! Map: [`Engine`] is all groups: which are [`Due`], what an evaluation gives ([`Evaluated`]), what is [`Kept`]; `group` and `standing` are a
//! group and a rule from one evaluation to the next, `schedule` when they are due, `overlay` the store with this moment's results over it, `ask`
//! what templates may ask. [`Twin`] says that series a rule reads are gone. [`replay`] looks back over what was. [`check`] says of rules what is
//! wrong with them, over a [`Catalogue`] of what there is. [`CaseFile`] are unit tests of rules as `promtool` reads them.
//!
//! Nothing here has a clock, a disk or a socket: times come in as milliseconds since 1970, and what is to be written comes out.
//!
//! Invariants stand at the top of the files that keep them.

mod ask;
mod cases;
mod check;
mod engine;
mod error;
mod group;
mod kept;
mod overlay;
mod replay;
mod schedule;
mod standing;
mod twin;

pub use cases::{AlertCase, Case, CaseFile, ExpectedAlert, Failure, InputSeries, QueryCase};
pub use check::{About, Catalogue, Finding, Ground, MetricKind, Severity, check};
pub use engine::{Due, Ended, Engine, Options, Source};
pub use error::RulesError;
pub use group::{Around, Evaluated, Fared, StandingGroup};
pub use kept::{KEPT_VERSION, Kept, KeptGroup, KeptRule};
pub use replay::{EpisodeOfAlert, Past, Replayed, replay};
pub use schedule::Phase;
pub use standing::{Health, Standing};
pub use twin::{KeptTwin, Seen, TWIN_ANNOTATION, TWIN_LABEL, Twin};
