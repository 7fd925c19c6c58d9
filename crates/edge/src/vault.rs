//! The edge's end of `tend-money`: opened when the first route wants it, asked by requests without holding up their thread.
//!
//! What cannot be opened or written is an error that requests are answered with; it never lets one through unrecorded.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tend_base::{Clock, Mono, SystemClock};
use tend_money::{Answer, Begun, Callback, Claim, Delivery, Error, Kept, Key, ReplayLock, RequestHash, Store};
use tokio::sync::{broadcast, oneshot};

use crate::message::FromEdge;

/// A store that could not be opened is tried again after this at the earliest.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// An answer that could not be written down is tried again this often, so long in all.
const FINISH_AGAIN_AFTER: Duration = Duration::from_millis(100);
const FINISH_TIME_MAX: Duration = Duration::from_secs(10);

/// Keys and callbacks on disk.
#[derive(Debug)]
pub(crate) struct Vault {
    folder: PathBuf,
    events: broadcast::Sender<FromEdge>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed,
    Open(Arc<Store>),
    Failed { error: Error, at: Mono },
}

impl Vault {
    pub(crate) fn new(folder: PathBuf, events: broadcast::Sender<FromEdge>) -> Self {
        Self {
            folder,
            events,
            state: Mutex::new(State::Closed),
        }
    }

    /// Opens the store unless it is open; the lock is only ever held for that. Only requests on routes that move money come here.
    pub(crate) fn store(&self) -> Result<Arc<Store>, Error> {
        let now = SystemClock.now().mono;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Open(store) => return Ok(store.clone()),
            State::Failed { error, at } if now.since(*at) < OPEN_AGAIN_AFTER => return Err(error.clone()),
            State::Closed | State::Failed { .. } => {}
        }
        let events = self.events.clone();
        let opened = Store::open(&self.folder, move || {
            let _ = events.send(FromEdge::MoneyInDoubt);
        });
        match opened {
            Ok(store) => {
                let store = Arc::new(store);
                *state = State::Open(store.clone());
                Ok(store)
            }
            Err(error) => {
                let _ = self.events.send(FromEdge::MoneyUnavailable {
                    why: tend_base::with_causes(&error),
                    hint: error.hint().to_owned(),
                });
                *state = State::Failed {
                    error: error.clone(),
                    at: now,
                };
                Err(error)
            }
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Store, Box<dyn FnOnce(Result<T, Error>) + Send>),
    ) -> Result<T, Error> {
        let store = self.store()?;
        let (tell, told) = oneshot::channel();
        let reply = Box::new(move |answer| {
            let _ = tell.send(answer);
        });
        question(&store, reply);
        told.await.unwrap_or_else(|_| Err(store.gone()))
    }

    pub(crate) async fn begin(
        &self,
        key: Key,
        request: RequestHash,
        request_id: String,
        upstream_idempotent: bool,
    ) -> Result<Begun, Error> {
        let now = SystemClock.now().wall;
        self.ask(|store, reply| store.begin(key, request, request_id, upstream_idempotent, now, reply))
            .await
    }

    /// Writes down an answer. A disk that is full for a moment is waited for, since nobody may see the answer before.
    ///
    /// # Errors
    /// The last error; the key is in doubt then.
    pub(crate) async fn finish(&self, claim: Claim, answer: Answer, window: Duration) -> Result<(), Error> {
        let began = SystemClock.now().mono;
        let (mut claim, mut answer) = (claim, answer);
        loop {
            let (tell, told) = oneshot::channel();
            claim.finish(answer, SystemClock.now().wall, window, move |outcome| {
                let _ = tell.send(outcome);
            });
            let error = match told.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(again)) => {
                    (claim, answer) = (again.0, again.1);
                    again.2
                }
                Err(_) => return Err(self.store()?.gone()),
            };
            let lost = matches!(error, Error::Lost { .. });
            if lost || SystemClock.now().mono.since(began) > FINISH_TIME_MAX {
                return Err(error);
            }
            tokio::time::sleep(FINISH_AGAIN_AFTER).await;
        }
    }

    pub(crate) async fn release(&self, claim: Claim) -> Result<(), Error> {
        let now = SystemClock.now().wall;
        self.ask(|_, reply| claim.release(now, reply)).await
    }

    pub(crate) async fn doubt(&self, claim: Claim, why: &str) -> Result<(), Error> {
        let now = SystemClock.now().wall;
        self.ask(|_, reply| claim.doubt(why, now, reply)).await
    }

    pub(crate) async fn keep(&self, callback: Callback, entries_max: u64) -> Result<Kept, Error> {
        let now = SystemClock.now().wall;
        self.ask(|store, reply| store.keep(callback, entries_max, now, reply))
            .await
    }

    pub(crate) async fn any_waits(&self, route: &str) -> Result<bool, Error> {
        self.ask(|store, reply| store.any_waits(route.to_owned(), reply)).await
    }

    pub(crate) async fn routes_waiting(&self) -> Result<Vec<String>, Error> {
        self.ask(|store, reply| store.routes_waiting(reply)).await
    }

    pub(crate) async fn next(&self, route: &str) -> Result<Option<Delivery>, Error> {
        self.ask(|store, reply| store.next(route.to_owned(), reply)).await
    }

    pub(crate) async fn delivered(&self, seq: i64) -> Result<(), Error> {
        self.ask(|store, reply| store.delivered(seq, reply)).await
    }

    pub(crate) async fn refused(&self, seq: i64, why: String) -> Result<(), Error> {
        let now = SystemClock.now().wall;
        self.ask(|store, reply| store.refused(seq, why, now, reply)).await
    }

    pub(crate) async fn failed(&self, seq: i64, why: String) -> Result<(), Error> {
        self.ask(|store, reply| store.failed(seq, why, reply)).await
    }

    /// Takes the right to deliver callbacks; none while another edge has it, or nothing can be opened.
    pub(crate) fn try_replay(&self) -> Option<ReplayLock> {
        self.store().ok()?.try_replay().ok()?
    }
}
