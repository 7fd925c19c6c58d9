//! What every collector is for whoever asks it. Knows no collector, no interval and no store.

use std::pin::Pin;
use std::time::Duration;

use crate::CollectError;

/// A round, where nobody says otherwise. Prometheus gives a scrape ten seconds by default: what a server that hangs has to be told by must come
/// before.
pub(crate) const ROUND_WITHIN: Duration = Duration::from_secs(8);

/// The text of one round, when it is there.
pub type Collecting<'a> = Pin<Box<dyn Future<Output = Result<String, CollectError>> + Send + 'a>>;

/// Something that is asked for metrics again and again.
///
/// A round ends by itself within the limits that each collector names. It may be given up at any await: connections of a round that was cut off
/// are not used again. One round at a time.
pub trait Collector: Send {
    /// Returns what there is now, in Prometheus' text format 0.0.4.
    ///
    /// A server that is away is no error, as it is none to its exporter: the text then says `pg_up 0`, `mysql_up 0` or `redis_up 0`, and
    /// nothing else. [`Collector::trouble`] says why.
    ///
    /// The error is for what the collector itself could not do; the caller tries again at its next round.
    fn collect(&mut self) -> Collecting<'_>;

    /// Returns why the last round was not whole, for a person; `None` when it was.
    fn trouble(&self) -> Option<String>;
}
