//! The figures of one run, and how they are printed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::client::{Failure, Failures};
use crate::load::{Outcome, Tally};
use crate::{Books, Latency};

/// Requests that were not answered, or answered 5xx, by kind. Each may have been sent again with success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FailedRequests {
    /// Nobody listened.
    pub connection_refused: u64,
    /// The connection could not be made otherwise, or ended before the answer did.
    pub connection_lost: u64,
    /// No answer in time.
    pub timed_out: u64,
    /// The server answered 5xx, by status.
    pub server_error: BTreeMap<u16, u64>,
}

impl FailedRequests {
    /// Returns all of them together.
    pub fn total(&self) -> u64 {
        self.connection_refused + self.connection_lost + self.timed_out + self.server_error.values().sum::<u64>()
    }
}

impl From<Failures> for FailedRequests {
    fn from(failures: Failures) -> Self {
        let mut failed = FailedRequests::default();
        for (failure, count) in failures {
            match failure {
                Failure::ConnectionRefused => failed.connection_refused += count,
                Failure::ConnectionLost => failed.connection_lost += count,
                Failure::TimedOut => failed.timed_out += count,
                Failure::ServerError(status) => *failed.server_error.entry(status).or_default() += count,
            }
        }
        failed
    }
}

/// The figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Payments a second asked for.
    pub rate_wanted: u32,
    /// Payments a second acknowledged, over the whole run.
    pub rate: f64,
    /// How long the run took, waiting for the last outcome included.
    pub seconds: f64,
    /// Payments that were due in the time.
    pub due: u64,
    /// Payments begun.
    pub sent: u64,
    /// Payments answered 2xx.
    pub acknowledged: u64,
    /// Payments answered 4xx, by error code.
    pub refused: BTreeMap<String, u64>,
    /// Payments whose outcome stayed unknown.
    pub unknown: u64,
    /// Payments for which no code could be had in time.
    pub not_sent: u64,
    /// Requests that were sent again.
    pub resent: u64,
    /// Requests that failed.
    pub failed: FailedRequests,
    /// From when a payment was due to when it was acknowledged.
    pub payment_latency: Latency,
    /// From sending a request to its 2xx answer.
    pub request_latency: Latency,
    /// The longest time in which no request succeeded.
    pub longest_gap_ms: f64,
    /// What the books say.
    pub books: Books,
}

impl Report {
    pub(crate) fn new(rate_wanted: u32, due: u64, took: Duration, tally: Tally, books: Books) -> Report {
        let (mut acknowledged, mut unknown, mut not_sent, mut refused) = (0, 0, 0, BTreeMap::new());
        for payment in &tally.payments {
            match &payment.outcome {
                Outcome::Acknowledged { .. } => acknowledged += 1,
                Outcome::Unknown => unknown += 1,
                Outcome::NotSent => not_sent += 1,
                Outcome::Refused(code) => *refused.entry(code.clone()).or_default() += 1,
            }
        }
        Report {
            rate_wanted,
            rate: acknowledged as f64 / took.as_secs_f64(),
            seconds: took.as_secs_f64(),
            due,
            sent: tally.payments.len() as u64,
            acknowledged,
            refused,
            unknown,
            not_sent,
            resent: tally.resent,
            failed: tally.failures.into(),
            payment_latency: Latency::of(tally.payment_latencies),
            request_latency: Latency::of(tally.request_latencies),
            longest_gap_ms: tally.longest_gap.as_micros() as f64 / 1000.0,
            books,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(out, "{name:<26} {value}");
        let latency = |latency: &Latency| {
            let Latency {
                p50_ms,
                p95_ms,
                p99_ms,
                max_ms,
            } = latency;
            format!("p50 {p50_ms:.1} ms, p95 {p95_ms:.1} ms, p99 {p99_ms:.1} ms, max {max_ms:.1} ms")
        };
        let by_kind = |counts: Vec<(String, u64)>| {
            let met: Vec<_> = counts
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| format!("{kind} {count}"))
                .collect();
            if met.is_empty() { "0".to_owned() } else { met.join(", ") }
        };
        row(
            "payments a second",
            format!(
                "{:.1} of {} wanted, over {:.1} s",
                self.rate, self.rate_wanted, self.seconds
            ),
        )?;
        row("payments sent", format!("{} of {} due", self.sent, self.due))?;
        row("payments acknowledged", self.acknowledged.to_string())?;
        row("payments refused", by_kind(self.refused.clone().into_iter().collect()))?;
        row(
            "outcome unknown",
            format!("{} ({} of them in the ledger)", self.unknown, self.books.unknown_found),
        )?;
        row("not sent, no code", self.not_sent.to_string())?;
        row("requests sent again", self.resent.to_string())?;
        row("connections refused", self.failed.connection_refused.to_string())?;
        let mut others = vec![
            ("connection lost".to_owned(), self.failed.connection_lost),
            ("timed out".to_owned(), self.failed.timed_out),
        ];
        others.extend(
            self.failed
                .server_error
                .iter()
                .map(|(status, count)| (format!("status {status}"), *count)),
        );
        row("other failed requests", by_kind(others))?;
        row("payment latency", latency(&self.payment_latency))?;
        row("request latency", latency(&self.request_latency))?;
        row(
            "longest gap",
            format!("{:.1} ms without a request that succeeded", self.longest_gap_ms),
        )?;
        let Books {
            payments,
            missing,
            repeated,
            altered,
            unasked,
            ..
        } = &self.books;
        let verdict = if self.books.are_right() { "right" } else { "WRONG" };
        let balanced = if self.books.balanced {
            "balanced"
        } else {
            "NOT balanced"
        };
        row(
            "books",
            format!(
                "{verdict}: {payments} payments, {missing} missing, {repeated} repeated, {altered} altered, {unasked} unasked, {balanced}"
            ),
        )?;
        for finding in &self.books.findings {
            row("  finding", finding.clone())?;
        }
        Ok(())
    }
}
