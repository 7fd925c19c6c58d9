//! The watch endpoint as the daemon holds it: sockets come and go, revisions are published, notices come back.
//!
//! One thread serves all sockets, so that what else the daemon does never delays a change, and a replica that asks much
//! delays only others that watch. Knows neither how a request is read nor what is in a set.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tend_base::Wall;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::board::Board;
use crate::error::{Error, Result};
use crate::revision::Revision;
use crate::serve;
use crate::socket::{self, Owner, Place};

/// What a replica made of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has it in use.
    Taken,
    /// It says why it has not.
    Refused(String),
}

/// A replica's word on a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Which replica, as it was opened.
    pub replica: Arc<str>,
    /// Of which revision.
    pub revision: u64,
    /// What it said.
    pub outcome: Outcome,
    /// When it was heard.
    pub at: Wall,
    /// The process that said it, by the kernel's word: it may be a child of the replica's process, and it tells one
    /// incarnation from the next. None where the kernel does not say.
    pub pid: Option<i32>,
}

/// What happened at the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A replica acknowledged. Clients repeat their last word after each connection, so one may come twice.
    Ack(Ack),
    /// A replica reads events now. It may do so several times over.
    Connected {
        /// Which replica.
        replica: Arc<str>,
        /// The process, see [`Ack::pid`].
        pid: Option<i32>,
        /// When.
        at: Wall,
    },
    /// One of its streams has ended, by whichever side.
    Disconnected {
        /// Which replica.
        replica: Arc<str>,
        /// The process, see [`Ack::pid`].
        pid: Option<i32>,
        /// When.
        at: Wall,
    },
}

/// Times of the endpoint. The default is what the documentation tells clients.
#[derive(Debug, Clone, Copy)]
pub struct EndpointSettings {
    /// From one comment to the next on a stream with nothing to say.
    pub heartbeat: Duration,
    /// Longest wait of `GET /v1/config?after=N`, whatever the client asks for.
    pub long_poll_max: Duration,
    /// Notices that may wait for the daemon; beyond, acknowledgements wait with their replicas.
    pub notices: usize,
}

impl Default for EndpointSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            long_poll_max: Duration::from_secs(60),
            notices: 1024,
        }
    }
}

/// The thread that serves. Dropping it ends every connection and takes the sockets away.
pub struct Endpoint {
    publisher: Publisher,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Opens sockets and publishes on them; clones do the same. Never waits for a replica.
#[derive(Clone)]
pub struct Publisher {
    doors: Arc<Mutex<HashMap<Arc<str>, Door>>>,
    runtime: Handle,
    notices: mpsc::Sender<Notice>,
    settings: EndpointSettings,
}

/// One replica's socket. Dropping it ends its connections.
struct Door {
    board: Arc<Board>,
    acceptor: AbortHandle,
    _place: Place,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl Endpoint {
    /// Starts the thread, with no sockets yet, and returns where its notices arrive.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn start(settings: EndpointSettings) -> Result<(Endpoint, mpsc::Receiver<Notice>)> {
        let failed = |source| Error::Start { source };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (notices, notified) = mpsc::channel(settings.notices);
        let publisher = Publisher {
            doors: Arc::default(),
            runtime: runtime.handle().clone(),
            notices,
            settings,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("config-watch".to_owned())
            .spawn(move || {
                // An error means that the endpoint is gone without a word, which is the same.
                drop(runtime.block_on(stopped));
            })
            .map_err(failed)?;
        let endpoint = Endpoint {
            publisher,
            stop: Some(stop),
            thread: Some(thread),
        };
        Ok((endpoint, notified))
    }

    /// Returns the handle to publish with.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.publisher.doors().clear();
        // Both fail only when the thread is gone already.
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Publisher {
    /// Listens for a replica at `socket` (mode 0600, `owner`'s), in the place of what was there. A replica that was open before
    /// begins anew, at the new path.
    ///
    /// Until something is published, `GET /v1/config` is answered 503 and events wait. The folder must be one that the owner can
    /// enter and others cannot write to.
    ///
    /// # Errors
    /// [`Error::SocketPathTooLong`] or [`Error::Socket`].
    pub fn open(&self, replica: &str, socket: &Path, owner: Option<Owner>) -> Result<()> {
        let (listener, place) = socket::listen(replica, socket, owner)?;
        let board = Arc::new(Board::new());
        let name: Arc<str> = replica.into();
        let shared = serve::Shared {
            replica: Arc::clone(&name),
            board: Arc::downgrade(&board),
            notices: self.notices.clone(),
            settings: self.settings,
        };
        let acceptor = self.runtime.spawn(serve::accept(listener, shared)).abort_handle();
        let door = Door {
            board,
            acceptor,
            _place: place,
        };
        self.doors().insert(name, door);
        Ok(())
    }

    /// Makes `revision` what a replica reads from now on. The one it has, again, changes nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchReplica`]; [`Error::NotNewer`] for an older number, or the same with other values.
    pub fn publish(&self, replica: &str, revision: &Arc<Revision>) -> Result<()> {
        let doors = self.doors();
        let door = doors.get(replica).ok_or_else(|| Error::NoSuchReplica {
            replica: replica.to_owned(),
            revision: revision.number,
        })?;
        door.board.publish(replica, revision)
    }

    /// Ends a replica's connections and takes its socket away; false when it had none.
    pub fn remove(&self, replica: &str) -> bool {
        self.doors().remove(replica).is_some()
    }

    fn doors(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
