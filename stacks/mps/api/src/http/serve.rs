//! Serves one request: reads it, asks the database, answers, counts, logs.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value as Json, json};

use super::route::{PAY, ReadCommand, Route, route};
use super::socket::{NoSocket, Sockets};
use crate::ledger::{Facts, Key, Outcome, Query, Refusal, Write};
use crate::worker::{Answer, Database};
use crate::{Breakage, Config, Error, Live, Log, Metrics, Now, token};

/// Largest body; the largest sensible request is a hundredth of it.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest Idempotency-Key, in bytes.
const KEY_BYTES_MAX: usize = 128;
/// How long the database may take to answer a probe: below the stack file's probe timeout, so that the prober reads why.
const PROBE_PATIENCE: Duration = Duration::from_millis(800);
/// How long one commit may take before this replica calls itself not ready. A commit takes milliseconds.
const WRITER_PATIENCE: Duration = Duration::from_secs(5);

/// An answer on its way, with what the log says of it.
struct Reply {
    status: u16,
    content_type: &'static str,
    body: Bytes,
    replayed: bool,
    allow: Option<&'static str>,
    facts: Option<Facts>,
    error: Option<String>,
    /// What makes it the beginning of a WebSocket.
    upgrade: Option<HeaderMap>,
}

impl Reply {
    fn json(status: u16, body: impl Into<Bytes>) -> Reply {
        Reply {
            status,
            content_type: "application/json",
            body: body.into(),
            replayed: false,
            allow: None,
            facts: None,
            error: None,
            upgrade: None,
        }
    }

    fn error(status: u16, code: &str, message: &str) -> Reply {
        Reply::json(
            status,
            json!({ "error": { "code": code, "message": message } }).to_string(),
        )
    }

    fn refused(refusal: &Refusal) -> Reply {
        Reply::error(refusal.status(), refusal.code(), &refusal.to_string())
    }

    fn outcome(outcome: Outcome) -> Reply {
        let Outcome {
            status,
            body,
            replayed,
            facts,
        } = outcome;
        Reply {
            replayed,
            facts: Some(facts),
            ..Reply::json(status, body)
        }
    }

    /// The answer where the database failed: the client may send the request again with its key. What failed is for the log.
    fn failed(error: &Error) -> Reply {
        let (code, message) = match error {
            Error::Busy => (
                "busy",
                "too many requests wait for the database: send again shortly with the same Idempotency-Key",
            ),
            _ => (
                "unavailable",
                "the outcome is unknown: send again with the same Idempotency-Key",
            ),
        };
        Reply {
            error: Some(with_causes(error)),
            ..Reply::error(503, code, message)
        }
    }
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// What every request shares.
pub(super) struct Api {
    database: Database,
    metrics: Arc<Metrics>,
    log: Log,
    live: Arc<Live>,
    replica: HeaderValue,
    version: String,
    breakable: bool,
    breakage: Mutex<Breakage>,
    /// Requests met while `error` was on: every hundredth has its turn by number, so that the share is exact.
    error_turn: AtomicU64,
    draining: AtomicBool,
    /// No new command is taken any more.
    quiesced: AtomicBool,
    sockets: Arc<Sockets>,
    release: Option<String>,
}

impl Api {
    pub(super) fn new(config: &Config, database: Database, metrics: Arc<Metrics>, log: Log, live: Arc<Live>) -> Api {
        let unnamed = HeaderValue::from_static("unnamed");
        Api {
            database,
            metrics,
            log,
            live,
            replica: HeaderValue::from_str(&config.replica).unwrap_or(unnamed),
            version: config.version.clone(),
            breakable: config.breakable,
            breakage: Mutex::default(),
            error_turn: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            quiesced: AtomicBool::new(false),
            sockets: Arc::new(Sockets::new()),
            release: config.release.clone(),
        }
    }

    /// From now on: not ready, each answer closes its connection, and each WebSocket is told to go.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.sockets.go_away();
    }

    /// Hands payments to the WebSockets. Never ends.
    pub(super) async fn feed(&self) {
        self.sockets.feed.run(&self.database).await;
    }

    /// Returns when the last WebSocket is closed.
    pub(super) async fn sockets_gone(&self) {
        self.sockets.gone().await;
    }

    /// Breaks this replica, or mends it.
    pub(super) fn break_by(self: &Arc<Self>, breakage: Breakage) {
        *self.breakage.lock().unwrap_or_else(PoisonError::into_inner) = breakage;
        if breakage == Breakage::None {
            return;
        }
        self.log.warn("lifecycle", "broken on purpose", |line| {
            line.insert("breakage".into(), json!(breakage));
        });
        match breakage {
            Breakage::Leak { mb_a_second } => drop(tokio::spawn(leak(Arc::clone(self), mb_a_second))),
            Breakage::Hang => drop(tokio::spawn(async {
                // Lets the answer to the switch out first; then this thread, which serves everything, never goes on.
                tokio::time::sleep(Duration::from_millis(50)).await;
                loop {
                    std::thread::park();
                }
            })),
            Breakage::Crash { after_seconds } => {
                let api = Arc::clone(self);
                drop(tokio::spawn(async move {
                    let after = Duration::from_secs(after_seconds).max(Duration::from_millis(50));
                    tokio::time::sleep(after).await;
                    if api.breakage() == breakage {
                        std::process::abort();
                    }
                }));
            }
            Breakage::None | Breakage::Slow { .. } | Breakage::Error { .. } | Breakage::Unready => {}
            // Over before there was anything to serve.
            Breakage::Exit | Breakage::MigrateFail | Breakage::MigrateHang => {}
        }
    }

    fn breakage(&self) -> Breakage {
        *self.breakage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one request. Never fails: what goes wrong is an answer.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let begun = Instant::now();
        let method = method_name(request.method());
        let client = client_address(&request, peer);
        let (route, endpoint) = route(request.method(), request.uri().path(), request.uri().query());
        let reply = self.reply(route, endpoint, request, peer).await;
        let took = begun.elapsed();
        self.metrics.request(method, endpoint, reply.status, took);
        self.log_request(method, endpoint, &reply, took, client);

        let mut response = Response::new(Full::new(reply.body));
        *response.status_mut() = StatusCode::from_u16(reply.status).expect("every status here is a valid one");
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        headers.insert("x-mps-replica", self.replica.clone());
        if reply.replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        if let Some(allow) = reply.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(upgrade) = reply.upgrade {
            headers.extend(upgrade);
        } else if self.draining.load(Ordering::Relaxed) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn reply(
        self: &Arc<Self>,
        route: Route,
        endpoint: &'static str,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Reply {
        match route {
            Route::Health => self.health().await,
            Route::Ready => self.ready().await,
            Route::Metrics => {
                let now = Now {
                    log_lines_dropped: self.log.dropped(),
                    in_flight: self.database.in_flight(),
                    websockets: self.sockets.count(),
                };
                let text = self.metrics.render(&self.version, now);
                Reply {
                    content_type: "text/plain; version=0.0.4",
                    ..Reply::json(200, text)
                }
            }
            Route::Break => self.switch(request).await,
            Route::Quiesce | Route::InFlight if !is_local(&request, peer) => Reply::error(
                403,
                "not_local",
                "this is asked of a replica itself, not through a proxy",
            ),
            Route::Quiesce => {
                self.quiesced.store(true, Ordering::Relaxed);
                self.log.lifecycle("quiesced", |_| {});
                Reply::json(200, json!({ "quiesced": true }).to_string())
            }
            Route::InFlight => Reply {
                content_type: "text/plain",
                ..Reply::json(200, self.database.in_flight().to_string())
            },
            Route::WrongMethod(allow) => Reply {
                allow: Some(allow),
                ..Reply::error(405, "method_not_allowed", &format!("this path takes {allow}"))
            },
            Route::Unknown => Reply::error(404, "not_found", "there is nothing at this path"),
            Route::LedgerCheck | Route::Write(_) | Route::Read(_) | Route::Version | Route::Socket(_) => {
                match self.breakage() {
                    Breakage::Slow { delay_ms } => tokio::time::sleep(Duration::from_millis(delay_ms)).await,
                    Breakage::Error { percent } if self.is_turn_of(percent) => {
                        // To who paid it failed, whoever is to blame.
                        if endpoint == PAY {
                            self.metrics.payment_failed();
                        }
                        return Reply::error(500, "broken_on_purpose", "this replica was told to fail");
                    }
                    _ => {}
                }
                self.business(route, request).await
            }
        }
    }

    async fn business(&self, route: Route, request: Request<Incoming>) -> Reply {
        match route {
            Route::Write(read) => self.write(read, request).await,
            Route::Read(Ok(query)) => answered(self.database.read(query).await),
            Route::Read(Err(refusal)) | Route::Socket(Err(refusal)) => Reply::refused(&refusal),
            Route::Socket(Ok(merchant)) => self.socket(merchant, request).await,
            Route::Version => Reply::json(200, self.about().to_string()),
            _ => match self.database.check().await {
                Ok(report) => Reply::json(200, json!(report).to_string()),
                Err(error) => Reply::failed(&error),
            },
        }
    }

    /// What exactly this replica is.
    fn about(&self) -> Json {
        json!({ "release": self.release, "version": self.version, "pid": std::process::id() })
    }

    async fn socket(&self, merchant: String, mut request: Request<Incoming>) -> Reply {
        let found = self.database.read(Query::Merchant(merchant.clone())).await;
        if !found.as_ref().is_ok_and(|outcome| outcome.status == 200) {
            return answered(found);
        }
        if self.draining.load(Ordering::Relaxed) {
            return Reply::error(503, "draining", "this replica is stopping: connect again");
        }
        let mut about = self.about();
        about["merchant_id"] = merchant.as_str().into();
        about["replica"] = self.replica.to_str().unwrap_or_default().into();
        match self
            .sockets
            .accept(&mut request, merchant, about, self.live.websockets_max())
        {
            Ok(headers) => Reply {
                upgrade: Some(headers),
                ..Reply::json(101, Bytes::new())
            },
            Err(NoSocket::NotAsked(why)) => {
                let message = format!("this path takes the handshake of a WebSocket (RFC 6455): {why}");
                Reply::error(400, "not_a_websocket", &message)
            }
            Err(NoSocket::Full) => Reply::error(503, "too_many_sockets", "this replica holds all the sockets it may"),
        }
    }

    /// Alive: this thread runs, and the database threads answer it. Says nothing of the database server or of other replicas'
    /// locks: restarting this replica would not cure them.
    async fn health(&self) -> Reply {
        if self.database.threads_answer(PROBE_PATIENCE).await {
            Reply::json(200, json!({ "status": "ok", "version": self.version }).to_string())
        } else {
            Reply::error(503, "database_silent", "the database thread does not answer")
        }
    }

    /// Ready: not draining nor quiesced, the database fits this release and answers, and commits go through.
    async fn ready(&self) -> Reply {
        if self.draining.load(Ordering::Relaxed) {
            Reply::error(503, "draining", "this replica is stopping")
        } else if self.quiesced.load(Ordering::Relaxed) {
            Reply::error(
                503,
                "quiesced",
                "this replica finishes what it has and takes nothing new",
            )
        } else if self.breakage() == Breakage::Unready {
            Reply::error(503, "broken_on_purpose", "this replica was told not to be ready")
        } else if self.database.writer_busy_for() > WRITER_PATIENCE {
            Reply::error(
                503,
                "commit_stuck",
                "a commit does not come through: the disk or another replica holds it up",
            )
        } else if let Some(why) = self.database.misfit().await {
            Reply::error(503, "schema_misfit", &why)
        } else if self.database.answers(PROBE_PATIENCE).await {
            Reply::json(200, json!({ "status": "ready" }).to_string())
        } else {
            Reply::error(503, "database_silent", "the database does not answer")
        }
    }

    async fn switch(self: &Arc<Self>, request: Request<Incoming>) -> Reply {
        if !self.breakable {
            return Reply::error(
                403,
                "not_breakable",
                "start the service with MPS_BREAKABLE=1 to allow this",
            );
        }
        let body = match body_of(request).await {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        match serde_json::from_slice::<Breakage>(&body) {
            Ok(breakage) => {
                self.break_by(breakage);
                Reply::json(200, json!({ "breakage": breakage }).to_string())
            }
            Err(error) => unreadable(&error),
        }
    }

    async fn write(&self, read: ReadCommand, request: Request<Incoming>) -> Reply {
        if self.quiesced.load(Ordering::Relaxed) {
            return Reply::error(
                503,
                "quiesced",
                "this replica takes nothing new, and nothing was done: send again with the same Idempotency-Key",
            );
        }
        // Counted before the body is there: what has begun is finished, also when the quiescing begins meanwhile.
        let counted = self.database.count_in_flight();
        let key = match key_of(&request) {
            Ok(key) => key,
            Err(refusal) => return Reply::refused(&refusal),
        };
        let path = request.uri().path().to_owned();
        let body = match body_of(request).await {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        let mut command = match read(&body) {
            Ok(command) => command,
            Err(error) => return unreadable(&error),
        };
        command.fill_in(&self.live);
        let moves_money = command.moves_money();
        let key = match key {
            Some(text) if moves_money => Some(Key {
                request_hash: token::hash(&[b"POST", path.as_bytes(), &body]),
                text,
            }),
            None if moves_money => return Reply::refused(&Refusal::KeyMissing),
            _ => None,
        };
        let is_payment = command.action() == "PAYMENT";
        let answer = self.database.write(Write { command, key }, counted).await;
        match &answer {
            Ok(outcome) => self.metrics.command(&outcome.facts, outcome.replayed),
            Err(_) if is_payment => self.metrics.payment_failed(),
            Err(_) => {}
        }
        answered(answer)
    }

    fn is_turn_of(&self, percent: u8) -> bool {
        // 61 and 100 share no divisor, so each hundred requests meets each remainder once, well spread.
        self.error_turn.fetch_add(61, Ordering::Relaxed) % 100 < u64::from(percent)
    }

    fn log_request(&self, method: &'static str, endpoint: &'static str, reply: &Reply, took: Duration, client: IpAddr) {
        if reply.status < 400 && matches!(endpoint, "/health" | "/ready" | "/metrics" | "/admin/in-flight") {
            return;
        }
        let category = match endpoint {
            "/api/qr/rotate" => "qr",
            path if path.starts_with("/api/payment/") => "payment",
            _ => "http",
        };
        // A code that is not a live one may be somebody trying codes.
        let code = reply.facts.as_ref().and_then(|facts| facts.error_code);
        let category = if matches!(code, Some("qr_unknown" | "qr_used" | "idempotency_key_reused")) {
            "security"
        } else {
            category
        };
        let fields = |line: &mut serde_json::Map<String, Json>| {
            line.insert("method".into(), method.into());
            line.insert("endpoint".into(), endpoint.into());
            line.insert("status".into(), reply.status.into());
            line.insert("duration_ms".into(), (took.as_micros() as f64 / 1000.0).into());
            line.insert("ip_address".into(), client.to_string().into());
            if let Some(facts) = &reply.facts {
                let texts = [
                    ("action", Some(facts.action).filter(|action| !action.is_empty())),
                    ("error_code", facts.error_code),
                    ("card_id", facts.card_id.as_deref()),
                    ("merchant_id", facts.merchant_id.as_deref()),
                    ("transaction_id", facts.transaction_id.as_deref()),
                ];
                for (name, text) in texts {
                    if let Some(text) = text {
                        line.insert(name.into(), text.into());
                    }
                }
                if let Some(amount) = facts.amount {
                    line.insert("amount".into(), amount.into());
                }
            }
            if reply.replayed {
                line.insert("replayed".into(), true.into());
            }
            if let Some(error) = &reply.error {
                line.insert("error".into(), error.as_str().into());
            }
        };
        match reply.status {
            500.. => self.log.error(category, "request failed", fields),
            400.. => self.log.warn(category, "request refused", fields),
            _ => self.log.info(category, "request served", fields),
        }
    }
}

/// Takes memory until told otherwise, and touches it so that it counts.
async fn leak(api: Arc<Api>, mb_a_second: u32) {
    let mut leaked: Vec<Vec<u8>> = Vec::new();
    while api.breakage() == (Breakage::Leak { mb_a_second }) {
        leaked.push(vec![1; mb_a_second as usize * 1024 * 1024]);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Given back only now that it is mended.
    drop(leaked);
}

fn answered(answer: Answer) -> Reply {
    match answer {
        Ok(outcome) => Reply::outcome(outcome),
        Err(error) => Reply::failed(&error),
    }
}

fn unreadable(error: &serde_json::Error) -> Reply {
    Reply::error(
        400,
        "invalid_json",
        &format!("the body is not what this path takes: {error}"),
    )
}

async fn body_of(request: Request<Incoming>) -> Result<Bytes, Reply> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Reply::error(413, "body_too_large", "a body may have 65536 bytes"))
        }
        Ok(Err(_)) => Err(Reply::error(
            400,
            "body_incomplete",
            "the connection ended before the body did",
        )),
        Err(_) => Err(Reply::error(
            408,
            "body_too_slow",
            "the body did not arrive within ten seconds",
        )),
    }
}

/// Tells whether a request was sent to this replica itself: a proxy, which also is on loopback, says for whom it asks.
fn is_local(request: &Request<Incoming>, peer: SocketAddr) -> bool {
    let through_a_proxy = ["x-forwarded-for", "forwarded", "via"];
    peer.ip().is_loopback() && !through_a_proxy.iter().any(|name| request.headers().contains_key(*name))
}

/// Returns who sent the request: the last address of `X-Forwarded-For`, which is the one the proxy before us saw itself, or the
/// peer where there is none. Only loopback reaches this service, so whoever writes the header is ours.
fn client_address(request: &Request<Incoming>, peer: SocketAddr) -> IpAddr {
    let forwarded = request
        .headers()
        .get("x-forwarded-for")
        .and_then(|value| value.to_str().ok());
    let last = forwarded.and_then(|addresses| addresses.rsplit(',').next()?.trim().parse().ok());
    last.unwrap_or_else(|| peer.ip())
}

fn key_of(request: &Request<Incoming>) -> Result<Option<String>, Refusal> {
    let Some(value) = request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Refusal::Invalid {
            field: "Idempotency-Key",
            expected: "1 to 128 printable ASCII characters",
        }),
    }
}

/// Returns the method as a label; anything a client makes up is one label, so that it cannot grow the metrics.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}
