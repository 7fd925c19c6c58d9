//! The rules of one route.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Compress, Cors, ErrorPage, Files, InFlight, Limit, Money, Prefix, Redirect, ResponseHeaders, Rewrite, UploadRate,
};

/// The rules of one route. The default forwards and guards as nginx does without a word of configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoutePolicy {
    /// When a failed try goes to another replica.
    pub retry: Retry,
    /// How often it may be asked.
    pub limits: Vec<Limit>,
    /// How much of it may go on at once.
    pub in_flight: Vec<InFlight>,
    /// The largest body of a request in bytes, more is 413; 0 for any. 1 MiB is nginx's default.
    pub body_bytes_max: Option<u64>,
    /// `body_bytes_max` is counted and told, not enforced: a larger body passes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub body_shadow: bool,
    /// A body that comes more slowly is refused with 408; any speed is good when absent.
    pub min_upload_rate: Option<UploadRate>,
    /// How long each side is waited for.
    pub timeouts: Timeouts,
    /// Only these addresses; all when empty. The others get 403.
    pub allow: Vec<Prefix>,
    /// Not these, whatever `allow` says.
    pub deny: Vec<Prefix>,
    /// Only clients that showed a certificate; the others get 403.
    pub client_certificate: bool,
    /// Headers of responses.
    pub headers: ResponseHeaders,
    /// Cross-origin requests; left to the service when absent.
    pub cors: Option<Cors>,
    /// Compression of responses.
    pub compress: Compress,
    /// Files that the edge answers by itself.
    pub files: Option<Files>,
    /// Another path for the service.
    pub rewrite: Option<Rewrite>,
    /// Another place for the client: nothing else of the route is asked then.
    pub redirect: Option<Redirect>,
    /// In place of our own texts.
    pub error_pages: Vec<ErrorPage>,
    /// It moves money.
    pub money: Option<Money>,
    /// Paths left out of the access log and served during maintenance, beside those of the service's probes.
    pub health_paths: Vec<String>,
}

/// When a failed try goes to another replica (nginx's `proxy_next_upstream`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// What may be repeated once a byte of it may have been sent.
    pub methods: RetryMethods,
    /// Answers with these statuses count as failures: another replica is asked where the request may be repeated, and they count against
    /// the replica.
    pub statuses: Vec<u16>,
    /// At most so many replicas; at least 1. 3 is the guides' `proxy_next_upstream_tries`.
    pub tries: u32,
    /// No new try begins after this. 10 s is the guides' `proxy_next_upstream_timeout`.
    pub total: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            methods: RetryMethods::Idempotent,
            statuses: Vec::new(),
            tries: 3,
            total: Duration::from_secs(10),
        }
    }
}

/// What may be repeated once a byte of it may have been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryMethods {
    /// Methods that HTTP defines as idempotent.
    #[default]
    Idempotent,
    /// Nothing. Routes that move money are so, whatever they say.
    None,
    /// Everything: the service tells duplicates apart by itself.
    All,
}

/// How long each side is waited for; the edge's own default where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// For a replica to accept a connection.
    pub connect: Option<Duration>,
    /// For the head of a response once the request is sent.
    pub answer: Option<Duration>,
    /// For the next piece of a response's body.
    pub read: Option<Duration>,
    /// For the next piece of a request's body.
    pub body: Option<Duration>,
    /// For a client to take some of its response.
    pub send: Option<Duration>,
    /// For anything on a connection that changed its protocol, such as a WebSocket; for ever when absent.
    pub upgraded_idle: Option<Duration>,
    /// For the next piece of a response whose type is `text/event-stream`; as `read` when absent.
    pub events_idle: Option<Duration>,
    /// For the whole of the request, answer included.
    pub whole: Option<Duration>,
}
