//! An upstream server that keeps every byte it is sent and reads it with the strict reading alone.
//!
//! Owns what came and in which order. What is not one whole request after the other is kept as it came and never guessed at.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::strict::{Request, Stop};
use crate::fixture::eventually;

/// How long who broke a request off may take to close its connection.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// What is answered.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) close: bool,
}

impl Answer {
    /// An answer that says which request it answers.
    pub(crate) fn echo(request: &Request) -> Self {
        let text = format!("{} {} {}", request.method, request.target, request.body.len());
        let body = if request.method == "HEAD" { "" } else { &text };
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", text.len());
        Self {
            bytes: bytes.into_bytes(),
            close: false,
        }
    }
}

/// What came since the last look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Whole requests, in the order in which they were complete, with the bytes they came in.
    pub(crate) requests: Vec<(Request, Vec<u8>)>,
    /// What else came on connections that have ended: requests that were broken off.
    pub(crate) broken_off: Vec<Vec<u8>>,
    /// What is wrong with what came, or with what is left on a connection that is still open.
    pub(crate) wrong: Vec<String>,
}

struct Connection {
    stream: TcpStream,
    /// Not yet part of a whole request.
    bytes: Vec<u8>,
    ended: bool,
}

#[derive(Default)]
struct State {
    connections: Vec<Connection>,
    heard: Heard,
    stopped: bool,
}

type Behaviour = dyn Fn(&Request) -> Answer + Send + Sync;

/// How requests are read: by `strict::request` or `strict::request_of_a_peer`.
pub(crate) type Reading = fn(&[u8]) -> Result<(Request, usize), Stop>;

/// The server: a thread for each connection.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    listener: Arc<TcpListener>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub(crate) fn start(reading: Reading, behaviour: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let thread = std::thread::spawn({
            let (state, listener) = (state.clone(), listener.clone());
            move || {
                let mut threads = Vec::new();
                loop {
                    if !someone_connects(&listener, None) {
                        continue;
                    }
                    // Accepted and noted in one, so that whoever connected is always seen in one of the two places.
                    let mut locked = state.lock().unwrap();
                    let (stream, _) = listener.accept().unwrap();
                    if locked.stopped {
                        break;
                    }
                    let index = locked.connections.len();
                    locked.connections.push(Connection {
                        stream: stream.try_clone().unwrap(),
                        bytes: Vec::new(),
                        ended: false,
                    });
                    drop(locked);
                    let (state, behaviour) = (state.clone(), behaviour.clone());
                    threads.push(std::thread::spawn(move || {
                        serve(stream, index, reading, &state, &*behaviour);
                    }));
                }
                for connection in &state.lock().unwrap().connections {
                    let _ = connection.stream.shutdown(Shutdown::Both);
                }
                for thread in threads {
                    thread.join().unwrap();
                }
            }
        });
        Self {
            address,
            listener,
            state,
            thread: Some(thread),
        }
    }

    /// Returns what came since the last look, once nothing of it waits to be read. The sender has to have sent it all.
    pub(crate) fn take(&self) -> Heard {
        let begun = Instant::now();
        eventually("everything sent to the upstream to be read", || {
            let mut state = self.state.lock().unwrap();
            let unseen = someone_connects(&self.listener, Some(&Timespec::default()));
            let waiting = state.connections.iter().any(|connection| {
                let unread = || rustix::io::ioctl_fionread(&connection.stream).unwrap_or(0) > 0;
                let half = || !connection.bytes.is_empty() && begun.elapsed() < CLOSED_WITHIN;
                !connection.ended && (unread() || half())
            });
            if unseen || waiting {
                return None;
            }
            let mut heard = std::mem::take(&mut state.heard);
            for connection in &mut state.connections {
                let left = std::mem::take(&mut connection.bytes);
                match (left.is_empty(), connection.ended) {
                    (true, _) => {}
                    (false, true) => heard.broken_off.push(left),
                    (false, false) => heard.wrong.push(format!(
                        "left without an end on an open connection: {}",
                        left.escape_ascii()
                    )),
                }
            }
            Some(heard)
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.state.lock().unwrap().stopped = true;
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether somebody has connected who was not accepted yet; waits for it as long as `patience` says, without one for ever.
fn someone_connects(listener: &TcpListener, patience: Option<&Timespec>) -> bool {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    // A signal is no reason to fail, and the next look is near.
    rustix::event::poll(&mut fds, patience).is_ok_and(|ready| ready > 0)
}

fn serve(mut stream: TcpStream, index: usize, reading: Reading, state: &Mutex<State>, behaviour: &Behaviour) {
    let _ = stream.set_nodelay(true);
    let mut piece = vec![0; 64 << 10];
    loop {
        // Looks without taking, so that what was taken is always seen as taken.
        let came = stream.peek(&mut [0]);
        let mut state = state.lock().unwrap();
        if !matches!(came, Ok(1..)) {
            state.connections[index].ended = true;
            return;
        }
        let Ok(read) = stream.read(&mut piece) else { continue };
        state.connections[index].bytes.extend_from_slice(&piece[..read]);
        loop {
            match reading(&state.connections[index].bytes) {
                Ok((request, used)) => {
                    let raw: Vec<u8> = state.connections[index].bytes.drain(..used).collect();
                    let answer = behaviour(&request);
                    state.heard.requests.push((request, raw));
                    let sent = stream.write_all(&answer.bytes);
                    if answer.close || sent.is_err() {
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                }
                Err(Stop::More) => break,
                Err(Stop::Wrong(why)) => {
                    let bytes = std::mem::take(&mut state.connections[index].bytes);
                    state.heard.wrong.push(format!("{why}: {}", bytes.escape_ascii()));
                    let _ = stream.shutdown(Shutdown::Both);
                    break;
                }
            }
        }
    }
}
