//! How long and how much: the patience of the edge with clients and replicas.

use std::time::Duration;

/// Bytes of a request's head: more is 431. nginx allows 32 KiB (`large_client_header_buffers 4 8k`).
pub(crate) const REQUEST_HEAD_BYTES_MAX: usize = 32 << 10;

/// Bytes of a response's head: more counts as malformed.
pub(crate) const RESPONSE_HEAD_BYTES_MAX: usize = 64 << 10;

/// Bytes read ahead or waiting to be written on one side of one request of HTTP/2; also what one read takes at most.
pub(crate) const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Bytes of a request's target: more is 414. nginx allows 8 KiB.
pub(crate) const REQUEST_TARGET_BYTES_MAX: usize = 16 << 10;

/// How long the edge waits, each counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a replica to accept a connection. On one machine it takes microseconds, or its accept queue is full.
    pub connect: Duration,
    /// For the head of a response once the request is sent; nginx's `proxy_read_timeout`.
    pub answer: Duration,
    /// For a handshake of TLS, from connecting to its end; nginx's `client_header_timeout` covers it too.
    pub handshake: Duration,
    /// For the head of a request, from its first byte or from connecting.
    pub head: Duration,
    /// For the next piece of a request's body.
    pub body: Duration,
    /// For the next request on a connection; nginx's `keepalive_timeout`.
    pub idle: Duration,
    /// For a client to take some of its response; nginx's `send_timeout`.
    pub stall: Duration,
    /// For the next request on a connection once the edge drains: a request that crosses is still answered.
    pub drain_idle: Duration,
    /// For another request to be sent on a connection to a replica: below the 5 s after which Node and uvicorn close theirs, so that a
    /// request rarely meets a connection that is just being closed.
    pub upstream_idle: Duration,
    /// For a client to close its side of an upgraded connection once the replica has closed; nginx's `lingering_timeout`.
    pub linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            answer: Duration::from_secs(60),
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            drain_idle: Duration::from_secs(2),
            upstream_idle: Duration::from_secs(4),
            linger: Duration::from_secs(5),
        }
    }
}

impl Patience {
    /// Returns the shortest wait that is looked after by [`crate::engine`]'s deadlines.
    pub(crate) fn shortest(&self) -> Duration {
        let Self {
            connect: _,
            handshake: _,
            answer,
            head,
            body,
            idle,
            stall,
            drain_idle,
            upstream_idle,
            linger,
        } = *self;
        [answer, head, body, idle, stall, drain_idle, upstream_idle, linger]
            .into_iter()
            .fold(Duration::MAX, Duration::min)
    }
}
