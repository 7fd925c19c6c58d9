//! Load driver for the member payment system: makes real payments at a given rate and checks the books at the end.
//!
//! One payment is two requests, a new code for a card and the payment with it. The rate is open-loop: a payment has a time at
//! which it is due, whatever the server does, and its latency counts from there. Where the outcome of a payment is
//! unknown (connection refused or lost, timed out, 5xx) the same request is sent again with the same Idempotency-Key. The
//! driver survives a server that is being killed; that is what it is for.
//!
//! Invariant: a payment counts as acknowledged only after a 2xx answer (test `books_are_wrong_when_a_payment_is_missing`).

mod books;
mod client;
mod error;
mod latency;
mod load;
mod report;

pub use books::Books;
pub use client::Address;
pub use error::Error;
pub use latency::Latency;
pub use load::{Config, Progress, run};
pub use report::{FailedRequests, Report};
