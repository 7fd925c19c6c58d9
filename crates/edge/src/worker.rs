//! One serving thread: its event loop, the listeners it accepts on, the connections it has open.
//!
//! Threads share nothing on the way of a request but counters and the snapshot. Knows no HTTP: connections go to [`crate::engine`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::EdgeError;
use tend_core::model::LogFormat;

use crate::access_log::{FLUSH_AFTER, LogBuffer, LogSink, Record};
use crate::answer::ErrorCode;
use crate::arrival;
use crate::encode::Seats;
use crate::engine::Shop;
use crate::engine::h2::Upstreams;
use crate::gate::Pauses;
use crate::limits::Patience;
use crate::live::Live;
use crate::message::FromEdge;
use crate::metrics::RouteCounters;
use crate::notes::Notes;
use crate::replay;
use crate::stream::Stream;
use crate::tls::{ClientCertificate, Handshakes};
use crate::vault::Vault;
use crate::zone::Going;

/// Accepting waits so long after the process ran out of descriptors, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the control thread tells a serving thread.
pub(crate) enum Command {
    /// Serve this; the answer is sent when new requests see it.
    Serve(Arc<Live>, oneshot::Sender<()>),
    /// Accept on the sockets of exactly these addresses.
    Accept(Vec<(SocketAddr, StdListener)>),
    /// Stop accepting; connections end with their next response or after [`Patience::drain_idle`].
    Drain,
}

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) events: broadcast::Sender<FromEdge>,
    pub(crate) connections: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) requests: AtomicU64,
    /// Connections and requests of banned addresses.
    pub(crate) banned: AtomicU64,
    /// Connections without the PROXY header they should begin with.
    pub(crate) proxy_headers_bad: AtomicU64,
    /// Of requests that no route matched.
    pub(crate) unrouted: RouteCounters,
    pub(crate) handshakes: Handshakes,
    pub(crate) errors: [AtomicU64; ErrorCode::ALL.len()],
    /// Asked only by requests on routes that move money.
    pub(crate) vault: Vault,
    /// Asked only by requests on routes that are paused.
    pub(crate) pauses: Pauses,
}

impl Shared {
    /// `money_folder` is made when the first route wants it.
    pub(crate) fn new(events: broadcast::Sender<FromEdge>, money_folder: PathBuf) -> Self {
        Self {
            vault: Vault::new(money_folder, events.clone()),
            pauses: Pauses::default(),
            events,
            connections: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            banned: AtomicU64::new(0),
            proxy_headers_bad: AtomicU64::new(0),
            unrouted: RouteCounters::new("none", None),
            handshakes: Handshakes::default(),
            errors: [const { AtomicU64::new(0) }; ErrorCode::ALL.len()],
        }
    }

    /// Tells whoever is connected to the control socket; nobody may be.
    pub(crate) fn tell(&self, event: FromEdge) {
        let _ = self.events.send(event);
    }
}

/// What a thread's connections share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// What the engine keeps between requests.
    pub(crate) shop: Shop,
    pub(crate) upstreams: Upstreams,
    pub(crate) patience: Patience,
    /// For the encoders of responses.
    pub(crate) seats: Seats,
    live: RefCell<Arc<Live>>,
    /// Vectors for the requests to come.
    pub(crate) notes: RefCell<Vec<Notes>>,
    log: LogBuffer,
    seed: Cell<u64>,
    draining: Cell<bool>,
    /// Wakes connections of HTTP/2 when draining begins.
    pub(crate) drain: Notify,
    /// Wakes who waits for another snapshot.
    pub(crate) swapped: Notify,
    open: watch::Sender<u64>,
}

impl Worker {
    /// Returns what is served now; a request keeps what it began with.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.borrow().clone()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Returns a number that looks random (xorshift64*), for request ids and jitter: nothing depends on its secrecy.
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.seed.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.seed.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Writes a line to the access log.
    pub(crate) fn log(self: &Rc<Self>, record: &Record<'_>, format: LogFormat) {
        if self.log.add(record, format) {
            let worker = self.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(FLUSH_AFTER).await;
                worker.log.flush();
            });
        }
    }

    /// Counts a connection as open until the guard is dropped.
    pub(crate) fn opened(self: &Rc<Self>) -> OpenGuard {
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        self.open.send_modify(|open| *open += 1);
        OpenGuard(self.clone())
    }
}

/// A connection of a client, or the tunnel it became.
pub(crate) struct OpenGuard(Rc<Worker>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.open.send_modify(|open| *open -= 1);
    }
}

/// The control thread's end of a serving thread.
pub(crate) struct WorkerHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) thread: JoinHandle<()>,
}

impl WorkerHandle {
    /// Starts a serving thread; it ends when `commands` is dropped, or once it drained.
    pub(crate) fn start(
        number: usize,
        shared: Arc<Shared>,
        nothing: Arc<Live>,
        patience: Patience,
        sink: LogSink,
        done: mpsc::Sender<usize>,
    ) -> Result<Self, EdgeError> {
        let failed = |source| EdgeError::Start {
            what: format!("thread {number}"),
            source,
        };
        let mut seed = [0; 8];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| failed(error.into()))?;
        // Zero is the one state xorshift cannot leave.
        let seed = u64::from_le_bytes(seed) | 1;
        let (commands, receiver) = mpsc::channel(16);
        let (started, when_started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(format!("edge-{number}"))
            .spawn(move || {
                let runtime = Builder::new_current_thread()
                    .enable_io()
                    .enable_time()
                    .build_local(LocalOptions::default());
                match runtime {
                    Ok(runtime) => {
                        let _ = started.send(Ok(()));
                        let worker = Rc::new(Worker {
                            shared,
                            shop: Shop::new(&patience),
                            upstreams: Upstreams::default(),
                            patience,
                            seats: Seats::default(),
                            live: RefCell::new(nothing),
                            notes: RefCell::default(),
                            log: LogBuffer::new(sink),
                            seed: Cell::new(seed),
                            draining: Cell::new(false),
                            drain: Notify::new(),
                            swapped: Notify::new(),
                            open: watch::Sender::new(0),
                        });
                        runtime.block_on(async move {
                            // One thread delivers what others took in.
                            if number == 0 {
                                replay::start(&worker);
                            }
                            run(worker, receiver).await;
                        });
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
                let _ = done.try_send(number);
            })
            .map_err(failed)?;
        when_started
            .recv()
            .map_err(std::io::Error::other)
            .and_then(|outcome| outcome)
            .map_err(failed)?;
        Ok(Self { commands, thread })
    }
}

async fn run(worker: Rc<Worker>, mut commands: mpsc::Receiver<Command>) {
    let mut accepting: HashMap<SocketAddr, Vec<AbortHandle>> = HashMap::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Serve(live, seen) => take_up(&worker, live, seen),
            Command::Accept(sockets) => {
                // Dropping a listener leaves its socket open with whoever else holds it, the backlog included.
                accepting.drain().for_each(|(_, tasks)| stop(&tasks));
                for (address, socket) in sockets {
                    if let Ok(listener) = TcpListener::from_std(socket) {
                        let task = tokio::task::spawn_local(accept(worker.clone(), address, listener));
                        accepting.entry(address).or_default().push(task.abort_handle());
                    }
                }
            }
            Command::Drain => {
                accepting.drain().for_each(|(_, tasks)| stop(&tasks));
                worker.draining.set(true);
                worker.drain.notify_waiters();
                worker.shop.deadlines.hasten(worker.patience.drain_idle);
                finish(&worker, &mut commands).await;
                break;
            }
        }
    }
    worker.log.flush();
}

/// Serves a snapshot from now on.
fn take_up(worker: &Worker, live: Arc<Live>, seen: oneshot::Sender<()>) {
    worker.shop.pool.keep_only(&live);
    worker.upstreams.keep_only(&live);
    *worker.live.borrow_mut() = live;
    worker.swapped.notify_waiters();
    let _ = seen.send(());
}

/// Waits until nothing is open any more; what waits for the end of a pause still hears of snapshots.
async fn finish(worker: &Worker, commands: &mut mpsc::Receiver<Command>) {
    let mut open = worker.open.subscribe();
    // The sender lives in the worker, which is alive here.
    let mut over = std::pin::pin!(open.wait_for(|open| *open == 0));
    loop {
        tokio::select! {
            _ = &mut over => return,
            Some(command) = commands.recv() => {
                if let Command::Serve(live, seen) = command {
                    take_up(worker, live, seen);
                }
            }
        }
    }
}

fn stop(tasks: &[AbortHandle]) {
    tasks.iter().for_each(AbortHandle::abort);
}

async fn accept(worker: Rc<Worker>, address: SocketAddr, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                worker.shared.accepted.fetch_add(1, Ordering::Relaxed);
                // Without it a response in two writes waits for the client's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                arrival::receive(&worker, stream, peer, address);
            }
            // The client was gone before it was accepted, or there are no descriptors left.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// A connection as it comes in.
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    /// What the client showed, where it was asked to.
    pub(crate) client_certificate: Option<Rc<ClientCertificate>>,
    /// Kept as long as the connection is open.
    pub(crate) open: OpenGuard,
    /// Who connected: to us, or to the proxy before us that says so.
    pub(crate) peer: SocketAddr,
    /// The address as the snapshot names it, which may be a wildcard address.
    pub(crate) listener: SocketAddr,
    /// Its place among the connections of its client, where they are limited; to be kept until it is closed, a tunnel's end included.
    pub(crate) place: Option<Rc<Going>>,
}
