//! The socket the daemon talks to the edge by: who is connected, frames in and out, events to everybody.
//!
//! Also the other end, [`ControlClient`], for the daemon and the tests. Does not know what messages do.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, broadcast};

use crate::control::Control;
use crate::message::{Envelope, FromEdge, ToEdge, to_bytes};
use crate::{EdgeError, frame};

/// Whoever does not take a message for so long is disconnected.
const SEND_TIME_MAX: Duration = Duration::from_secs(5);

/// The listening control socket; its file is removed when dropped, unless another edge has put its own there.
pub(crate) struct ControlSocket {
    /// The event loop has no type for this kind of socket; its stream types wait for any Unix socket, and frames are all that is
    /// ever read or written here.
    socket: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl ControlSocket {
    /// Listens at `path`, in place of whatever is there: an edge that takes over finds the socket of the one it replaces.
    pub(crate) fn listen(path: &Path) -> Result<Self, EdgeError> {
        let failed = |source| EdgeError::ControlSocket {
            path: path.to_owned(),
            source,
        };
        let bind = || -> io::Result<(OwnedFd, u64)> {
            let socket = rustix::net::socket_with(
                AddressFamily::UNIX,
                SocketType::SEQPACKET,
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
                None,
            )?;
            let mut fresh = path.as_os_str().to_owned();
            fresh.push(format!(".{}", std::process::id()));
            let fresh = PathBuf::from(fresh);
            let _ = std::fs::remove_file(&fresh);
            rustix::net::bind(&socket, &SocketAddrUnix::new(&fresh)?)?;
            rustix::fs::chmod(&fresh, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
            rustix::net::listen(&socket, 16)?;
            let inode = rustix::fs::stat(&fresh)?.st_ino;
            // Only now can anybody find it, and it never is away in between.
            std::fs::rename(&fresh, path)?;
            Ok((socket, inode))
        };
        let (socket, inode) = bind().map_err(failed)?;
        Ok(Self {
            socket: UnixListener::from_std(socket.into()).map_err(failed)?,
            path: path.to_owned(),
            inode,
        })
    }

    /// Serves whoever connects, for ever.
    pub(crate) async fn serve(&self, control: Rc<Mutex<Control>>, events: broadcast::Sender<FromEdge>) {
        loop {
            match self.socket.accept().await {
                Ok((socket, _)) => {
                    let peer = Peer {
                        socket,
                        control: control.clone(),
                        events: events.subscribe(),
                    };
                    tokio::task::spawn_local(async move {
                        // Its end, for whatever reason, is the peer's business: it connects again.
                        let _ = peer.run().await;
                    });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if rustix::fs::stat(&self.path).is_ok_and(|there| there.st_ino == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

struct Peer {
    socket: UnixStream,
    control: Rc<Mutex<Control>>,
    events: broadcast::Receiver<FromEdge>,
}

impl Peer {
    async fn run(mut self) -> io::Result<()> {
        let hello = self.control.lock().await.hello();
        self.send(&hello, &[]).await?;
        loop {
            tokio::select! {
                received = self.socket.async_io(Interest::READABLE, || frame::receive(&self.socket)) => {
                    let Some((text, descriptors)) = received? else {
                        return Ok(());
                    };
                    let replies = match serde_json::from_slice::<Envelope<ToEdge>>(&text) {
                        Ok(envelope) => {
                            self.control.lock().await.handle(envelope.message, descriptors).await
                        }
                        Err(error) => vec![(self.misunderstood(&text, &error).await, Vec::new())],
                    };
                    for (reply, descriptors) in replies {
                        let borrowed: Vec<BorrowedFd<'_>> =
                            descriptors.iter().map(AsFd::as_fd).collect();
                        self.send(&reply, &borrowed).await?;
                    }
                }
                event = self.events.recv() => match event {
                    Ok(event) => self.send(&event, &[]).await?,
                    // Events are hints; what was missed is in the next stats.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    async fn misunderstood(&self, text: &[u8], error: &serde_json::Error) -> FromEdge {
        #[derive(serde::Deserialize)]
        struct Kind {
            r#type: String,
        }
        let control = self.control.lock().await;
        FromEdge::Refused {
            what: serde_json::from_slice(text).map_or_else(|_| "?".to_owned(), |kind: Kind| kind.r#type),
            why: error.to_string(),
            hint: "the two sides are of different versions: `tend upgrade` brings both to one".to_owned(),
            generation: control.live.snapshot.generation,
        }
    }

    async fn send(&self, message: &FromEdge, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = to_bytes(message);
        let sending = self
            .socket
            .async_io(Interest::WRITABLE, || frame::send(&self.socket, &text, descriptors));
        tokio::time::timeout(SEND_TIME_MAX, sending)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// A connection to an edge's control socket, blocking.
#[derive(Debug)]
pub struct ControlClient {
    socket: OwnedFd,
    path: PathBuf,
}

impl ControlClient {
    /// Connects; the edge then sends its hello.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(path: &Path) -> Result<Self, EdgeError> {
        let connect = || -> io::Result<OwnedFd> {
            let socket =
                rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
            rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
            Ok(socket)
        };
        Ok(Self {
            socket: connect().map_err(|source| EdgeError::Connect {
                path: path.to_owned(),
                source,
            })?,
            path: path.to_owned(),
        })
    }

    /// Sends a message; waits while the edge is behind.
    ///
    /// # Errors
    /// When the edge is gone.
    pub fn send(&self, message: &ToEdge, descriptors: &[BorrowedFd<'_>]) -> Result<(), EdgeError> {
        frame::send(&self.socket, &to_bytes(message), descriptors).map_err(|error| self.failed(error))
    }

    /// Returns the next message and its descriptors; none when nothing came within `wait`.
    ///
    /// # Errors
    /// When the edge is gone, or said something this version does not understand.
    pub fn receive(&self, wait: Duration) -> Result<Option<(FromEdge, Vec<OwnedFd>)>, EdgeError> {
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut poll = [PollFd::new(&self.socket, PollFlags::IN)];
        let ready = rustix::event::poll(&mut poll, Some(&timeout)).map_err(|error| self.failed(error.into()))?;
        if ready == 0 {
            return Ok(None);
        }
        let (text, descriptors) = frame::receive(&self.socket)
            .map_err(|error| self.failed(error))?
            .ok_or_else(|| self.failed(io::ErrorKind::UnexpectedEof.into()))?;
        let envelope: Envelope<FromEdge> = serde_json::from_slice(&text).map_err(|error| self.failed(error.into()))?;
        Ok(Some((envelope.message, descriptors)))
    }

    fn failed(&self, source: io::Error) -> EdgeError {
        EdgeError::Talk {
            path: self.path.clone(),
            source,
        }
    }
}

impl AsFd for ControlClient {
    /// Lets an event loop wait until there is something to receive.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
