//! The rows of a database and each change of them, told as events, over every outage. Knows no SQL and no meaning of a key.

use std::time::Duration;

use tend_base::{Backoff, Clock, Now, SystemClock};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::link::Link;
use crate::{DatabaseError, Rows, Settings};

/// Between two tries to reach a database.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(100),
    max: Duration::from_secs(5),
};

/// Between the ends of two reads, however fast changes come: a hundred reads a second at most.
const REST: Duration = Duration::from_millis(10);

/// Events that wait for the reader. When they are full nothing is read from the database, and the next read is of all changes since.
const EVENTS_MAX: usize = 2;

/// What is told of a database.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// These are the rows now; told at the start, and when they are otherwise than told before.
    Rows {
        /// All of them, of one moment.
        rows: Rows,
        /// When they had been read.
        seen_at: Now,
    },
    /// The rows cannot be read: what was told last is the last that is known. Told again when the reason becomes another.
    Away {
        /// Since when.
        since: Now,
        /// Why, for a person, with what to do.
        why: String,
    },
    /// The rows are read again; [`Event::Rows`] follows when they are otherwise than before.
    Back,
}

/// Tells what is in a database. It ends with this value.
///
/// It never gives up: whatever fails is tried again, at most 5 s apart.
#[derive(Debug)]
pub struct Source {
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

impl Source {
    /// Begins to read. To be called within a runtime of tokio.
    #[must_use]
    pub fn start(settings: Settings) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let task = tokio::spawn(async move {
            Reader {
                settings,
                sender,
                told: None,
                away: None,
                failures: 0,
            }
            .run()
            .await;
        });
        Self { events, task }
    }

    /// Waits for the next event. May be given up and called again: no event is lost.
    ///
    /// # Panics
    /// When its own task has panicked, which is a bug.
    pub async fn next(&mut self) -> Event {
        self.events
            .recv()
            .await
            .expect("the reader of a database does not end by itself")
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Nobody listens any more.
struct Unheard;

enum End {
    Unheard,
    Failed(DatabaseError),
}

impl From<DatabaseError> for End {
    fn from(error: DatabaseError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unheard> for End {
    fn from(_: Unheard) -> Self {
        Self::Unheard
    }
}

struct Reader {
    settings: Settings,
    sender: mpsc::Sender<Event>,
    /// The rows that were told last.
    told: Option<Rows>,
    away: Option<(Now, String)>,
    failures: u32,
}

impl Reader {
    async fn run(mut self) {
        loop {
            let error = match self.watch().await {
                End::Unheard => return,
                End::Failed(error) => error,
            };
            if self.tell_away(&error).await.is_err() {
                return;
            }
            self.failures = self.failures.saturating_add(1);
            // The time it failed is as good as a random number.
            sleep(RETRY.delay(self.failures, SystemClock.mono().0)).await;
        }
    }

    /// Reads until something fails.
    async fn watch(&mut self) -> End {
        match self.watch_once().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn watch_once(&mut self) -> Result<std::convert::Infallible, End> {
        let mut link = Link::open(&self.settings).await?;
        loop {
            let rows = link.read().await?;
            let rested = Instant::now() + REST;
            self.failures = 0;
            if self.away.take().is_some() {
                self.tell(Event::Back).await?;
            }
            if self.told.as_ref() != Some(&rows) {
                self.told = Some(rows.clone());
                let seen_at = SystemClock.now();
                self.tell(Event::Rows { rows, seen_at }).await?;
            }
            link.changed().await?;
            sleep_until(rested).await;
        }
    }

    async fn tell_away(&mut self, error: &DatabaseError) -> Result<(), Unheard> {
        let why = format!("{}: {}", error.with_causes(), error.hint());
        let since = match &self.away {
            Some((_, before)) if *before == why => return Ok(()),
            Some((since, _)) => *since,
            None => SystemClock.now(),
        };
        self.away = Some((since, why.clone()));
        self.tell(Event::Away { since, why }).await
    }

    async fn tell(&self, event: Event) -> Result<(), Unheard> {
        self.sender.send(event).await.map_err(|_| Unheard)
    }
}
