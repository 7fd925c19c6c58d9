//! What is wrong with a request, or why it has no answer: Prometheus' kinds of errors with their statuses, and its texts where it has one.

use tend_promql::{Error as QueryError, ParseError, StoreError};

use crate::write::BYTES_MAX;

/// Why a request has no answer. Its text is what the caller reads.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A parameter cannot be read.
    #[error("invalid parameter \"{name}\": {what}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A query in a parameter is none.
    #[error("invalid parameter \"{name}\": {source}")]
    Query {
        /// Which.
        name: &'static str,
        /// Where and why.
        source: ParseError,
    },
    /// The request asks for what cannot be.
    #[error("{0}")]
    BadData(String),
    /// The query was read and cannot be evaluated.
    #[error("{0}")]
    Execution(String),
    /// It took too long.
    #[error("query timed out in {during}")]
    Timeout {
        /// What was done when the time was over.
        during: &'static str,
    },
    /// The store could not answer.
    #[error("expanding series: {0}")]
    Store(#[from] StoreError),
    /// Requests are not served yet.
    #[error("{0}")]
    Unavailable(String),
}

impl DoorError {
    /// Returns Prometheus' name for errors of this kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            DoorError::Parameter { .. } | DoorError::Query { .. } | DoorError::BadData(_) => "bad_data",
            DoorError::Execution(_) => "execution",
            DoorError::Timeout { .. } => "timeout",
            DoorError::Store(_) => "internal",
            DoorError::Unavailable(_) => "unavailable",
        }
    }

    /// Returns the status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            DoorError::Parameter { .. } | DoorError::Query { .. } | DoorError::BadData(_) => 400,
            DoorError::Execution(_) => 422,
            DoorError::Timeout { .. } | DoorError::Unavailable(_) => 503,
            DoorError::Store(_) => 500,
        }
    }

    pub(crate) fn parameter(name: &'static str, what: impl Into<String>) -> DoorError {
        DoorError::Parameter {
            name,
            what: what.into(),
        }
    }

    /// Why a query that was read gave nothing.
    pub(crate) fn evaluating(error: QueryError) -> DoorError {
        match error {
            QueryError::Store(source) => DoorError::Store(source),
            QueryError::Pattern { pattern, source } => {
                DoorError::BadData(format!("could not read the regular expression `{pattern}`: {source}"))
            }
            other => DoorError::Execution(other.to_string()),
        }
    }
}

/// Why a body is no remote write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is not packed as it should be.
    #[error("snappy: {0}")]
    Snappy(&'static str),
    /// It unpacks to more than is taken.
    #[error("the body unpacks to {bytes} bytes, and no more than {BYTES_MAX} are taken; send smaller batches")]
    TooLarge {
        /// How many.
        bytes: u64,
    },
    /// What is packed is no such message.
    #[error("proto: {0}")]
    Message(&'static str),
}
