//! The seam to what is gathered within this process. Knows no collector.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use std::collections::BTreeMap;

/// Metrics as text (Prometheus 0.0.4), or why there are none, for a person and without any secret.
pub type Gathered = Result<String, String>;

/// Gathers metrics where no exporter is asked.
///
/// Called once at a time, at the interval of its job, and dropped where it stands when that takes longer than the timeout: what it began
/// must be of no harm, and the next call begins anew. Not retried before the next interval.
pub trait Gather: Send {
    /// Gathers once.
    fn gather(&mut self) -> Pin<Box<dyn Future<Output = Gathered> + Send + '_>>;
}

/// A target that is gathered here.
pub struct BuiltIn {
    /// What it is of, for people and for the label `instance`: `db:5432`, or the name of the machine. A target that is set again with the same
    /// job, labels and identity keeps the collector it has, so it changes when the collector has to.
    pub identity: String,
    /// Labels of the target, before relabelling.
    pub labels: BTreeMap<String, String>,
    /// Who gathers.
    pub gather: Box<dyn Gather>,
}

impl fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltIn")
            .field("identity", &self.identity)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}
