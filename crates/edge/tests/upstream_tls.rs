//! Servers elsewhere that speak TLS, with a real nginx as the server: who is trusted, what is kept, and what is said when nobody is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tend_core::model::{ActiveCheck, Protocol, ServerTls};
use tend_edge::FromEdge;
use tend_routing::{Certificate, Failure};

use crate::certificates::{Authority, identity};
use crate::fixture::{Client, Edge, Folder, PATIENCE, Plan, Response, api, eventually, free_address};

/// What the server says of each request.
const SAYS: &str = "$host|$server_protocol|$connection|$ssl_session_reused|$http_x_forwarded_host";

/// An nginx of this test's own.
struct Server {
    address: SocketAddr,
    child: Child,
}

impl Server {
    fn start(folder: &Path, certificate: &Certificate, listens: &str) -> Self {
        let (text, chain, key) = (folder.display(), certificate.chain.display(), certificate.key.display());
        std::fs::write(folder.join("large"), vec![b'x'; 3 << 20]).unwrap();
        // The port was free a moment ago; if it is taken by now, another one is.
        for _ in 0..5 {
            let address = free_address();
            let configuration = format!(
                "daemon off; master_process off; pid {text}/nginx.pid; error_log {text}/error.log;\n\
                 events {{ worker_connections 64; }}\n\
                 http {{\n\
                   access_log off; root {text};\n\
                   client_body_temp_path {text}/body; proxy_temp_path {text}/proxy;\n\
                   fastcgi_temp_path {text}/fastcgi; uwsgi_temp_path {text}/uwsgi; scgi_temp_path {text}/scgi;\n\
                   server {{\n\
                     listen {address} {listens};\n\
                     ssl_certificate {chain}; ssl_certificate_key {key}; ssl_session_cache shared:sessions:1m;\n\
                     location / {{ return 200 \"{SAYS}\"; }}\n\
                     location = /large {{ }}\n\
                   }}\n\
                 }}\n"
            );
            let file = folder.join("nginx.conf");
            std::fs::write(&file, configuration).unwrap();
            let mut child = Command::new("nginx")
                .arg("-c")
                .arg(&file)
                .arg("-p")
                .arg(folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("nginx, of the Debian package nginx-light");
            let is_up = eventually("nginx", || match child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => TcpStream::connect(address).ok().map(|_| true),
            });
            if is_up {
                return Self { address, child };
            }
        }
        let log = std::fs::read_to_string(folder.join("error.log"));
        panic!("{}", log.unwrap_or_default());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server for `bank.test` behind an edge; in front of both a client.
struct Bank {
    folder: Folder,
    _server: Server,
    edge: Edge,
    listen: SocketAddr,
    plan: Plan,
}

impl Bank {
    fn new(listens: &str) -> Self {
        Self::with(listens, |authority| {
            authority.sign("server", "/CN=bank", &["bank.test"], 30)
        })
    }

    fn with(listens: &str, certificate: impl FnOnce(&Authority) -> Certificate) -> Self {
        let folder = Folder::new();
        let certificate = certificate(&Authority::new(&folder.0, "authority"));
        let server = Server::start(&folder.0, &certificate, listens);
        let (edge, listen, plan) = api(&[server.address]);
        Self {
            folder,
            _server: server,
            edge,
            listen,
            plan,
        }
    }

    /// The rules under which the server is trusted.
    fn rules(&self) -> ServerTls {
        ServerTls {
            name: Some("bank.test".to_owned()),
            roots: Some(self.folder.0.join("authority.pem")),
            verify: true,
        }
    }

    fn serve(&mut self, rules: ServerTls) {
        self.plan.snapshot.services[0].balance.tls = Some(rules);
        self.edge.serve(&self.plan.next());
    }

    fn get(&self, path: &str) -> Response {
        Client::connect(self.listen).get(path)
    }

    /// What the server said of a request.
    fn asked(&self) -> Vec<String> {
        said(&self.get("/"))
    }

    /// Asks in vain; returns what is said about the server.
    fn refused(&mut self) -> (Failure, String) {
        let response = self.get("/");
        assert_eq!(
            (response.status, response.header("x-tend-error")),
            (502, Some("connect_failed"))
        );
        let event = self.edge.event(|event| matches!(event, FromEdge::Ejected { .. }));
        let FromEdge::Ejected { why, detail, .. } = event else {
            panic!("{event:?}");
        };
        (why, detail.unwrap_or_default())
    }
}

fn said(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 200, "{:?}", response.header("x-tend-error"));
    response.text().split('|').map(str::to_owned).collect()
}

#[test]
fn a_server_elsewhere_is_asked_by_its_name_and_its_connection_is_kept() {
    let mut bank = Bank::new("ssl");
    bank.serve(bank.rules());
    // One connection of a client is served by one thread, whose pool is its own.
    let mut client = Client::connect(bank.listen);
    let first = said(&client.get("/"));
    assert_eq!((&*first[0], &*first[1]), ("bank.test", "HTTP/1.1"));
    assert_eq!(first[4], "any.test", "what the client asked for is told");
    for _ in 0..5 {
        assert_eq!(said(&client.get("/"))[2], first[2], "another connection");
    }
    let large = client.get("/large");
    assert_eq!((large.status, large.body.len()), (200, 3 << 20));
    // What POSTs need is asked of the kernel.
    assert_eq!(said(&client.post("/", "amount=1"))[2], first[2]);
}

#[test]
fn a_new_connection_takes_the_session_up_again() {
    let mut bank = Bank::new("ssl");
    bank.plan.snapshot.services[0].balance.keepalive = 0;
    bank.serve(bank.rules());
    assert_eq!(bank.asked()[3], ".");
    // Another thread may not have seen the ticket of the first connection yet.
    eventually("a session taken up again", || (bank.asked()[3] == "r").then_some(()));
    // Under a snapshot of the same rules too.
    bank.edge.serve(&bank.plan.next());
    assert_eq!(bank.asked()[3], "r");
}

#[test]
fn http2_is_agreed_on_by_alpn() {
    let mut bank = Bank::new("ssl http2");
    bank.plan.snapshot.services[0].balance.protocol = Protocol::Http2;
    bank.serve(bank.rules());
    let said = bank.asked();
    assert_eq!((&*said[0], &*said[1]), ("bank.test", "HTTP/2.0"));
    assert_eq!(bank.get("/large").body.len(), 3 << 20);
}

#[test]
fn a_server_that_speaks_no_http2_is_told_by_name() {
    let mut bank = Bank::new("ssl");
    let balance = &mut bank.plan.snapshot.services[0].balance;
    balance.protocol = Protocol::Http2;
    balance.max_fails = 1;
    bank.serve(bank.rules());
    let (why, detail) = bank.refused();
    assert_eq!(why, Failure::Tls);
    assert!(detail.contains("does not agree to speak HTTP/2"), "{detail}");
}

#[test]
fn an_authority_that_is_not_trusted_is_told_at_the_first_request() {
    let mut bank = Bank::new("ssl");
    Authority::new(&bank.folder.0, "other");
    bank.serve(ServerTls {
        roots: Some(bank.folder.0.join("other.pem")),
        ..bank.rules()
    });
    let (why, detail) = bank.refused();
    assert_eq!(why, Failure::Certificate);
    assert!(detail.contains("an authority that is not trusted"), "{detail}");
    // Nor does the system trust it.
    bank.serve(ServerTls {
        roots: None,
        ..bank.rules()
    });
    assert_eq!(bank.refused().0, Failure::Certificate);
    // Until somebody says that it does not matter.
    bank.serve(ServerTls {
        roots: None,
        verify: false,
        ..bank.rules()
    });
    assert_eq!(bank.asked()[0], "bank.test");
}

#[test]
fn a_certificate_for_another_name_is_told_with_both_names() {
    let mut bank = Bank::new("ssl");
    bank.serve(ServerTls {
        name: Some("other.test".to_owned()),
        ..bank.rules()
    });
    let (why, detail) = bank.refused();
    assert_eq!(why, Failure::Certificate);
    assert!(
        detail.contains("other.test") && detail.contains("bank.test"),
        "{detail}"
    );
    // Without a name it would have to be for the address.
    bank.serve(ServerTls {
        name: None,
        ..bank.rules()
    });
    let (_, detail) = bank.refused();
    assert!(detail.contains("not for 127.0.0.1"), "{detail}");
}

#[test]
fn a_certificate_that_has_expired_is_told() {
    let mut bank = Bank::with("ssl", |authority| authority.sign_expired("server", "bank.test"));
    bank.serve(bank.rules());
    let (why, detail) = bank.refused();
    assert_eq!(why, Failure::Certificate);
    assert!(detail.contains("has expired"), "{detail}");
    // It is the date alone.
    bank.serve(ServerTls {
        verify: false,
        ..bank.rules()
    });
    assert_eq!(bank.asked()[0], "bank.test");
}

#[test]
fn what_speaks_no_tls_is_told() {
    let mut bank = Bank::new("");
    bank.plan.snapshot.services[0].balance.max_fails = 1;
    bank.serve(bank.rules());
    let (why, detail) = bank.refused();
    assert_eq!(why, Failure::Tls);
    assert!(detail.contains("no TLS"), "{detail}");
}

#[test]
fn authorities_that_cannot_be_read_let_nobody_be_asked_and_those_read_before_stay() {
    let mut bank = Bank::new("ssl");
    bank.plan.snapshot.services[0].balance.tls = Some(ServerTls {
        roots: Some(bank.folder.0.join("nothing.pem")),
        ..bank.rules()
    });
    let unreadable = bank.edge.serve_but(&bank.plan.next());
    assert!(unreadable[0].why.contains("nothing.pem"), "{unreadable:?}");
    let (why, detail) = bank.refused();
    assert_eq!(why, Failure::Certificate);
    assert!(detail.contains("nothing.pem"), "{detail}");
    bank.serve(bank.rules());
    assert_eq!(bank.asked()[0], "bank.test");
    bank.plan.snapshot.services[0].balance.keepalive = 0;
    std::fs::remove_file(bank.folder.0.join("authority.pem")).unwrap();
    bank.edge.serve(&bank.plan.next());
    assert_eq!(bank.asked()[0], "bank.test");
}

#[test]
fn servers_are_checked_over_tls() {
    let mut bank = Bank::new("ssl");
    bank.plan.snapshot.services[0].balance.check = Some(ActiveCheck {
        path: "/".to_owned(),
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        fails: 1,
        passes: 1,
    });
    bank.serve(ServerTls {
        name: Some("other.test".to_owned()),
        ..bank.rules()
    });
    let event = bank.edge.event(|event| matches!(event, FromEdge::Ejected { .. }));
    let FromEdge::Ejected { why, detail, .. } = event else {
        panic!("{event:?}");
    };
    assert_eq!(why, Failure::Check);
    assert!(detail.unwrap_or_default().contains("not for other.test"));
    bank.serve(bank.rules());
    for _ in 0..3 {
        assert_eq!(bank.asked()[0], "bank.test");
    }
}

/// Serves one connection over TLS: reads the head of a request and lets `answers` do the rest.
fn serves_once(
    certificate: &Certificate,
    answers: impl FnOnce(String, &mut StreamOwned<ServerConnection, TcpStream>) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let (chain, key) = identity(certificate);
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), socket);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        answers(String::from_utf8(head).unwrap(), &mut stream);
    });
    (address, serving)
}

/// An edge before a server that serves one connection.
fn before_one(
    answers: impl FnOnce(String, &mut StreamOwned<ServerConnection, TcpStream>) + Send + 'static,
) -> (Folder, Edge, SocketAddr, JoinHandle<()>) {
    let folder = Folder::new();
    let certificate = Authority::new(&folder.0, "authority").sign("server", "/CN=bank", &["bank.test"], 30);
    let (address, serving) = serves_once(&certificate, answers);
    let (mut edge, listen, mut plan) = api(&[address]);
    plan.snapshot.services[0].balance.tls = Some(ServerTls {
        name: Some("bank.test".to_owned()),
        roots: Some(folder.0.join("authority.pem")),
        verify: true,
    });
    edge.serve(&plan.next());
    (folder, edge, listen, serving)
}

#[test]
fn an_upgraded_connection_carries_bytes_both_ways_over_tls() {
    let (_folder, _edge, listen, serving) = before_one(|head, stream| {
        assert!(head.to_ascii_lowercase().contains("upgrade: echo\r\n"), "{head}");
        // What comes right behind the head is not lost.
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello ")
            .unwrap();
        let mut said = [0; 5];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(&said).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    });
    let mut client = Client::connect(listen);
    client.write("GET /echo HTTP/1.1\r\nHost: any.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.try_read(true).unwrap().status, 101);
    client.write("world");
    let mut said = [0; 11];
    client.0.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hello world");
    assert!(client.is_closed());
    serving.join().unwrap();
}

#[test]
fn an_answer_whose_end_anybody_could_have_made_is_cut_for_the_client_too() {
    for farewell in [true, false] {
        let (_folder, _edge, listen, serving) = before_one(move |_, stream| {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
                .unwrap();
            if farewell {
                stream.conn.send_close_notify();
            }
            stream.flush().unwrap();
        });
        let mut client = Client::connect(listen);
        client.write("GET / HTTP/1.1\r\nHost: any.test\r\nConnection: close\r\n\r\n");
        let mut all = String::new();
        let ended = client.0.read_to_string(&mut all);
        // The length of an answer is told in chunks; only one that is whole has the last of them.
        assert!(all.contains("half of it"), "{all}");
        assert_eq!(ended.is_ok() && all.ends_with("0\r\n\r\n"), farewell, "{all}");
        serving.join().unwrap();
    }
}
