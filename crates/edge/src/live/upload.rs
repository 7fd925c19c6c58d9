//! How fast a client has to send its body on a route, made ready, with what became of those that were slow.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tend_core::model::UploadRate;

use crate::zone::Outcomes;

/// The rule of one route.
#[derive(Debug)]
pub(crate) struct UploadRule {
    rate: NonZeroU64,
    after: Duration,
    pub(crate) shadow: bool,
    /// Go on from snapshot to snapshot.
    pub(crate) outcomes: Arc<Outcomes>,
}

impl UploadRule {
    pub(crate) fn new(rate: &UploadRate, outcomes: Arc<Outcomes>) -> Self {
        Self {
            rate: rate.rate,
            after: rate.after,
            shadow: rate.shadow,
            outcomes,
        }
    }

    /// Returns how long a client that has sent so many bytes may have been waited for.
    pub(crate) fn allows(&self, bytes: u64) -> Duration {
        let rate = self.rate.get();
        let whole = Duration::from_secs(bytes / rate);
        let rest = u128::from(bytes % rate) * 1_000_000_000 / u128::from(rate);
        self.after + whole + Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX))
    }

    /// Counts a body that came too slowly.
    pub(crate) fn count(&self) {
        Outcomes::count(if self.shadow {
            &self.outcomes.shadowed
        } else {
            &self.outcomes.refused
        });
    }
}
