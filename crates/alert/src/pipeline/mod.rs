//! From alerts to notifications, as a state machine without a clock.
//!
//! ```text
//!  receive ─► alerts ─► routes ─► groups ──(group_wait, then every group_interval)──► flush
//!                                                                                       │ without the inhibited, the silenced,
//!                                                                                       │ and what a time interval mutes
//!          confirmed ◄── answered ◄── sent ◄── take ◄── deliveries ◄── what is new to each receiver (log)
//!              │             │ failed: again after a pause, until the next flush writes it anew
//!              ▼             ▼
//!             log       dead letters, for people to see
//! ```
//!
//! Owns what is sent to whom and when. Sends nothing: who performs deliveries says how each ended.
//!
//! Invariant: a delivery is confirmed only by an answer; what was not confirmed is sent again (test `by_seeds`).

mod delivery;
mod hold;
mod log;
mod reload;
mod trial;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use tend_promql::Timestamp;

use crate::alert::{Alert, Posted, shown};
use crate::care::{Care, Episode, What};
use crate::change::Change;
use crate::config::{Config, Route, matching};
use crate::dead_man::WATCHDOG;
use crate::error::AlertError;
use crate::interval::Zones;
use crate::matching::all_match;
use crate::pipeline::delivery::Outgoing;
use crate::pipeline::hold::Holds;
use crate::pipeline::log::Need;
use crate::silence::{Silence, Silences};

pub use delivery::{Answer, DeadLetter, Delivery, Pace, Why};
pub use hold::{Deploying, Held, SETTLE};
pub use log::{Log, Told};
pub use trial::{TEST_LABEL, Trial, TrialRoute};
pub use view::{Hushed, Together};

/// Dead letters that are kept for people to see.
const DEAD_MAX: usize = 500;
/// Groups there may be; more alerts than that are one fault with many labels.
const GROUPS_MAX: usize = 10_000;

/// What outlives a restart. It is data; whoever keeps it writes it before deliveries are performed and after each answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The version of this shape.
    pub version: u32,
    /// What is known of alerts.
    pub alerts: Vec<Alert>,
    /// What receivers were told.
    pub log: Log,
    /// Silences.
    pub silences: Vec<Silence>,
    /// Who takes care, and what became of alerts.
    pub care: Care,
    /// What could not be delivered.
    pub dead: VecDeque<DeadLetter>,
}

/// The version of [`Kept`] that is written.
const VERSION: u32 = 1;

/// Alerts that are told together.
#[derive(Clone, Debug)]
struct Group {
    labels: BTreeMap<String, String>,
    alerts: BTreeMap<u64, Alert>,
    next: Timestamp,
    flushed: Option<Timestamp>,
}

/// The machine.
#[derive(Debug)]
pub struct Pipeline {
    config: Config,
    alerts: BTreeMap<u64, Alert>,
    /// By route and by the labels that the group has in common.
    groups: BTreeMap<(usize, String), Group>,
    silences: Silences,
    log: Log,
    care: Care,
    dead: VecDeque<DeadLetter>,
    outgoing: Outgoing,
    /// What changed lately, for alerts that begin.
    changes: Vec<Change>,
    holds: Holds,
    /// The latest moment that was heard of.
    seen: Timestamp,
}

/// What a moment brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Due {
    /// To be performed now.
    pub deliveries: Vec<Delivery>,
    /// Silences that are about to lapse.
    pub lapsing: Vec<Silence>,
    /// Alerts that are held back from now on because of a deployment.
    pub held: Vec<Episode>,
}

/// Why an alert is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Another alert, by its fingerprint, keeps it quiet.
    Inhibited(u64),
    /// A silence, by its name, does.
    Silenced(String),
    /// A deployment holds it back.
    Held(Held),
}

impl Pipeline {
    /// Starts from a configuration and from what was kept; from nothing when nothing was.
    #[must_use]
    pub fn new(config: Config, kept: Kept, pace: Pace, now: Timestamp) -> Self {
        let mut pipeline = Self {
            config,
            alerts: BTreeMap::new(),
            groups: BTreeMap::new(),
            silences: Silences::new(kept.silences),
            log: kept.log,
            care: kept.care,
            dead: kept.dead,
            outgoing: Outgoing::new(pace),
            changes: Vec::new(),
            holds: Holds::default(),
            seen: now,
        };
        for mut alert in kept.alerts {
            // What was over is over, though the clock was set back meanwhile.
            if alert.updated_at > now && alert.resolved(alert.updated_at) {
                alert.end_by(now);
            }
            pipeline.place(alert, now);
        }
        pipeline
    }

    /// Returns what has to outlive a restart.
    #[must_use]
    pub fn kept(&self) -> Kept {
        // An alert that resolved is in its groups until its end was told.
        let mut alerts = self.alerts.clone();
        for group in self.groups.values() {
            for (key, alert) in &group.alerts {
                alerts.entry(*key).or_insert_with(|| alert.clone());
            }
        }
        Kept {
            version: VERSION,
            alerts: alerts.into_values().collect(),
            log: self.log.clone(),
            silences: self.silences.all().cloned().collect(),
            care: self.care.clone(),
            dead: self.dead.clone(),
        }
    }

    /// Takes alerts in. Those that are none are refused, the others taken.
    pub fn receive(&mut self, posted: Vec<Posted>, now: Timestamp) -> Vec<AlertError> {
        self.clock(now);
        let mut refused = Vec::new();
        for posted in posted {
            match Alert::new(posted, now, self.config.globals.resolve_timeout) {
                Ok(alert) => self.place(alert, now),
                Err(error) => refused.push(error),
            }
        }
        refused
    }

    fn place(&mut self, alert: Alert, now: Timestamp) {
        let key = alert.fingerprint();
        let alert = match self.alerts.get(&key) {
            Some(known) => {
                if known.resolved(now) {
                    self.care.end(key, known.ends_at);
                }
                alert.merged(known, now)
            }
            None => alert,
        };
        if alert.resolved(now) {
            self.care.end(key, alert.ends_at);
        } else {
            self.care.begin(key, &alert.labels, alert.starts_at, &self.changes);
        }
        for at in matching(&self.config.routes, &alert.labels) {
            let route = &self.config.routes[at];
            let labels = group_labels(route, &alert.labels);
            let name = (at, shown(&labels));
            if !self.groups.contains_key(&name) && self.groups.len() >= GROUPS_MAX {
                continue;
            }
            let group = self.groups.entry(name).or_insert_with(|| Group {
                labels,
                alerts: BTreeMap::new(),
                next: now.saturating_add(route.group_wait),
                flushed: None,
            });
            // What began long ago has waited elsewhere.
            if group.flushed.is_none() && alert.starts_at.saturating_add(route.group_wait) < now {
                group.next = group.next.min(now);
            }
            group.alerts.insert(key, alert.clone());
        }
        self.alerts.insert(key, alert);
    }

    /// Returns when [`Self::tick`] has something to do, unless something comes in before.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let groups = self.groups.values().map(|group| group.next).min();
        [groups, self.outgoing.next(), self.silences.due(now), self.holds.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due at this moment.
    pub fn tick(&mut self, now: Timestamp, zones: Zones<'_>) -> Due {
        self.clock(now);
        let ended: Vec<(u64, Timestamp)> = self
            .alerts
            .iter()
            .filter(|(_, alert)| alert.resolved(now))
            .map(|(key, alert)| (*key, alert.ends_at))
            .collect();
        for (key, at) in ended {
            self.care.end(key, at);
        }
        self.outgoing.give_up_waiting(now, &mut self.dead);
        self.look_again(now);
        let held = self.hold(now);
        let due: Vec<_> = self
            .groups
            .iter()
            .filter(|(_, group)| group.next <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.flush(&name, now, zones);
        }
        self.groups.retain(|_, group| !group.alerts.is_empty());
        self.forget(now);
        let mut deliveries = Vec::new();
        for (key, firing, delivery) in self.outgoing.take(now) {
            self.log.attempt(&key, &firing, now);
            deliveries.push(delivery);
        }
        Due {
            deliveries,
            lapsing: self.silences.remind(now),
            held,
        }
    }

    fn forget(&mut self, now: Timestamp) {
        let grouped: BTreeSet<u64> = self
            .groups
            .values()
            .flat_map(|group| group.alerts.keys().copied())
            .collect();
        self.alerts
            .retain(|key, alert| !alert.resolved(now) || grouped.contains(key));
        let repeat = self
            .config
            .routes
            .iter()
            .map(|route| route.repeat_interval)
            .max()
            .unwrap_or(0);
        self.log.not_after(now);
        self.log.forget(now, repeat);
        while self.dead.len() > DEAD_MAX {
            self.dead.pop_front();
        }
    }

    fn flush(&mut self, name: &(usize, String), now: Timestamp, zones: Zones<'_>) {
        let route = &self.config.routes[name.0];
        let Some(group) = self.groups.get_mut(name) else { return };
        group.next = now.saturating_add(route.group_interval.max(1));
        group.flushed = Some(now);
        let group_key = format!("{}:{}", route.key, name.1);
        let muted = is_muted(&self.config, route, now, zones);
        let told: Vec<(u64, Alert)> = group
            .alerts
            .iter()
            .filter(|(_, alert)| quiet(&self.config, &self.alerts, &self.silences, &self.holds, alert, now).is_none())
            .map(|(key, alert)| (*key, alert.clone()))
            .collect();
        let firing: BTreeSet<u64> = told
            .iter()
            .filter(|(_, alert)| !alert.resolved(now))
            .map(|(key, _)| *key)
            .collect();
        let resolved: BTreeSet<u64> = told
            .iter()
            .filter(|(_, alert)| alert.resolved(now))
            .map(|(key, _)| *key)
            .collect();
        let acknowledged = !firing.is_empty() && firing.iter().all(|key| self.care.acknowledged(*key));
        let integrations = self
            .config
            .receivers
            .get(&route.receiver)
            .map_or(&[][..], |receiver| &receiver.integrations);
        let mut settled = true;
        for (index, integration) in integrations.iter().enumerate() {
            let key = log_key(&group_key, &route.receiver, index);
            self.log.keep_known(&key, |alert| group.alerts.contains_key(&alert));
            if muted || told.is_empty() {
                self.outgoing.cancel(&key);
                continue;
            }
            let need = self.log.need(
                &key,
                &firing,
                &resolved,
                integration.send_resolved,
                now,
                route.repeat_interval,
            );
            let why = match need {
                // Who has it in hand is not reminded.
                Need::Repeat if acknowledged => None,
                Need::Nothing => None,
                Need::Repeat => Some(Why::Repeat),
                Need::News => Some(Why::News),
            };
            let Some(why) = why else {
                self.outgoing.cancel(&key);
                continue;
            };
            if firing.is_empty() && !integration.send_resolved {
                // There is nothing to say to it, and from now on it knows of nothing that fires.
                self.outgoing.cancel(&key);
                self.log.confirm(&key, firing.clone(), resolved.clone(), now);
                continue;
            }
            settled = false;
            let alerts = told
                .iter()
                .filter(|(_, alert)| integration.send_resolved || !alert.resolved(now))
                .map(|(_, alert)| alert.clone())
                .collect();
            let changed = firing.iter().filter_map(|key| {
                let changes = &self.care.open.get(key)?.changes;
                (!changes.is_empty()).then(|| (*key, changes.clone()))
            });
            let delivery = Delivery {
                id: delivery::name(&key, self.log.count(&key), &firing, &resolved),
                receiver: route.receiver.clone(),
                integration: index,
                group_key: group_key.clone(),
                group_labels: group.labels.clone(),
                alerts,
                changes: changed.collect(),
                at: now,
                why,
                attempt: 0,
            };
            (self.outgoing).put((key, integration.kind), delivery, firing.clone(), resolved.clone(), now);
        }
        // Where nobody is told, because a configuration cannot be read for a while, it waits for who was told before.
        let waits = |key: &u64| integrations.is_empty() && self.log.any_may_know("", *key);
        // Once everybody knows, what resolved is over. Who was told that it fires, and is not told anything now because it is kept quiet, is told
        // afterwards that it resolved: Alertmanager forgets him.
        let knows = |key: &u64| {
            integrations.iter().enumerate().any(|(index, integration)| {
                let name = log_key(&group_key, &route.receiver, index);
                integration.send_resolved && self.log.may_know(&name, *key)
            })
        };
        if settled {
            group
                .alerts
                .retain(|key, alert| !alert.resolved(now) || knows(key) || waits(key));
        }
    }

    /// Takes in how a delivery ended. Answers to deliveries that are not known, for instance of before a restart, do nothing.
    pub fn answered(&mut self, id: u64, answer: Answer, now: Timestamp) {
        self.ended(id, None, answer, ("", ""), now);
    }

    /// As [`Self::answered`], of one try: where a clock that jumped had it given up too early, it may have been tried again since, and a failure of
    /// an earlier try says nothing of the one under way. `means` and `said` are for people who look at what became of an alert.
    pub fn heard(&mut self, delivery: &Delivery, answer: Answer, means: &str, said: &str, now: Timestamp) {
        self.ended(delivery.id, Some(delivery.attempt), answer, (means, said), now);
    }

    fn ended(&mut self, id: u64, attempt: Option<u32>, answer: Answer, (means, said): (&str, &str), now: Timestamp) {
        self.clock(now);
        if let Some(sent) = self.outgoing.of(id) {
            let by = (sent.delivery.receiver.as_str(), means, said);
            self.care.heard((&sent.firing, &sent.resolved), by, &answer, now);
        }
        if let Some(sent) = self.outgoing.answered((id, attempt), &answer, now, &mut self.dead) {
            if sent.counts {
                self.log.confirm(&sent.key, sent.firing, sent.resolved, now);
            }
            if sent.reloaded {
                self.forget_moved(&sent.key, &sent.delivery.group_key);
            }
        }
        self.look_again(now);
    }

    /// Makes a silence, or changes the one of that name.
    ///
    /// # Errors
    /// Where it has no reason, no author, no end that is to come, or is true of every alert.
    pub fn silence(&mut self, silence: Silence, now: Timestamp) -> Result<(), AlertError> {
        self.silences.set(silence, now)
    }

    /// Ends a silence now.
    ///
    /// # Errors
    /// Where there is none of that name that has not ended.
    pub fn end_silence(&mut self, id: &str, now: Timestamp) -> Result<(), AlertError> {
        self.silences.end(id, now)
    }

    /// Returns all silences that are known.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.all()
    }

    /// Notes that somebody knows of an alert: it is not repeated to receivers while it lasts; news of it still are told.
    ///
    /// # Errors
    /// Where no such alert fires.
    pub fn acknowledge(&mut self, fingerprint: u64, by: &str, note: &str, now: Timestamp) -> Result<(), AlertError> {
        self.mark(
            fingerprint,
            now,
            What::Acknowledged {
                by: by.to_owned(),
                note: note.to_owned(),
            },
        )
    }

    /// Gives an alert to somebody.
    ///
    /// # Errors
    /// Where no such alert fires.
    pub fn assign(&mut self, fingerprint: u64, by: &str, to: &str, now: Timestamp) -> Result<(), AlertError> {
        self.mark(
            fingerprint,
            now,
            What::Assigned {
                by: by.to_owned(),
                to: to.to_owned(),
            },
        )
    }

    fn mark(&mut self, fingerprint: u64, now: Timestamp, what: What) -> Result<(), AlertError> {
        if self.care.mark(fingerprint, now, what) {
            Ok(())
        } else {
            Err(AlertError::NoAlert { fingerprint })
        }
    }

    /// Returns what is known of who takes care, and what became of alerts that are over.
    #[must_use]
    pub fn care(&self) -> &Care {
        &self.care
    }

    /// Returns what could not be delivered, the latest last.
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead.iter()
    }

    /// Returns who was told something and has not confirmed it, with since when; milliseconds since 1970. What need not be told any more is not owed.
    #[must_use]
    pub fn owed(&self) -> BTreeMap<String, Timestamp> {
        let mut owed = BTreeMap::new();
        for sent in self.outgoing.on_their_way() {
            let unsure = self.log.0.get(&sent.key).filter(|told| told.unsure);
            if let Some(since) = unsure.map(|told| told.unsure_since) {
                let known = owed.entry(sent.delivery.receiver.clone()).or_insert(since);
                *known = since.min(*known);
            }
        }
        owed
    }

    /// Returns the alerts that are known, with why one is not told.
    pub fn alerts(&self, now: Timestamp) -> impl Iterator<Item = (&Alert, Option<Quiet>)> {
        self.alerts.values().map(move |alert| {
            (
                alert,
                quiet(&self.config, &self.alerts, &self.silences, &self.holds, alert, now),
            )
        })
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// What the log knows one means of a receiver by, for a group.
fn log_key(group_key: &str, receiver: &str, index: usize) -> String {
    format!("{group_key}\u{0}{receiver}\u{0}{index}")
}

fn group_labels(route: &Route, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let taken = labels
        .iter()
        .filter(|(name, _)| route.group_by_all || route.group_by.contains(*name));
    taken.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_muted(config: &Config, route: &Route, now: Timestamp, zones: Zones<'_>) -> bool {
    let within = |names: &[String]| {
        names
            .iter()
            .filter_map(|name| config.intervals.get(name))
            .flatten()
            .any(|interval| interval.contains(now, zones))
    };
    within(&route.mute) || (!route.active.is_empty() && !within(&route.active))
}

/// Why an alert is not told, if it is not.
fn quiet(
    config: &Config,
    alerts: &BTreeMap<u64, Alert>,
    silences: &Silences,
    holds: &Holds,
    alert: &Alert,
    now: Timestamp,
) -> Option<Quiet> {
    // What proves that alerts get there proves nothing when it is not sent.
    if alert.name() == WATCHDOG {
        return None;
    }
    let silenced = || {
        let silence = silences.of(&alert.labels, now)?;
        Some(Quiet::Silenced(silence.id.clone()))
    };
    inhibitor(config, alerts, alert, now)
        .map(Quiet::Inhibited)
        .or_else(silenced)
        .or_else(|| holds.of(alert, now).map(Quiet::Held))
}

/// The alert that keeps this one quiet, if one does.
fn inhibitor(config: &Config, alerts: &BTreeMap<u64, Alert>, alert: &Alert, now: Timestamp) -> Option<u64> {
    for rule in &config.inhibit {
        if !all_match(&rule.target, &alert.labels) {
            continue;
        }
        // An alert that matches both sides does not keep its like quiet, nor itself.
        let both = all_match(&rule.source, &alert.labels);
        let source = alerts.iter().find(|(_, source)| {
            !source.resolved(now)
                && all_match(&rule.source, &source.labels)
                && rule.equal.iter().all(|name| alert.label(name) == source.label(name))
                && !(both && all_match(&rule.target, &source.labels))
        });
        if let Some((key, _)) = source {
            return Some(*key);
        }
    }
    None
}
