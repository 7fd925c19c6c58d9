//! What can be wrong with what a stack says of its scorecard.

use tend_core::model::Figure;
use tend_promql::{ParseError, ValueType};

/// Why a figure cannot be judged as it is written.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// Its query is no PromQL.
    #[error("the query of `metrics.score.{}` could not be read", figure.name())]
    Read {
        /// Of which figure.
        figure: Figure,
        /// What is wrong, and where in the query.
        source: Box<ParseError>,
    },
    /// Its query gives something that is no number.
    #[error("the query of `metrics.score.{}` gives {gives}, not numbers", figure.name())]
    Kind {
        /// Of which figure.
        figure: Figure,
        /// What it gives.
        gives: &'static str,
    },
}

impl ScoreError {
    pub(crate) fn kind(figure: Figure, gives: ValueType) -> Option<Self> {
        let gives = match gives {
            ValueType::Scalar | ValueType::Vector => return None,
            ValueType::Matrix => "ranges of samples",
            ValueType::Text => "a text",
        };
        Some(Self::Kind { figure, gives })
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "try it first: `tend metrics query QUERY`",
            Self::Kind { .. } => "write what gives one number for each series, such as rate(requests_total[5m])",
        }
    }
}
