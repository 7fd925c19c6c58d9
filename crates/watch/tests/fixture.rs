//! An endpoint with one replica, a plain HTTP client, and what was heard.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tend_testkit::Folder;
use tend_watch::{Ack, Endpoint, EndpointSettings, Notice, Outcome, Publisher, Revision};
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

/// How long anything is waited for before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const REPLICA: &str = "mps/api/1";

/// An endpoint that can be ended and begun again under clients.
pub(crate) struct Served {
    pub(crate) folder: Folder,
    pub(crate) socket: PathBuf,
    endpoint: Option<(Endpoint, Receiver<Notice>)>,
    settings: EndpointSettings,
}

pub(crate) fn revision(number: u64, values: Value) -> Arc<Revision> {
    let Value::Object(values) = values else {
        panic!("values are an object");
    };
    let values = values.into_iter().collect();
    Arc::new(Revision { number, values })
}

impl Served {
    pub(crate) fn new() -> Served {
        Served::with(EndpointSettings::default())
    }

    pub(crate) fn with(settings: EndpointSettings) -> Served {
        let folder = Folder::new();
        let socket = folder.path().join("config.sock");
        let mut served = Served {
            folder,
            socket,
            endpoint: None,
            settings,
        };
        served.begin();
        served
    }

    pub(crate) fn begin(&mut self) {
        let started = Endpoint::start(self.settings).expect("a thread is to be had");
        started
            .0
            .publisher()
            .open(REPLICA, &self.socket, None)
            .expect("a socket in a folder of our own");
        self.endpoint = Some(started);
    }

    /// Ends every connection and takes the socket away, as when the daemon is killed.
    pub(crate) fn end(&mut self) {
        self.endpoint = None;
    }

    pub(crate) fn publisher(&self) -> Publisher {
        self.endpoint.as_ref().expect("begun").0.publisher()
    }

    pub(crate) fn publish(&self, number: u64, values: Value) {
        self.publisher()
            .publish(REPLICA, &revision(number, values))
            .expect("newer than before");
    }

    pub(crate) fn notice(&mut self) -> Notice {
        let notices = &mut self.endpoint.as_mut().expect("begun").1;
        let begun = Instant::now();
        loop {
            match notices.try_recv() {
                Ok(notice) => return notice,
                Err(TryRecvError::Empty) => {
                    assert!(begun.elapsed() < DEADLINE, "no notice within {DEADLINE:?}");
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(TryRecvError::Disconnected) => panic!("the endpoint has gone"),
            }
        }
    }

    /// Waits for the next acknowledgement, past other notices.
    pub(crate) fn ack(&mut self) -> Ack {
        loop {
            if let Notice::Ack(ack) = self.notice() {
                return ack;
            }
        }
    }

    /// Waits for the first acknowledgement of a revision; earlier ones may be repeated before it.
    pub(crate) fn outcome_of(&mut self, number: u64) -> Outcome {
        loop {
            let ack = self.ack();
            assert!(ack.revision <= number, "{ack:?} came before one of {number}");
            if ack.revision == number {
                return ack.outcome;
            }
        }
    }
}

/// An answer read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}

pub(crate) fn send(socket: &Path, request: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket).expect("the endpoint listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("the endpoint reads");
    stream
}

pub(crate) fn ask(socket: &Path, request: &str) -> Answer {
    let mut text = String::new();
    send(socket, request)
        .read_to_string(&mut text)
        .expect("an answer within the deadline");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    Answer {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

pub(crate) fn get(socket: &Path, target: &str, fields: &str) -> Answer {
    ask(socket, &format!("GET {target} HTTP/1.0\r\nHost: tend\r\n{fields}\r\n"))
}

pub(crate) fn post(socket: &Path, target: &str, body: &str) -> Answer {
    let length = body.len();
    ask(
        socket,
        &format!("POST {target} HTTP/1.0\r\nHost: tend\r\nContent-Length: {length}\r\n\r\n{body}"),
    )
}

/// The stream of events, line by line.
pub(crate) struct Stream(BufReader<UnixStream>);

impl Stream {
    /// Asks and reads the head, which must be 200.
    pub(crate) fn open(socket: &Path, query: &str, last: Option<u64>) -> Stream {
        let last = last
            .map(|last| format!("Last-Event-ID: {last}\r\n"))
            .unwrap_or_default();
        let request = format!("GET /v1/config/events{query} HTTP/1.0\r\nHost: tend\r\n{last}\r\n");
        let mut stream = Stream(BufReader::new(send(socket, &request)));
        assert_eq!(stream.line().split(' ').nth(1), Some("200"));
        while !stream.line().is_empty() {}
        stream
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let bytes = self.0.read_line(&mut line).expect("a line within the deadline");
        assert!(bytes > 0, "the stream has ended");
        line.trim_end().to_owned()
    }

    /// Reads to the end of the stream, which has to come.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).expect("an end within the deadline");
        rest
    }

    /// Returns id and data of the next `config` event.
    pub(crate) fn event(&mut self) -> (u64, Value) {
        loop {
            if self.line() == "event: config" {
                let id = self
                    .line()
                    .strip_prefix("id: ")
                    .and_then(|id| id.parse().ok())
                    .expect("an id");
                let data = self.line();
                let data = data.strip_prefix("data: ").expect("data");
                return (id, serde_json::from_str(data).unwrap_or_else(|_| json!(data)));
            }
        }
    }
}
