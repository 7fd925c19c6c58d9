//! An authority of one's own, the server that answers its challenges, and a try to get a certificate.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tend_acme::{AcmeError, Answer, Answers, Authority, Challenge, Folder, Patience, Record, Wish, renew};
use tend_base::SystemClock;
use tend_certificate::Certificate;

/// For anything here to begin or to end; far above what it takes.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An authority, the server that answers it, and a folder for what it issues.
pub(crate) struct Pebble {
    authority: tend_testkit::Pebble,
    pub(crate) server: Server,
    pub(crate) folder: Folder,
    // Dropped last.
    pub(crate) place: tend_testkit::Folder,
}

impl Pebble {
    /// Starts one that looks at once, takes every nonce and proves every host anew.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Self {
        let place = tend_testkit::Folder::new();
        let server = Server::start();
        Self {
            authority: tend_testkit::Pebble::start(server.http, server.tls, variables),
            server,
            folder: Folder::open(&place.path().join("certificates")).unwrap(),
            place,
        }
    }

    pub(crate) fn directory(&self) -> String {
        self.authority.directory()
    }

    pub(crate) fn port(&self) -> u16 {
        self.authority.port()
    }

    pub(crate) fn root(&self) -> &Path {
        self.authority.root()
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority::new(&self.directory(), Some(self.root())).unwrap()
    }

    /// Tries to get a certificate, as the daemon would.
    pub(crate) fn renew(&self, wish: &Wish) -> Result<(Record, Certificate), AcmeError> {
        run(renew(&self.authority(), &self.folder, wish, &self.server, &SystemClock))
    }

    pub(crate) fn log(&self) -> String {
        self.authority.log()
    }
}

pub(crate) fn wish(names: &str, challenge: Challenge) -> Wish {
    Wish {
        names: names.split(' ').collect(),
        challenge,
        email: Some("ops@tend.test".to_owned()),
        patience: Patience {
            first_look: Duration::from_millis(20),
            ..Patience::default()
        },
        rehearse_at: None,
    }
}

/// Runs to the end, with a deadline.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(SOON, future).await });
    runtime.shutdown_background();
    ended.expect("it ends in time")
}

/// Answers challenges on two ports, as the edge does on 80 and 443.
pub(crate) struct Server {
    pub(crate) http: u16,
    pub(crate) tls: u16,
    shown: Arc<Shown>,
}

#[derive(Default)]
struct Shown {
    /// By host and token.
    texts: Mutex<BTreeMap<(String, String), String>>,
    certificates: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
    /// Shows nothing, whatever it is told.
    deaf: AtomicBool,
    ended: AtomicBool,
    log: Mutex<Vec<Vec<Answer>>>,
}

impl Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown")
    }
}

impl Server {
    fn start() -> Self {
        let shown = Arc::new(Shown::default());
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (http, tls) = (listen(), listen());
        let server = Self {
            http: http.local_addr().unwrap().port(),
            tls: tls.local_addr().unwrap().port(),
            shown: Arc::clone(&shown),
        };
        let for_tls = Arc::clone(&shown);
        serve(http, Arc::clone(&shown), move |stream| answer_http(&shown, stream));
        serve(tls, Arc::clone(&for_tls), move |stream| answer_tls(&for_tls, stream));
        server
    }

    /// Makes every later proof fail, or succeed again.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.shown.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Returns what it was told to show, call by call.
    pub(crate) fn told(&self) -> Vec<Vec<Answer>> {
        self.shown.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shown.ended.store(true, Ordering::SeqCst);
        for port in [self.http, self.tls] {
            // Wakes the thread that accepts.
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
    }
}

impl Answers for Server {
    async fn show(&self, answers: Vec<Answer>) -> Result<(), String> {
        let mut texts = self.shown.texts.lock().unwrap();
        let mut certificates = self.shown.certificates.lock().unwrap();
        texts.clear();
        certificates.clear();
        for answer in &answers {
            match answer.clone() {
                Answer::Http01 { host, token, answer } => {
                    texts.insert((host, token), answer);
                }
                Answer::TlsAlpn01 { name, chain, key } => {
                    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
                        .collect::<Result<Vec<_>, _>>()
                        .unwrap();
                    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).unwrap();
                    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
                    certificates.insert(name, Arc::new(CertifiedKey::new(chain, key)));
                }
            }
        }
        self.shown.log.lock().unwrap().push(answers);
        Ok(())
    }
}

fn serve(listener: TcpListener, shown: Arc<Shown>, answer: impl Fn(TcpStream) + Send + 'static) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if shown.ended.load(Ordering::SeqCst) {
                return;
            }
            let stream = stream.unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            answer(stream);
        }
    });
}

fn answer_http(shown: &Shown, mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => head.extend(&buffer[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let token = head
        .strip_prefix("GET /.well-known/acme-challenge/")
        .and_then(|rest| rest.split(' ').next());
    let host = head
        .lines()
        .find_map(|line| line.strip_prefix("Host: "))
        .and_then(|host| host.split(':').next());
    let key = (
        host.unwrap_or_default().to_owned(),
        token.unwrap_or_default().to_owned(),
    );
    let text = shown.texts.lock().unwrap().get(&key).cloned();
    let response = match text.filter(|_| !shown.deaf.load(Ordering::SeqCst)) {
        Some(text) => format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        ),
        None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    };
    let _ = stream.write_all(response.as_bytes());
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello
            .alpn()
            .is_some_and(|mut offered| offered.any(|name| name == b"acme-tls/1"));
        let name = hello
            .server_name()
            .filter(|_| wanted && !self.deaf.load(Ordering::SeqCst))?;
        self.certificates.lock().unwrap().get(name).cloned()
    }
}

fn answer_tls(shown: &Arc<Shown>, mut stream: TcpStream) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(shown) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    // Refused handshakes are what some tests are about.
    let _ = tls.complete_io(&mut stream);
}
