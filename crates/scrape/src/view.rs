//! What is told of targets: the API's `targets`, and the command line. Values only.

use tend_promql::Labels;

/// Whether a target answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It was not asked yet.
    Unknown,
    /// Its last scrape brought metrics.
    Up,
    /// Its last scrape failed.
    Down,
}

impl Health {
    /// Returns the word that Prometheus' API has for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// All targets at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// Those that are asked, in the order of the jobs.
    pub active: Vec<TargetView>,
    /// Those that relabelling dropped.
    pub dropped: Vec<DroppedView>,
    /// The jobs.
    pub jobs: Vec<JobView>,
}

/// A target that is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetView {
    /// The job that found it: `scrapePool` of the API.
    pub job: String,
    /// The labels of all its series.
    pub labels: Labels,
    /// The labels before relabelling.
    pub discovered: Labels,
    /// Where it is asked.
    pub url: String,
    /// How often, in milliseconds.
    pub interval_ms: i64,
    /// How long it may take, in milliseconds.
    pub timeout_ms: i64,
    /// When it is asked next, in milliseconds since 1970-01-01 UTC.
    pub due_ms: i64,
    /// What the last scrape said.
    pub last: LastScrape,
}

/// What is known of the last scrape of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct LastScrape {
    /// Whether it brought metrics.
    pub health: Health,
    /// When it began, in milliseconds since 1970-01-01 UTC; nothing before the first.
    pub at_ms: Option<i64>,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed; empty where it did not.
    pub error: String,
    /// What to do about it; empty where nothing is to be done.
    pub hint: &'static str,
    /// What else a person should know: lines that were not taken, series for which there was no room.
    pub note: Option<String>,
    /// Samples in the body.
    pub samples: usize,
    /// Samples after relabelling.
    pub kept: usize,
    /// Lines that were not taken.
    pub bad_lines: usize,
}

impl Default for LastScrape {
    fn default() -> Self {
        Self {
            health: Health::Unknown,
            at_ms: None,
            seconds: 0.0,
            error: String::new(),
            hint: "",
            note: None,
            samples: 0,
            kept: 0,
            bad_lines: 0,
        }
    }
}

/// A target that relabelling dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedView {
    /// The job that found it.
    pub job: String,
    /// The labels before relabelling.
    pub discovered: Labels,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// Targets that are asked.
    pub active: usize,
    /// Targets that relabelling dropped, shown or not.
    pub dropped: usize,
    /// What is wrong with how it finds targets: files, addresses, ways of finding that are not known here.
    pub faults: Vec<String>,
}
