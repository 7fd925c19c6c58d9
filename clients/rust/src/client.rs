//! The client: who is to be told of what, the thread that reads, and the set that is held.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, os::unix::net::UnixStream};

use serde_json::Value;

use crate::error::Error;
use crate::set::{Change, Set, fits, is_pattern};
use crate::wire::{Events, Said, say};

/// Pauses between tries to connect: the first, and the longest, so that a daemon which was started anew has everybody again within a second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// What a check or a callback says: fine, or why not. The reason is told to tend and shown to people, so it must not hold a secret.
pub type Verdict = Result<(), Box<dyn std::error::Error + Send + Sync>>;

type Check = Box<dyn FnMut(&Set) -> Verdict + Send>;
type Callback = Box<dyn FnMut(Change<'_>) -> Verdict + Send>;

/// A client that is not started yet.
pub struct Builder {
    socket: PathBuf,
    keys: Vec<String>,
    checks: Vec<Check>,
    callbacks: Vec<(String, Callback)>,
}

/// Holds the configuration, and its thread. Dropping it ends the thread.
pub struct Client {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: Arc<Set>,
    connection: Option<UnixStream>,
    connected: bool,
    stopped: bool,
}

impl Client {
    /// Begins a client of the socket at `socket`.
    #[must_use]
    pub fn builder(socket: impl Into<PathBuf>) -> Builder {
        Builder {
            socket: socket.into(),
            keys: Vec::new(),
            checks: Vec::new(),
            callbacks: Vec::new(),
        }
    }

    /// Begins a client of the socket named by `TEND_CONFIG_SOCKET`; none where it is not set or empty, as outside of tend.
    #[must_use]
    pub fn from_environment() -> Option<Builder> {
        let socket = std::env::var_os("TEND_CONFIG_SOCKET").filter(|socket| !socket.is_empty())?;
        Some(Client::builder(socket))
    }

    /// Returns the set that is held: the last that was taken, also while tend is away. Revision 0 before the first.
    #[must_use]
    pub fn set(&self) -> Arc<Set> {
        Arc::clone(&self.shared.state().held)
    }

    /// Returns one value of it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        self.set().get(key).cloned()
    }

    /// Tells whether tend is there to tell of changes.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.state().connected
    }

    /// Waits until a set is held, for `patience` at most; false when there is none by then.
    #[must_use]
    pub fn wait_for_first(&self, patience: Duration) -> bool {
        let waiting = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), patience, |state| {
                state.held.revision == 0 && !state.stopped
            });
        waiting.unwrap_or_else(PoisonError::into_inner).0.held.revision != 0
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.stopped = true;
            if let Some(connection) = state.connection.take() {
                // It has ended already when this fails.
                let _ = connection.shutdown(std::net::Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // Its panics were caught and said.
            let _ = thread.join();
        }
    }
}

impl Builder {
    /// Asks for these keys only: `a.b`, `a.*`; all of them where none is named.
    #[must_use]
    pub fn keys<'a>(mut self, patterns: impl IntoIterator<Item = &'a str>) -> Self {
        self.keys.extend(patterns.into_iter().map(str::to_owned));
        self
    }

    /// Adds a check of a whole set before it is held or any callback runs. One that fails keeps the set before in force, and tend
    /// is told why.
    #[must_use]
    pub fn check(mut self, check: impl FnMut(&Set) -> Verdict + Send + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Has `callback` run for each key that changes and fits `pattern`: `a.b`, `a.*` or `*`. At first all keys are new.
    ///
    /// Callbacks run on the client's thread, one after the other, when the new set is already held. One that fails is told to
    /// tend, and the others run all the same.
    #[must_use]
    pub fn on(mut self, pattern: &str, callback: impl FnMut(Change<'_>) -> Verdict + Send + 'static) -> Self {
        self.callbacks.push((pattern.to_owned(), Box::new(callback)));
        self
    }

    /// Starts the thread. Whether tend is there is not waited for.
    ///
    /// # Errors
    /// [`Error::Pattern`], [`Error::StartThread`].
    pub fn start(self) -> Result<Client, Error> {
        let patterns = self
            .keys
            .iter()
            .chain(self.callbacks.iter().map(|(pattern, _)| pattern));
        if let Some(wrong) = patterns.into_iter().find(|pattern| !is_pattern(pattern)) {
            return Err(Error::Pattern { pattern: wrong.clone() });
        }
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut reader = Reader {
            keys: self.keys.join(","),
            socket: self.socket,
            checks: self.checks,
            callbacks: self.callbacks,
            received: Set::default(),
            said: None,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new()
            .name("tend-config".to_owned())
            .spawn(move || reader.run())
            .map_err(|source| Error::StartThread { source })?;
        Ok(Client {
            shared,
            thread: Some(thread),
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread works on.
struct Reader {
    socket: PathBuf,
    keys: String,
    checks: Vec<Check>,
    callbacks: Vec<(String, Callback)>,
    /// What tend has told, be it held or not: the next difference is from this.
    received: Set,
    /// The last word, said again after each connection, in case it was not heard or tend has forgotten.
    said: Option<Said>,
    shared: Arc<Shared>,
}

impl Reader {
    fn run(&mut self) {
        let mut pause = PAUSES.0;
        loop {
            let before = self.received.revision;
            // Why it ended is of no use here: tend is away, or comes back at once.
            let _ = self.read();
            let mut state = self.shared.state();
            state.connected = false;
            state.connection = None;
            if self.received.revision != before {
                pause = PAUSES.0;
            }
            let waiting = self
                .shared
                .changed
                .wait_timeout_while(state, pause, |state| !state.stopped);
            if waiting.unwrap_or_else(PoisonError::into_inner).0.stopped {
                return;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Reads events until the connection ends.
    fn read(&mut self) -> io::Result<()> {
        let socket: &Path = &self.socket;
        let mut events = Events::ask(socket, &self.keys, self.received.revision, |connection| {
            let mut state = self.shared.state();
            if state.stopped {
                // It has ended already when this fails.
                let _ = connection.shutdown(std::net::Shutdown::Both);
            }
            state.connection = Some(connection);
        })?;
        self.shared.state().connected = true;
        if let Some(said) = &self.said {
            say(socket, said)?;
        }
        loop {
            let data = events.next()?;
            let Some(next) = self.received.after(&data) else {
                // What is not understood is asked for again as a whole.
                self.received.revision = 0;
                return Err(io::Error::other("tend sent what is no event"));
            };
            self.received = next;
            let said = Said {
                revision: self.received.revision,
                error: self.take(),
            };
            self.said = Some(said.clone());
            say(&self.socket, &said)?;
        }
    }

    /// Holds what was received and tells the callbacks; returns why not, or which of them failed.
    fn take(&mut self) -> Option<String> {
        let received = &self.received;
        for check in &mut self.checks {
            if let Some(why) = failure(|| check(received)) {
                return Some(why);
            }
        }
        let new = Arc::new(received.clone());
        let old = std::mem::replace(&mut self.shared.state().held, Arc::clone(&new));
        self.shared.changed.notify_all();
        let mut failures = Vec::new();
        for change in new.changes_from(&old) {
            for (pattern, callback) in &mut self.callbacks {
                if fits(pattern, change.key)
                    && let Some(why) = failure(|| callback(change))
                {
                    failures.push(format!("{}: {why}", change.key));
                }
            }
        }
        (!failures.is_empty()).then(|| failures.join("; "))
    }
}

/// Runs what a service has written; its panic is a failure like any other.
fn failure(run: impl FnOnce() -> Verdict) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(verdict) => verdict.err().map(|error| error.to_string()),
        Err(panic) => Some(match panic.downcast_ref::<&str>() {
            Some(text) => format!("panicked: {text}"),
            None => panic
                .downcast_ref::<String>()
                .map_or("panicked".to_owned(), |text| format!("panicked: {text}")),
        }),
    }
}
