//! What a stack wants judged, and how it stands.

use std::collections::BTreeMap;

use serde::Serialize;
use tend_core::model::{Figure, FigureLimits, Language};
use tend_promql::{EvalOptions, Labels, METRIC_NAME, ParseOptions, Query, Shared, Store, Timestamp, Value};

use crate::error::ScoreError;
use crate::judge::{Level, judge};
use crate::query::default_query;
use crate::words;

/// The figures of a stack with their limits, their queries read.
#[derive(Clone, Debug)]
pub struct Scorer {
    figures: Vec<Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    figure: Figure,
    warning: f64,
    critical: f64,
    query: Query,
}

/// How a stack stands at a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// When, in milliseconds since 1970.
    pub at: Timestamp,
    /// Each figure that is looked at, in the guide's order.
    pub figures: Vec<Scored>,
}

/// How one figure stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Which.
    pub figure: Figure,
    /// How it stands.
    pub level: Level,
    /// Its value, in seconds, bytes, a share from 0 to 1 or a number; the worst where there are several. None when unknown.
    pub value: Option<f64>,
    /// Of what: the labels of that value.
    pub labels: BTreeMap<String, String>,
    /// The value that is no longer normal.
    pub warning: f64,
    /// The value beyond which it is critical.
    pub critical: f64,
    /// The query behind it.
    pub query: String,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
}

/// Why nothing is known of a figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why", content = "text")]
pub enum Unknown {
    /// Nothing that the query names is measured.
    NotMeasured,
    /// It is measured, and there was nothing to take a share or a mean of.
    NothingHappened,
    /// The query failed.
    Failed(String),
}

impl Scorer {
    /// Reads what a stack says; what it does not say is as in the guide.
    ///
    /// # Errors
    /// Each query that cannot be used.
    pub fn new(limits: &BTreeMap<Figure, FigureLimits>) -> Result<Self, Vec<ScoreError>> {
        let mut figures = Vec::new();
        let mut errors = Vec::new();
        for figure in Figure::ALL {
            let mut reference = figure.reference();
            let mut text = default_query(figure);
            match limits.get(&figure) {
                Some(FigureLimits::Off) => continue,
                Some(FigureLimits::Set {
                    warning,
                    critical,
                    query,
                }) => {
                    reference = (warning.unwrap_or(reference.0), critical.unwrap_or(reference.1));
                    text = query.as_deref().unwrap_or(text);
                }
                None => {}
            }
            match Query::new(text, ParseOptions::default()) {
                Ok(query) => match ScoreError::kind(figure, query.expr().value_type()) {
                    Some(error) => errors.push(error),
                    None => figures.push(Wanted {
                        figure,
                        warning: reference.0,
                        critical: reference.1,
                        query,
                    }),
                },
                Err(source) => errors.push(ScoreError::Read {
                    figure,
                    source: Box::new(source),
                }),
            }
        }
        match errors.is_empty() {
            true => Ok(Self { figures }),
            false => Err(errors),
        }
    }

    /// Judges each figure over a store at a time.
    #[must_use]
    pub fn score(&self, store: &dyn Store, at: Timestamp, options: &EvalOptions) -> Score {
        // A share asks for its whole more than once, and its series are many.
        let mut shared = Shared::of(self.figures.iter().map(|wanted| wanted.query.expr()), &|_| false);
        let figures = (self.figures.iter()).map(|wanted| wanted.score(store, at, options, &mut shared));
        Score {
            at,
            figures: figures.collect(),
        }
    }
}

impl Wanted {
    fn score(&self, store: &dyn Store, at: Timestamp, options: &EvalOptions, shared: &mut Shared) -> Scored {
        let less_is_worse = self.figure.less_is_worse();
        let (worst, unknown) = match self.query.instant_shared(store, at, options, shared) {
            Err(error) => (None, Some(Unknown::Failed(error.to_string()))),
            Ok(outcome) => worst(values(outcome.value), less_is_worse),
        };
        let (level, value, labels) = match worst {
            Some((value, labels)) => (
                judge(value, self.warning, self.critical, less_is_worse),
                Some(value),
                labels,
            ),
            None => (Level::Unknown, None, BTreeMap::new()),
        };
        Scored {
            figure: self.figure,
            level,
            value,
            labels,
            warning: self.warning,
            critical: self.critical,
            query: self.query.text().to_owned(),
            unknown,
        }
    }
}

fn values(value: Value) -> Vec<(f64, Labels)> {
    match value {
        Value::Scalar(sample) => vec![(sample.value, Labels::default())],
        Value::Vector(samples) => samples.into_iter().map(|one| (one.sample.value, one.labels)).collect(),
        // Queries that give these were refused.
        Value::Matrix(_) | Value::Text(_) => Vec::new(),
    }
}

/// What a value is of: its labels without the metric's name.
type Found = (f64, BTreeMap<String, String>);

fn worst(values: Vec<(f64, Labels)>, less_is_worse: bool) -> (Option<Found>, Option<Unknown>) {
    if values.is_empty() {
        return (None, Some(Unknown::NotMeasured));
    }
    let rank = |value: f64| if less_is_worse { -value } else { value };
    let numbers = values.into_iter().filter(|(value, _)| !value.is_nan());
    // Of equal ones the first, so that the same series give the same text.
    let found = numbers.reduce(|worst, other| if rank(other.0) > rank(worst.0) { other } else { worst });
    match found {
        None => (None, Some(Unknown::NothingHappened)),
        Some((value, labels)) => {
            let labels = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
            (Some((value, labels.collect())), None)
        }
    }
}

impl Score {
    /// Returns the worst level of all.
    #[must_use]
    pub fn worst(&self) -> Level {
        let levels = self.figures.iter().map(|scored| scored.level);
        levels.max().unwrap_or(Level::Unknown)
    }

    /// Returns it as series, so that rules and dashboards have it:
    ///
    /// - `tend_score{figure, level}`: 1 for the level that the figure has, 0 for the other three;
    /// - `tend_score_value{figure}`: its value, not there while it is unknown;
    /// - `tend_score_limit{figure, level}`: where the level `warning` begins and beyond what it is `critical`.
    #[must_use]
    pub fn series(&self) -> Vec<(Labels, f64)> {
        let mut series = Vec::new();
        for scored in &self.figures {
            let figure = scored.figure.name();
            let mut put = |name: &str, level: Option<Level>, value: f64| {
                let mut pairs = vec![(METRIC_NAME, name), ("figure", figure)];
                pairs.extend(level.map(|level| ("level", level.name())));
                series.push((Labels::from_pairs(pairs), value));
            };
            for level in Level::ALL {
                let has = scored.level == level;
                put("tend_score", Some(level), f64::from(u8::from(has)));
            }
            if let Some(value) = scored.value {
                put("tend_score_value", None, value);
            }
            put("tend_score_limit", Some(Level::Warning), scored.warning);
            put("tend_score_limit", Some(Level::Critical), scored.critical);
        }
        series
    }

    /// Returns it as a table for people, a line for each figure.
    #[must_use]
    pub fn table(&self, language: Language) -> String {
        words::table(self, language)
    }
}
