//! Why there was nothing to take of a target, for a person. Knows no exit codes.

use std::io;
use std::path::PathBuf;

use tend_exposition::BadLine;
use tend_fetch::FetchError;

/// Why a scrape failed.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// Who we are, or where, cannot be said: the file of a password cannot be read.
    #[error("could not read `{path}`")]
    ReadSecret {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was not reached, or broke off, or did not end in time.
    #[error("no answer")]
    Ask {
        /// Why.
        source: FetchError,
    },
    /// It answered, and not with metrics.
    #[error("the answer has the status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// A collector of ours had nothing, or took too long.
    #[error("could not gather: {why}")]
    Gather {
        /// Its own words.
        why: String,
    },
    /// The body is larger than it may be.
    #[error("the body is larger than {limit} bytes (body_size_limit)")]
    TooLarge {
        /// How large it may be.
        limit: u64,
    },
    /// The job has more targets than it may have, so none is taken.
    #[error("the job has {targets} targets, and may have {limit} (target_limit)")]
    TooManyTargets {
        /// How many.
        targets: usize,
        /// How many it may have.
        limit: usize,
    },
    /// There are more samples than there may be.
    #[error("{samples} samples are left after relabelling, and there may be {limit} (sample_limit)")]
    TooManySamples {
        /// How many.
        samples: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A series has more labels than it may have, or longer ones.
    #[error("the series `{series}` has {found} {what}, and may have {limit} ({key})")]
    Labels {
        /// The series' name, shortened.
        series: String,
        /// How many or how long.
        found: usize,
        /// Of what.
        what: &'static str,
        /// How many or how long it may be.
        limit: usize,
        /// The limit's name.
        key: &'static str,
    },
    /// Relabelling took the name of a series away.
    #[error("metric_relabel_configs leave a series without its name: {series}")]
    NoName {
        /// What is left of it.
        series: String,
    },
    /// OpenMetrics without its end.
    #[error("the body was cut: it does not end with `# EOF`")]
    Cut,
    /// Nothing in the body is a sample, and something is there.
    #[error("nothing in the body is a metric; line {}: {}", .first.number, .first.reason)]
    NotMetrics {
        /// The first line, and what is wrong with it.
        first: BadLine,
    },
}

impl ScrapeError {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::ReadSecret { .. } => "see that the file is there and that tend may read it",
            Self::Ask { source } => source.hint(),
            Self::Status { .. } => "look at `metrics_path`, and at who may ask there",
            Self::Gather { .. } => "see that what is gathered from runs and lets us in",
            Self::TooLarge { .. } => "raise `body_size_limit`, or have the exporter say less",
            Self::TooManyTargets { .. } => "raise `target_limit`, or drop targets with relabel_configs",
            Self::TooManySamples { .. } => "raise `sample_limit`, or drop series with metric_relabel_configs",
            Self::Labels { .. } => "raise the limit, or drop the series or label with metric_relabel_configs",
            Self::NoName { .. } => "let no rule of relabelling empty `__name__`; `action: drop` drops a series",
            Self::Cut => "what is missing is not known, so nothing was taken; look at the exporter's own log",
            Self::NotMetrics { .. } => "look at `metrics_path`; a page for people looks like this",
        }
    }

    /// Returns the error and its causes as one sentence.
    #[must_use]
    pub fn with_causes(&self) -> String {
        tend_base::without_os_numbers(&tend_base::with_causes(self))
    }
}
