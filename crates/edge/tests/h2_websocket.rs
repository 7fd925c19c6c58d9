//! WebSockets over HTTP/2 (RFC 8441): opened, refused, ended by either side, and under the rules that hold for those of HTTP/1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::ext::Protocol as Extended;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use ring::digest;
use serde_json::json;
use tend_core::model::{InFlight, LimitKey, Protocol};

use crate::fixture::{Client, Edge, Folder, Keep, PATIENCE, Upstream, api, api_on, config, eventually, respond};
use crate::h2_peers::{H2Client, H2Upstream, Secure, Whole, push, read, run};

/// What a server answers to a key (RFC 6455, 4.2.2).
fn accept(key: &str) -> String {
    let mixed = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, mixed.as_bytes()))
}

fn switch(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    )
}

/// Answers requests, and echoes on connections that were upgraded, after a welcome.
fn echo() -> Upstream {
    Upstream::start(|request, stream| {
        let Some(key) = request.header("sec-websocket-key") else {
            return respond(stream, 200, "api");
        };
        let mut said = switch(key).into_bytes();
        said.extend_from_slice(b"welcome");
        if stream.write_all(&said).is_err() {
            return Keep::Close;
        }
        let mut buffer = [0; 4096];
        while let Ok(read) = stream.read(&mut buffer) {
            if read == 0 || stream.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        Keep::Close
    })
}

/// A replica that takes one WebSocket and goes on with `then`.
fn replica(then: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (done, is_done) = sync_channel(1);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
        stream.write_all(switch(key.unwrap()).as_bytes()).unwrap();
        then(stream);
        done.send(()).unwrap();
    });
    (address, is_done)
}

fn connect(path: &str, protocol: &'static str) -> Request<()> {
    let mut request = Request::builder()
        .method("CONNECT")
        .uri(format!("https://any.test{path}"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat, other")
        .header("origin", "https://any.test")
        .body(())
        .unwrap();
    request.extensions_mut().insert(Extended::from_static(protocol));
    request
}

/// An open WebSocket.
struct Socket {
    taker: SendStream<Bytes>,
    stream: RecvStream,
    head: http::response::Parts,
    come: Vec<u8>,
}

/// Asks for a WebSocket; the client has heard by then that it may.
async fn ask(client: &H2Client, request: Request<()>) -> (Response<RecvStream>, SendStream<Bytes>) {
    let mut sender = client.sender.clone().ready().await.unwrap();
    let (response, taker) = sender.send_request(request, false).unwrap();
    (response.await.unwrap(), taker)
}

async fn refused(client: &H2Client, request: Request<()>) -> Whole {
    let (response, _taker) = ask(client, request).await;
    read(response).await.unwrap()
}

async fn open(client: &H2Client) -> Socket {
    let (response, taker) = ask(client, connect("/ws?room=1", "websocket")).await;
    assert_eq!(response.status(), 200);
    let (head, stream) = response.into_parts();
    Socket {
        taker,
        stream,
        head,
        come: Vec::new(),
    }
}

impl Socket {
    async fn hear(&mut self, wanted: &[u8]) {
        while self.come.len() < wanted.len() {
            let data = self.stream.data().await.expect("it has ended").unwrap();
            self.stream.flow_control().release_capacity(data.len()).unwrap();
            self.come.extend_from_slice(&data);
        }
        let rest = self.come.split_off(wanted.len());
        assert!(self.come == wanted, "{}", self.come.escape_ascii());
        self.come = rest;
    }

    /// Waits for the end, and for nothing before it.
    async fn end(&mut self) -> Result<(), h2::Error> {
        while let Some(data) = self.stream.data().await {
            assert!(data?.is_empty());
        }
        Ok(())
    }

    async fn say(&mut self, text: &[u8]) {
        push(&mut self.taker, Bytes::copy_from_slice(text)).await.unwrap();
    }
}

/// Returns a client that has heard what the edge speaks.
async fn settled(client: H2Client) -> H2Client {
    assert_eq!(client.get("/").await.text(), "api");
    assert!(client.sender.is_extended_connect_protocol_enabled());
    client
}

async fn carries_bytes(client: H2Client, edge: &mut Edge) {
    let mut socket = open(&client).await;
    assert_eq!(socket.head.headers["sec-websocket-protocol"], "chat");
    assert_eq!(socket.head.headers["x-tend-replica"], "mps/api/1");
    for absent in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!socket.head.headers.contains_key(absent), "{:?}", socket.head);
    }
    socket.hear(b"welcome").await;
    assert_eq!(edge.stats().replicas[0].in_flight, 1);
    // Another beside it on the same connection, and requests; more than fits in any window.
    let mut other = open(&client).await;
    other.hear(b"welcome").await;
    for socket in [&mut socket, &mut other] {
        socket.say(b"one").await;
        socket.hear(b"one").await;
        assert_eq!(client.get("/").await.text(), "api");
    }
    let large = vec![b'x'; 3 << 20];
    let (mut taker, body) = (socket.taker, Bytes::from(large.clone()));
    let pushing = tokio::spawn(async move {
        push(&mut taker, body).await.unwrap();
        taker
    });
    let mut hearing = Socket {
        taker: other.taker,
        ..socket
    };
    hearing.hear(&large).await;
    // The client has said all it had to say, and so the replica.
    pushing.await.unwrap().send_data(Bytes::new(), true).unwrap();
    hearing.end().await.unwrap();
    // The other one is just dropped: it is reset.
    drop((hearing, other.stream));
    assert_eq!(client.get("/").await.text(), "api");
}

#[test]
fn a_stream_becomes_a_websocket_with_tls_and_without() {
    let upstream = echo();
    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    run(async {
        let client = settled(secure.client().await).await;
        carries_bytes(client, &mut secure.edge).await;
    });
    {
        let requests = upstream.requests.lock().unwrap();
        let asked = requests
            .iter()
            .find(|request| request.target() == "/ws?room=1")
            .unwrap();
        let fields: Vec<Option<&str>> = ["upgrade", "connection", "sec-websocket-version", "origin", "host"]
            .map(|name| asked.header(name))
            .into();
        assert_eq!(asked.method(), "GET");
        assert_eq!(
            fields,
            [
                Some("websocket"),
                Some("upgrade"),
                Some("13"),
                Some("https://any.test"),
                Some("any.test")
            ]
        );
        assert_eq!(asked.header("sec-websocket-protocol"), Some("chat, other"));
        assert_eq!(
            STANDARD
                .decode(asked.header("sec-websocket-key").unwrap())
                .unwrap()
                .len(),
            16
        );
        assert_eq!(
            asked.header("content-length").or(asked.header("transfer-encoding")),
            None
        );
    }
    eventually("the end of both", || {
        (secure.edge.stats().replicas[0].in_flight == 0).then_some(())
    });
    let log = secure.edge.log();
    let lines: Vec<_> = log.iter().filter(|line| line["status"] != 200).collect();
    assert_eq!(lines.len(), 2, "{log:?}");
    assert!(
        lines
            .iter()
            .all(|line| line["status"] == 101 && line["method"] == "GET"),
        "{lines:?}"
    );
    let (mut edge, listen, _) = api(&[upstream.address]);
    run(async {
        let client = settled(H2Client::plain(listen).await).await;
        carries_bytes(client, &mut edge).await;
    });
}

#[test]
fn the_end_of_either_side_is_told_to_the_other() {
    // The client resets.
    let (address, done) = replica(|mut stream| {
        stream.write_all(b"hello").unwrap();
        let mut all = Vec::new();
        // Closed or reset: it has ended.
        if let Err(error) = stream.read_to_end(&mut all) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    });
    let (_edge, listen, _) = api(&[address]);
    run(async {
        let client = H2Client::plain(listen).await;
        wait_for_settings(&client).await;
        let mut socket = open(&client).await;
        socket.hear(b"hello").await;
        socket.taker.send_reset(Reason::CANCEL);
        // Not before the reset has gone out.
        tokio::task::spawn_blocking(move || done.recv_timeout(PATIENCE).unwrap())
            .await
            .unwrap();
    });
    // The replica closes, and hears what the client says to that.
    let (address, done) = replica(|mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"bye too");
    });
    let folder = Arc::new(Folder::new());
    let mut settings = config(&folder, "edge", Duration::ZERO);
    settings.patience.linger = PATIENCE;
    let (mut edge, listen, _) = api_on(Edge::start_with(folder, settings), &[address]);
    run(async {
        let client = H2Client::plain(listen).await;
        wait_for_settings(&client).await;
        let mut socket = open(&client).await;
        socket.hear(b"bye").await;
        socket.end().await.unwrap();
        socket.say(b"bye too").await;
        socket.taker.send_data(Bytes::new(), true).unwrap();
        tokio::task::spawn_blocking(move || done.recv_timeout(PATIENCE).unwrap())
            .await
            .unwrap();
    });
    eventually("nothing in flight", || {
        (edge.stats().replicas[0].in_flight == 0).then_some(())
    });
    // The replica resets: closed with bytes unread.
    let (address, _done) = replica(|mut stream| {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
    });
    let (_edge, listen, _) = api(&[address]);
    run(async {
        let client = H2Client::plain(listen).await;
        wait_for_settings(&client).await;
        let mut socket = open(&client).await;
        socket.say(&[b'x'; 10_000]).await;
        // Whether the end or the reset behind it is seen first: it is over.
        let _ = socket.end().await;
    });
}

/// Waits until the client knows that it may ask for WebSockets, with no request.
async fn wait_for_settings(client: &H2Client) {
    while !client.sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_opens_no_websocket_is_never_taken_for_one() {
    let answers = Mutex::new(Vec::from([
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!".to_owned(),
        // Whoever does not know WebSockets answers the GET.
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_owned(),
        switch("AAAAAAAAAAAAAAAAAAAAAA=="),
    ]));
    let upstream = Upstream::start(move |request, stream| {
        if request.header("upgrade").is_none() {
            return respond(stream, 200, "api");
        }
        let answer = answers.lock().unwrap().remove(0);
        let _ = stream.write_all(answer.as_bytes());
        Keep::Close
    });
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    run(async {
        let client = settled(secure.client().await).await;
        let no = refused(&client, connect("/ws", "websocket")).await;
        assert_eq!((no.status, no.text()), (403, "no!"));
        for _ in 0..3 {
            let no = refused(&client, connect("/ws", "websocket")).await;
            assert_eq!((no.status, no.header("x-tend-error")), (502, Some("upstream_failed")));
        }
        let no = refused(&client, connect("/ws", "connect-udp")).await;
        assert_eq!((no.status, no.header("x-tend-error")), (501, Some("method_unknown")));
        assert_eq!(client.get("/").await.text(), "api", "the connection goes on");
    });
    // 2 GET, 4 that were asked; nothing of the protocol nobody knows.
    assert_eq!(upstream.count(), 6);
}

#[test]
fn a_replica_of_http2_opens_none() {
    let upstream = H2Upstream::named("api");
    let secure = Secure::before(&[upstream.address], Protocol::Http2);
    run(async {
        let client = settled(secure.client().await).await;
        let no = refused(&client, connect("/ws", "websocket")).await;
        assert_eq!((no.status, no.header("x-tend-error")), (502, Some("upstream_failed")));
    });
}

#[test]
fn the_rules_for_upgrades_hold() {
    let upstream = echo();
    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    secure.plan.snapshot.routes[0].policy.in_flight = vec![InFlight {
        key: LimitKey::Client,
        max: 2.try_into().unwrap(),
        upgraded: true,
        shadow: false,
    }];
    let snapshot = secure.plan.next();
    secure.edge.serve(&snapshot);
    run(async {
        let client = settled(secure.client().await).await;
        let (_one, two) = (open(&client).await, open(&client).await);
        assert_eq!(refused(&client, connect("/ws", "websocket")).await.status, 429);
        assert_eq!(
            client.get("/").await.text(),
            "api",
            "requests are not counted among them"
        );
        drop(two);
        loop {
            // Its end has to be noticed first; `run` gives up in the end.
            let (response, _taker) = ask(&client, connect("/ws", "websocket")).await;
            if response.status() == 200 {
                break;
            }
            assert_eq!(response.status(), 429);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    // A file is no WebSocket, whatever its status.
    let folder = secure.edge.folder.0.join("public");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ws"), "a file").unwrap();
    secure.plan.snapshot.routes[0].policy.files = Some(serde_json::from_value(json!({ "root": folder })).unwrap());
    let snapshot = secure.plan.next();
    secure.edge.serve(&snapshot);
    run(async {
        let client = secure.client().await;
        assert_eq!(client.get("/ws").await.text(), "a file");
        let no = refused(&client, connect("/ws", "websocket")).await;
        assert_eq!(
            (no.status, no.header("x-tend-error")),
            (405, Some("method_not_allowed"))
        );
    });
}

#[test]
fn an_edge_that_drains_leaves_it_open() {
    let upstream = echo();
    let (mut edge, listen, _) = api(&[upstream.address]);
    run(async {
        let client = settled(H2Client::plain(listen).await).await;
        let mut socket = open(&client).await;
        socket.hear(b"welcome").await;
        edge.drain();
        for _ in 0..3 {
            socket.say(b"still here").await;
            socket.hear(b"still here").await;
        }
        socket.taker.send_data(Bytes::new(), true).unwrap();
        socket.end().await.unwrap();
        client.ended.notified().await;
    });
    edge.ended();
}

#[test]
fn node_opens_one_too() {
    let upstream = echo();
    let (_edge, listen, _) = api(&[upstream.address]);
    let script = format!(
        "const session = require('node:http2').connect('http://{listen}');\n\
         session.on('error', error => {{ console.log('error', error); process.exit(1); }});\n\
         session.on('remoteSettings', settings => {{\n\
           if (!settings.enableConnectProtocol) {{ console.log('not offered'); process.exit(1); }}\n\
           const stream = session.request({{ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws',\n\
             ':scheme': 'http', ':authority': 'any.test', 'sec-websocket-version': '13' }});\n\
           let said = '';\n\
           stream.on('response', head => {{ console.log(head[':status']); stream.write('hello'); }});\n\
           stream.on('data', data => {{\n\
             said += data;\n\
             if (said === 'welcomehello') {{ console.log(said); stream.end(); }}\n\
           }});\n\
           stream.on('close', () => {{ console.log('closed', stream.rstCode); session.close(); }});\n\
         }});\n\
         setTimeout(() => {{ console.log('too late'); process.exit(1); }}, 20000).unref();\n"
    );
    let output = Command::new("node")
        .args(["-e", &script])
        .output()
        .expect("node is in PATH");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said,
        "200\nwelcomehello\nclosed 0\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Beside those of HTTP/1.
    let mut client = Client::connect(listen);
    client.write(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    assert_eq!(client.try_read(true).unwrap().status, 101);
}
