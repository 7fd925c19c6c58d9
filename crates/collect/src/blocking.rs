//! Reading that may block, on a thread of its own, one at a time. Knows no file.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::CollectError;

/// Reads one after the other: one that hangs is waited for by the rounds that follow, so that it never costs more than its one thread.
#[derive(Debug)]
pub(crate) struct Blocking<T>(Option<JoinHandle<T>>);

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Blocking<T> {
    /// Reads, waiting so long at most. May be given up at any time.
    pub(crate) async fn read(
        &mut self,
        what: &str,
        within: Duration,
        read: Box<dyn FnOnce() -> T + Send>,
    ) -> Result<T, CollectError> {
        let deadline = Instant::now() + within;
        let silent = || CollectError::Silent {
            what: what.to_owned(),
            within,
        };
        if let Some(earlier) = &mut self.0 {
            // Of a round that was given up: what it read is old by now.
            let _ = timeout_at(deadline, earlier).await.map_err(|_| silent())?;
        }
        let running = self.0.insert(tokio::task::spawn_blocking(read));
        let ended = timeout_at(deadline, running).await.map_err(|_| silent())?;
        self.0 = None;
        match ended {
            Ok(read) => Ok(read),
            // A bug is loud where it is noticed.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends: nobody reads what this gives.
            Err(_) => Err(silent()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[tokio::test]
    async fn what_hangs_is_waited_for_and_nothing_is_begun_beside_it() {
        let (go, wait) = sync_channel::<()>(0);
        let mut blocking = Blocking::default();
        let short = Duration::from_millis(20);
        let hang = Box::new(move || {
            let _ = wait.recv();
            1
        });
        let error = blocking.read("looking", short, hang).await.unwrap_err();
        assert_eq!(error.to_string(), "looking took longer than 20ms");
        let never = || Box::new(|| -> i32 { panic!("it was begun beside the one that hangs") });
        assert!(blocking.read("looking", short, never()).await.is_err());
        drop(go);
        // Its own answer, not the old one.
        let read = blocking.read("looking", Duration::from_secs(60), Box::new(|| 2)).await;
        assert_eq!(read.unwrap(), 2);
    }
}
