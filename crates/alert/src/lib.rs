//! Alerts: the rules that raise them, and who is told, when and in which words.
//!
//! Map: [`read_rules`] reads Prometheus' files of rules; [`Alerting`] is an alerting rule from one evaluation to the next and [`record`] what a
//! recording rule gives. [`read_config`] reads an `alertmanager.yml`; [`Pipeline`] takes alerts in, groups and routes them, and says what is to
//! be sent to whom; [`Silence`] and [`Care`] are what people say about alerts; [`notification`] and its neighbours write what is sent; [`ChainProof`] watches that anybody would hear of it.
//!
//! Nothing here has a clock, a disk or a socket: times come in as milliseconds since 1970, and what is to be sent goes out as values.
//!
//! Invariant: nothing that fires goes untold once its receiver is back, whatever was lost, failed or restarted in between (test `by_seeds`).
//! Invariant: what was confirmed is not told again before it is due, restarts included (test `by_seeds`).
//! Invariant: no value of a secret is in anything that can be printed (test `no_secret_is_shown`).

mod alert;
mod care;
mod change;
mod config;
mod dead_man;
mod error;
mod interval;
mod matching;
mod notify;
mod pipeline;
mod read;
mod rules;
mod silence;

pub use alert::{Alert, Posted, fingerprint};
pub use care::{Care, Episode, Mark, What};
pub use change::{CHANGES_MAX, CHANGES_WITHIN, Change};
pub use config::{Config, Globals, Inhibit, Integration, Kind, Receiver, Route, Setting, read_config};
pub use dead_man::{
    CHAIN_UNPROVEN, ChainProof, Heartbeat, KeptProof, Link, Missing, Proof, WATCHDOG, watchdog_interval,
};
pub use error::{AlertError, RuleError};
pub use interval::{TimeInterval, Zones};
pub use matching::{parse_matcher, parse_matchers, written};
pub use notify::{
    Accepted, CHANGES_ANNOTATION, Context, Language, Mail, Notification, NotifyError, Request, Verdict, Wire,
    notification,
};
pub use pipeline::{
    Answer, DeadLetter, Delivery, Deploying, Due, Held, Hushed, Kept, Log, Pace, Pipeline, Quiet, SETTLE, TEST_LABEL,
    Together, Told, Trial, TrialRoute, Why,
};
pub use read::{Keys, document};
pub use rules::alerting::{Active, Alerting, Element, GRACE, OUTAGE_MAX, RuleState};
pub use rules::expand::Surroundings;
pub use rules::file::{Group, Rule, RuleFile, RuleKind, read_rules};
pub use rules::recording::record;
pub use silence::{Silence, SilenceState};
