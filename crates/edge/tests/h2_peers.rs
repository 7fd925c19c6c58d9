//! Both ends of HTTP/2 for tests: a client over TLS, and a server that does as it is told.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use rustls_pki_types::ServerName;
use tend_core::model::Protocol;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;

use crate::certificates::Authority;
use crate::fixture::{Edge, Folder, PATIENCE, Plan, config, free_address};
use crate::tls_client::Manner;

/// Runs a test's asynchronous part, within the time that any test has.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("took too long") })
}

/// An edge with `mps/api` behind `/` at one address with TLS.
pub(crate) struct Secure {
    pub(crate) edge: Edge,
    pub(crate) listen: SocketAddr,
    pub(crate) plan: Plan,
    pub(crate) manner: Manner,
}

impl Secure {
    pub(crate) fn before(replicas: &[SocketAddr], protocol: Protocol) -> Self {
        Self::configured(replicas, protocol, |_| {})
    }

    pub(crate) fn configured(
        replicas: &[SocketAddr],
        protocol: Protocol,
        change: impl FnOnce(&mut tend_edge::EdgeConfig),
    ) -> Self {
        let folder = Arc::new(Folder::new());
        let mut config = config(&folder, "edge", std::time::Duration::ZERO);
        change(&mut config);
        let mut edge = Edge::start_with(folder.clone(), config);
        let authority = Authority::new(&folder.0, "authority");
        let listen = free_address();
        let mut plan = Plan::new(listen).service("api", replicas).route(None, "/", "api");
        plan.snapshot.listeners[0].tls = true;
        plan.snapshot.certificates = vec![authority.sign("any", "/CN=any.test", &["any.test"], 10)];
        plan.snapshot.services[0].balance.protocol = protocol;
        edge.serve(&plan.next());
        Self {
            edge,
            listen,
            plan,
            manner: Manner::new(authority.roots()).speaking(&["h2"]),
        }
    }

    /// Connects as a client of HTTP/2.
    pub(crate) async fn client(&self) -> H2Client {
        let stream = TcpStream::connect(self.listen).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let connector = TlsConnector::from(Arc::new(self.manner.config.clone()));
        let stream = connector
            .connect(ServerName::try_from("any.test").unwrap(), stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        H2Client::speak(stream).await
    }
}

pub(crate) struct H2Client {
    pub(crate) sender: SendRequest<Bytes>,
    /// Told when the connection has ended.
    pub(crate) ended: Arc<Notify>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Whole {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("https://any.test{path}"))
        .body(())
        .unwrap()
}

impl H2Client {
    /// Connects without TLS, knowing that HTTP/2 is spoken.
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::speak(stream).await
    }

    /// Speaks HTTP/2 on a connection.
    pub(crate) async fn speak(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let ended = Arc::new(Notify::new());
        tokio::spawn({
            let ended = ended.clone();
            async move {
                let _ = connection.await;
                ended.notify_one();
            }
        });
        Self { sender, ended }
    }

    /// Sends a request with a body, as fast as it is taken, and reads the answer.
    pub(crate) async fn ask(&self, request: Request<()>, body: &[u8]) -> Result<Whole, h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request, body.is_empty())?;
        let body = Bytes::copy_from_slice(body);
        let sending = async move {
            if body.is_empty() {
                return Ok(());
            }
            push(&mut stream, body).await?;
            stream.send_data(Bytes::new(), true)
        };
        let reading = async { read(response.await?).await };
        let (sent, answer) = tokio::join!(sending, reading);
        // A server may answer without the rest.
        drop(sent);
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Whole {
        self.ask(request("GET", path), b"").await.unwrap()
    }
}

/// Sends bytes as they are taken.
pub(crate) async fn push(stream: &mut h2::SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        if stream.capacity() == 0 {
            match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
        let part = body.split_to(stream.capacity().min(body.len()));
        stream.send_data(part, false)?;
    }
    Ok(())
}

/// Reads an answer to its end.
pub(crate) async fn read(response: Response<RecvStream>) -> Result<Whole, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok(Whole {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        trailers: stream.trailers().await?,
    })
}

/// What a server does with a request.
type Behaviour =
    dyn Fn(Request<RecvStream>, SendResponse<Bytes>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// A replica that speaks HTTP/2 without TLS.
pub(crate) struct H2Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicU64>,
    /// The heads of all requests.
    pub(crate) requests: Arc<Mutex<Vec<http::request::Parts>>>,
    /// Told once, lets every connection finish what it has and end.
    pub(crate) leave: Arc<Notify>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl H2Upstream {
    pub(crate) fn start<F>(
        behaviour: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let behaviour: Arc<Behaviour> = Arc::new(move |request, respond| Box::pin(behaviour(request, respond)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests): (Arc<AtomicU64>, Arc<Mutex<Vec<_>>>) = Default::default();
        let (leave, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let thread = std::thread::spawn({
            let (connections, requests) = (connections.clone(), requests.clone());
            let (leave, stop) = (leave.clone(), stop.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async move {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    let accepting = async {
                        loop {
                            let (stream, _) = listener.accept().await.unwrap();
                            connections.fetch_add(1, Ordering::SeqCst);
                            let (behaviour, requests, leave) = (behaviour.clone(), requests.clone(), leave.clone());
                            tokio::spawn(serve(stream, behaviour, requests, leave));
                        }
                    };
                    tokio::select! {
                        () = accepting => {}
                        () = stop.notified() => {}
                    }
                });
            }
        });
        Self {
            address,
            connections,
            requests,
            leave,
            stop,
            thread: Some(thread),
        }
    }

    /// Answers everything with its name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(move |_, mut respond| async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(name.as_bytes()), true).unwrap();
        })
    }
}

async fn serve(
    stream: TcpStream,
    behaviour: Arc<Behaviour>,
    requests: Arc<Mutex<Vec<http::request::Parts>>>,
    leave: Arc<Notify>,
) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    let mut leaving = false;
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = leave.notified(), if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        let (parts, body) = request.into_parts();
        let mut kept = Request::new(()).into_parts().0;
        kept.method = parts.method.clone();
        kept.uri = parts.uri.clone();
        kept.headers = parts.headers.clone();
        requests.lock().unwrap().push(kept);
        tokio::spawn(behaviour(Request::from_parts(parts, body), respond));
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
