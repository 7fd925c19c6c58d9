//! The dead man: was the whole way, from scrape to receipt, proven lately; and when is the next sign of life due?
//!
//! Owns these two decisions. A rule over scraped series keeps a watchdog alert firing; it goes the real route, and its receipt proves scrape,
//! store, rule, route and receiver at once. What is evaluated and what is sent is not known here.
//!
//! ```text
//!            receipt of a fresh watchdog
//!   ┌────────────────────────────────────────┐
//!   ▼                                        │
//! Proven ── `within` over ──► Unproven ──────┘
//! ```
//!
//! Invariant: an end of the watchdog, or a receipt of an old one, proves nothing (test `dead_man`).

use std::collections::BTreeMap;

use tend_promql::{Matcher, Timestamp};

use crate::alert::Posted;
use crate::config::{Config, matching};
use crate::matching::all_match;
use crate::pipeline::{Answer, Delivery};

/// The name of the alert that says that the way is not proven.
pub const CHAIN_UNPROVEN: &str = "TendChainUnproven";

/// Whether the way was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Lately, or there was no time for it yet.
    Proven {
        /// Until when that is enough; milliseconds since 1970.
        until: Timestamp,
    },
    /// Not for too long.
    Unproven {
        /// Since when it is too long; milliseconds since 1970.
        since: Timestamp,
    },
}

/// Watches that the way is proven.
#[derive(Clone, Debug)]
pub struct ChainProof {
    watchdog: Vec<Matcher>,
    within: i64,
    /// Of the last proof, or since when one is waited for.
    from: Timestamp,
    proven: Option<Timestamp>,
    told: bool,
}

impl ChainProof {
    /// Begins. `watchdog` is which alerts prove it, `within` how many milliseconds a proof is good for, `kept` the moment of the last one
    /// before a restart. Who was away has as long again as a new one: nothing could be proven meanwhile.
    #[must_use]
    pub fn new(watchdog: Vec<Matcher>, within: i64, kept: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            watchdog,
            within: within.max(1),
            from: now,
            proven: kept.map(|kept| kept.min(now)),
            told: false,
        }
    }

    /// Takes in how a delivery ended. It is a proof where it was confirmed and told of a watchdog that fires; of the moment at which the rule last
    /// said so, because a delivery may have waited long.
    pub fn answered(&mut self, delivery: &Delivery, answer: &Answer, now: Timestamp) {
        if *answer != Answer::Confirmed {
            return;
        }
        let watchdogs = delivery.alerts.iter().filter(|alert| {
            !self.watchdog.is_empty() && !alert.resolved(delivery.at) && all_match(&self.watchdog, &alert.labels)
        });
        let Some(at) = watchdogs.map(|alert| alert.updated_at.min(now)).max() else {
            return;
        };
        if at.saturating_add(self.within) > now {
            self.from = self.from.max(at).min(now);
            self.proven = Some(self.proven.map_or(at, |before| before.min(now).max(at)));
        }
    }

    /// Says how it is. A clock that was set back makes nobody wait longer than `within`.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Proof {
        let until = self.from.min(now).saturating_add(self.within);
        if now < until {
            Proof::Proven { until }
        } else {
            Proof::Unproven { since: until }
        }
    }

    /// Returns the moment of the last proof, to be kept.
    #[must_use]
    pub fn proven(&self) -> Option<Timestamp> {
        self.proven
    }

    /// Returns what is to be posted now: while the way is not proven an alert that says so, each time; once, when it is again, its end.
    ///
    /// That alert goes the way that may be broken: what is heard for certain is that signs of life stop ([`Heartbeat`]).
    pub fn post(&mut self, now: Timestamp) -> Option<Posted> {
        let standing = self.standing(now);
        let ends_at = match (standing, self.told) {
            (Proof::Proven { .. }, false) => return None,
            (Proof::Proven { .. }, true) => Some(now),
            (Proof::Unproven { .. }, _) => None,
        };
        self.told = ends_at.is_none();
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let last = self.proven.map_or_else(
            || "never since it is watched".to_owned(),
            |at| format!("last {} s ago", now.saturating_sub(at) / 1000),
        );
        Some(Posted {
            labels: [text("alertname", CHAIN_UNPROVEN), text("severity", "critical")].into(),
            annotations: [
                text("summary", "Alerts may not reach anybody: the way from scrape to receipt is not proven"),
                text(
                    "description",
                    &format!("A watchdog alert goes this way to prove it, and its receipt came {last}. Are its target scraped, its rule evaluated, its receiver there?"),
                ),
            ]
            .into(),
            starts_at: match standing {
                Proof::Unproven { since } => Some(since),
                Proof::Proven { .. } => None,
            },
            ends_at,
            generator_url: String::new(),
        })
    }

    /// Returns what is wrong where a configuration cannot prove it in time: nobody is told of a watchdog with these labels, or not often enough.
    #[must_use]
    pub fn check(&self, config: &Config, labels: &BTreeMap<String, String>) -> Option<String> {
        if !all_match(&self.watchdog, labels) {
            return Some("the watchdog's labels are not those that are watched for".to_owned());
        }
        let told = matching(&config.routes, labels)
            .into_iter()
            .map(|at| &config.routes[at])
            .filter(|route| {
                let receiver = config.receivers.get(&route.receiver);
                receiver.is_some_and(|receiver| !receiver.integrations.is_empty())
            });
        // It is told anew at the first flush after `repeat_interval`.
        let often = told
            .map(|route| route.repeat_interval.saturating_add(route.group_interval))
            .min();
        match often {
            None => Some("no receiver is told of the watchdog: give it a route".to_owned()),
            Some(often) if often > self.within => Some(format!(
                "the watchdog is told each {} s at best, and a proof is good for {} s: give its route a shorter `repeat_interval`",
                often / 1000,
                self.within / 1000
            )),
            Some(_) => None,
        }
    }
}

/// When a sign of life is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    every: i64,
    last: Option<Timestamp>,
}

impl Heartbeat {
    /// Begins with one that is due at once; `every` is milliseconds from one to the next.
    #[must_use]
    pub fn new(every: i64) -> Self {
        Self {
            every: every.max(1),
            last: None,
        }
    }

    /// Returns when the next one is due.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Timestamp {
        // A clock that was set back makes nobody wait longer than once.
        self.last.map_or(now, |last| last.min(now).saturating_add(self.every))
    }

    /// Says whether one is to be sent now, and counts it. None is while the way is not proven: that it stays out is what tells.
    pub fn due(&mut self, now: Timestamp, proof: Proof) -> bool {
        let due = now >= self.next(now) && matches!(proof, Proof::Proven { .. });
        if due {
            self.last = Some(now);
        }
        due
    }
}
