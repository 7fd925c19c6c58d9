//! Who is told: takes Alertmanager's JSON over HTTP and keeps which alert was told of, how and when.

use std::io::{Error, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::now_ms;
use super::verdict::Told;

/// The receiver.
pub(super) struct Receiver {
    pub(super) port: u16,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Receiver {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let taking = Arc::clone(&told);
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A sender that was killed in the middle said nothing.
                let _ = take(stream, &taking);
            }
        });
        Ok(Self { port, told })
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn was_told(&self, number: u64, status: &str) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().any(|one| one.number == number && one.status == status)
    }
}

fn take(mut stream: TcpStream, told: &Mutex<Vec<Told>>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    let notice: Value = loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        text.extend_from_slice(&buffer[..count]);
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        // A body that is not all there is no JSON.
        if let Ok(notice) = serde_json::from_slice(&text[end + 4..]) {
            break notice;
        }
    };
    let at = now_ms();
    for alert in notice["alerts"].as_array().into_iter().flatten() {
        let number = alert["labels"]["number"]
            .as_str()
            .and_then(|number| number.parse().ok());
        // Others are there, too: what the monitor says of itself.
        if let (Some(number), Some(status)) = (number, alert["status"].as_str()) {
            let one = Told {
                number,
                status: status.to_owned(),
                at,
            };
            told.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        }
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .map_err(Error::other)
}
