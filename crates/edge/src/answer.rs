//! What the edge answers by itself: which status, code, headers and body. Knows nothing of how they are written.

use std::fs::File;

use bytes::Bytes;

/// Why a request got no answer from a replica, as `X-Tend-Error` and the access log say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    /// Not a request this edge forwards.
    BadRequest,
    /// The client did not send the rest of its request.
    RequestTimeout,
    /// The client's address is not let in at this route.
    Forbidden,
    /// The route is for clients with a certificate, and the client showed none.
    NoCertificate,
    /// The request's body is larger than the route takes.
    BodyTooLarge,
    /// CONNECT, which is for forward proxies.
    MethodNotAllowed,
    /// No route matches host and path.
    NoRoute,
    /// The service has no replica that is ready.
    NoReadyReplica,
    /// The request is for the new release alone, and no replica of it is ready.
    NoReadyCandidate,
    /// No replica could be connected to.
    ConnectFailed,
    /// The replica ended the connection, or sent something that is not HTTP.
    UpstreamFailed,
    /// A replica did not answer in time.
    UpstreamTimeout,
}

impl ErrorCode {
    pub(crate) const ALL: [Self; 12] = [
        Self::BadRequest,
        Self::RequestTimeout,
        Self::Forbidden,
        Self::NoCertificate,
        Self::BodyTooLarge,
        Self::MethodNotAllowed,
        Self::NoRoute,
        Self::NoReadyReplica,
        Self::NoReadyCandidate,
        Self::ConnectFailed,
        Self::UpstreamFailed,
        Self::UpstreamTimeout,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::RequestTimeout => "request_timeout",
            Self::Forbidden => "forbidden",
            Self::NoCertificate => "no_certificate",
            Self::BodyTooLarge => "body_too_large",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoRoute => "no_route",
            Self::NoReadyReplica => "no_ready_replica",
            Self::NoReadyCandidate => "no_ready_candidate",
            Self::ConnectFailed => "connect_failed",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    pub(crate) fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::RequestTimeout => 408,
            Self::Forbidden | Self::NoCertificate => 403,
            Self::BodyTooLarge => 413,
            Self::MethodNotAllowed => 405,
            Self::NoRoute => 404,
            Self::NoReadyReplica | Self::NoReadyCandidate => 503,
            Self::ConnectFailed | Self::UpstreamFailed => 502,
            Self::UpstreamTimeout => 504,
        }
    }

    /// Returns the body. It does not repeat anything the client sent.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "tend edge: this request is malformed and was not forwarded.\n",
            Self::RequestTimeout => "tend edge: the rest of the request did not come.\n",
            Self::Forbidden => "tend edge: this address is not let in here.\n",
            Self::NoCertificate => "tend edge: only clients that show a certificate are let in here.\n",
            Self::BodyTooLarge => "tend edge: the request is larger than is taken here.\n",
            Self::MethodNotAllowed => "tend edge: this method is not forwarded.\n",
            Self::NoRoute => "tend edge: no route for this host and path. `tend describe` lists the routes.\n",
            Self::NoReadyReplica => "tend edge: no replica of the service is ready. `tend status` says why.\n",
            Self::NoReadyCandidate => {
                "tend edge: no replica of the release being looked at is ready. `tend status` says why.\n"
            }
            Self::ConnectFailed => {
                "tend edge: no replica of the service could be connected to. `tend status` says why.\n"
            }
            Self::UpstreamFailed => "tend edge: the replica closed the connection before it answered.\n",
            Self::UpstreamTimeout => "tend edge: the replica did not answer in time.\n",
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
    #[expect(dead_code, reason = "made by the serving of files, which follows")]
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
        if matches!(code, ErrorCode::NoReadyReplica | ErrorCode::NoReadyCandidate) {
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
                ErrorCode::BadRequest | ErrorCode::RequestTimeout | ErrorCode::BodyTooLarge
            ),
        }
    }
}
