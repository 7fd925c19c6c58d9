//! Waiting until a moment at the latest. Knows nothing of requests.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tend_base::{Mono, SystemClock};

/// What has a wait of its own ends by that, and says who is to blame; this much later it is ended from outside.
const GRACE: Duration = Duration::from_millis(50);

/// Runs `work` to its end; none where that does not come in time. Without a moment there is no timer. It is handed in pinned, so that it
/// has its room once.
pub(super) async fn within<T>(until: Option<Mono>, work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match until {
        None => Some(work.await),
        Some(until) => {
            let left = until.since(SystemClock.mono()) + GRACE;
            Box::pin(tokio::time::timeout(left, work)).await.ok()
        }
    }
}
