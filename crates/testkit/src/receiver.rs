//! Somebody who is told of alerts over HTTP, as Alertmanager's webhooks tell it: keeps what came, and can be deaf for a while.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// A webhook; by `GET` somebody who counts signs of life, and a target that gives the metric `present`.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens, on loopback.
    pub port: u16,
    deaf: Arc<AtomicBool>,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    notices: Mutex<Vec<Value>>,
    beats: AtomicUsize,
}

impl Receiver {
    /// Starts one; it ends with the test's process.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let receiver = Self {
            port: listener.local_addr().expect("its own address").port(),
            deaf: Arc::default(),
            heard: Arc::default(),
        };
        let (heard, deaf) = (Arc::clone(&receiver.heard), Arc::clone(&receiver.deaf));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A sender that goes away costs its own notice.
                let _ = take(stream, &heard, &deaf);
            }
        });
        receiver
    }

    /// From now on it answers everything with 503, or takes it again.
    pub fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }

    /// How many signs of life came.
    #[must_use]
    pub fn beats(&self) -> usize {
        self.heard.beats.load(Ordering::SeqCst)
    }

    /// The alerts of this name and status that it was told of, each time.
    #[must_use]
    pub fn alerts(&self, alert: &str, status: &str) -> Vec<Value> {
        let notices = self.heard.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let alerts = notices
            .iter()
            .flat_map(|notice| notice["alerts"].as_array().cloned().unwrap_or_default());
        alerts
            .filter(|one| one["labels"]["alertname"] == alert && one["status"] == status)
            .collect()
    }

    /// How often it was told of an alert with this status; tests do not count.
    #[must_use]
    pub fn told(&self, alert: &str, status: &str) -> usize {
        let alerts = self.alerts(alert, status);
        alerts.iter().filter(|one| one["labels"]["tend_test"].is_null()).count()
    }
}

fn take(mut stream: TcpStream, heard: &Heard, deaf: &AtomicBool) -> std::io::Result<()> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    let (head, body) = loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        text.extend_from_slice(&buffer[..count]);
        let seen = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = seen.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let status = if deaf.load(Ordering::SeqCst) {
        "503 Service Unavailable"
    } else {
        match head.starts_with("GET ") {
            true => drop(heard.beats.fetch_add(1, Ordering::SeqCst)),
            false => {
                let notice = serde_json::from_str(&body)?;
                heard
                    .notices
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(notice);
            }
        }
        "200 OK"
    };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 10\r\nConnection: close\r\n\r\npresent 1\n");
    stream.write_all(answer.as_bytes())
}
