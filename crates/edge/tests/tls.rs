//! TLS towards clients: names, versions, tickets, certificates of clients, challenges, and what becomes of what is broken.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tend_core::model::{ClientCertificates, Listener, TlsVersion};
use tend_edge::{FromEdge, ToEdge, Unreadable};
use tend_routing::{Certificate, Http01, ListenerTls};

use crate::certificates::Authority;
use crate::fixture::{Client, Edge, Folder, PATIENCE, Plan, Upstream, config, eventually, free_address};
use crate::tls_client::Manner;

/// An edge with `mps/api` behind `/` at one address with TLS, and one certificate for `any.test`.
struct Secure {
    edge: Edge,
    listen: SocketAddr,
    plan: Plan,
    authority: Authority,
    upstream: Upstream,
}

impl Secure {
    fn start() -> Self {
        Self::start_on(Edge::start())
    }

    fn start_on(edge: Edge) -> Self {
        let authority = Authority::new(&edge.folder.0, "authority");
        let upstream = Upstream::named("api");
        let listen = free_address();
        let mut plan = Plan::new(listen)
            .service("api", &[upstream.address])
            .route(None, "/", "api");
        plan.snapshot.listeners[0].tls = true;
        plan.snapshot.certificates = vec![authority.sign("any", "/CN=any.test", &["any.test"], 10)];
        let mut secure = Self {
            edge,
            listen,
            plan,
            authority,
            upstream,
        };
        secure.publish();
        secure
    }

    fn publish(&mut self) {
        let snapshot = self.plan.next();
        self.edge.serve(&snapshot);
    }

    fn manner(&self) -> Manner {
        Manner::new(self.authority.roots())
    }

    fn client(&self, file: &str, subject: &str) -> Certificate {
        self.authority.sign(file, subject, &[], 10)
    }

    fn ask_clients(&mut self, listener: SocketAddr, optional: bool) {
        self.plan.snapshot.tls.push(ListenerTls {
            listener,
            version_min: TlsVersion::V12,
            clients: Some(ClientCertificates {
                roots: self.authority.path(),
                optional,
            }),
        });
    }

    /// How often a handshake failed for a reason.
    fn failures(&mut self, why: &str) -> u64 {
        let stats = self.edge.stats().tls;
        stats
            .failures
            .iter()
            .find(|(kind, _)| kind == why)
            .map_or(0, |(_, count)| *count)
    }
}

fn of_file(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&certificate.chain).unwrap()
}

#[test]
fn requests_pass_over_tls_and_replicas_are_told() {
    let mut secure = Secure::start();
    for version in [&TLS12, &TLS13] {
        let manner = Manner::build(secure.authority.roots(), &[version], None).speaking(&["http/1.1"]);
        let mut client = manner.connect(secure.listen, "any.test").unwrap();
        assert_eq!(client.get("/").text(), "api");
        assert_eq!(client.get("/again").text(), "api");
        assert_eq!(client.protocol(), Some("http/1.1"));
        assert_eq!(client.version(), version.version);
    }
    let requests = secure.upstream.requests.lock().unwrap();
    assert!(
        requests
            .iter()
            .all(|request| request.header("x-forwarded-proto") == Some("https"))
    );
    drop(requests);
    let stats = secure.edge.stats().tls;
    assert_eq!((stats.v12, stats.v13, stats.resumed), (1, 1, 0));
    assert_eq!(stats.certificates[0].names, ["any.test"]);
    let days = stats.certificates[0].seconds_left / 86_400;
    assert!((9..=10).contains(&days), "{days}");
}

#[test]
fn large_bodies_pass_both_ways() {
    let mut secure = Secure::start();
    let body: String = (0..3_000_000).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
    let echo = Upstream::start(|request, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&request.body).unwrap();
        crate::fixture::Keep::Open
    });
    secure.plan.snapshot.services[0].replicas[0].address = echo.address;
    secure.publish();
    let mut client = secure.manner().connect(secure.listen, "any.test").unwrap();
    client.write(&format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.write(&body);
    let response = crate::fixture::read_response(&mut client.0, false).unwrap();
    assert!(response.text() == body);
}

#[test]
fn the_certificate_is_chosen_by_name_then_by_pattern_then_the_first() {
    let mut secure = Secure::start();
    let sign = |file: &str, names: &[&str]| secure.authority.sign(file, "/CN=x", names, 10);
    let exact = sign("exact", &["pay.many.test"]);
    let pattern = sign("pattern", &["*.many.test"]);
    let first = secure.plan.snapshot.certificates[0].clone();
    secure
        .plan
        .snapshot
        .certificates
        .extend([pattern.clone(), exact.clone()]);
    secure.publish();
    // A client that looks at what it is shown, and does not mind.
    for (name, wanted) in [
        ("any.test", &first),
        ("pay.many.test", &exact),
        ("PAY.many.test", &exact),
        ("other.many.test", &pattern),
    ] {
        let client = secure.manner().connect(secure.listen, name).unwrap();
        assert_eq!(client.shown(), of_file(wanted), "{name}");
    }
    for (name, wanted) in [
        ("deep.other.many.test", &first),
        ("many.test", &first),
        ("unknown.test", &first),
    ] {
        let text = openssl(secure.listen, &["-servername", name]);
        assert!(text.contains(&pem(wanted)), "{name}: {text}");
    }
    let text = openssl(secure.listen, &["-noservername"]);
    assert!(text.contains(&pem(&first)), "{text}");
}

fn pem(certificate: &Certificate) -> String {
    let text = std::fs::read_to_string(&certificate.chain).unwrap();
    text.trim().to_owned()
}

/// Runs `openssl s_client` to the end of the handshake and a request, and returns all it says.
fn openssl(address: SocketAddr, arguments: &[&str]) -> String {
    let mut child = std::process::Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-ign_eof"])
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended before it was asked anything, where the handshake fails.
    let _ = stdin.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn a_listener_may_want_the_newer_version() {
    let mut secure = Secure::start();
    secure.plan.snapshot.tls.push(ListenerTls {
        listener: secure.listen,
        version_min: TlsVersion::V13,
        clients: None,
    });
    secure.publish();
    let old = Manner::build(secure.authority.roots(), &[&TLS12], None);
    assert!(old.connect(secure.listen, "any.test").is_err());
    eventually("the count", || (secure.failures("version") == 1).then_some(()));
    let both = secure.manner().connect(secure.listen, "any.test").unwrap();
    assert_eq!(both.version(), ProtocolVersion::TLSv1_3);
    let text = openssl(secure.listen, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(
        text.contains("Cipher is (NONE)") && text.contains("SSL alert"),
        "{text}"
    );
}

#[test]
fn a_client_comes_back_with_a_ticket_on_any_thread_and_to_the_next_edge() {
    let folder = Arc::new(Folder::new());
    let mut secure = Secure::start_on(Edge::start_in(folder.clone(), "edge", Duration::ZERO));
    for version in [&TLS12, &TLS13] {
        let manner = Manner::build(secure.authority.roots(), &[version], None);
        let mut first = manner.connect(secure.listen, "any.test").unwrap();
        first.get("/");
        assert!(!first.is_resumed());
        // The kernel spreads connections over the threads: among these are all of them.
        for _ in 0..8 {
            let mut again = manner.connect(secure.listen, "any.test").unwrap();
            again.get("/");
            assert!(again.is_resumed());
        }
    }
    let stats = secure.edge.stats().tls;
    assert_eq!((stats.v12, stats.v13, stats.resumed), (9, 9, 16));
    let manner = secure.manner();
    manner.connect(secure.listen, "any.test").unwrap().get("/");
    let snapshot = secure.plan.snapshot.clone();
    drop(secure.edge);
    let mut next = Edge::start_in(folder.clone(), "next", Duration::ZERO);
    next.serve(&snapshot);
    let mut back = manner.connect(secure.listen, "any.test").unwrap();
    assert!(back.is_resumed());
    assert_eq!(back.get("/").text(), "api");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(folder.0.join("edge-ticket-keys"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    // Keys that nobody has any more open nothing.
    drop(next);
    std::fs::remove_file(folder.0.join("edge-ticket-keys")).unwrap();
    let mut stranger = Edge::start_in(folder, "stranger", Duration::ZERO);
    stranger.serve(&snapshot);
    assert!(!manner.connect(secure.listen, "any.test").unwrap().is_resumed());
}

#[test]
fn openssl_comes_back_with_a_ticket() {
    let secure = Secure::start();
    for version in ["-tls1_2", "-tls1_3"] {
        let session = secure.edge.folder.0.join("session.pem");
        let session = session.to_str().unwrap();
        let first = openssl(
            secure.listen,
            &[version, "-servername", "any.test", "-sess_out", session],
        );
        assert!(first.contains("New, TLSv1."), "{first}");
        let second = openssl(
            secure.listen,
            &[version, "-servername", "any.test", "-sess_in", session],
        );
        assert!(second.contains("Reused, TLSv1."), "{second}");
        assert!(second.contains("HTTP/1.1 200"), "{second}");
    }
}

#[test]
fn a_listener_demands_certificates_and_replicas_are_told_whose() {
    let mut secure = Secure::start();
    secure.ask_clients(secure.listen, false);
    secure.publish();
    let nobody = secure.manner();
    let refused = nobody.connect(secure.listen, "any.test");
    assert!(refused.is_err() || refused.unwrap().try_get("/").is_none());
    let stranger = Authority::new(&secure.edge.folder.0, "stranger");
    let theirs = stranger.sign("theirs", "/CN=alice", &[], 10);
    let theirs = Manner::build(secure.authority.roots(), &[&TLS13], Some(&theirs));
    let refused = theirs.connect(secure.listen, "any.test");
    assert!(refused.is_err() || refused.unwrap().try_get("/").is_none());
    eventually("the count", || {
        (secure.failures("client_certificate") == 2).then_some(())
    });
    assert_eq!(secure.upstream.requests.lock().unwrap().len(), 0);
    let alice = secure.client("alice", "/C=DE/O=Bank, Inc/CN=alice");
    for version in [&TLS12, &TLS13] {
        let manner = Manner::build(secure.authority.roots(), &[version], Some(&alice));
        // Twice: a session that is taken up again is hers as well.
        for resumed in [false, true] {
            let mut client = manner.connect(secure.listen, "any.test").unwrap();
            assert_eq!(client.is_resumed(), resumed);
            client.write(
                "GET / HTTP/1.1\r\nHost: a\r\nX-Client-Certificate-Subject: CN=root\r\nx_client_certificate_verify: SUCCESS\r\n\r\n",
            );
            assert_eq!(crate::fixture::read_response(&mut client.0, false).unwrap().status, 200);
            let requests = secure.upstream.requests.lock().unwrap();
            let request = requests.last().unwrap();
            let said: Vec<&String> = request
                .lines
                .iter()
                .filter(|line| line.to_lowercase().contains("certificate"))
                .collect();
            assert_eq!(
                said,
                [
                    "x-client-certificate-verify: SUCCESS",
                    "x-client-certificate-subject: CN=alice,O=Bank\\, Inc,C=DE"
                ]
            );
        }
    }
}

#[test]
fn where_certificates_are_optional_a_route_may_want_one() {
    let mut secure = Secure::start();
    secure.ask_clients(secure.listen, true);
    secure.plan = secure.plan.route(None, "/partners", "api");
    secure.plan.snapshot.routes[1].policy.client_certificate = true;
    secure.publish();
    let mut nobody = secure.manner().connect(secure.listen, "any.test").unwrap();
    nobody.write("GET / HTTP/1.1\r\nHost: a\r\nX-Client-Certificate-Verify: SUCCESS\r\n\r\n");
    assert_eq!(crate::fixture::read_response(&mut nobody.0, false).unwrap().status, 200);
    assert_eq!(
        secure.upstream.requests.lock().unwrap()[0].header("x-client-certificate-verify"),
        None
    );
    let refused = nobody.get("/partners/x");
    assert_eq!(
        (refused.status, refused.header("x-tend-error")),
        (403, Some("no_certificate"))
    );
    let bob = secure.client("bob", "/CN=bob");
    let manner = Manner::build(secure.authority.roots(), &[&TLS13], Some(&bob));
    let mut bob = manner.connect(secure.listen, "any.test").unwrap();
    assert_eq!(bob.get("/partners/x").status, 200);
}

#[test]
fn a_ticket_of_a_listener_that_asks_no_certificate_opens_no_other() {
    let mut secure = Secure::start();
    let (asking, optional) = (free_address(), free_address());
    for address in [asking, optional] {
        secure.plan.snapshot.listeners.push(Listener {
            tls: true,
            ..Listener::plain(address)
        });
    }
    secure.ask_clients(asking, false);
    secure.ask_clients(optional, true);
    secure.publish();
    for version in [&TLS12, &TLS13] {
        for open in [secure.listen, optional] {
            let manner = Manner::build(secure.authority.roots(), &[version], None);
            manner.connect(open, "any.test").unwrap().get("/");
            assert!(manner.connect(open, "any.test").unwrap().is_resumed());
            manner.connect(open, "any.test").unwrap().get("/");
            let tried = manner.connect(asking, "any.test");
            assert!(tried.is_err() || tried.unwrap().try_get("/").is_none());
        }
    }
}

#[test]
fn certificates_are_exchanged_under_open_connections() {
    let mut secure = Secure::start();
    let before = secure.plan.snapshot.certificates[0].clone();
    let mut open = secure.manner().connect(secure.listen, "any.test").unwrap();
    assert_eq!(open.get("/").status, 200);
    let after = secure.authority.sign("after", "/CN=any.test", &["any.test"], 20);
    secure.plan.snapshot.certificates = vec![after.clone()];
    secure.publish();
    assert_eq!(open.get("/").status, 200);
    assert_eq!(open.shown(), of_file(&before));
    let fresh = secure.manner().connect(secure.listen, "any.test").unwrap();
    assert_eq!(fresh.shown(), of_file(&after));
}

#[test]
fn what_cannot_be_read_is_told_and_the_last_good_is_kept() {
    let mut secure = Secure::start();
    let before = secure.plan.snapshot.certificates[0].clone();
    let other = secure.authority.sign("other", "/CN=other.test", &["other.test"], 10);
    let third = secure.authority.sign("third", "/CN=third.test", &["third.test"], 10);
    let broken = Certificate {
        chain: "/nowhere/any.pem".into(),
        ..before.clone()
    };
    let mixed = Certificate {
        key: other.key.clone(),
        ..third.clone()
    };
    secure.plan.snapshot.certificates = vec![broken, other.clone(), mixed];
    let snapshot = secure.plan.next();
    let told = |edge: &mut Edge| -> Vec<Unreadable> {
        let json = serde_json::to_value(&snapshot).unwrap();
        edge.control.send(&ToEdge::Snapshot { snapshot: json }, &[]).unwrap();
        match edge.answer(|message| matches!(message, FromEdge::Serving { .. })).0 {
            FromEdge::Serving { unreadable, .. } => unreadable,
            other => panic!("{other:?}"),
        }
    };
    let unreadable = told(&mut secure.edge);
    let names: Vec<_> = unreadable
        .iter()
        .map(|one| (one.names[0].as_str(), one.last_good))
        .collect();
    assert_eq!(names, [("any.test", true), ("third.test", false)]);
    assert!(unreadable[0].why.contains("/nowhere/any.pem"), "{unreadable:?}");
    assert!(unreadable[1].why.contains("key"), "{unreadable:?}");
    assert_eq!(
        secure.manner().connect(secure.listen, "any.test").unwrap().shown(),
        of_file(&before)
    );
    assert_eq!(
        secure.manner().connect(secure.listen, "other.test").unwrap().shown(),
        of_file(&other)
    );
    // As good as new once the file is there.
    std::fs::copy(&third.key, &other.key).unwrap();
    let unreadable = told(&mut secure.edge);
    let names: Vec<_> = unreadable.iter().map(|one| one.names[0].as_str()).collect();
    assert_eq!(names, ["any.test"]);
    assert_eq!(
        secure.manner().connect(secure.listen, "third.test").unwrap().shown(),
        of_file(&third)
    );
}

#[test]
fn authorities_that_cannot_be_read_let_nobody_in() {
    let mut secure = Secure::start();
    secure.ask_clients(secure.listen, false);
    secure.plan.snapshot.tls[0].clients.as_mut().unwrap().roots = "/nowhere/roots.pem".into();
    let json = serde_json::to_value(secure.plan.next()).unwrap();
    secure
        .edge
        .control
        .send(&ToEdge::Snapshot { snapshot: json }, &[])
        .unwrap();
    secure
        .edge
        .answer(|message| matches!(message, FromEdge::Serving { unreadable, .. } if unreadable.len() == 1));
    let alice = secure.client("alice", "/CN=alice");
    let manner = Manner::build(secure.authority.roots(), &[&TLS13], Some(&alice));
    assert!(manner.connect(secure.listen, "any.test").is_err());
    eventually("the count", || (secure.failures("no_certificate") == 1).then_some(()));
}

#[test]
fn a_challenge_is_shown_to_whoever_speaks_acme_and_to_nobody_else() {
    let mut secure = Secure::start();
    let challenge = secure.authority.sign("challenge", "/CN=any.test", &["any.test"], 10);
    let first = secure.plan.snapshot.certificates[0].clone();
    secure.plan.snapshot.challenges.tls_alpn01 = vec![challenge.clone()];
    // The authority has no certificate to show.
    secure.ask_clients(secure.listen, false);
    secure.publish();
    let acme = secure.manner().speaking(&["acme-tls/1"]);
    let mut looking = acme.connect(secure.listen, "any.test").unwrap();
    assert_eq!(looking.shown(), of_file(&challenge));
    assert_eq!(looking.protocol(), Some("acme-tls/1"));
    assert!(looking.is_closed());
    assert!(acme.connect(secure.listen, "other.test").is_err());
    let alice = secure.client("alice", "/CN=alice");
    let client = Manner::build(secure.authority.roots(), &[&TLS13], Some(&alice)).connect(secure.listen, "any.test");
    assert_eq!(client.unwrap().shown(), of_file(&first));
}

#[test]
fn plain_listeners_answer_challenges_and_send_the_rest_to_tls() {
    let mut secure = Secure::start();
    let plain = free_address();
    secure.plan.snapshot.listeners.push(Listener {
        redirect_to_https: Some(secure.listen.port()),
        ..Listener::plain(plain)
    });
    secure.plan.snapshot.challenges.http01 = vec![Http01 {
        token: "tok-en".to_owned(),
        answer: "tok-en.thumb".to_owned(),
    }];
    secure.publish();
    let mut client = Client::connect(plain);
    let answer = client.get("/.well-known/acme-challenge/tok-en");
    assert_eq!((answer.status, answer.text()), (200, "tok-en.thumb"));
    let other = client.get("/.well-known/acme-challenge/unknown");
    assert_eq!(
        (other.status, other.text()),
        (200, "api"),
        "a service may have challenges of its own"
    );
    let port = secure.listen.port();
    client.write("POST /pay/1?x=%2F HTTP/1.1\r\nHost: shop.test:8080\r\nContent-Length: 0\r\n\r\n");
    let moved = client.read();
    let wanted = format!("https://shop.test:{port}/pay/1?x=%2F");
    assert_eq!((moved.status, moved.header("location")), (308, Some(&*wanted)));
    secure.plan.snapshot.listeners[1].redirect_to_https = Some(443);
    secure.publish();
    let moved = client.get("/");
    assert_eq!(
        (moved.status, moved.header("location")),
        (308, Some("https://any.test/"))
    );
    // Over TLS neither.
    let mut client = secure.manner().connect(secure.listen, "any.test").unwrap();
    assert_eq!(client.get("/.well-known/acme-challenge/tok-en").text(), "api");
}

#[test]
fn hsts_is_said_over_tls_alone() {
    let mut secure = Secure::start();
    let plain = free_address();
    secure.plan.snapshot.listeners.push(Listener::plain(plain));
    secure.plan.snapshot.routes[0].policy.headers.hsts = Some("max-age=31536000".to_owned());
    secure.publish();
    let mut client = secure.manner().connect(secure.listen, "any.test").unwrap();
    assert_eq!(
        client.get("/").header("strict-transport-security"),
        Some("max-age=31536000")
    );
    assert_eq!(
        Client::connect(plain).get("/").header("strict-transport-security"),
        None
    );
}

#[test]
fn a_handshake_that_does_not_go_on_is_ended() {
    let folder = Arc::new(Folder::new());
    let mut config = config(&folder, "edge", Duration::ZERO);
    config.patience.handshake = Duration::from_millis(50);
    let mut secure = Secure::start_on(Edge::start_with(folder, config));
    let silent = TcpStream::connect(secure.listen).unwrap();
    let mut halting = TcpStream::connect(secure.listen).unwrap();
    // The beginning of a record that promises 512 bytes.
    halting.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    for mut stream in [silent, halting] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    eventually("the count", || (secure.failures("timeout") == 2).then_some(()));
    eventually("the connections to end", || {
        (secure.edge.stats().connections == 0).then_some(())
    });
}

#[test]
fn what_is_not_tls_is_told_so_and_counted() {
    let mut secure = Secure::start();
    let mut plain = Client::connect(secure.listen);
    plain.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = plain.read();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("https://"), "{}", answer.text());
    let mut garbage = Client::connect(secure.listen);
    garbage.0.write_all(&[0xff; 64]).unwrap();
    let gone = Client::connect(secure.listen);
    drop(gone);
    eventually("the counts", || {
        let counts = [
            secure.failures("plain_http"),
            secure.failures("not_tls"),
            secure.failures("closed"),
        ];
        (counts == [1, 1, 1]).then_some(())
    });
    let unwilling = Manner::new(Authority::new(&secure.edge.folder.0, "unknown").roots());
    assert!(unwilling.connect(secure.listen, "any.test").is_err());
    eventually("the count", || (secure.failures("refused") == 1).then_some(()));
}

#[test]
fn an_upgraded_connection_passes_over_tls() {
    let mut secure = Secure::start();
    let echo = Upstream::start(|_, stream| {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(head).unwrap();
        let mut bytes = [0; 1000];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..read]).unwrap();
        }
        crate::fixture::Keep::Close
    });
    secure.plan.snapshot.services[0].replicas[0].address = echo.address;
    secure.publish();
    let mut client = secure.manner().connect(secure.listen, "any.test").unwrap();
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(crate::fixture::read_response(&mut client.0, false).unwrap().status, 101);
    for turn in 0..3u8 {
        client.0.write_all(&[turn; 700]).unwrap();
        let mut back = [9; 700];
        client.0.read_exact(&mut back).unwrap();
        assert_eq!(back, [turn; 700]);
    }
}

#[test]
fn a_draining_edge_finishes_what_is_open_over_tls() {
    let mut secure = Secure::start();
    let mut open = secure.manner().connect(secure.listen, "any.test").unwrap();
    assert_eq!(open.get("/").status, 200);
    secure.edge.drain();
    let last = open.get("/");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(open.is_closed());
    secure.edge.ended();
}
