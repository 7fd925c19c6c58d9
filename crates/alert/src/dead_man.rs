//! The dead man: was the whole way, from scrape to receipt, proven lately; which part of it is missing; and when is the next sign of life due?
//!
//! Owns these decisions. A rule over scraped series says when a target last answered; while it does, a watchdog alert goes the real route, and
//! its receipt proves scrape, store, rule, route and receiver at once. What is evaluated and what is sent is not known here.
//!
//! ```text
//!   Waiting ── every link is fresh ──► Proven ── one is stale ──► Unproven
//!      ▲ └──── `within` over ─────────────────────────────────────►  │ ▲
//!      │                                   ▲──── every link is fresh ┘ │
//!      └── begun, or away for longer than a proof is good for ─────────┘
//! ```
//!
//! Invariant: a sign of life is due only while each link was seen to work within the set time (test `dead_man`).
//! Invariant: an end of the watchdog, or a receipt of an old one, proves nothing (test `dead_man`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tend_promql::{Matcher, Timestamp};

use crate::alert::Posted;
use crate::config::{Config, Route};
use crate::notify::Language;
use crate::pipeline::{Answer, Delivery};

/// The name of the alert that proves the way by being told. Nothing keeps it quiet.
pub const WATCHDOG: &str = "TendWatchdog";

/// The name of the alert that says that the way is not proven.
pub const CHAIN_UNPROVEN: &str = "TendChainUnproven";

/// How often a watchdog is evaluated, and looked at by its group, within the time that a proof is good for: with [`REPEATS`], and as long again for
/// a try that failed, it stays well within it.
const LOOKS: i64 = 8;

/// How often a watchdog is told within the time that a proof is good for.
const REPEATS: i64 = 4;

/// Milliseconds after which an alert about the way is posted again.
const POST_EVERY: i64 = 60_000;

/// A part of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// No rule was evaluated.
    Rules,
    /// Rules are evaluated, and no target answered a scrape.
    Scrape,
    /// There is something to tell, and a receiver did not take it.
    Delivery,
}

impl Link {
    /// Returns its word, as the journal has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Scrape => "scrape",
            Self::Delivery => "delivery",
        }
    }
}

/// A part of the way that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which; the first, where it is several.
    pub link: Link,
    /// The receivers that did not confirm, where it is the delivery.
    pub receivers: Vec<String>,
    /// When it was last seen to work; milliseconds since 1970.
    pub last: Option<Timestamp>,
}

/// Whether the way was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Lately.
    Proven {
        /// Until when that is enough; milliseconds since 1970.
        until: Timestamp,
    },
    /// Not yet, and there was not time enough for it.
    Waiting {
        /// Until when it is waited for; milliseconds since 1970.
        until: Timestamp,
    },
    /// Not for too long.
    Unproven {
        /// Since when it is too long; milliseconds since 1970.
        since: Timestamp,
        /// What is missing.
        missing: Missing,
    },
}

/// What outlives a restart: when each link was last seen to work. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptProof {
    /// How long a proof is good for, in milliseconds.
    within: i64,
    /// The receivers that are told of the watchdog.
    watchdogs: BTreeSet<String>,
    /// Since when it is watched.
    from: Timestamp,
    /// When this was last known to be watched.
    at: Timestamp,
    scraped: Option<Timestamp>,
    evaluated: Option<Timestamp>,
    /// By receiver, the moment at which the rule last said so of what it confirmed.
    received: BTreeMap<String, Timestamp>,
    /// When an alert about the way was last posted that is not over.
    posted: Option<Timestamp>,
}

/// Watches that the way is proven.
#[derive(Clone, Debug)]
pub struct ChainProof(KeptProof);

impl ChainProof {
    /// Begins. `within` is how many milliseconds a proof is good for, `watchdogs` the receivers that are told of the watchdog, `kept` what was known
    /// before a restart. Who was away for longer than a proof is good for has as long again as a new one, because nothing could be proven meanwhile;
    /// who comes back sooner goes on where he was, so that one who is killed again and again is found out.
    #[must_use]
    pub fn new(within: i64, watchdogs: BTreeSet<String>, kept: Option<KeptProof>, now: Timestamp) -> Self {
        let mut state = kept.unwrap_or_default();
        let within = within.max(1);
        let goes_on = state.within == within && state.watchdogs == watchdogs && state.at.saturating_add(within) > now;
        if !goes_on {
            state.from = now;
        }
        state.received.retain(|receiver, _| watchdogs.contains(receiver));
        state.within = within;
        state.watchdogs = watchdogs;
        state.at = now;
        Self(state)
    }

    /// Returns what has to outlive a restart.
    #[must_use]
    pub fn kept(&self) -> &KeptProof {
        &self.0
    }

    /// Takes in that the rule was evaluated at `at`; `scraped` is when a target last answered, as the rule saw it. Returns the watchdog where that is
    /// fresh.
    pub fn evaluated(&mut self, at: Timestamp, scraped: Option<Timestamp>) -> Option<Posted> {
        let state = &mut self.0;
        state.at = at;
        state.evaluated = Some(at);
        if let Some(scraped) = scraped {
            let known = state.scraped.map_or(scraped, |known| known.min(at).max(scraped));
            state.scraped = Some(known.min(at));
        }
        state.scraped.filter(|scraped| scraped.saturating_add(state.within) > at).map(|scraped| Posted {
            labels: labels(WATCHDOG, "none"),
            annotations: [(
                "summary".to_owned(),
                "Proves by being told that alerts get there; it fires all the time. 用于证明告警能够送达，会一直触发。".to_owned(),
            )]
            .into(),
            starts_at: Some(at),
            ends_at: Some(scraped + state.within),
            generator_url: String::new(),
        })
    }

    /// Takes in how a delivery ended. It is a proof where it was confirmed and told of a watchdog that fires; of the moment at which the rule last
    /// said so, because a delivery may have waited long.
    pub fn answered(&mut self, delivery: &Delivery, answer: &Answer, now: Timestamp) {
        let state = &mut self.0;
        if *answer != Answer::Confirmed || !state.watchdogs.contains(&delivery.receiver) {
            return;
        }
        let fires = |alert: &&crate::Alert| alert.name() == WATCHDOG && !alert.resolved(delivery.at);
        let told = delivery.alerts.iter().filter(fires);
        if let Some(at) = told.map(|alert| alert.updated_at.min(now)).max() {
            let known = state.received.entry(delivery.receiver.clone()).or_insert(at);
            *known = (*known).min(now).max(at);
        }
    }

    /// Says how it is. `owed` is since when each receiver did not confirm what it was told, see [`crate::Pipeline::owed`]. A clock that was set back
    /// makes nobody wait longer than a proof is good for.
    #[must_use]
    pub fn standing(&self, owed: &BTreeMap<String, Timestamp>, now: Timestamp) -> Proof {
        let state = &self.0;
        let mut links = vec![
            (Link::Rules, None, state.evaluated),
            (Link::Scrape, None, state.scraped),
        ];
        let watchdogs = state.watchdogs.iter();
        links.extend(watchdogs.map(|name| (Link::Delivery, Some(name), state.received.get(name).copied())));
        links.extend(
            owed.iter()
                .map(|(name, since)| (Link::Delivery, Some(name), Some(*since))),
        );
        let good = |at: Timestamp| at.min(now).saturating_add(state.within);
        let is_fresh = |last: Option<Timestamp>| last.is_some_and(|last| good(last) > now);
        let Some((link, _, _)) = links.iter().find(|(_, _, last)| !is_fresh(*last)) else {
            let until = links.iter().filter_map(|(_, _, last)| last.map(good)).min();
            return Proof::Proven {
                until: until.unwrap_or(now),
            };
        };
        let stale = || links.iter().filter(|(of, _, last)| of == link && !is_fresh(*last));
        let last = stale().map(|(_, _, last)| *last).min().flatten();
        // What was proven before it began to be watched is not held against it.
        let since = good(last.map_or(state.from, |last| last.max(state.from)));
        if now < since {
            return Proof::Waiting { until: since };
        }
        let receivers: BTreeSet<String> = stale().filter_map(|(_, name, _)| (*name).cloned()).collect();
        Proof::Unproven {
            since,
            missing: Missing {
                link: *link,
                receivers: receivers.into_iter().collect(),
                last,
            },
        }
    }

    /// Returns what is to be posted now: while the way is not proven an alert that says so and what is missing, each minute; once, when it is again,
    /// its end.
    ///
    /// That alert goes the way that may be broken: what is heard for certain is that signs of life stop ([`Heartbeat`]).
    pub fn post(&mut self, proof: &Proof, language: Language, now: Timestamp) -> Option<Posted> {
        let state = &mut self.0;
        let posted = |starts_at, ends_at, annotations| {
            Some(Posted {
                labels: labels(CHAIN_UNPROVEN, "critical"),
                annotations,
                starts_at,
                ends_at,
                generator_url: String::new(),
            })
        };
        match proof {
            Proof::Waiting { .. } => None,
            Proof::Proven { .. } => {
                state.posted.take()?;
                posted(None, Some(now), BTreeMap::new())
            }
            Proof::Unproven { since, missing } => {
                if state.posted.is_some_and(|last| last <= now && last + POST_EVERY > now) {
                    return None;
                }
                state.posted = Some(now);
                posted(Some(*since), None, texts(missing, language, now))
            }
        }
    }
}

fn labels(name: &str, severity: &str) -> BTreeMap<String, String> {
    [("alertname", name), ("severity", severity)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// What is said about a part of the way that is missing.
fn texts(missing: &Missing, language: Language, now: Timestamp) -> BTreeMap<String, String> {
    let names = missing.receivers.join(", ");
    let ago = missing.last.map(|last| now.saturating_sub(last) / 1000);
    let (summary, what, last) = match language {
        Language::English => (
            format!(
                "Alerts may not reach anybody: the link `{}` is missing",
                missing.link.word()
            ),
            match missing.link {
                Link::Rules => {
                    "No rule is evaluated: see `tend metrics targets` and `tend events --kind 'monitor.*'`.".to_owned()
                }
                Link::Scrape => "No target of the stack answers: see `tend metrics targets`.".to_owned(),
                Link::Delivery => format!(
                    "Receivers that do not confirm what they are told: {names}. See `tend events --kind 'notification.*'`."
                ),
            },
            ago.map_or_else(
                || "It was never seen to work.".to_owned(),
                |ago| format!("It was last seen to work {ago} s ago."),
            ),
        ),
        Language::Chinese => (
            match missing.link {
                Link::Rules => "告警可能无法送达：规则环节（rules）中断".to_owned(),
                Link::Scrape => "告警可能无法送达：采集环节（scrape）中断".to_owned(),
                Link::Delivery => "告警可能无法送达：投递环节（delivery）中断".to_owned(),
            },
            match missing.link {
                Link::Rules => {
                    "没有规则被计算，请查看 `tend metrics targets` 和 `tend events --kind 'monitor.*'`。".to_owned()
                }
                Link::Scrape => "没有任何采集目标应答，请查看 `tend metrics targets`。".to_owned(),
                Link::Delivery => {
                    format!("以下接收者没有确认收到通知：{names}。请查看 `tend events --kind 'notification.*'`。")
                }
            },
            ago.map_or_else(
                || "从未正常工作过。".to_owned(),
                |ago| format!("上次正常是 {ago} 秒前。"),
            ),
        ),
    };
    [
        ("summary", summary),
        ("description", format!("{what} {last}")),
        ("link", missing.link.word().to_owned()),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

/// Milliseconds between evaluations of the rule that the watchdog stands on: short enough for the time that a proof is good for.
#[must_use]
pub fn watchdog_interval(within: i64) -> i64 {
    (within / LOOKS).clamp(1000, 30_000)
}

impl Config {
    /// Gives the alerts of the dead man routes of their own, before all others: the watchdog goes to `watchdogs` and to nobody else, so often that
    /// a proof that is good for `within` milliseconds does not lapse; that the way is not proven goes to every receiver that can be told, at once and
    /// each hour. No time interval mutes them. Returns which of `watchdogs` there are not.
    pub fn route_dead_man(&mut self, watchdogs: &BTreeSet<String>, within: i64) -> Vec<String> {
        let can_be_told = |name: &String| (self.receivers.get(name)).is_some_and(|one| !one.integrations.is_empty());
        let unknown = watchdogs.iter().filter(|name| !can_be_told(name)).cloned().collect();
        let everybody: Vec<String> = self
            .receivers
            .keys()
            .filter(|name| can_be_told(name))
            .cloned()
            .collect();
        // Where nobody is to be told, the routes of the user do not take it either.
        let watchdogs = match watchdogs.is_empty() {
            true => vec![String::new()],
            false => watchdogs.iter().cloned().collect(),
        };
        let looks = (within / LOOKS).max(1000);
        let mut first = Vec::new();
        for (name, to, interval, repeat) in [
            (WATCHDOG, watchdogs, looks, (within / REPEATS).max(1000)),
            (CHAIN_UNPROVEN, everybody, 60_000, 3_600_000),
        ] {
            let count = to.len();
            for (at, receiver) in to.into_iter().enumerate() {
                first.push(self.routes.len());
                self.routes.push(Route {
                    key: format!("{{}}/{{alertname=\"{name}\"}}"),
                    children: Vec::new(),
                    matchers: vec![Matcher::equal("alertname", name)],
                    goes_on: at + 1 < count,
                    receiver,
                    group_by: ["alertname".to_owned()].into(),
                    group_by_all: false,
                    group_wait: 0,
                    group_interval: interval,
                    repeat_interval: repeat,
                    mute: Vec::new(),
                    active: Vec::new(),
                });
            }
        }
        if let Some(root) = self.routes.first_mut() {
            first.append(&mut root.children);
            root.children = first;
        }
        unknown
    }
}

/// When a sign of life is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    every: i64,
    last: Option<Timestamp>,
}

impl Heartbeat {
    /// Begins; `every` is milliseconds from one to the next, `last` when one was last sent. Without that one is due at once.
    #[must_use]
    pub fn new(every: i64, last: Option<Timestamp>) -> Self {
        Self {
            every: every.max(1),
            last,
        }
    }

    /// Returns when the last one was due, to be kept.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Returns when the next one is due.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Timestamp {
        // A clock that was set back makes nobody wait longer than once.
        self.last.map_or(now, |last| last.min(now).saturating_add(self.every))
    }

    /// Says whether one is to be sent now, and counts it. None is while the way is not proven: that it stays out is what tells.
    pub fn due(&mut self, now: Timestamp, proof: &Proof) -> bool {
        let due = now >= self.next(now) && matches!(proof, Proof::Proven { .. });
        if due {
            self.last = Some(now);
        }
        due
    }
}
