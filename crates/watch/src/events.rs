//! One subscriber's stream of events: made when the connection can take more, out of what is newest then.
//!
//! Invariant: for each subscriber there is at most one event in memory beside what its connection buffers.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use tend_base::{Clock, SystemClock};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;

use crate::board::Board;
use crate::endpoint::{EndpointSettings, Notice};
use crate::protocol;
use crate::revision::{Revision, Selection};

/// Says that a stream has begun, and when dropped, that it has ended.
pub(crate) struct Connected {
    replica: Arc<str>,
    pid: Option<i32>,
    notices: mpsc::Sender<Notice>,
}

impl Connected {
    /// Waits until the daemon can be told; none when there is no daemon to tell.
    pub(crate) async fn tell(replica: Arc<str>, pid: Option<i32>, notices: mpsc::Sender<Notice>) -> Option<Connected> {
        let notice = Notice::Connected {
            replica: Arc::clone(&replica),
            pid,
            at: SystemClock.now().wall,
        };
        notices.send(notice).await.ok()?;
        Some(Connected { replica, pid, notices })
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let notice = Notice::Disconnected {
            replica: Arc::clone(&self.replica),
            pid: self.pid,
            at: SystemClock.now().wall,
        };
        if let Err(mpsc::error::TrySendError::Full(notice)) = self.notices.try_send(notice)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // Not many can wait like this: no stream begins while the queue is full.
            let notices = self.notices.clone();
            runtime.spawn(async move {
                let _ = notices.send(notice).await;
            });
        }
    }
}

/// What a stream has told its reader so far.
pub(crate) struct Subscription {
    pub(crate) board: Weak<Board>,
    pub(crate) newest: watch::Receiver<Option<Arc<Revision>>>,
    /// The revision that the reader has.
    pub(crate) sent: Option<u64>,
    pub(crate) chosen: Selection,
    pub(crate) settings: EndpointSettings,
    pub(crate) _connected: Connected,
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// Returns the stream: a greeting, then events and, where there are none, heartbeats; it ends when the replica is removed.
pub(crate) fn stream(subscription: Subscription) -> impl Stream<Item = Bytes> + Send {
    unfold((subscription, false), |(mut subscription, greeted)| async move {
        let text = if greeted {
            subscription.next().await?
        } else {
            Bytes::from_static(protocol::GREETING)
        };
        Some((text, (subscription, true)))
    })
}

impl Subscription {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let newest = self.newest.borrow_and_update().clone();
            if let Some(newest) = newest.filter(|newest| Some(newest.number) != self.sent) {
                let before = match self.sent {
                    Some(number) => self.board.upgrade()?.known(number),
                    None => None,
                };
                self.sent = Some(newest.number);
                return Some(protocol::event(&newest.update_from(before.as_deref(), &self.chosen)));
            }
            match timeout(self.settings.heartbeat, self.newest.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(Bytes::from_static(protocol::HEARTBEAT)),
            }
        }
    }
}
