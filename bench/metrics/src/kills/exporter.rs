//! Exporters over HTTP that number their answers and keep the numbers, so that a sample that is gone is known. They raise alerts, too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::now_ms;
use super::verdict::Served;

/// Exporters, and series of each.
const TARGETS: usize = 4;
const SERIES: usize = 500;

/// All of them.
pub(super) struct Exporters {
    ports: Vec<u16>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    served: Vec<Served>,
    /// Alerts that were raised, and whether each still is.
    raised: BTreeMap<u64, bool>,
}

impl Exporters {
    pub(super) fn start() -> Result<Self> {
        let state: Arc<Mutex<State>> = Arc::default();
        let mut ports = Vec::new();
        for target in 0..TARGETS {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let port = listener.local_addr()?.port();
            ports.push(port);
            let state = Arc::clone(&state);
            // Ends with the process.
            std::thread::spawn(move || {
                let mut serial = 0;
                for stream in listener.incoming().flatten() {
                    serial += 1;
                    // An asker that was killed got nothing, and its number is not among those that were served.
                    if answer(stream, &body(&lock(&state), target, serial)).is_ok() {
                        let at = now_ms();
                        lock(&state).served.push(Served { port, serial, at });
                    }
                }
            });
        }
        Ok(Self { ports, state })
    }

    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Raises an alert that never was; returns its number.
    pub(super) fn raise(&self) -> u64 {
        let mut state = lock(&self.state);
        let number = state.raised.len() as u64;
        state.raised.insert(number, true);
        number
    }

    /// Ends an alert.
    pub(super) fn end(&self, number: u64) {
        lock(&self.state).raised.insert(number, false);
    }

    /// Returns all that was answered.
    pub(super) fn served(&self) -> Vec<Served> {
        lock(&self.state).served.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The serial stands in the first line and in the last, so that half a scrape would show.
fn body(state: &State, target: usize, serial: u64) -> String {
    let mut body = format!("kills_first {serial}\n");
    for series in 0..SERIES {
        let value = ((serial * 7 + series as u64) as f64).sqrt();
        let _ = writeln!(body, "kills_gauge{{series=\"{series}\"}} {value}");
    }
    if target == 0 {
        for (number, raised) in &state.raised {
            let _ = writeln!(body, "kills_raised{{number=\"{number}\"}} {}", u8::from(*raised));
        }
    }
    let _ = writeln!(body, "kills_last {serial}");
    body
}

fn answer(mut stream: TcpStream, body: &str) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..count]);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    // Closed by the asker once it has all: a body that nobody read was not served.
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read(&mut buffer).map(drop)
}
