//! One request from its head to its last byte: which replica, which next, what is counted and what is logged.
//!
//! This is what an engine talks to. An engine moves bytes and speaks HTTP; an exchange decides and remembers. No type of an HTTP
//! library appears here, so that engines can be exchanged. How long it may take stands in `time`, what is counted and
//! logged of it in `said`.

mod said;
mod time;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tend_base::{Clock, Mono, Now, SystemClock, Wall};
use tend_core::model::{Listener, Retry};
use tend_routing::{
    Aim, EjectionPolicy, Failure, Fields, Hops, Match, Pass, Snapshot, Ticket, Try, Verdict, hash_key, may_retry,
};

use crate::access_log::Told;
use crate::answer::{ErrorCode, OwnAnswer};
use crate::content::{ResponseView, Shape, Wish};
use crate::gate::{self, Admission, money::Errand};
use crate::live::{Door, Live, LiveRoute, LiveService, Replica, Sought};
use crate::message::FromEdge;
use crate::metrics::RouteCounters;
use crate::notes::Notes;
use crate::refusal::{Form, dress, refusal};
use crate::tls::ClientCertificate;
use crate::trace::Trace;
use crate::worker::{Shared, Worker};
use crate::zone::Going;

pub(crate) use time::Flow;
use time::Lateness;

/// From this status on an answer counts as a failure of the replica.
const SERVER_ERROR: u16 = 500;

/// The connection changes its protocol, and stays open.
const SWITCHING: u16 = 101;

/// What an engine knows when it has read a request's head.
pub(crate) struct Asked<'a> {
    /// Who connected: a client, or a hop before us.
    pub(crate) peer: SocketAddr,
    /// The client speaks TLS.
    pub(crate) secure: bool,
    /// What the client showed in the handshake.
    pub(crate) client_certificate: Option<Rc<ClientCertificate>>,
    pub(crate) listener: SocketAddr,
    pub(crate) method: &'a str,
    /// The version of HTTP that the client speaks, such as `1.1`.
    pub(crate) version: &'static str,
    /// As the client wrote it, port and all.
    pub(crate) host: &'a str,
    /// Without the query.
    pub(crate) path: &'a str,
    /// Path and query as the client wrote them.
    pub(crate) target: &'a str,
    /// The client's own, where it is harmless.
    pub(crate) request_id: Option<&'a str>,
    /// The headers as the client wrote them.
    pub(crate) fields: &'a Fields<'a>,
}

/// One request. Dropping it ends it: the log line is written then.
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    live: Arc<Live>,
    found: Option<Match>,
    /// So many gates were asked.
    pub(crate) gates_passed: usize,
    /// Who may answer, on each try.
    aim: Aim,
    quiet: bool,
    /// What the request says that the shape of its answer depends on.
    wish: Wish,
    trace: Trace,
    /// What the combined format of the log tells; empty for the other.
    told: Told,
    began: Now,
    peer: SocketAddr,
    /// The way the request came, where hops before us said so and may.
    hops: Option<Box<Hops>>,
    secure: bool,
    /// What it counts as, at the bounds of its route, until it ends.
    going: Vec<Going>,
    client_certificate: Option<Rc<ClientCertificate>>,
    listener: SocketAddr,
    /// Of HTTP, as the client speaks it.
    version: &'static str,
    notes: Notes,
    /// The hash of what its service hashes, where it has it.
    hash_key: Option<u64>,
    /// What its service's circuit gave out for it, until there is an outcome.
    pass: Option<Pass>,
    /// When to come again, in seconds, where the refusal is for want of a replica.
    retry_after: Option<u64>,
    tries: u32,
    status: u16,
    error: Option<&'static str>,
    bytes_in: u64,
    bytes_out: u64,
    connect: Option<Duration>,
    head: Option<Duration>,
    /// When the last try began.
    try_began: Option<Mono>,
    /// Some byte of it may have reached a replica, in this try or an earlier one.
    arrived: bool,
    /// What becomes of it once its body is there.
    pub(crate) errand: Option<Box<Errand>>,
    /// When it began to wait for the end of a pause; zero where it never did.
    paused: Mono,
    /// It has waited so long for the end of a pause.
    held: Duration,
    /// What it began with may be over by now.
    outdated: bool,
}

/// A request being with a replica; in flight until it is dropped.
pub(crate) struct Attempt {
    pub(crate) replica: Arc<Replica>,
    worker: Rc<Worker>,
    ticket: Option<Ticket>,
}

/// What an engine found when a try failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    pub(crate) why: Failure,
    /// Some byte of the request may have reached the replica.
    pub(crate) bytes_may_have_arrived: bool,
    /// Part of the request's body is gone.
    pub(crate) body_taken: bool,
    /// The connection was one kept from an earlier request, so its end says nothing about the replica.
    pub(crate) reused: bool,
}

impl Failed {
    /// Returns the failure of a try of which nothing was sent.
    pub(crate) fn before_sending(why: Failure, body_taken: bool) -> Self {
        Self {
            why,
            bytes_may_have_arrived: false,
            body_taken,
            reused: false,
        }
    }
}

impl Exchange {
    /// Begins a request, finding its route.
    pub(crate) fn begin(worker: &Rc<Worker>, asked: &Asked<'_>) -> Self {
        let live = worker.live();
        let found = live.table.find(asked.listener, asked.host, asked.path);
        let route = found.and_then(|found| live.route(found.route));
        let quiet = route.is_some_and(|route| route.quiet_paths.iter().any(|quiet| quiet == asked.path));
        let wish = route.map_or_else(Wish::default, |route| route.content.wish(asked.fields));
        let service = found.and_then(|found| found.service);
        let aim = service.map_or(Aim::Any, |service| live.services[service].aim(asked.fields));
        let door = live.door(asked.listener).filter(|door| door.trusts(asked.peer.ip()));
        let hops = door.map(|door| Box::new(Hops::walk(asked.peer.ip(), &door.listener.trusted, asked.fields)));
        let secure = match &hops {
            None => asked.secure,
            Some(_) => Door::forwarded_scheme(asked.fields).unwrap_or(asked.secure),
        };
        let mut exchange = Self {
            worker: worker.clone(),
            told: Told::of(live.snapshot.access_log.format, asked.fields),
            live,
            found,
            gates_passed: 0,
            aim,
            quiet,
            wish,
            trace: Trace::of(asked.fields, || worker.random()),
            began: SystemClock.now(),
            peer: asked.peer,
            hops,
            secure,
            client_certificate: asked.client_certificate.clone(),
            going: Vec::new(),
            listener: asked.listener,
            version: asked.version,
            notes: Notes::of(worker, asked),
            hash_key: None,
            pass: None,
            retry_after: None,
            tries: 0,
            status: 0,
            error: None,
            bytes_in: 0,
            bytes_out: 0,
            connect: None,
            head: None,
            try_began: None,
            arrived: false,
            errand: None,
            paused: Mono(0),
            held: Duration::ZERO,
            outdated: false,
        };
        exchange.hash(asked);
        exchange
    }

    /// Begins to deliver what was taken in before, to the route of this name; none when that is gone.
    pub(crate) fn delivery(worker: &Rc<Worker>, asked: &Asked<'_>, route: &str) -> Option<Self> {
        let mut exchange = Self::begin(worker, asked);
        let (number, _) = exchange.live.route_named(route)?;
        let found = exchange.live.found(number);
        exchange.found = Some(found);
        exchange.aim = exchange.service().map_or(Aim::Any, |service| service.aim(asked.fields));
        exchange.hash(asked);
        Some(exchange)
    }

    /// Notes what its service hashes, where it hashes anything.
    fn hash(&mut self, asked: &Asked<'_>) {
        let key = self.service().and_then(LiveService::hashed);
        self.hash_key = key.and_then(|key| hash_key(key, self.client(), asked.fields));
    }

    /// Says what becomes of the request; asked again after each [`Admission::Wait`].
    pub(crate) fn admit(&mut self, asked: &Asked<'_>) -> Admission {
        if std::mem::take(&mut self.outdated) {
            self.renew(asked);
        }
        gate::admit(self, asked)
    }

    /// Goes over to what is served now. Nothing was asked of a replica before.
    fn renew(&mut self, asked: &Asked<'_>) {
        self.held = SystemClock.now().mono.since(self.paused);
        self.live = self.worker.live();
        self.found = self.live.table.find(asked.listener, asked.host, asked.path);
        self.quiet = (self.route()).is_some_and(|route| route.quiet_paths.iter().any(|quiet| quiet == asked.path));
        self.aim = self.service().map_or(Aim::Any, |service| service.aim(asked.fields));
        self.hash(asked);
        self.gates_passed = 0;
    }

    /// Returns the rules of its route; none without a route, and at a service's own loopback address.
    pub(crate) fn route(&self) -> Option<&LiveRoute> {
        self.live.route(self.found?.route)
    }

    /// Returns the thread it is on.
    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Says whether its path is kept out of the log and served during maintenance.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Says whether its route is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.route().is_some_and(|route| route.pause.is_some())
    }

    /// Says whether a replica of its service gets new requests.
    pub(crate) fn has_ready_replica(&self) -> bool {
        self.service().is_some_and(LiveService::has_ready)
    }

    /// Returns where it came in.
    pub(crate) fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Returns the host as the client wrote it.
    pub(crate) fn host(&self) -> &str {
        self.notes.host()
    }

    /// Says whether any replica may have got some of it.
    pub(crate) fn may_have_arrived(&self) -> bool {
        self.arrived
    }

    fn service(&self) -> Option<&LiveService> {
        Some(&self.live.services[self.found?.service?])
    }

    /// Returns what the request is known by: given by the client, or made here.
    pub(crate) fn request_id(&self) -> &str {
        self.notes.request_id()
    }

    /// Returns when the head of the request had been read.
    pub(crate) fn began(&self) -> Wall {
        self.began.wall
    }

    /// Returns for whom the request comes, as replicas are told and limits count.
    pub(crate) fn client(&self) -> IpAddr {
        match &self.hops {
            None => self.peer.ip().to_canonical(),
            Some(hops) => hops.client(),
        }
    }

    /// Returns what replicas are told in `X-Forwarded-For` where it is not the client alone: the client, and the trusted hops it came
    /// by. What else was written there is not passed on, since nobody vouches for it.
    pub(crate) fn forwarded_for(&self) -> Option<String> {
        let hops = self.hops.as_ref()?;
        let addresses: Vec<String> = hops.client_first().map(|hop| hop.to_string()).collect();
        Some(addresses.join(", "))
    }

    /// Says whether the client is let in nowhere.
    pub(crate) fn is_banned(&self) -> bool {
        self.live.bans.as_ref().is_some_and(|bans| bans.has(self.client()))
    }

    /// Returns the counters that all threads share.
    pub(crate) fn shared(&self) -> &Shared {
        &self.worker.shared
    }

    /// Returns when it began, in milliseconds of a clock that does not jump.
    pub(crate) fn began_ms(&self) -> u64 {
        self.began.mono.0 / 1_000_000
    }

    /// Keeps what the request counts as, until it ends.
    pub(crate) fn keep(&mut self, going: Vec<Going>) {
        // One gate gives all there is: its vector is used as it is.
        if self.going.is_empty() {
            self.going = going;
        } else {
            self.going.extend(going);
        }
    }

    /// Returns a refusal in the form the client likes.
    pub(crate) fn refusal(
        &self,
        asked: &Asked<'_>,
        code: ErrorCode,
        message: Option<&str>,
        retry_after_seconds: Option<u64>,
    ) -> OwnAnswer {
        let form = Form::wanted(asked.fields);
        refusal(code, form, message, retry_after_seconds, self.notes.request_id())
    }

    /// Returns what the client speaks, as replicas are told.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Says whether the client speaks TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the certificate that the client showed and that was verified.
    pub(crate) fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.client_certificate.as_deref()
    }

    /// Returns the snapshot that the request began with.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.live.snapshot
    }

    /// Returns the rules of the listener that the client connected to; none at a service's own loopback address.
    pub(crate) fn door(&self) -> Option<&Listener> {
        self.live.door(self.listener).map(|door| &door.listener)
    }

    /// Returns the largest body of the request in bytes; more is [`ErrorCode::BodyTooLarge`].
    pub(crate) fn body_bytes_max(&self) -> u64 {
        self.route().map_or(u64::MAX, |route| route.body_bytes_max)
    }

    /// Returns what the request says that the shape of its answer depends on.
    pub(crate) fn wish(&self) -> &Wish {
        &self.wish
    }

    /// Says whether a path of the same host and listener has another route.
    pub(crate) fn leads_elsewhere(&self, asked: &Asked<'_>, path: &str) -> bool {
        self.live.table.find(asked.listener, asked.host, path) != self.found
    }

    /// Returns the trace that the request belongs to, as replicas are told; its `tracestate` is theirs only if it is the client's.
    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Returns what its route counts; the own address of a service counts apart, and so does what no route matched.
    fn counters(&self) -> &RouteCounters {
        let internal = || self.service()?.internal.as_deref();
        self.route()
            .map(|route| &*route.counters)
            .or_else(internal)
            .unwrap_or(&self.worker.shared.unrouted)
    }

    /// Returns the path and query that the service is asked for.
    pub(crate) fn target(&self) -> Cow<'_, str> {
        match self.route() {
            Some(route) => route.content.target(self.notes.target()),
            None => Cow::Borrowed(self.notes.target()),
        }
    }

    /// Says what is done to a replica's answer; asked once, when its head has come.
    pub(crate) fn shape(&self, view: &ResponseView<'_>) -> Shape {
        self.route().map_or_else(Shape::default, |route| {
            route.content.shape(&self.wish, view, &self.worker.seats)
        })
    }

    /// Says whether replicas are not to know what the client can decode.
    pub(crate) fn hides_codings(&self) -> bool {
        self.route().is_some_and(|route| route.content.hides_codings)
    }

    /// Says whether the replica could be given the request twice without harm, by method alone.
    pub(crate) fn is_idempotent(&self) -> bool {
        tend_routing::is_idempotent(self.notes.method())
    }

    /// Chooses the replica for the next try and counts the request as in flight on it.
    ///
    /// # Errors
    /// The code to answer with when there is none.
    pub(crate) fn next(&mut self) -> Result<Attempt, ErrorCode> {
        let now = SystemClock.mono();
        let random = self.worker.random();
        let service = self.service().ok_or(ErrorCode::NoRoute)?;
        // Whoever looks at a new release on purpose asks all the same, and so does a request that was let through before.
        if self.tries == 0
            && self.is_counted()
            && let Some(circuit) = &service.circuit
        {
            match circuit.ask(now) {
                Ok(pass) => self.pass = Some(pass),
                Err(wait) => {
                    self.retry_after = Some(wait.as_millis().div_ceil(1000) as u64);
                    return Err(ErrorCode::CircuitOpen);
                }
            }
        }
        let service = self.service().ok_or(ErrorCode::NoRoute)?;
        let replica = loop {
            match service.choose(self.sought(now), random) {
                Some(replica) if replica.enter(service.in_flight_max()) => break replica.clone(),
                Some(_) => {}
                None if service.is_full(self.aim) => {
                    self.retry_after = Some(1);
                    return Err(ErrorCode::ReplicasBusy);
                }
                None if self.aim == Aim::CandidateOnly => return Err(ErrorCode::NoReadyCandidate),
                None => return Err(ErrorCode::NoReadyReplica),
            }
        };
        self.tries += 1;
        let ticket = if replica.is_troubled() {
            replica.health(tend_routing::Health::begin)
        } else {
            Ticket::default()
        };
        self.notes.tried.push(replica.clone());
        self.try_began = Some(now);
        Ok(Attempt {
            replica,
            worker: self.worker.clone(),
            ticket: Some(ticket),
        })
    }

    /// Notes how long the connection took; zero for one that was kept.
    pub(crate) fn connected(&mut self, took: Duration) {
        self.connect = Some(took);
    }

    /// Notes the head of the response: the replica has done its part.
    pub(crate) fn answered(&mut self, attempt: &mut Attempt, status: u16) {
        let now = SystemClock.mono();
        let took = self.try_began.map(|began| now.since(began));
        self.head = took;
        self.arrived = true;
        self.status = status;
        let replica = &attempt.replica;
        replica.latency.add(took.unwrap_or_default());
        replica.counters.add(status, took.unwrap_or_default());
        if status == SWITCHING {
            self.counters().upgraded.fetch_add(1, Ordering::Relaxed);
        }
        replica.last_status.store(status, Ordering::Relaxed);
        let first = replica.answered.fetch_add(1, Ordering::Relaxed) == 0;
        let held_against = self.is_failure(status);
        let failed = held_against || status >= SERVER_ERROR;
        if self.is_counted() {
            replica.count(failed);
        }
        if let Some(ticket) = attempt.ticket.take() {
            if held_against {
                self.hold_against(&attempt.replica, ticket, Failure::Status, now);
            } else if replica.is_troubled()
                && let Some(Verdict::Readmitted) = replica.health(|health| health.succeeded(ticket))
            {
                replica.comes(now);
                self.worker.shared.tell(FromEdge::Readmitted {
                    replica: replica.id.clone(),
                    incarnation: replica.incarnation,
                });
            }
        }
        self.note_outcome(failed, now);
        let replica = &attempt.replica;
        if first {
            self.worker.shared.tell(replica.answers());
        }
    }

    /// Notes that a try failed and decides whether another replica gets the request.
    ///
    /// # Errors
    /// The code to answer with when none does.
    pub(crate) fn failed(&mut self, mut attempt: Attempt, failed: Failed) -> Result<(), ErrorCode> {
        let now = SystemClock.mono();
        let replica = attempt.replica.clone();
        self.arrived |= failed.bytes_may_have_arrived;
        let lateness = self.lateness(failed.why, now);
        // A kept connection that the replica closed just then is no fault; if the process is gone, the next connect says so.
        if let Some(ticket) = attempt.ticket.take() {
            if failed.reused && failed.why == Failure::Closed {
                replica.failed_for(failed.why);
                replica.health(|health| health.abandoned(ticket));
            } else if lateness == Lateness::Others {
                replica.health(|health| health.abandoned(ticket));
            } else {
                self.hold_against(&replica, ticket, failed.why, now);
            }
        }
        drop(attempt);
        if lateness == Lateness::Others {
            return Err(ErrorCode::RequestOverdue);
        }
        let failed_try = Try {
            bytes_may_have_arrived: failed.bytes_may_have_arrived,
            body_taken: failed.body_taken,
            tries: self.tries,
            elapsed: now.since(self.began.mono),
        };
        let code = match failed.why {
            Failure::ConnectRefused | Failure::ConnectFailed | Failure::Tls | Failure::Certificate => {
                ErrorCode::ConnectFailed
            }
            Failure::Closed | Failure::Malformed | Failure::Status | Failure::Outlier | Failure::Check => {
                ErrorCode::UpstreamFailed
            }
            Failure::ConnectTimeout | Failure::HeadTimeout => ErrorCode::UpstreamTimeout,
        };
        let stale = failed.reused && failed.why == Failure::Closed;
        let again = match self.route() {
            Some(route) => may_retry(self.notes.method(), failed_try, &route.retry),
            None => may_retry(self.notes.method(), failed_try, &Retry::default()),
        }
        .is_ok();
        // A kept connection that was at fault and not the replica is nothing to judge it by, unless the client gets to feel it.
        if !(stale && again) {
            if self.is_counted() {
                replica.count(true);
            }
            self.note_outcome(true, now);
        }
        if lateness == Lateness::Replicas {
            return Err(ErrorCode::RequestOverdue);
        }
        if !again {
            return Err(code);
        }
        // The replica may well be the only one.
        if stale {
            self.notes.tried.retain(|tried| !Arc::ptr_eq(tried, &replica));
        }
        if self.service().is_some_and(|service| service.has(self.sought(now))) {
            Ok(())
        } else {
            Err(code)
        }
    }

    /// Says whether an answer with this status is not passed on: the route takes it for a failure, the request may be repeated, and there
    /// is another replica for it. Then the try has failed for [`Failure::Status`].
    pub(crate) fn asks_another(&self, status: u16, body_taken: bool) -> bool {
        if !self.is_failure(status) {
            return false;
        }
        let now = SystemClock.mono();
        let answered = Try {
            bytes_may_have_arrived: true,
            body_taken,
            tries: self.tries,
            elapsed: now.since(self.began.mono),
        };
        self.route()
            .is_some_and(|route| may_retry(self.notes.method(), answered, &route.retry).is_ok())
            && self.service().is_some_and(|service| service.has(self.sought(now)))
    }

    /// Says whether the route takes a status for a failure of the replica.
    fn is_failure(&self, status: u16) -> bool {
        self.route().is_some_and(|route| route.retry.statuses.contains(&status))
    }

    /// Counts a failure and holds it against the replica.
    fn hold_against(&self, replica: &Replica, ticket: Ticket, why: Failure, now: Mono) {
        replica.failed_for(why);
        let policy = self.ejection();
        let jitter = self.worker.random();
        let verdict = replica.health(|health| health.failed(ticket, why, &policy, now, jitter));
        if let Some(Verdict::Ejected { why, lasts }) = verdict {
            self.worker.shared.tell(FromEdge::Ejected {
                replica: replica.id.clone(),
                incarnation: replica.incarnation,
                why,
                detail: replica.trouble(why),
                lasts_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
            });
        }
    }

    /// Tells the service's circuit how a try ended.
    fn note_outcome(&mut self, failed: bool, now: Mono) {
        let pass = self.pass.take();
        if self.is_counted()
            && let Some(circuit) = self.service().and_then(|service| service.circuit.as_ref())
        {
            circuit.note(pass.unwrap_or_default(), failed, now);
        }
    }

    /// Says what a try looks for.
    fn sought(&self, now: Mono) -> Sought<'_> {
        Sought {
            aim: self.aim,
            tried: &self.notes.tried,
            key: self.hash_key,
            now,
        }
    }

    /// Says whether a release is judged by this request. Questions asked of it on purpose would make it look better than it is.
    fn is_counted(&self) -> bool {
        self.aim != Aim::CandidateOnly
    }

    /// Notes that the edge answers by itself.
    ///
    /// A standard text is put into the form the client likes, by the request's fields.
    pub(crate) fn answered_by_edge(&mut self, answer: &mut OwnAnswer, fields: &Fields<'_>) {
        if let Some(seconds) = self.retry_after.take() {
            answer.fields.push(("retry-after".to_owned(), seconds.to_string()));
        }
        dress(answer, fields, self.notes.request_id());
        if let Some(route) = self.live.route(self.found.and_then(|found| found.route)) {
            route.content.dress(&self.wish, answer);
        }
        self.status = answer.status;
        let Some(code) = answer.code else {
            return;
        };
        if code == ErrorCode::BodyTooLarge
            && let Some(route) = self.route()
        {
            route.limits.count_refused_body();
        }
        self.error = Some(code.as_str());
        let kind = ErrorCode::ALL.iter().position(|known| *known == code);
        self.worker.shared.errors[kind.unwrap_or(0)].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how much of bodies, or through a tunnel, came from the client and went to it.
    pub(crate) fn passed(&mut self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
    }

    /// Notes that the response was cut, but not by the replica.
    pub(crate) fn cut(&mut self, by: &'static str) {
        self.error = Some(by);
    }

    /// Notes that the replica that answers ended the response before its end.
    pub(crate) fn cut_by(&mut self, replica: &Replica) {
        self.error = Some("upstream_cut");
        // What answered with an error has failed already.
        if self.is_counted() && self.status < SERVER_ERROR {
            replica.count_cut();
        }
    }

    fn ejection(&self) -> EjectionPolicy {
        self.service()
            .map_or_else(EjectionPolicy::default, |service| service.ejection)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.worker.shared.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(pass) = self.pass.take()
            && let Some(circuit) = self.service().and_then(|service| service.circuit.as_ref())
        {
            circuit.abandoned(pass);
        }
        if let Some(route) = self.route() {
            route.limits.count_passed_body(self.bytes_in);
        }
        if self.status == SWITCHING {
            self.counters().upgraded.fetch_sub(1, Ordering::Relaxed);
        }
        if !self.quiet {
            self.log();
        }
        std::mem::take(&mut self.notes).give_back(&self.worker);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let replica = &self.replica;
        if let Some(ticket) = self.ticket.take()
            && replica.is_troubled()
        {
            replica.health(|health| health.abandoned(ticket));
        }
        if let Some(event) = replica.leave() {
            self.worker.shared.tell(event);
        }
    }
}
