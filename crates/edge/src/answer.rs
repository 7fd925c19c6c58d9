//! What the edge answers by itself: which status, code and text. Knows nothing of how they are written.

/// Why a request got no answer from a replica, as `X-Tend-Error` and the access log say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    /// Not a request this edge forwards.
    BadRequest,
    /// The client did not send the rest of its request.
    RequestTimeout,
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
    pub(crate) const ALL: [Self; 9] = [
        Self::BadRequest,
        Self::RequestTimeout,
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
