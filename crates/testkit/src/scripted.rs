//! A server that does exactly what its script says, connection by connection, and remembers what it was sent. It reads what tests send, not what
//! the world may.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Nothing in a test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server does on a connection.
#[derive(Clone, Debug)]
pub enum Act {
    /// Reads a request of HTTP, and writes this.
    Answer(Vec<u8>),
    /// Reads a request of HTTP.
    Read,
    /// Writes this, without reading.
    Say(String),
    /// Reads a line, and writes this behind it.
    Line(&'static str),
    /// Reads lines until one with a dot alone, and writes this.
    Lines(&'static str),
    /// Waits until the client ends the connection.
    Hold,
    /// Tells the test.
    Tell(SyncSender<()>),
}

impl Act {
    /// An answer of HTTP, its lines ended with LF for writing.
    #[must_use]
    pub fn answer(text: &str) -> Self {
        Self::Answer(text.replace('\n', "\r\n").into_bytes())
    }

    /// A plain good answer.
    #[must_use]
    pub fn ok(body: &str) -> Self {
        Self::status(200, body)
    }

    /// An answer of any status.
    #[must_use]
    pub fn status(status: u16, body: &str) -> Self {
        Self::Answer(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }
}

/// A server that runs until it goes.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Held until the end, so that nobody else gets its port meanwhile.
    _listener: TcpListener,
}

impl Scripted {
    /// Starts; the first connection does what the first script says, and so on. Behind the last script nobody is answered.
    #[must_use]
    pub fn start(scripts: Vec<Vec<Act>>) -> Self {
        Self::with(None, scripts)
    }

    /// The same under TLS.
    #[must_use]
    pub fn tls(config: Arc<ServerConfig>, scripts: Vec<Vec<Act>>) -> Self {
        Self::with(Some(config), scripts)
    }

    fn with(tls: Option<Arc<ServerConfig>>, scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let held = listener.try_clone().expect("a second hold");
        let (asked, ended) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (told, over) = (Arc::clone(&asked), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for script in scripts {
                    let (stream, _) = listener.accept().expect("a connection");
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
                    let (tls, told) = (tls.clone(), &told);
                    scope.spawn(move || serve(stream, tls, &script, told));
                }
            });
        });
        Self {
            address,
            asked,
            ended,
            thread: Some(thread),
            _listener: held,
        }
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what was asked so far: heads and bodies as they came, or lines.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the address of a path here.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes who waits for a connection that does not come.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            matches!(ended, Some(Ok(()))) || std::thread::panicking(),
            "the server failed"
        );
    }
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, script: &[Act], asked: &Mutex<Vec<String>>) {
    // A client that leaves in the middle is what some tests are about.
    let _ = match tls {
        None => converse(stream, script, asked),
        Some(config) => {
            let connection = ServerConnection::new(config).expect("own settings");
            converse(StreamOwned::new(connection, stream), script, asked)
        }
    };
}

fn converse(mut stream: impl Read + Write, script: &[Act], asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let note = |text: String| asked.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    for act in script {
        match act {
            Act::Answer(bytes) => {
                note(request(&mut stream)?);
                stream.write_all(bytes)?;
            }
            Act::Read => note(request(&mut stream)?),
            Act::Say(text) => stream.write_all(text.as_bytes())?,
            Act::Line(reply) => {
                note(lines(&mut stream, b"\n")?.trim_end().to_owned());
                stream.write_all(reply.as_bytes())?;
            }
            Act::Lines(reply) => {
                note(lines(&mut stream, b"\r\n.\r\n")?);
                stream.write_all(reply.as_bytes())?;
            }
            Act::Hold => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest)?;
            }
            // Who is told may have gone.
            Act::Tell(who) => _ = who.send(()),
        }
        stream.flush()?;
    }
    Ok(())
}

fn lines(stream: &mut impl Read, end: &[u8]) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(end) {
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a request whose body has a `Content-Length`, if any.
fn request(stream: &mut impl Read) -> io::Result<String> {
    let head = lines(stream, b"\r\n\r\n")?;
    let lower = head.to_lowercase();
    let length = lower
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(head + &String::from_utf8_lossy(&body))
}

/// A socket that does one act on one connection; its end gives what was asked.
///
/// # Panics
/// When there is something at the path.
#[must_use]
pub fn scripted_socket(path: &Path, act: Act) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).expect("a free path");
    std::thread::spawn(move || {
        let asked = Mutex::new(Vec::new());
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
        let _ = converse(stream, &[act], &asked);
        asked.into_inner().unwrap_or_else(PoisonError::into_inner)
    })
}
