//! When a request that failed on one replica may be given to another. Knows no clock and no connection.

use std::time::Duration;

use tend_core::model::{Retry, RetryMethods};

/// What is known of a try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// Some byte of the request may have reached the replica.
    pub bytes_may_have_arrived: bool,
    /// Part of the request's body has been taken from the client and cannot be sent again.
    pub body_taken: bool,
    /// So many tries were made, this one included.
    pub tries: u32,
    /// Since the request came in.
    pub elapsed: Duration,
}

/// Why a request is not given to another replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It might be carried out twice.
    NotIdempotent,
    /// Part of its body is gone.
    BodyTaken,
    /// [`Retry::tries`] were made.
    TriesSpent,
    /// [`Retry::total`] has passed.
    TimeSpent,
}

/// Says whether HTTP defines that doing it twice is doing it once (RFC 9110, 9.2.2).
#[must_use]
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// Decides whether a request goes to the next replica.
///
/// Invariant: a method that is not idempotent is never repeated once a byte may have arrived, unless the route says so
/// (test `what_may_have_arrived_is_never_posted_twice`).
///
/// # Errors
/// The first reason against it.
pub fn may_retry(method: &str, failed: Try, rules: &Retry) -> Result<(), Refusal> {
    let repeatable = match rules.methods {
        RetryMethods::Idempotent => is_idempotent(method),
        RetryMethods::None => false,
        RetryMethods::All => true,
    };
    if failed.bytes_may_have_arrived && !repeatable {
        return Err(Refusal::NotIdempotent);
    }
    if failed.body_taken {
        return Err(Refusal::BodyTaken);
    }
    if failed.tries >= rules.tries {
        return Err(Refusal::TriesSpent);
    }
    if failed.elapsed >= rules.total {
        return Err(Refusal::TimeSpent);
    }
    Ok(())
}
