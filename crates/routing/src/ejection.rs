//! Leaves a replica out for a while after it failed, and lets it back by one trial request. Knows no clock.
//!
//! ```text
//!            refused, or max_fails within fail_timeout
//!   serving ───────────────────────────────────────────► ejected
//!      ▲                                                  │ until passes
//!      │ the trial succeeds                               ▼
//!      └─────────────────────── trial ◄──── one request ─ due
//!                                 │ the trial fails: ejected again, for longer when refused
//!                                 │ the trial is abandoned by the client: due again
//! ```
//!
//! The numbers are nginx's (`max_fails`, `fail_timeout`). A *refused* connection is taken apart: the process is gone or not yet there,
//! which a client must not feel, but the daemon starts it again within moments, so the time is short at first and grows.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_base::{Backoff, Mono};
use tend_core::model::Balance;

/// How long a replica that refuses connections is left out: first and longest.
const REFUSED: Backoff = Backoff {
    first: Duration::from_millis(100),
    max: Duration::from_secs(5),
};

/// When replicas that fail are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionPolicy {
    /// So many failures eject; 0 never ejects for failures, but a refused connection still does.
    pub max_fails: u32,
    /// Failures further apart than this do not add up; also how long they eject.
    pub fail_timeout: Duration,
}

impl Default for EjectionPolicy {
    fn default() -> Self {
        Self::from(&Balance::default())
    }
}

impl From<&Balance> for EjectionPolicy {
    fn from(balance: &Balance) -> Self {
        Self {
            max_fails: balance.max_fails,
            fail_timeout: balance.fail_timeout,
        }
    }
}

/// What went wrong with a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Nobody listens there.
    ConnectRefused,
    /// No answer to the connection attempt in time.
    ConnectTimeout,
    /// Any other reason no connection came about.
    ConnectFailed,
    /// No TLS came about.
    Tls,
    /// It did not show a certificate that is trusted.
    Certificate,
    /// The connection ended before the head of a response.
    Closed,
    /// No head of a response in time.
    HeadTimeout,
    /// What came is not HTTP.
    Malformed,
    /// It answered with a status that the route takes for a failure.
    Status,
    /// It answered much worse than the others of its service.
    Outlier,
    /// It was asked whether it is well, and is not.
    Check,
}

impl Failure {
    /// All of them, in a fixed order.
    pub const ALL: [Self; 11] = [
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::Tls,
        Self::Certificate,
        Self::Closed,
        Self::HeadTimeout,
        Self::Malformed,
        Self::Status,
        Self::Outlier,
        Self::Check,
    ];

    /// Returns the failure as the access log and `X-Tend-Error` write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::Tls => "tls_failed",
            Self::Certificate => "certificate",
            Self::Closed => "closed",
            Self::HeadTimeout => "head_timeout",
            Self::Malformed => "malformed",
            Self::Status => "status",
            Self::Outlier => "outlier",
            Self::Check => "check",
        }
    }

    /// Says whether the replica was too slow rather than broken.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::HeadTimeout)
    }
}

/// Whether a replica may be picked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Yes.
    Serving,
    /// Yes, for one request: the trial.
    TrialDue,
    /// Only when there is no other.
    Ejected,
}

/// Given out with each request sent to a replica and handed back with its outcome; the default is that of a replica nothing is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Ticket {
    trial: bool,
}

/// A change worth telling the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Left out from now on, for at least so long.
    Ejected {
        /// The failure that tipped it.
        why: Failure,
        /// Until the next trial.
        lasts: Duration,
    },
    /// It serves again.
    Readmitted,
}

/// The record of one life of one replica.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    fails: u32,
    last_failure: Option<Mono>,
    ejected_until: Option<Mono>,
    refused_in_a_row: u32,
    trials: u32,
}

impl Health {
    /// Says whether the replica may be picked at `now`.
    #[must_use]
    pub fn availability(&self, now: Mono) -> Availability {
        match self.ejected_until {
            None => Availability::Serving,
            Some(until) if now >= until && self.trials == 0 => Availability::TrialDue,
            Some(_) => Availability::Ejected,
        }
    }

    /// Says that nothing is held against the replica, so that callers need not ask again until the next failure.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.fails == 0 && self.ejected_until.is_none()
    }

    /// Returns when it last failed; the least recent is tried when all are ejected.
    #[must_use]
    pub fn last_failure(&self) -> Option<Mono> {
        self.last_failure
    }

    /// Notes that a request is sent to it. While it is ejected any request is a trial: the due one, or a last resort.
    pub fn begin(&mut self) -> Ticket {
        let trial = self.ejected_until.is_some();
        if trial {
            self.trials += 1;
        }
        Ticket { trial }
    }

    /// Notes that the request was answered.
    ///
    /// Only a trial readmits: an answer to a request sent before the ejection says nothing about the time after it.
    pub fn succeeded(&mut self, ticket: Ticket) -> Option<Verdict> {
        self.end(ticket);
        if self.ejected_until.is_some() && !ticket.trial {
            return None;
        }
        let readmitted = self.ejected_until.take().map(|_| Verdict::Readmitted);
        self.fails = 0;
        self.refused_in_a_row = 0;
        readmitted
    }

    /// Notes that the request ended without telling anything about the replica, such as a client that went away.
    pub fn abandoned(&mut self, ticket: Ticket) {
        self.end(ticket);
    }

    /// Notes that the request failed at `now`; `jitter` is any number and spreads the trials of several edges.
    pub fn failed(
        &mut self,
        ticket: Ticket,
        why: Failure,
        policy: &EjectionPolicy,
        now: Mono,
        jitter: u64,
    ) -> Option<Verdict> {
        self.end(ticket);
        let was_ejected = self.ejected_until.is_some();
        let together = self
            .last_failure
            .is_some_and(|last| now.since(last) <= policy.fail_timeout);
        self.fails = if together { self.fails + 1 } else { 1 };
        self.last_failure = Some(now);
        let lasts = if why == Failure::ConnectRefused {
            // Requests that were under way when it died are refused together: they are one failure, not a growing row.
            if !was_ejected || ticket.trial {
                self.refused_in_a_row += 1;
            }
            REFUSED.delay(self.refused_in_a_row, jitter)
        } else if ticket.trial
            || (policy.max_fails > 0 && (self.fails >= policy.max_fails || why == Failure::Certificate))
        {
            policy.fail_timeout
        } else {
            return None;
        };
        if was_ejected && !ticket.trial {
            return None;
        }
        self.ejected_until = Some(now + lasts);
        Some(Verdict::Ejected { why, lasts })
    }

    /// Leaves it out from `now` on for so long, whatever it did; none when it is left out already.
    pub fn leave_out(&mut self, why: Failure, lasts: Duration, now: Mono) -> Option<Verdict> {
        if self.ejected_until.is_some() {
            return None;
        }
        self.last_failure = Some(now);
        self.ejected_until = Some(now + lasts);
        Some(Verdict::Ejected { why, lasts })
    }

    fn end(&mut self, ticket: Ticket) {
        if ticket.trial {
            self.trials = self.trials.saturating_sub(1);
        }
    }
}
