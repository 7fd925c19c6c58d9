//! Those who would notice a deploy beside the payers: clients with open WebSockets, and one that asks again and again who answers.
//!
//! Owns what they saw, with times. What of it is bad is in [`crate::verdict`].

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::error::{Error, Result};

/// How often it is asked who answers: a replica that gets a third of the requests is met each sixty milliseconds.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long an answer or a handshake may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client waits before it connects again.
const CONNECT_AGAIN: Duration = Duration::from_millis(100);

/// Who answered a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) sent: Instant,
    pub(crate) at: Instant,
    pub(crate) pid: u64,
    pub(crate) version: String,
}

/// How a WebSocket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Closed by the server as the protocol has it, with this code.
    Closed(u16),
    /// The connection was gone without a word.
    Cut,
}

/// The end of a WebSocket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) at: Instant,
    /// The replica it was connected to.
    pub(crate) pid: u64,
    pub(crate) how: How,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answers: Vec<Answer>,
    pub(crate) ends: Vec<End>,
    /// When a question was not answered as it should be.
    pub(crate) failed_questions: Vec<Instant>,
    /// When a handshake was not answered as it should be.
    pub(crate) failed_handshakes: Vec<Instant>,
    /// Payments that were pushed.
    pub(crate) pushed: u64,
}

/// Clients at work, in a thread of their own.
pub(crate) struct Clients {
    thread: JoinHandle<Seen>,
    stop: watch::Sender<bool>,
    connected: Arc<AtomicUsize>,
}

impl Clients {
    /// Opens a WebSocket for each merchant, and begins to ask who answers.
    pub(crate) fn begin(port: u16, merchants: Vec<String>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::Clients)?;
        let (stop, stopped) = watch::channel(false);
        let connected = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connected);
        let thread = std::thread::Builder::new()
            .name("clients".to_owned())
            .spawn(move || {
                let seen = Rc::new(RefCell::new(Seen::default()));
                LocalSet::new().block_on(&runtime, all(port, merchants, &seen, &counted, stopped));
                seen.take()
            })
            .map_err(Error::Clients)?;
        Ok(Self {
            thread,
            stop,
            connected,
        })
    }

    /// Returns how many WebSockets are open.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Ends the clients and returns what they saw.
    pub(crate) fn end(self) -> Seen {
        self.stop.send_replace(true);
        self.thread.join().expect("invariant: the clients do not panic")
    }
}

async fn all(
    port: u16,
    merchants: Vec<String>,
    seen: &Rc<RefCell<Seen>>,
    connected: &Arc<AtomicUsize>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut tasks = vec![tokio::task::spawn_local(ask(port, Rc::clone(seen)))];
    for merchant in merchants {
        let (seen, connected) = (Rc::clone(seen), Arc::clone(connected));
        tasks.push(tokio::task::spawn_local(listen(port, merchant, seen, connected)));
    }
    // The sender lives until it has said so.
    drop(stopped.wait_for(|stopped| *stopped).await);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    for task in tasks {
        drop(task.await);
    }
}

async fn ask(port: u16, seen: Rc<RefCell<Seen>>) {
    let mut turn = tokio::time::interval(ASK_EVERY);
    loop {
        turn.tick().await;
        let sent = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, version(port)).await;
        let mut seen = seen.borrow_mut();
        match answer {
            Ok(Ok((pid, version))) => seen.answers.push(Answer {
                sent,
                at: Instant::now(),
                pid,
                version,
            }),
            _ => seen.failed_questions.push(sent),
        }
    }
}

/// Asks on a connection of its own, so that a kept one cannot hide that nobody is there.
pub(crate) async fn version(port: u16) -> io::Result<(u64, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = b"GET /api/version HTTP/1.1\r\nhost: mps\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    parse(&answer).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Reads an answer of `/api/version`; none where it is another.
fn parse(answer: &str) -> Option<(u64, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.split(' ').nth(1)? != "200" {
        return None;
    }
    // The body may come in chunks; it is one object whatever stands around it.
    let json: Json = serde_json::from_str(body.get(body.find('{')?..=body.rfind('}')?)?).ok()?;
    Some((json["pid"].as_u64()?, json["version"].as_str()?.to_owned()))
}

async fn listen(port: u16, merchant: String, seen: Rc<RefCell<Seen>>, connected: Arc<AtomicUsize>) {
    loop {
        let begun = Instant::now();
        match tokio::time::timeout(PATIENCE, connect(port, &merchant)).await {
            Ok(Some((pid, mut socket))) => {
                connected.fetch_add(1, Ordering::Relaxed);
                let how = until_end(&mut socket, &seen).await;
                let at = Instant::now();
                connected.fetch_sub(1, Ordering::Relaxed);
                seen.borrow_mut().ends.push(End { at, pid, how });
                // Reading on is what answers a close; a server that does not end after it is left.
                let rest = async { while let Some(Ok(_)) = socket.next().await {} };
                drop(tokio::time::timeout(CONNECT_AGAIN, rest).await);
            }
            _ => seen.borrow_mut().failed_handshakes.push(begun),
        }
        tokio::time::sleep(CONNECT_AGAIN).await;
    }
}

/// Returns a socket and the replica that it is connected to.
async fn connect(port: u16, merchant: &str) -> Option<(u64, WebSocketStream<TcpStream>)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let url = format!("ws://127.0.0.1:{port}/ws?merchant={merchant}");
    let (mut socket, _) = client_async(url, stream).await.ok()?;
    let Message::Text(hello) = socket.next().await?.ok()? else {
        return None;
    };
    let hello: Json = serde_json::from_str(&hello).ok()?;
    Some((hello["connected"]["pid"].as_u64()?, socket))
}

/// Counts payments until the socket ends.
async fn until_end(socket: &mut WebSocketStream<TcpStream>, seen: &Rc<RefCell<Seen>>) -> How {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(_))) => seen.borrow_mut().pushed += 1,
            // 1005 is the protocol's own number for a close without a code.
            Some(Ok(Message::Close(frame))) => return How::Closed(frame.map_or(1005, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return How::Cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_is_read_whole_or_in_chunks_and_a_failure_is_none() {
        let body = r#"{"pid":7,"release":null,"version":"release-a"}"#;
        let wanted = Some((7, "release-a".to_owned()));
        assert_eq!(parse(&format!("HTTP/1.1 200 OK\r\na: b\r\n\r\n{body}")), wanted);
        let chunked = format!("HTTP/1.1 200 OK\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        assert_eq!(parse(&chunked), wanted);
        assert_eq!(parse(&format!("HTTP/1.1 502 Bad Gateway\r\n\r\n{body}")), None);
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\n{\"pid\":7}"), None);
        assert_eq!(parse(""), None);
    }
}
