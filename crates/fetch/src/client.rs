//! Asks: a connection, new or kept, one request, its answer. Knows nothing of what is asked.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body as _;
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, LOCATION,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper_util::rt::TokioIo;
use tend_base::Secret;
use tokio::time::Instant;

use crate::address::{Origin, basic};
use crate::answer::{Headers, Intake};
use crate::error::Anything;
use crate::{Address, Answer, Auth, FetchError, Request, Stream, Tls, TlsSettings, dial, dial_unix};

/// What a server sees of us, unless a request says otherwise.
const USER_AGENT_TEXT: &str = concat!("tend/", env!("CARGO_PKG_VERSION"));

/// How long a connection is kept that nobody uses. Most servers end one after a minute or more.
const KEPT_FOR: Duration = Duration::from_secs(90);

/// Headers that are written here and nowhere else.
const OURS: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];

/// Asks, and keeps connections for the next time if it is told to. It can be shared; requests do not wait for each other.
pub struct Client {
    tls: Tls,
    proxy: Option<Address>,
    kept_max: usize,
    /// The latest last.
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    origin: Origin,
    since: Instant,
    connection: Connection,
}

type Driven = http1::Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>;

/// A connection with what moves its bytes. Nothing runs beside: who waits for an answer moves them meanwhile.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver,
}

struct Driver(Option<Pin<Box<Driven>>>);

impl Driver {
    /// Moves bytes; says whether the connection is still there.
    fn poll(&mut self, context: &mut std::task::Context<'_>) -> bool {
        if let Some(connection) = &mut self.0
            && connection.as_mut().poll(context).is_ready()
        {
            self.0 = None;
        }
        self.0.is_some()
    }

    /// Moves bytes until something else is done. The connection may end first, having read them all.
    async fn until<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        std::future::poll_fn(|context| {
            self.poll(context);
            let polled = done.as_mut().poll(context);
            if polled.is_pending() {
                // What was asked for just now goes out at once.
                self.poll(context);
            }
            polled
        })
        .await
    }

    async fn is_there(&mut self) -> bool {
        std::future::poll_fn(|context| Poll::Ready(self.poll(context))).await
    }
}

/// Why a try came to nothing.
enum Failed {
    /// On a kept connection, and nothing of an answer came.
    Stale { begun: bool, error: FetchError },
    /// For good.
    Whole(FetchError),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("tls", &self.tls)
            .field("proxy", &self.proxy)
            .field("kept_max", &self.kept_max)
            .finish_non_exhaustive()
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(TlsSettings::default(), 0)
    }
}

impl Client {
    /// Makes a client that keeps at most so many connections that nobody uses; 0 ends each after its answer.
    #[must_use]
    pub fn new(tls: TlsSettings, kept_max: usize) -> Self {
        Self {
            tls: Tls::new(tls, &[b"http/1.1"]),
            proxy: None,
            kept_max,
            kept: Mutex::default(),
        }
    }

    /// Asks through a proxy from now on, all but sockets. It is spoken to in the clear; what is encrypted goes through it unread.
    ///
    /// # Errors
    /// When it is not an `http://` address.
    pub fn through(mut self, proxy: Address) -> Result<Self, FetchError> {
        match proxy.origin {
            Origin::Tcp { tls: false, .. } => {
                self.proxy = Some(proxy);
                Ok(self)
            }
            _ => Err(FetchError::Address {
                shown: proxy.to_string(),
                why: "a proxy begins with http://",
            }),
        }
    }

    /// Asks. Any status is an answer. Dropping the future ends the request and its connection.
    ///
    /// A request that is sent on a kept connection which turns out to be dead is sent once more on a new one, if nothing of it went out or asking
    /// twice does no harm.
    ///
    /// # Errors
    /// When there is no answer: see [`FetchError`].
    pub async fn send(&self, request: &Request) -> Result<Answer, FetchError> {
        match tokio::time::timeout(request.within, self.follow(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(FetchError::Silent {
                at: request.address.at(),
                within: request.within,
            }),
        }
    }

    async fn follow(&self, request: &Request) -> Result<Answer, FetchError> {
        let mut answer = self.ask(request).await?;
        if request.redirects == 0 {
            return Ok(answer);
        }
        let mut request = request.clone();
        let mut left = request.redirects;
        loop {
            let reads = matches!(request.method, "GET" | "HEAD");
            let leads = matches!(answer.status, 307 | 308) || (reads && matches!(answer.status, 301..=303));
            let Some(location) = answer.headers.0.get(LOCATION).filter(|_| leads) else {
                return Ok(answer);
            };
            let refused = |why: String| FetchError::Redirect {
                at: request.address.at(),
                why,
            };
            if left == 0 {
                return Err(refused(format!("more than {} steps", request.redirects)));
            }
            left -= 1;
            let location = location
                .to_str()
                .map_err(|_| refused("its address is no text".to_owned()))?;
            let mut there = request
                .address
                .follow(location)
                .map_err(|error| refused(error.to_string()))?;
            if request.address.is_tls() && !there.is_tls() {
                return Err(refused(format!("{there} is not encrypted, and what led there is")));
            }
            if there.origin == request.address.origin {
                there.credentials = request.address.credentials.take();
            } else {
                request.auth = None;
                request
                    .headers
                    .retain(|header| header.carried && !is_credential(&header.name));
            }
            request.address = there;
            answer = self.ask(&request).await?;
        }
    }

    /// Asks one origin.
    async fn ask(&self, request: &Request) -> Result<Answer, FetchError> {
        let composed = self.compose(request)?;
        if let Some(connection) = self.take(&request.address.origin).await {
            match self.converse(connection, true, request, composed.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Stale { begun, .. }) if !begun || request.is_idempotent() => {}
                Err(Failed::Stale { error, .. } | Failed::Whole(error)) => return Err(error),
            }
        }
        let connection = self.connect(request).await?;
        match self.converse(connection, false, request, composed).await {
            Ok(answer) => Ok(answer),
            Err(Failed::Stale { error, .. } | Failed::Whole(error)) => Err(error),
        }
    }

    async fn connect(&self, request: &Request) -> Result<Connection, FetchError> {
        let within = request.connect_within;
        let stream: Box<dyn Stream> = match &request.address.origin {
            Origin::Unix(path) => Box::new(dial_unix(path, within).await?),
            Origin::Tcp { host, port, tls } => {
                let tls = match tls {
                    true => Some(self.tls.prepare().await?),
                    false => None,
                };
                let until = Instant::now() + within;
                let (first, first_port) = match &self.proxy {
                    Some(proxy) => (proxy.host(), proxy.port().unwrap_or_default()),
                    None => (host.as_str(), *port),
                };
                let mut stream = dial(first, first_port, within).await?;
                match tls {
                    None => Box::new(stream),
                    Some(tls) => {
                        if let Some(proxy) = &self.proxy {
                            let at = request.address.at();
                            let through = crate::proxy::tunnel(&mut stream, proxy, &at);
                            tokio::time::timeout_at(until, through)
                                .await
                                .map_err(|_| FetchError::Unconnected { at, within })??;
                        }
                        let left = until.saturating_duration_since(Instant::now());
                        Box::new(tls.wrap(stream, host, *port, left).await?)
                    }
                }
            }
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(request, error.into()))?;
        Ok(Connection {
            sender,
            driver: Driver(Some(Box::pin(connection))),
        })
    }

    fn compose(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, FetchError> {
        let unwritable = |why: String| FetchError::Unwritable {
            at: request.address.at(),
            why,
        };
        let mut composed = hyper::Request::new(Full::new(request.body.clone()));
        *composed.method_mut() = request
            .method
            .parse()
            .map_err(|_| unwritable(format!("`{}` is no method", request.method)))?;
        // Of what it may read, a proxy wants to know the host.
        let proxy = self
            .proxy
            .as_ref()
            .filter(|_| matches!(request.address.origin, Origin::Tcp { tls: false, .. }));
        let target = match proxy {
            Some(_) => format!("{}{}", request.address, request.address.target()),
            None => request.address.target().to_owned(),
        };
        *composed.uri_mut() = target
            .parse()
            .map_err(|_| unwritable("the path of the address".to_owned()))?;
        let headers = composed.headers_mut();
        let value = |name: &str, text: &Secret| {
            let mut value = HeaderValue::from_str(text.expose())
                .map_err(|_| unwritable(format!("the value of `{name}` is no line of text")))?;
            value.set_sensitive(true);
            Ok::<_, FetchError>(value)
        };
        for header in &request.headers {
            let name: HeaderName = header
                .name
                .parse()
                .map_err(|_| unwritable("the name of a header is none".to_owned()))?;
            if !OURS.contains(&name.as_str()) {
                let value = value(name.as_str(), &header.value)?;
                headers.append(name, value);
            }
        }
        let authorization = match &request.auth {
            Some(Auth::Basic { user, password }) => Some(basic(user, password)),
            Some(Auth::Bearer(token)) => Some(Secret::new(format!("Bearer {}", token.expose()))),
            Some(Auth::Custom(whole)) => Some(whole.clone()),
            None => request.address.credentials.clone(),
        };
        if let Some(authorization) = authorization
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, value("Authorization", &authorization)?);
        }
        if let Some(credentials) = proxy.and_then(|proxy| proxy.credentials.as_ref()) {
            headers.insert(PROXY_AUTHORIZATION, value("Proxy-Authorization", credentials)?);
        }
        headers.insert(HOST, value("Host", &Secret::new(request.address.authority()))?);
        if !headers.contains_key(USER_AGENT) {
            headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
        }
        if request.gzip && !headers.contains_key(ACCEPT_ENCODING) {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if self.kept_max == 0 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if request.body.is_empty() && matches!(request.method, "POST" | "PUT" | "PATCH") {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(composed)
    }

    async fn converse(
        &self,
        mut connection: Connection,
        kept: bool,
        request: &Request,
        composed: hyper::Request<Full<Bytes>>,
    ) -> Result<Answer, Failed> {
        let sending = connection.sender.try_send_request(composed);
        let answered = match connection.driver.until(sending).await {
            Ok(answered) => answered,
            Err(mut error) => {
                let begun = error.take_message().is_none();
                let error = broken(request, error.into_error().into());
                return Err(if kept {
                    Failed::Stale { begun, error }
                } else {
                    Failed::Whole(error)
                });
            }
        };
        let (mut parts, mut body) = answered.into_parts();
        let told = body.size_hint().lower();
        let mut intake = Intake::begin(
            &mut parts.headers,
            told,
            request.answer_bytes_max,
            request.overwrite_answer,
        );
        let garbled = |source| {
            Failed::Whole(FetchError::Garbled {
                at: request.address.at(),
                source,
            })
        };
        let mut whole = true;
        while let Some(frame) = connection.driver.until(body.frame()).await {
            let frame = frame.map_err(|error| Failed::Whole(broken(request, error.into())))?;
            if let Some(data) = frame.data_ref()
                && !intake.take(data).map_err(garbled)?
            {
                whole = false;
                break;
            }
        }
        let (body, cut) = intake.end().map_err(garbled)?;
        if whole {
            self.keep(&request.address.origin, connection).await;
        }
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: Headers(parts.headers),
            body,
            cut,
        })
    }

    /// Returns a kept connection that can take a request.
    async fn take(&self, origin: &Origin) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                kept.retain(|kept| now.saturating_duration_since(kept.since) < KEPT_FOR);
                let at = kept.iter().rposition(|kept| kept.origin == *origin)?;
                kept.remove(at)?.connection
            };
            // One that the other side ended meanwhile shows now, once the runtime has looked at its sockets.
            tokio::task::yield_now().await;
            if connection.driver.is_there().await && connection.sender.is_ready() {
                return Some(connection);
            }
        }
    }

    async fn keep(&self, origin: &Origin, mut connection: Connection) {
        if self.kept_max == 0 || !connection.driver.is_there().await || connection.sender.is_closed() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= self.kept_max {
            kept.pop_front();
        }
        kept.push_back(Kept {
            origin: origin.clone(),
            since: Instant::now(),
            connection,
        });
    }
}

fn broken(request: &Request, source: Anything) -> FetchError {
    FetchError::Broken {
        at: request.address.at(),
        source,
    }
}

fn is_credential(name: &str) -> bool {
    ["authorization", "proxy-authorization", "cookie"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}
