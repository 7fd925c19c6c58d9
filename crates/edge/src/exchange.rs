//! One request from its head to its last byte: which replica, which next, what is counted and what is logged.
//!
//! This is what an engine talks to. An engine moves bytes and speaks HTTP; an exchange decides and remembers. No type of an HTTP
//! library appears here, so that engines can be exchanged.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tend_base::{Clock, Mono, Now, SystemClock};
use tend_core::model::{Listener, Retry};
use tend_routing::{Aim, EjectionPolicy, Failure, Fields, Match, Snapshot, Ticket, Try, Verdict, may_retry};

use crate::access_log::Record;
use crate::answer::{ErrorCode, OwnAnswer};
use crate::gate::{self, Admission};
use crate::limits::Patience;
use crate::live::{FAILURES, HeadRules, Live, LiveRoute, LiveService, Replica};
use crate::message::FromEdge;
use crate::tls::ClientCertificate;
use crate::worker::Worker;

/// From this status on an answer counts as a failure of the replica.
const SERVER_ERROR: u16 = 500;

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
    /// As the client wrote it, port and all.
    pub(crate) host: &'a str,
    /// Without the query.
    pub(crate) path: &'a str,
    /// Path and query as the client wrote them.
    pub(crate) target: &'a str,
    pub(crate) request_id: String,
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
    began: Now,
    peer: SocketAddr,
    secure: bool,
    client_certificate: Option<Rc<ClientCertificate>>,
    listener: SocketAddr,
    method: Box<str>,
    host: Box<str>,
    target: Box<str>,
    request_id: String,
    tried: Vec<Arc<Replica>>,
    tries: u32,
    status: u16,
    error: Option<&'static str>,
    bytes_in: u64,
    bytes_out: u64,
    connect: Option<Duration>,
    head: Option<Duration>,
    /// When the last try began.
    try_began: Option<Mono>,
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
        let quiet = found
            .and_then(|found| live.route(found.route))
            .is_some_and(|route| route.quiet_paths.iter().any(|quiet| quiet == asked.path));
        let service = found.and_then(|found| found.service);
        let aim = service.map_or(Aim::Any, |service| live.services[service].aim(asked.fields));
        Self {
            worker: worker.clone(),
            live,
            found,
            gates_passed: 0,
            aim,
            quiet,
            began: SystemClock.now(),
            peer: asked.peer,
            secure: asked.secure,
            client_certificate: asked.client_certificate.clone(),
            listener: asked.listener,
            method: asked.method.into(),
            host: asked.host.into(),
            target: asked.target.into(),
            request_id: asked.request_id.clone(),
            tried: Vec::new(),
            tries: 0,
            status: 0,
            error: None,
            bytes_in: 0,
            bytes_out: 0,
            connect: None,
            head: None,
            try_began: None,
        }
    }

    /// Says what becomes of the request; asked again after each [`Admission::Wait`].
    pub(crate) fn admit(&mut self, asked: &Asked<'_>) -> Admission {
        gate::admit(self, asked)
    }

    /// Returns the rules of its route; none without a route, and at a service's own loopback address.
    pub(crate) fn route(&self) -> Option<&LiveRoute> {
        self.live.route(self.found?.route)
    }

    fn service(&self) -> Option<&LiveService> {
        Some(&self.live.services[self.found?.service?])
    }

    /// Returns for whom the request comes, as replicas are told and limits count.
    pub(crate) fn client(&self) -> IpAddr {
        self.peer.ip().to_canonical()
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

    /// Returns the listener that the client connected to; none at a service's own loopback address.
    pub(crate) fn listener(&self) -> Option<&Listener> {
        let mut listeners = self.live.snapshot.listeners.iter();
        listeners.find(|listener| listener.address == self.listener)
    }

    /// Returns how long each side is waited for.
    pub(crate) fn patience(&self) -> Patience {
        self.route().map_or(self.worker.patience, |route| route.patience)
    }

    /// Returns the largest body of the request in bytes; more is [`ErrorCode::BodyTooLarge`].
    pub(crate) fn body_bytes_max(&self) -> u64 {
        self.route().map_or(u64::MAX, |route| route.body_bytes_max)
    }

    /// Returns what is done to the head of the response, a replica's or our own.
    pub(crate) fn head_rules(&self) -> Option<Arc<HeadRules>> {
        self.route().map(|route| route.head.clone())
    }

    /// Says whether the replica could be given the request twice without harm, by method alone.
    pub(crate) fn is_idempotent(&self) -> bool {
        tend_routing::is_idempotent(&self.method)
    }

    /// Chooses the replica for the next try and counts the request as in flight on it.
    ///
    /// # Errors
    /// The code to answer with when there is none.
    pub(crate) fn next(&mut self) -> Result<Attempt, ErrorCode> {
        let service = self.service().ok_or(ErrorCode::NoRoute)?;
        let now = SystemClock.now().mono;
        let replica = loop {
            let replica = service.choose(self.aim, &self.tried, now).ok_or(match self.aim {
                Aim::CandidateOnly => ErrorCode::NoReadyCandidate,
                _ => ErrorCode::NoReadyReplica,
            })?;
            if replica.enter() {
                break replica.clone();
            }
        };
        self.tries += 1;
        let ticket = if replica.is_troubled() {
            replica.health(tend_routing::Health::begin)
        } else {
            Ticket::default()
        };
        self.tried.push(replica.clone());
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
        let now = SystemClock.now().mono;
        let took = self.try_began.map(|began| now.since(began));
        self.head = took;
        self.status = status;
        let replica = &attempt.replica;
        replica.latency.add(took.unwrap_or_default());
        replica.last_status.store(status, Ordering::Relaxed);
        let first = replica.answered.fetch_add(1, Ordering::Relaxed) == 0;
        if self.is_counted() {
            replica.count(status >= SERVER_ERROR);
        }
        if let Some(ticket) = attempt.ticket.take()
            && replica.is_troubled()
            && let Some(Verdict::Readmitted) = replica.health(|health| health.succeeded(ticket))
        {
            self.worker.shared.tell(FromEdge::Readmitted {
                replica: replica.id.clone(),
                incarnation: replica.incarnation,
            });
        }
        if first {
            self.worker.shared.tell(replica.answers());
        }
    }

    /// Notes that a try failed and decides whether another replica gets the request.
    ///
    /// # Errors
    /// The code to answer with when none does.
    pub(crate) fn failed(&mut self, mut attempt: Attempt, failed: Failed) -> Result<(), ErrorCode> {
        let now = SystemClock.now().mono;
        let replica = attempt.replica.clone();
        let kind = FAILURES.iter().position(|kind| *kind == failed.why);
        replica.failures[kind.unwrap_or(0)].fetch_add(1, Ordering::Relaxed);
        // A kept connection that the replica closed just then is no fault; if the process is gone, the next connect says so.
        if let Some(ticket) = attempt.ticket.take() {
            if failed.reused && failed.why == Failure::Closed {
                replica.health(|health| health.abandoned(ticket));
            } else {
                let policy = self.ejection();
                let jitter = self.worker.random();
                let verdict = replica.health(|health| health.failed(ticket, failed.why, &policy, now, jitter));
                if let Some(Verdict::Ejected { why, lasts }) = verdict {
                    self.worker.shared.tell(FromEdge::Ejected {
                        replica: replica.id.clone(),
                        incarnation: replica.incarnation,
                        why,
                        lasts_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
                    });
                }
            }
        }
        drop(attempt);
        let failed_try = Try {
            bytes_may_have_arrived: failed.bytes_may_have_arrived,
            body_taken: failed.body_taken,
            tries: self.tries,
            elapsed: now.since(self.began.mono),
        };
        let code = match failed.why {
            Failure::ConnectRefused | Failure::ConnectFailed => ErrorCode::ConnectFailed,
            Failure::Closed | Failure::Malformed => ErrorCode::UpstreamFailed,
            Failure::ConnectTimeout | Failure::HeadTimeout => ErrorCode::UpstreamTimeout,
        };
        let stale = failed.reused && failed.why == Failure::Closed;
        let again = match self.route() {
            Some(route) => may_retry(&self.method, failed_try, &route.retry),
            None => may_retry(&self.method, failed_try, &Retry::default()),
        }
        .is_ok();
        // A kept connection that was at fault and not the replica is nothing to judge it by, unless the client gets to feel it.
        if self.is_counted() && !(stale && again) {
            replica.count(true);
        }
        if !again {
            return Err(code);
        }
        // The replica may well be the only one.
        if stale {
            self.tried.retain(|tried| !Arc::ptr_eq(tried, &replica));
        }
        let service = self.service();
        if service.is_some_and(|service| service.choose(self.aim, &self.tried, now).is_some()) {
            Ok(())
        } else {
            Err(code)
        }
    }

    /// Says whether a release is judged by this request. Questions asked of it on purpose would make it look better than it is.
    fn is_counted(&self) -> bool {
        self.aim != Aim::CandidateOnly
    }

    /// Notes that the edge answers by itself.
    pub(crate) fn answered_by_edge(&mut self, answer: &OwnAnswer) {
        self.status = answer.status;
        let Some(code) = answer.code else {
            return;
        };
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
        if self.quiet {
            return;
        }
        let now = SystemClock.now().mono;
        let service = self.service();
        let (status, error) = if self.status == 0 {
            // What nginx writes when the client leaves before it is answered.
            (499, Some("client_closed"))
        } else {
            (self.status, self.error)
        };
        self.worker.log(&Record {
            time: self.began.wall,
            request_id: &self.request_id,
            client: &self.peer.to_string(),
            listener: &self.listener.to_string(),
            method: &self.method,
            host: &self.host,
            path: &self.target,
            status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            request: now.since(self.began.mono),
            upstream_connect: self.connect,
            upstream_head: self.head,
            upstream_total: self.head.and(self.try_began).map(|began| now.since(began)),
            stack: service.map(|service| service.id.stack.as_str()),
            service: service.map(|service| &*service.name),
            replica: self.tried.last().map(|replica| &*replica.name),
            tries: self.tries,
            error,
        });
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
