//! A server that does exactly what its script says, connection by connection, and remembers what it was sent. Reads only what the tests send.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Nothing in a test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server does on one connection.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Reads a request, and writes this.
    Answer(Vec<u8>),
    /// Reads a request.
    Read,
    /// Waits until the client ends the connection.
    Hold,
    /// Tells the test.
    Tell(std::sync::mpsc::SyncSender<()>),
}

pub(crate) fn answer(text: &str) -> Act {
    Act::Answer(text.replace('\n', "\r\n").into_bytes())
}

/// A plain good answer.
pub(crate) fn ok(body: &str) -> Act {
    Act::Answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Held until the end, so that nobody else gets its port meanwhile.
    _listener: TcpListener,
}

impl Server {
    /// Starts; the first connection does what the first script says, and so on. After the last script nobody is accepted.
    pub(crate) fn start(scripts: Vec<Vec<Act>>) -> Self {
        Self::with(None, scripts)
    }

    pub(crate) fn tls(config: Arc<ServerConfig>, scripts: Vec<Vec<Act>>) -> Self {
        Self::with(Some(config), scripts)
    }

    fn with(tls: Option<Arc<ServerConfig>>, scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, ended) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let held = listener.try_clone().unwrap();
        let (told, over) = (Arc::clone(&asked), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for script in scripts {
                    let (stream, _) = listener.accept().unwrap();
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
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

    /// Returns what was asked so far, heads and bodies as they came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes who waits for a connection that does not come.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server failed");
    }
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, script: &[Act], asked: &Mutex<Vec<String>>) {
    // A client that leaves in the middle is what some tests are about.
    let _ = match tls {
        None => converse(stream, script, asked),
        Some(config) => converse(
            StreamOwned::new(ServerConnection::new(config).unwrap(), stream),
            script,
            asked,
        ),
    };
}

fn converse(mut stream: impl Read + Write, script: &[Act], asked: &Mutex<Vec<String>>) -> io::Result<()> {
    for act in script {
        match act {
            Act::Answer(bytes) => {
                let request = request(&mut stream)?;
                asked.lock().unwrap().push(request);
                stream.write_all(bytes)?;
                stream.flush()?;
            }
            Act::Read => {
                let request = request(&mut stream)?;
                asked.lock().unwrap().push(request);
            }
            Act::Hold => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest)?;
            }
            Act::Tell(who) => who.send(()).unwrap(),
        }
    }
    Ok(())
}

/// Reads a request whose body has a `Content-Length`, if any.
fn request(stream: &mut impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body)?;
    bytes.extend(body);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A socket that answers once.
pub(crate) fn unix(path: &Path, act: Act) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let asked = Mutex::new(Vec::new());
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = converse(stream, &[act], &asked);
        asked.into_inner().unwrap()
    })
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
