//! Who would notice a storm: clients that ask at a steady rate, on kept and on new connections, and clients with open WebSockets.
//!
//! Owns what they saw. Nothing is asked twice: a request that is not answered with 200 within its time has failed.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Size;
use crate::error::{Error, Result};

/// How long an answer or an echo may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Clients that ask; each has its share of the rate.
const ASKING: u32 = 20;

/// Between two messages of a WebSocket.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Between the first handshakes of two WebSockets.
const OPEN_EVERY: Duration = Duration::from_millis(4);

/// What the clients saw.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Seen {
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    /// What was wrong with each that failed, with when.
    pub(crate) failures: Vec<String>,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) opened: u64,
    pub(crate) echoes: u64,
    /// What was wrong with each that ended otherwise than by its client.
    pub(crate) dropped: Vec<String>,
    #[serde(skip)]
    latencies: Vec<Duration>,
}

/// What the clients are to do.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    /// WebSockets up to this number, counted over all turns, are closed by their clients and opened again.
    moved: usize,
    end: bool,
}

/// Clients at work, in a thread of their own.
pub(crate) struct Clients {
    thread: JoinHandle<Seen>,
    orders: watch::Sender<Orders>,
    open: Arc<AtomicUsize>,
    sockets: usize,
}

impl Clients {
    pub(crate) fn start(address: SocketAddr, size: Size) -> Result<Self> {
        let failed = |source| Error::Upstream {
            what: "start its clients",
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (orders, given) = watch::channel(Orders::default());
        let open = Arc::new(AtomicUsize::new(0));
        let counted = open.clone();
        let thread = std::thread::Builder::new()
            .name("clients".to_owned())
            .spawn(move || LocalSet::new().block_on(&runtime, all(address, size, given, counted)))
            .map_err(failed)?;
        Ok(Self {
            thread,
            orders,
            open,
            sockets: size.sockets,
        })
    }

    /// Waits until all WebSockets are open.
    pub(crate) fn await_all_open(&self, within: Duration) -> Result<()> {
        let begun = Instant::now();
        while self.open.load(Ordering::Relaxed) < self.sockets {
            if begun.elapsed() > within || self.thread.is_finished() {
                let open = self.open.load(Ordering::Relaxed);
                return Err(Error::Edge {
                    what: format!(
                        "{open} of {} WebSockets are open after {} s",
                        self.sockets,
                        within.as_secs()
                    ),
                });
            }
            std::thread::sleep(crate::process::LOOK);
        }
        Ok(())
    }

    /// Has the clients of so many WebSockets close them and open others, at whatever edge accepts by then.
    pub(crate) fn move_on(&self, count: usize) {
        self.orders.send_modify(|orders| orders.moved += count);
    }

    /// Ends the clients, each WebSocket with a last echo, and returns what they saw.
    pub(crate) fn end(self) -> Seen {
        self.orders.send_modify(|orders| orders.end = true);
        self.thread.join().expect("invariant: the clients do not panic")
    }
}

type Notes = Rc<RefCell<Seen>>;

async fn all(address: SocketAddr, size: Size, orders: watch::Receiver<Orders>, open: Arc<AtomicUsize>) -> Seen {
    let (seen, begun) = (Notes::default(), Instant::now());
    let mut tasks = Vec::new();
    for number in 0..size.sockets {
        tasks.push(spawn_local(listen(
            address,
            number,
            size.sockets,
            seen.clone(),
            orders.clone(),
            open.clone(),
        )));
    }
    for number in 0..ASKING {
        let each = Duration::from_secs(1) * ASKING / size.rate.max(1);
        tasks.push(spawn_local(ask(address, number, each, seen.clone(), orders.clone())));
    }
    for task in tasks {
        if let Err(error) = task.await {
            seen.borrow_mut().failures.push(format!("a client ended: {error}"));
        }
    }
    let mut seen = seen.take();
    seen.seconds = begun.elapsed().as_secs_f64();
    seen.latencies.sort_unstable();
    // By nearest rank.
    let at = |permille: usize| {
        let rank = (seen.latencies.len() * permille).div_ceil(1000).max(1);
        seen.latencies
            .get(rank - 1)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    };
    (seen.p50_ms, seen.p99_ms, seen.max_ms) = (at(500), at(990), at(1000));
    seen
}

/// Asks at a steady pace; every fourth client on a new connection each time.
async fn ask(address: SocketAddr, number: u32, each: Duration, seen: Notes, orders: watch::Receiver<Orders>) {
    let fresh = number.is_multiple_of(4);
    let begun = Instant::now();
    let mut kept = None;
    let mut turn = tokio::time::interval(each);
    while !orders.borrow().end {
        turn.tick().await;
        let sent = Instant::now();
        let answer = tokio::time::timeout(WITHIN, one(address, &mut kept, fresh)).await;
        let mut seen = seen.borrow_mut();
        seen.requests += 1;
        let wrong = match answer {
            Ok(Ok(200)) => {
                seen.latencies.push(sent.elapsed());
                continue;
            }
            Ok(Ok(status)) => format!("answered {status}"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", WITHIN.as_secs()),
        };
        kept = None;
        let how = if fresh { "new" } else { "kept" };
        seen.failures.push(format!(
            "{:.3} s, on a {how} connection: {wrong}",
            begun.elapsed().as_secs_f64()
        ));
    }
}

/// Sends a request and reads its answer. A kept connection goes on unless its answer said that it ends.
async fn one(address: SocketAddr, kept: &mut Option<TcpStream>, fresh: bool) -> io::Result<u16> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address).await?,
    };
    let close = if fresh { "Connection: close\r\n" } else { "" };
    stream
        .write_all(format!("GET / HTTP/1.1\r\nHost: storm.test\r\n{close}\r\n").as_bytes())
        .await?;
    let mut answer = Vec::new();
    let end = loop {
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let mut piece = [0; 2048];
        match stream.read(&mut piece).await? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before an answer")),
            read => answer.extend_from_slice(&piece[..read]),
        }
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length: Option<usize> = head
        .split("\r\ncontent-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let (Some(status), Some(length)) = (status, length) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not an answer"));
    };
    let mut rest = vec![0; (end + length).saturating_sub(answer.len())];
    stream.read_exact(&mut rest).await?;
    if !fresh && !head.contains("\r\nconnection: close") {
        *kept = Some(stream);
    }
    Ok(status)
}

/// Says something each second and waits for the echo; moves to another edge when it is this one's turn.
async fn listen(
    address: SocketAddr,
    number: usize,
    sockets: usize,
    seen: Notes,
    mut orders: watch::Receiver<Orders>,
    open: Arc<AtomicUsize>,
) {
    let mut turns = 0;
    // One after the other: a crowd at the very start is not what is looked at.
    tokio::time::sleep(OPEN_EVERY * u32::try_from(number).unwrap_or(0)).await;
    loop {
        let mut socket = match tokio::time::timeout(WITHIN, connect(address)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                return seen
                    .borrow_mut()
                    .dropped
                    .push(format!("WebSocket {number}, handshake: {error}"));
            }
            Err(_) => {
                return seen
                    .borrow_mut()
                    .dropped
                    .push(format!("WebSocket {number}, handshake: late"));
            }
        };
        seen.borrow_mut().opened += 1;
        open.fetch_add(1, Ordering::Relaxed);
        let mut said = 0;
        loop {
            let (end, mine) = {
                let orders = orders.borrow_and_update();
                (orders.end, orders.moved > number + turns * sockets)
            };
            said += 1;
            if let Err(why) = echo(&mut socket, &format!("{number} {said}")).await {
                return seen
                    .borrow_mut()
                    .dropped
                    .push(format!("WebSocket {number}, message {said}: {why}"));
            }
            seen.borrow_mut().echoes += 1;
            if end || mine {
                if let Err(why) = close(&mut socket).await {
                    return seen
                        .borrow_mut()
                        .dropped
                        .push(format!("WebSocket {number}, its end: {why}"));
                }
                if end {
                    return;
                }
                turns += 1;
                break;
            }
            // An order comes at once, and a message each second.
            let _ = tokio::time::timeout(SAY_EVERY, orders.changed()).await;
        }
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn connect(address: SocketAddr) -> std::result::Result<Socket, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (socket, _) = client_async("ws://storm.test/ws", stream)
        .await
        .map_err(|error| error.to_string())?;
    Ok(socket)
}

/// Says a text and waits for the same.
async fn echo(socket: &mut Socket, text: &str) -> std::result::Result<(), String> {
    let exchange = async {
        socket
            .send(Message::text(text))
            .await
            .map_err(|error| error.to_string())?;
        match socket.next().await {
            Some(Ok(Message::Text(back))) if back.as_str() == text => Ok(()),
            Some(Ok(other)) => Err(format!("{other:?}")),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("ended".to_owned()),
        }
    };
    tokio::time::timeout(WITHIN, exchange)
        .await
        .unwrap_or_else(|_| Err("no echo".to_owned()))
}

/// Closes as the protocol has it and waits for the server's close.
async fn close(socket: &mut Socket) -> std::result::Result<(), String> {
    let exchange = async {
        socket.close(None).await.map_err(|error| error.to_string())?;
        match socket.next().await {
            Some(Ok(Message::Close(_))) | None => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    tokio::time::timeout(WITHIN, exchange)
        .await
        .unwrap_or_else(|_| Err("no close".to_owned()))
}
