//! Routes where a request done twice costs money.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A route that moves money: nothing that is not idempotent is repeated, and keys of clients are honoured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Money {
    /// The request header that carries the key, in lower case.
    pub key_header: String,
    /// A request that is not idempotent and has no key is refused with 400 instead of being sent on without protection.
    pub key_required: bool,
    /// Keys of different accounts are different keys: the request header that tells accounts apart, in lower case. One name space for
    /// all when absent.
    pub account_header: Option<String>,
    /// How long an answer is kept and replayed. 24 h, as Stripe keeps them.
    pub window: Duration,
    /// The service honours the key by itself, so a request whose outcome is not known may be sent again with the same key.
    pub upstream_idempotent: bool,
    /// A concurrent duplicate waits so long for the first answer, then gets 409.
    pub wait: Duration,
    /// The largest body of a request with a key, in bytes; more is 413. Requests with a key are held whole, to be compared.
    pub request_bytes_max: u64,
    /// The largest answer that is kept, in bytes; a larger one is passed on, and a replay is told that it is not kept (409).
    pub answer_bytes_max: u64,
    /// Callbacks of providers that are kept while the service is away.
    pub spool: Option<Spool>,
}

impl Default for Money {
    fn default() -> Self {
        Self {
            key_header: "idempotency-key".to_owned(),
            key_required: false,
            account_header: None,
            window: Duration::from_secs(24 * 60 * 60),
            upstream_idempotent: false,
            wait: Duration::from_secs(10),
            request_bytes_max: 1 << 20,
            answer_bytes_max: 1 << 20,
            spool: None,
        }
    }
}

/// Callbacks are taken in and kept while the service is away or in maintenance, and delivered afterwards in the order they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spool {
    /// What the provider is answered: the status that means "received".
    pub status: u16,
    /// Its content type and body, as the provider's contract wants them.
    pub content_type: String,
    /// See `content_type`.
    pub body: String,
    /// Taken in only with this header, in lower case: the provider's signature, which the service verifies when it is delivered.
    pub signature_header: Option<String>,
    /// So many at most are kept, then 503: a bound on the disk.
    pub entries_max: u64,
    /// The largest callback, in bytes.
    pub bytes_max: u64,
    /// The first pause after a delivery that failed; it doubles up to `retry_max`.
    pub retry_first: Duration,
    /// See `retry_first`.
    pub retry_max: Duration,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            status: 200,
            content_type: "text/plain".to_owned(),
            body: "success".to_owned(),
            signature_header: None,
            entries_max: 100_000,
            bytes_max: 256 << 10,
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
        }
    }
}
