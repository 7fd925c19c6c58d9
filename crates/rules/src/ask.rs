//! What templates of rules may ask: queries go to the store the rule itself was evaluated over, at the same moment.
//!
//! Owns how a result becomes what a template is given. Time zones and the address are those of the world that is handed in.

use tend_promql::{EvalOptions, ParseOptions, Query, Store, Timestamp, Value};
use tend_template::{Offset, Sample, Time, World};

/// The world of one evaluation.
pub(crate) struct Asking<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) at: Timestamp,
    pub(crate) options: &'a EvalOptions,
    pub(crate) around: &'a mut dyn World,
}

impl World for Asking<'_> {
    fn query(&mut self, expression: &str) -> Result<Vec<Sample>, String> {
        let query = Query::new(expression, ParseOptions::default()).map_err(|error| error.to_string())?;
        let outcome = query
            .instant(self.store, self.at, self.options)
            .map_err(|error| error.to_string())?;
        match outcome.value {
            Value::Vector(samples) => Ok(samples
                .into_iter()
                .map(|one| Sample {
                    labels: one
                        .labels
                        .iter()
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect(),
                    value: one.sample.value,
                })
                .collect()),
            Value::Scalar(sample) => Ok(vec![Sample {
                value: sample.value,
                ..Sample::default()
            }]),
            Value::Text(_) | Value::Matrix(_) => Err("query result is not a vector or scalar".to_owned()),
        }
    }

    fn now(&self) -> Time {
        Time::from_millis(self.at)
    }

    fn zone(&self, name: &str, unix: i64) -> Option<Offset> {
        self.around.zone(name, unix)
    }

    fn external_url(&self) -> &str {
        self.around.external_url()
    }
}
