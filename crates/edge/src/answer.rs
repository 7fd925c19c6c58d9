//! What the edge answers by itself: which status, code, headers and body. Knows nothing of how they are written.

use std::fs::File;

use bytes::Bytes;

/// Why a request got no answer from a replica, as `X-Tend-Error` and the access log say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    /// Not a request this edge forwards.
    BadRequest,
    /// The target of the request is longer than is taken.
    TargetTooLong,
    /// The head of the request has more bytes or fields than are taken.
    HeadTooLarge,
    /// A method that no application has.
    MethodUnknown,
    /// A version of HTTP that is not 1.0 or 1.1, where none was agreed on.
    VersionUnsupported,
    /// The client did not send the rest of its request.
    RequestTimeout,
    /// The client's address is not let in at this route.
    Forbidden,
    /// The client's address is banned.
    Banned,
    /// The client asks more often than it may.
    RateLimited,
    /// The client has as much going on at once as it may.
    InFlightLimited,
    /// As much goes on at the route as may.
    RouteBusy,
    /// The route is for clients with a certificate, and the client showed none.
    NoCertificate,
    /// The request's body is larger than the route takes.
    BodyTooLarge,
    /// CONNECT, which is for forward proxies.
    MethodNotAllowed,
    /// The route has files, and this is none of them.
    NoFile,
    /// The machine could not read a file.
    FileUnreadable,
    /// No route matches host and path.
    NoRoute,
    /// The service has no replica that is ready.
    NoReadyReplica,
    /// The request is for the new release alone, and no replica of it is ready.
    NoReadyCandidate,
    /// Every replica has as much in flight as it may.
    ReplicasBusy,
    /// The service answered with failures, and is not asked for a while.
    CircuitOpen,
    /// No replica could be connected to.
    ConnectFailed,
    /// The replica ended the connection, or sent something that is not HTTP.
    UpstreamFailed,
    /// A replica did not answer in time.
    UpstreamTimeout,
    /// The request took longer than its route lets the whole of one.
    RequestOverdue,
    /// A replica's answer is larger than can be held.
    AnswerTooLarge,
    /// A request that moves money has no idempotency key, and the route wants one.
    KeyMissing,
    /// The idempotency key is not one.
    KeyMalformed,
    /// The idempotency key was used for another request.
    KeyReused,
    /// The first request with the idempotency key is still being answered.
    KeyUnderWay,
    /// What became of the first request with the idempotency key is not known.
    KeyInDoubt,
    /// The request with the idempotency key was answered, and the answer was too large to be kept.
    AnswerNotKept,
    /// What must be durable before a request is sent cannot be written.
    MoneyUnavailable,
    /// The route is closed for a while.
    Maintenance,
    /// The route was paused for longer than a request waits.
    PausedTooLong,
    /// The route is paused, and as many requests wait as may.
    PausedFull,
    /// As many callbacks wait for the service as may.
    SpoolFull,
}

impl ErrorCode {
    pub(crate) const ALL: [Self; 37] = [
        Self::BadRequest,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::MethodUnknown,
        Self::VersionUnsupported,
        Self::RequestTimeout,
        Self::Forbidden,
        Self::Banned,
        Self::RateLimited,
        Self::InFlightLimited,
        Self::RouteBusy,
        Self::NoCertificate,
        Self::BodyTooLarge,
        Self::MethodNotAllowed,
        Self::NoFile,
        Self::FileUnreadable,
        Self::NoRoute,
        Self::NoReadyReplica,
        Self::NoReadyCandidate,
        Self::ReplicasBusy,
        Self::CircuitOpen,
        Self::ConnectFailed,
        Self::UpstreamFailed,
        Self::UpstreamTimeout,
        Self::RequestOverdue,
        Self::AnswerTooLarge,
        Self::KeyMissing,
        Self::KeyMalformed,
        Self::KeyReused,
        Self::KeyUnderWay,
        Self::KeyInDoubt,
        Self::AnswerNotKept,
        Self::MoneyUnavailable,
        Self::Maintenance,
        Self::PausedTooLong,
        Self::PausedFull,
        Self::SpoolFull,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::MethodUnknown => "method_unknown",
            Self::VersionUnsupported => "version_unsupported",
            Self::RequestTimeout => "request_timeout",
            Self::Forbidden => "forbidden",
            Self::Banned => "banned",
            Self::RateLimited => "rate_limited",
            Self::InFlightLimited => "in_flight_limited",
            Self::RouteBusy => "route_busy",
            Self::NoCertificate => "no_certificate",
            Self::BodyTooLarge => "body_too_large",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoFile => "no_file",
            Self::FileUnreadable => "file_unreadable",
            Self::NoRoute => "no_route",
            Self::NoReadyReplica => "no_ready_replica",
            Self::NoReadyCandidate => "no_ready_candidate",
            Self::ReplicasBusy => "replicas_busy",
            Self::CircuitOpen => "circuit_open",
            Self::ConnectFailed => "connect_failed",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::RequestOverdue => "request_overdue",
            Self::AnswerTooLarge => "answer_too_large",
            Self::KeyMissing => "key_missing",
            Self::KeyMalformed => "key_malformed",
            Self::KeyReused => "key_reused",
            Self::KeyUnderWay => "key_under_way",
            Self::KeyInDoubt => "key_in_doubt",
            Self::AnswerNotKept => "answer_not_kept",
            Self::MoneyUnavailable => "money_unavailable",
            Self::Maintenance => "maintenance",
            Self::PausedTooLong => "paused_too_long",
            Self::PausedFull => "paused_full",
            Self::SpoolFull => "spool_full",
        }
    }

    pub(crate) fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge => 431,
            Self::MethodUnknown => 501,
            Self::VersionUnsupported => 505,
            Self::RequestTimeout => 408,
            Self::Forbidden | Self::NoCertificate => 403,
            Self::Banned => 403,
            Self::RateLimited => 429,
            Self::InFlightLimited => 429,
            Self::RouteBusy => 503,
            Self::BodyTooLarge => 413,
            Self::MethodNotAllowed => 405,
            Self::NoFile | Self::NoRoute => 404,
            Self::FileUnreadable => 500,
            Self::NoReadyReplica | Self::NoReadyCandidate | Self::ReplicasBusy | Self::CircuitOpen => 503,
            Self::ConnectFailed | Self::UpstreamFailed => 502,
            Self::UpstreamTimeout | Self::RequestOverdue => 504,
            Self::AnswerTooLarge => 502,
            Self::KeyMissing | Self::KeyMalformed => 400,
            Self::KeyReused => 422,
            Self::KeyUnderWay | Self::KeyInDoubt | Self::AnswerNotKept => 409,
            Self::MoneyUnavailable | Self::Maintenance | Self::PausedTooLong | Self::PausedFull | Self::SpoolFull => {
                503
            }
        }
    }

    /// Says whether asking again in a second may well be answered.
    fn is_brief(self) -> bool {
        matches!(
            self,
            Self::NoReadyReplica
                | Self::NoReadyCandidate
                | Self::KeyUnderWay
                | Self::MoneyUnavailable
                | Self::PausedTooLong
                | Self::PausedFull
                | Self::SpoolFull
        )
    }

    /// Returns the body. It does not repeat anything the client sent.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "tend edge: this request is malformed and was not forwarded.\n",
            Self::TargetTooLong => "tend edge: the address of this request is too long.\n",
            Self::HeadTooLarge => "tend edge: the head of this request is too large.\n",
            Self::MethodUnknown => "tend edge: this method is not known.\n",
            Self::VersionUnsupported => "tend edge: this version of HTTP is not spoken here.\n",
            Self::RequestTimeout => "tend edge: the rest of the request did not come.\n",
            Self::Forbidden => "tend edge: this address is not let in here.\n",
            Self::Banned => "tend edge: this address is banned.\n",
            Self::RateLimited => "tend edge: too many requests. Try again later.\n",
            Self::InFlightLimited => "tend edge: too many requests at once. Try again when some are answered.\n",
            Self::RouteBusy => "tend edge: as much is going on here as may at once. Try again later.\n",
            Self::NoCertificate => "tend edge: only clients that show a certificate are let in here.\n",
            Self::BodyTooLarge => "tend edge: the request is larger than is taken here.\n",
            Self::MethodNotAllowed => "tend edge: this method is not forwarded.\n",
            Self::NoFile => "tend edge: there is no such file.\n",
            Self::FileUnreadable => {
                "tend edge: the file could not be read. The disk or the limit of open files may say why.\n"
            }
            Self::NoRoute => "tend edge: no route for this host and path. `tend describe` lists the routes.\n",
            Self::NoReadyReplica => "tend edge: no replica of the service is ready. `tend status` says why.\n",
            Self::NoReadyCandidate => {
                "tend edge: no replica of the release being looked at is ready. `tend status` says why.\n"
            }
            Self::ReplicasBusy => {
                "tend edge: all replicas of the service have as much to do as they may. Try again later.\n"
            }
            Self::CircuitOpen => "tend edge: the service fails, and is given time to recover. Try again later.\n",
            Self::ConnectFailed => {
                "tend edge: no replica of the service could be connected to. `tend status` says why.\n"
            }
            Self::UpstreamFailed => "tend edge: the replica closed the connection before it answered.\n",
            Self::UpstreamTimeout => "tend edge: the replica did not answer in time.\n",
            Self::RequestOverdue => "tend edge: this request took longer than it may here.\n",
            Self::AnswerTooLarge => "tend edge: the replica's answer is larger than can be held here.\n",
            Self::KeyMissing => "tend edge: this request needs an idempotency key and has none.\n",
            Self::KeyMalformed => {
                "tend edge: the idempotency key is malformed: one header with 1 to 255 visible ASCII characters is taken.\n"
            }
            Self::KeyReused => {
                "tend edge: this idempotency key was used for a request that was different. A new request needs a new key.\n"
            }
            Self::KeyUnderWay => {
                "tend edge: the first request with this idempotency key is still being answered. Ask again later with the same key.\n"
            }
            Self::KeyInDoubt => {
                "tend edge: outcome unknown: a request with this idempotency key was sent, and its answer was lost. It is not sent again.\n"
            }
            Self::AnswerNotKept => {
                "tend edge: the request with this idempotency key was carried out; its answer was too large to be kept.\n"
            }
            Self::MoneyUnavailable => {
                "tend edge: this request was not sent, because its idempotency key could not be written to disk.\n"
            }
            Self::Maintenance => "tend edge: this service is in maintenance.\n",
            Self::PausedTooLong => "tend edge: this service is paused, and was for longer than a request waits.\n",
            Self::PausedFull => "tend edge: this service is paused, and as many requests wait as may.\n",
            Self::SpoolFull => "tend edge: as many callbacks wait for this service as may.\n",
        }
    }
}

/// An answer of the edge, or one that it kept, as an engine writes it. The engine adds the length, `Date` and what it needs itself.
#[derive(Debug)]
pub(crate) struct OwnAnswer {
    pub(crate) status: u16,
    /// Why, where it stands for an answer that did not come.
    pub(crate) code: Option<ErrorCode>,
    /// Names in lower case; neither framing nor hop-by-hop fields.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: OwnBody,
    /// The connection ends after it.
    pub(crate) close: bool,
}

/// The body of an [`OwnAnswer`]. With HEAD only its length is told.
#[derive(Debug)]
pub(crate) enum OwnBody {
    Bytes(Bytes),
    /// Part of a file: so many bytes from an offset. What the file lacks by then cuts the response.
    File {
        file: File,
        offset: u64,
        bytes: u64,
    },
}

impl OwnAnswer {
    /// Returns the answer for a request that nobody else answers.
    pub(crate) fn refusal(code: ErrorCode) -> Self {
        let mut fields = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        if code.is_brief() {
            fields.push(("retry-after".to_owned(), "1".to_owned()));
        }
        Self {
            status: code.status(),
            code: Some(code),
            fields,
            body: OwnBody::Bytes(Bytes::from_static(code.text().as_bytes())),
            // A malformed or unfinished request leaves doubt about where the next one begins.
            close: matches!(
                code,
                ErrorCode::BadRequest | ErrorCode::RequestTimeout | ErrorCode::BodyTooLarge | ErrorCode::RequestOverdue
            ),
        }
    }
}
