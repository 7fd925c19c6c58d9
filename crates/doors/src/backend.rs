//! What stands behind the doors: the one trait that the monitor implements, and what it is told to do.
//!
//! A backend is what *one* caller may see: where series of other stacks are hidden, `store` hides them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tend_alert::{AlertError, Pipeline, Posted, Silence};
use tend_promql::{EvalOptions, Labels, Matcher, Selection, Store, StoreError, Timestamp};

use crate::facts::{About, Head, MetricMetadata, RuleGroup, Targets};
use crate::write::WriteRequest;

/// Something that can be asked and told. All times are milliseconds since 1970-01-01 UTC.
///
/// Requests come from several threads at once, so nothing takes `&mut self`. What has a default is right as it is and may be quicker otherwise.
pub trait Backend {
    /// The time now. It is asked during a query, too, to end one that takes too long.
    fn now(&self) -> Timestamp;

    /// What holds the series.
    fn store(&self) -> &dyn Store;

    /// How queries are evaluated.
    fn eval_options(&self) -> EvalOptions {
        EvalOptions::default()
    }

    /// The longest that a query may take, in milliseconds; two minutes, as in Prometheus.
    fn query_timeout(&self) -> i64 {
        120_000
    }

    /// Hands over the labels of each series that all matchers select and that may have samples in a time, both ends inclusive; once each.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn series(
        &self,
        matchers: &[Matcher],
        (from, to): (Timestamp, Timestamp),
        each: &mut dyn FnMut(&Labels),
    ) -> Result<(), StoreError> {
        self.store().select(
            &Selection::new(matchers, from, to).with_hints("series", 0, 0),
            &mut |labels, _| {
                each(labels);
                ControlFlow::Continue(())
            },
        )
    }

    /// The names of the labels of such series.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn label_names(&self, matchers: &[Matcher], range: (Timestamp, Timestamp)) -> Result<BTreeSet<String>, StoreError> {
        let mut names = BTreeSet::new();
        self.series(matchers, range, &mut |labels| {
            for (name, _) in labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        })?;
        Ok(names)
    }

    /// The values of a label of such series.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
    ) -> Result<BTreeSet<String>, StoreError> {
        let mut values = BTreeSet::new();
        self.series(matchers, range, &mut |labels| {
            let value = labels.get(name);
            if !value.is_empty() && !values.contains(value) {
                values.insert(value.to_owned());
            }
        })?;
        Ok(values)
    }

    /// What exporters say of their metrics: one for each target and metric.
    fn metadata(&self) -> Vec<MetricMetadata>;

    /// Who is scraped, and who was left out.
    fn targets(&self) -> Targets;

    /// The groups of rules with what became of them, sorted by file and name.
    fn rule_groups(&self) -> Vec<RuleGroup>;

    /// Shows the pipeline of alerts.
    fn alerts(&self, see: &mut dyn FnMut(&Pipeline));

    /// Does what somebody asks of the pipeline. An implementation locks it, calls [`Command::perform`], keeps what has to be kept, and writes
    /// who did what into the journal.
    ///
    /// # Errors
    /// What was refused. Of several alerts the others are taken.
    fn command(&self, command: Command, caller: &str) -> Result<(), Vec<AlertError>>;

    /// A new name that was never given before: a UUID as text, since `amtool` takes no other.
    fn fresh_id(&self) -> String;

    /// What `status` says of this program.
    fn about(&self) -> About;

    /// What is in memory.
    fn head(&self) -> Head;

    /// The text of the configuration of scraping, without secrets.
    fn config(&self) -> String;

    /// The text of the configuration of alerts, without secrets.
    fn alert_config(&self) -> String;

    /// Labels that are given to all series that leave this machine, by federation.
    fn external_labels(&self) -> Labels {
        Labels::EMPTY
    }

    /// Whether requests can be served; when not, why.
    ///
    /// # Errors
    /// Why not.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// Takes samples that somebody sent.
    ///
    /// # Errors
    /// When they were not taken, and whether it is worth sending them again.
    fn write(&self, request: WriteRequest) -> Result<(), WriteError>;
}

/// Why samples that were sent are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// Sending them again changes nothing: they are too old, or there is no room for more series.
    Refused(String),
    /// They can be sent again later.
    Later(String),
    /// Nothing is ever taken.
    Off,
}

/// What is asked of the pipeline of alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take alerts in.
    Post(Vec<Posted>),
    /// Make a silence, or change the one of that name.
    Silence(Silence),
    /// End a silence now.
    EndSilence {
        /// Its name.
        id: String,
    },
    /// Note that somebody knows of an alert.
    Acknowledge {
        /// Which.
        fingerprint: u64,
        /// Who.
        by: String,
        /// In which words.
        note: String,
    },
    /// Give an alert to somebody.
    Assign {
        /// Which.
        fingerprint: u64,
        /// Who gives it.
        by: String,
        /// To whom.
        to: String,
    },
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// What was refused.
    pub fn perform(self, pipeline: &mut Pipeline, now: Timestamp) -> Result<(), Vec<AlertError>> {
        let one = match self {
            Command::Post(posted) => {
                let refused = pipeline.receive(posted, now);
                return if refused.is_empty() { Ok(()) } else { Err(refused) };
            }
            Command::Silence(silence) => pipeline.silence(silence, now),
            Command::EndSilence { id } => pipeline.end_silence(&id, now),
            Command::Acknowledge { fingerprint, by, note } => pipeline.acknowledge(fingerprint, &by, &note, now),
            Command::Assign { fingerprint, by, to } => pipeline.assign(fingerprint, &by, &to, now),
        };
        one.map_err(|error| vec![error])
    }
}
