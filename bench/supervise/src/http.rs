//! One question over a fresh connection, as a client of a service asks it. Knows HTTP/1.1 as far as the comparison needs it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Between two questions while a service is awaited: short beside the milliseconds measured.
const AGAIN: Duration = Duration::from_micros(500);

/// Returns the body of a 200 answer.
pub(crate) fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// Returns the process that serves at a port.
pub(crate) fn serving_pid(port: u16) -> Option<i32> {
    get(port, "/health")?.strip_prefix("ok ")?.trim().parse().ok()
}

/// Waits until a process that `is_new` serves at `port`; returns how long that took, nothing when it took longer than `at_most`.
pub(crate) fn until_served(port: u16, at_most: Duration, is_new: impl Fn(i32) -> bool) -> Option<Duration> {
    let begun = Instant::now();
    loop {
        if serving_pid(port).is_some_and(&is_new) {
            return Some(begun.elapsed());
        }
        if begun.elapsed() > at_most {
            return None;
        }
        std::thread::sleep(AGAIN);
    }
}
