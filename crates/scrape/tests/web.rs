//! A server on loopback that answers as badly as the tests want. Knows HTTP only as far as a scrape needs it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Shared;

/// What is answered at a path.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// Status, headers with their line ends, body.
    Answer(u16, String, Vec<u8>),
    /// The body, packed.
    Packed(Vec<u8>),
    /// Bytes as they are, then the connection ends.
    Raw(Vec<u8>),
    /// Nothing, for as long as the other side waits.
    Silence,
}

impl Says {
    pub(crate) fn metrics(text: &str) -> Self {
        Self::typed("text/plain; version=0.0.4", text)
    }

    pub(crate) fn typed(content_type: &str, text: &str) -> Self {
        Self::Answer(
            200,
            format!("Content-Type: {content_type}\r\n"),
            text.as_bytes().to_vec(),
        )
    }
}

/// A server, its answers by path, and what it was asked. Its threads end with the connections that the scraper keeps.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    pub(crate) says: Shared<BTreeMap<String, Says>>,
    /// Heads of requests.
    pub(crate) asked: Shared<Vec<String>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Web {
    pub(crate) fn new(says: impl IntoIterator<Item = (&'static str, Says)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let says = says.into_iter().map(|(path, says)| (path.to_owned(), says)).collect();
        let web = Self {
            address: listener.local_addr().expect("an address"),
            says: Arc::new(Mutex::new(says)),
            asked: Shared::default(),
            connections: Arc::default(),
        };
        let (says, asked, connections) = (
            Arc::clone(&web.says),
            Arc::clone(&web.asked),
            Arc::clone(&web.connections),
        );
        // Blocked in `accept` until the test program ends; it holds nothing but a port.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::Relaxed);
                let (says, asked) = (Arc::clone(&says), Arc::clone(&asked));
                thread::spawn(move || serve(stream, &says, &asked));
            }
        });
        web
    }

    pub(crate) fn say(&self, path: &str, says: Says) {
        self.says.lock().expect("unpoisoned").insert(path.to_owned(), says);
    }

    /// The heads of requests that hold this text.
    pub(crate) fn asked(&self, with: &str) -> Vec<String> {
        let asked = self.asked.lock().expect("unpoisoned");
        asked.iter().filter(|head| head.contains(with)).cloned().collect()
    }
}

fn serve(stream: TcpStream, says: &Mutex<BTreeMap<String, Says>>, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match reader.read_line(&mut head) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        asked.lock().expect("unpoisoned").push(head);
        let found = says.lock().expect("unpoisoned").get(&path).cloned();
        let (answer, goes_on) = match found {
            None => (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), true),
            Some(Says::Answer(status, headers, body)) => (whole(status, &headers, &body), true),
            Some(Says::Packed(body)) => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&body).expect("packed");
                let packed = encoder.finish().expect("packed");
                (
                    whole(200, "Content-Encoding: gzip\r\nContent-Type: text/plain\r\n", &packed),
                    true,
                )
            }
            Some(Says::Raw(bytes)) => (bytes, false),
            Some(Says::Silence) => {
                // Until the other side has had enough.
                _ = reader.read(&mut [0; 1]);
                return;
            }
        };
        if stream.write_all(&answer).is_err() || !goes_on {
            return;
        }
    }
}

fn whole(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}
