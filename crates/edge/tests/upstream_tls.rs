//! Servers elsewhere that speak TLS, with a real nginx as the server: who is trusted, what is kept, and what is said when nobody is.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tend_core::model::{ActiveCheck, Protocol, ServerTls};
use tend_edge::FromEdge;
use tend_routing::{Certificate, Failure};

use crate::certificates::Authority;
use crate::fixture::{Client, Edge, Folder, Plan, Response, api, eventually, free_address};

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
        let response = self.get("/");
        assert_eq!(response.status, 200, "{:?}", response.header("x-tend-error"));
        response.text().split('|').map(str::to_owned).collect()
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

#[test]
fn a_server_elsewhere_is_asked_by_its_name_and_its_connection_is_kept() {
    let mut bank = Bank::new("ssl");
    bank.serve(bank.rules());
    let first = bank.asked();
    assert_eq!((&*first[0], &*first[1]), ("bank.test", "HTTP/1.1"));
    assert_eq!(first[4], "any.test", "what the client asked for is told");
    for _ in 0..5 {
        assert_eq!(bank.asked()[2], first[2], "another connection");
    }
    let large = bank.get("/large");
    assert_eq!((large.status, large.body.len()), (200, 3 << 20));
    // What POSTs need is asked of the kernel.
    let mut client = Client::connect(bank.listen);
    assert_eq!(client.post("/", "amount=1").text().split('|').nth(2), Some(&*first[2]));
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
    let mut bank = Bank::with("ssl", |authority| {
        authority.sign("server", "/CN=bank", &["bank.test"], 0)
    });
    bank.serve(bank.rules());
    // It ends with the second it was made in. Who was verified before is known again by its session.
    let chain = bank.folder.0.join("server.pem");
    eventually("the end of the certificate", || {
        let looked = Command::new("openssl")
            .args(["x509", "-noout", "-checkend", "0", "-in"])
            .arg(&chain)
            .stdout(Stdio::null())
            .status();
        (!looked.expect("openssl is in PATH").success()).then_some(())
    });
    let (why, detail) = bank.refused();
    assert_eq!(why, Failure::Certificate);
    assert!(detail.contains("has expired"), "{detail}");
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
