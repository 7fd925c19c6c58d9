//! Both ends of a real unix socket.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tend_api::messages::{LogLine, LogSource, StackList, VersionReport};
use tend_api::{
    ApiError, BODY_BYTES_MAX, Call, Caller, Class, Client, Error, Handler, LineSender, LogStreams, LogsQuery, Reply,
    lines, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, oneshot};

use crate::folder::Folder;

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// A daemon with answers of the test's choosing.
#[derive(Default)]
struct Fake {
    caller: Mutex<Option<Caller>>,
    /// What log lines are written to, for the test to take.
    logs: Mutex<Option<LineSender<LogLine>>>,
    /// Told when a call of [`Call::Stacks`] has been carried through.
    carried_through: Mutex<Option<oneshot::Sender<()>>>,
    /// Waited for by [`Call::Stacks`].
    go_on: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Handler for Fake {
    async fn handle(&self, caller: Caller, call: Call) -> Reply {
        *self.caller.lock().await = Some(caller);
        match call {
            Call::Version => Reply::json(&VersionReport {
                version: "0.1.0".to_owned(),
                build: "test".to_owned(),
                protocol: 1,
            }),
            Call::Stacks => {
                if let Some(go_on) = self.go_on.lock().await.take() {
                    let _ = go_on.await;
                }
                if let Some(done) = self.carried_through.lock().await.take() {
                    let _ = done.send(());
                }
                Reply::json(&StackList::default())
            }
            Call::Logs(_) => {
                let (sender, lines) = lines(1);
                *self.logs.lock().await = Some(sender);
                Reply::Lines(lines)
            }
            Call::Daemon => panic!("on purpose: a test of panics"),
            _ => ApiError::new(Class::Denied, "not for you")
                .hint("ask root")
                .detail("the socket is root's")
                .into(),
        }
    }
}

struct Daemon {
    folder: Folder,
    fake: Arc<Fake>,
    stop: Option<oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<()>,
}

impl Daemon {
    fn start() -> Self {
        let folder = Folder::new();
        let listener = UnixListener::bind(folder.path().join("tend.sock")).unwrap();
        let fake = Arc::new(Fake::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, Arc::clone(&fake), async {
            let _ = stopped.await;
        }));
        Self {
            folder,
            fake,
            stop: Some(stop),
            server,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("tend.sock")
    }

    async fn client(&self) -> Client {
        Client::connect(&self.socket()).await.unwrap()
    }

    /// Sends bytes as they are and returns what comes back until the daemon closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        // The daemon may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = in_time(stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it did not happen in time")
}

fn logs() -> LogsQuery {
    LogsQuery {
        target: tend_api::Target::from("mps".parse::<tend_core::model::StackName>().unwrap()),
        since: None,
        tail: None,
        streams: LogStreams::Both,
        follow: true,
    }
}

fn line(text: &str) -> LogLine {
    LogLine {
        at: None,
        replica: "mps/api/1".parse().unwrap(),
        source: LogSource::Stdout,
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn a_call_is_answered_and_the_kernel_says_who_called() {
    let daemon = Daemon::start();
    let version = in_time(daemon.client().await.version()).await.unwrap();
    assert_eq!(version.build, "test");
    let caller = daemon.fake.caller.lock().await.unwrap();
    assert_eq!(caller.uid, rustix::process::getuid().as_raw());
    assert_eq!(caller.gid, rustix::process::getgid().as_raw());
    assert_eq!(caller.pid, Some(i32::try_from(std::process::id()).unwrap()));
}

#[tokio::test]
async fn a_refusal_arrives_whole() {
    let daemon = Daemon::start();
    let error = in_time(daemon.client().await.shutdown()).await.unwrap_err();
    assert_eq!((error.class(), error.hint()), (Class::Denied, "ask root"));
    let Error::Refused(refused) = error else {
        panic!("{error}");
    };
    assert_eq!(refused.details, ["the socket is root's"]);
}

#[tokio::test]
async fn every_answer_says_which_protocol_it_is() {
    let daemon = Daemon::start();
    for (request, status) in [
        ("GET /v1/version", "200"),
        ("GET /v1/nothing", "404"),
        ("POST /v1/shutdown", "403"),
        ("GET /v1/daemon", "500"),
    ] {
        let request = format!("{request} HTTP/1.1\r\nhost: tend\r\nconnection: close\r\n\r\n");
        let answer = daemon.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("tend-api: 1\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_panic_in_one_call_ends_that_call_only() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    let (panicking, other) = in_time(async { tokio::join!(client.daemon(), client.version()) }).await;
    assert_eq!(panicking.unwrap_err().class(), Class::Bug);
    assert!(other.is_ok());
    assert!(in_time(client.version()).await.is_ok());
}

#[tokio::test]
async fn lines_arrive_as_they_are_sent_and_end_with_the_sender() {
    let daemon = Daemon::start();
    let mut reader = in_time(daemon.client().await.logs(logs())).await.unwrap();
    let sender = daemon.fake.logs.lock().await.take().unwrap();
    for text in ["one", "two\nthree", "支付"] {
        in_time(sender.send(&line(text))).await.unwrap();
        let read = in_time(reader.next()).await.unwrap().unwrap();
        assert_eq!(read, line(text));
    }
    drop(sender);
    assert_eq!(in_time(reader.next()).await.unwrap(), None);
    assert_eq!(in_time(reader.next()).await.unwrap(), None);
}

#[tokio::test]
async fn an_answer_that_cannot_go_on_ends_with_an_error() {
    let daemon = Daemon::start();
    let mut reader = in_time(daemon.client().await.logs(logs())).await.unwrap();
    let sender = daemon.fake.logs.lock().await.take().unwrap();
    in_time(sender.send(&line("one"))).await.unwrap();
    in_time(sender.refuse(ApiError::new(Class::Unavailable, "the disk is gone"))).await;
    assert!(in_time(reader.next()).await.unwrap().is_some());
    let error = in_time(reader.next()).await.unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
    assert_eq!(in_time(reader.next()).await.unwrap(), None);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_stream() {
    let daemon = Daemon::start();
    let reader = in_time(daemon.client().await.logs(logs())).await.unwrap();
    let sender = daemon.fake.logs.lock().await.take().unwrap();
    assert!(!sender.is_gone());
    drop(reader);
    // Without a line being sent: a quiet log must not keep its reader's place for ever.
    in_time(sender.gone()).await;
    assert!(sender.send(&line("to nobody")).await.is_err());
}

#[tokio::test]
async fn a_slow_reader_makes_the_writer_wait() {
    let daemon = Daemon::start();
    let mut reader = in_time(daemon.client().await.logs(logs())).await.unwrap();
    let sender = daemon.fake.logs.lock().await.take().unwrap();
    let text = "x".repeat(64 << 10);
    let mut sent = 0;
    // Nobody reads: the channel, hyper and the socket hold some, and then there is no room.
    while let Ok(outcome) = tokio::time::timeout(Duration::from_millis(500), sender.send(&line(&text))).await {
        outcome.unwrap();
        sent += 1;
        assert!(sent < 1000, "64 MB went nowhere");
    }
    let writer = tokio::spawn(async move {
        sender.send(&line("last")).await.unwrap();
    });
    let mut received = 0;
    while let Some(line) = in_time(reader.next()).await.unwrap() {
        received += 1;
        if line.text == "last" {
            break;
        }
    }
    in_time(writer).await.unwrap();
    // What was waiting when the time ran out was given up, whole.
    assert_eq!(received, sent + 1);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let daemon = Daemon::start();
    let mut request = format!(
        "POST /v1/stacks HTTP/1.1\r\nhost: tend\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    )
    .into_bytes();
    request.resize(request.len() + BODY_BYTES_MAX + 1, b' ');
    let answer = daemon.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("larger than"), "{answer}");
    assert!(in_time(daemon.client().await.version()).await.is_ok());
}

#[tokio::test]
async fn a_client_does_not_even_send_what_is_over_the_limit() {
    let daemon = Daemon::start();
    let program = format!("/{}", "x".repeat(BODY_BYTES_MAX));
    let error = in_time(daemon.client().await.upgrade(program.into()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::RequestTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_call_is_carried_through_when_its_client_leaves() {
    let daemon = Daemon::start();
    let (go_on, waits) = oneshot::channel();
    let (tell, carried_through) = oneshot::channel();
    *daemon.fake.go_on.lock().await = Some(waits);
    *daemon.fake.carried_through.lock().await = Some(tell);
    let client = daemon.client().await;
    let call = tokio::spawn(async move { client.stacks().await });
    // It is under way once its caller is known.
    in_time(async {
        while daemon.fake.caller.lock().await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    call.abort();
    let _ = call.await;
    go_on.send(()).unwrap();
    in_time(carried_through).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_lets_calls_under_way_end() {
    let mut daemon = Daemon::start();
    let (go_on, waits) = oneshot::channel();
    *daemon.fake.go_on.lock().await = Some(waits);
    let client = daemon.client().await;
    let call = tokio::spawn(async move { client.stacks().await });
    in_time(async {
        while daemon.fake.caller.lock().await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    daemon.stop.take().unwrap().send(()).unwrap();
    go_on.send(()).unwrap();
    assert!(in_time(call).await.unwrap().is_ok());
    in_time(&mut daemon.server).await.unwrap();
    let error = Client::connect(&daemon.socket()).await.unwrap_err();
    assert!(matches!(error, Error::NoDaemon { .. }), "{error}");
}

#[tokio::test]
async fn without_a_daemon_the_error_says_what_starts_one() {
    let folder = Folder::new();
    let socket = folder.path().join("tend.sock");
    let missing = Client::connect(&socket).await.unwrap_err();
    drop(UnixListener::bind(&socket).unwrap());
    let refused = Client::connect(&socket).await.unwrap_err();
    for error in [missing, refused] {
        let Error::NoDaemon { path, source } = &error else {
            panic!("{error}");
        };
        assert_eq!(path, &socket);
        assert!(matches!(
            source.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        ));
        assert!(error.hint().contains("tend up") && error.is_transient());
        assert_eq!(error.class(), Class::Unavailable);
    }
}

#[tokio::test]
async fn whoever_does_not_speak_the_protocol_is_not_believed() {
    let folder = Folder::new();
    let socket = folder.path().join("tend.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let stranger = tokio::spawn(async move {
        for protocol in ["", "tend-api: 2\r\n"] {
            // The first connection of each client only looks whether somebody is there.
            let _ = listener.accept().await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\n{protocol}content-length: 2\r\n\r\n{{}}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    for found in ["none", "2"] {
        let client = Client::connect(&socket).await.unwrap();
        let error = in_time(client.version()).await.unwrap_err();
        assert!(
            matches!(&error, Error::OtherProtocol { found: it } if it == found),
            "{error}"
        );
    }
    in_time(stranger).await.unwrap();
}
