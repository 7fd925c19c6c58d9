//! The client against a server whose every word is scripted here. Against the real endpoint it is tested in `crates/watch`,
//! with the clients in other languages.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tend_config_client::{Builder, Client, Error};

/// How long anything is waited for before a test fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// Answers connections one after the other, as the test says.
struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    fn new() -> Server {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "tend-client-{}-{}.sock",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        // Left by an earlier process of the same id, if by anybody.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket in a folder for all");
        listener.set_nonblocking(true).expect("a socket");
        Server { listener, path }
    }

    /// Waits for the next request; returns its head, its body and where to answer.
    fn request(&self) -> (String, String, UnixStream) {
        let begun = Instant::now();
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => {
                    assert!(begun.elapsed() < DEADLINE, "nobody asks");
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        };
        stream.set_nonblocking(false).expect("a socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let mut reader = BufReader::new(stream.try_clone().expect("descriptors are left"));
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begin = head.len();
            assert_ne!(
                reader.read_line(&mut head).expect("a head within the deadline"),
                0,
                "{head}"
            );
            if let Some(bytes) = head[begin..].strip_prefix("Content-Length: ") {
                length = bytes.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body within the deadline");
        (head, String::from_utf8(body).expect("JSON"), stream)
    }

    /// Waits for who asks for events, and begins to answer.
    fn events(&self) -> (String, UnixStream) {
        let (head, _, mut stream) = self.request();
        assert!(head.starts_with("GET /v1/config/events"), "{head}");
        stream
            .write_all(b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\n")
            .expect("it reads");
        (head, stream)
    }

    /// Waits for an acknowledgement, answers with `status` and returns it.
    fn ack(&self, status: u16) -> Value {
        let (head, body, mut stream) = self.request();
        assert!(head.starts_with("POST /v1/config/ack "), "{head}");
        stream
            .write_all(format!("HTTP/1.0 {status} Whatever\r\n\r\n").as_bytes())
            .expect("it reads");
        serde_json::from_str(&body).expect("JSON")
    }

    fn client(&self) -> Builder {
        Client::builder(&self.path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is in a temporary folder in any case.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn tell(stream: &mut UnixStream, revision: u64, whole: bool, changed: &Value) {
    let data = json!({ "revision": revision, "whole": whole, "changed": changed, "removed": [] });
    let event = format!("event: config\nid: {revision}\ndata: {data}\n\n");
    stream.write_all(event.as_bytes()).expect("it reads");
}

fn keys_told(builder: Builder) -> (Builder, Receiver<String>) {
    let (tell, told) = sync_channel(100);
    (
        builder.on("*", move |change| Ok(tell.send(change.key.to_owned())?)),
        told,
    )
}

#[test]
fn one_callback_that_panics_does_not_stop_the_rest() {
    let server = Server::new();
    let builder = server
        .client()
        .on("a", |_| panic!("out of range"))
        .on("b", |_| Err("no".into()));
    let (builder, told) = keys_told(builder);
    let client = builder.start().expect("a thread");
    let (_, mut events) = server.events();
    tell(&mut events, 1, true, &json!({ "a": 1, "b": 2 }));
    assert_eq!(
        server.ack(204),
        json!({ "revision": 1, "error": "a: panicked: out of range; b: no" })
    );
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(client.get("b"), Some(json!(2)), "what is held is held whole");
}

#[test]
fn a_set_that_fails_its_check_is_not_held() {
    let server = Server::new();
    let builder = server
        .client()
        .check(|set| set.get("bad").map_or(Ok(()), |_| Err("bad is there".into())));
    let (builder, told) = keys_told(builder);
    let client = builder.start().expect("a thread");
    let (_, mut events) = server.events();
    tell(&mut events, 1, true, &json!({ "a": 1 }));
    assert_eq!(server.ack(204), json!({ "revision": 1 }));
    tell(&mut events, 2, false, &json!({ "a": 2, "bad": true }));
    assert_eq!(server.ack(204), json!({ "revision": 2, "error": "bad is there" }));
    assert_eq!((client.set().revision, client.get("a")), (1, Some(json!(1))));
    assert_eq!(told.try_iter().count(), 1);
    // The next difference is from what was told, not from what is held.
    let data = json!({ "revision": 3, "whole": false, "changed": {}, "removed": ["bad"] });
    events
        .write_all(format!("event: config\ndata: {data}\n\n").as_bytes())
        .expect("it reads");
    assert_eq!(server.ack(204), json!({ "revision": 3 }));
    assert_eq!((client.set().revision, client.get("a")), (3, Some(json!(2))));
}

#[test]
fn what_was_not_heard_is_said_again_and_what_is_not_understood_is_asked_for_anew() {
    let server = Server::new();
    let (builder, _told) = keys_told(server.client().keys(["a.*", "b"]));
    let client = builder.start().expect("a thread");
    let (head, mut events) = server.events();
    assert!(
        head.starts_with("GET /v1/config/events?keys=a.*,b ") && !head.contains("Last-Event-ID"),
        "{head}"
    );
    // A kind of a later version, a comment, and the event.
    events
        .write_all(b"event: later\ndata: {}\n\n: here\n\n")
        .expect("it reads");
    tell(&mut events, 4, true, &json!({ "b": 1 }));
    assert_eq!(server.ack(503), json!({ "revision": 4 }));

    let (head, mut events) = server.events();
    assert!(head.contains("Last-Event-ID: 4\r\n"), "{head}");
    assert_eq!(server.ack(204), json!({ "revision": 4 }), "said again");
    events
        .write_all(b"event: config\ndata: {\"revision\":5,\n\n")
        .expect("it reads");

    let (head, mut events) = server.events();
    assert!(!head.contains("Last-Event-ID"), "everything is asked for: {head}");
    assert_eq!(server.ack(204), json!({ "revision": 4 }));
    assert_eq!(client.get("b"), Some(json!(1)), "the last known good stays");
    tell(&mut events, 5, true, &json!({ "b": 2 }));
    assert_eq!(server.ack(204), json!({ "revision": 5 }));
}

#[test]
fn a_client_ends_while_it_reads_and_while_nobody_is_there() {
    let server = Server::new();
    let client = server.client().start().expect("a thread");
    let (_, mut events) = server.events();
    assert!(!client.wait_for_first(Duration::ZERO));
    drop(client);
    let mut rest = Vec::new();
    events.set_read_timeout(Some(DEADLINE)).expect("a socket");
    events.read_to_end(&mut rest).expect("it hangs up");

    let nowhere = Client::builder("/nonexistent/config.sock").start().expect("a thread");
    assert!(!nowhere.is_connected() && !nowhere.wait_for_first(Duration::from_millis(1)));
}

#[test]
fn patterns_that_are_none_are_said_at_the_start() {
    let builder = Client::builder("/nonexistent/config.sock").on("limits*", |_| Ok(()));
    let error = builder.start().map(drop).expect_err("no pattern");
    assert!(
        matches!(&error, Error::Pattern { pattern } if pattern == "limits*"),
        "{error}"
    );
    assert!(error.hint().contains("a.*"));
}
