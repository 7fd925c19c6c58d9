//! An alerting rule from one evaluation to the next: what is pending, what fires, what has resolved.
//!
//! ```text
//!            holds                 held for `for`
//!   (none) ───────────► Pending ───────────────────► Firing ──┐ no longer holds, but
//!      ▲                   │                          │   ▲   │ `keep_firing_for` is not over
//!      └───────────────────┘ no longer holds          │   └───┘
//!      ▲                                              ▼ no longer holds
//!      └──────────────────────────────────────── Resolved (kept 15 min, so that it is told)
//! ```
//!
//! Owns when each step is taken, as Prometheus takes it. Knows no clock and evaluates nothing: results come in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tend_promql::{Labels, LabelsBuilder, METRIC_NAME, Timestamp};

use crate::alert::{Posted, fingerprint};
use crate::error::RuleError;
use crate::rules::expand::{Element as Filled, Surroundings};
use crate::rules::file::{Rule, RuleKind};

/// How long a resolved alert is kept, so that it is told again should a message be lost; milliseconds, as in Prometheus.
const RESOLVED_KEPT: i64 = 15 * 60 * 1000;
/// After an outage an alert waits at least so long before it fires; milliseconds, Prometheus' default.
pub const GRACE: i64 = 10 * 60 * 1000;
/// An outage that took longer than this is not looked through; milliseconds, Prometheus' default.
pub const OUTAGE_MAX: i64 = 60 * 60 * 1000;

/// One element of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// Where an alert of a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleState {
    /// It holds, but not yet for long enough.
    Pending,
    /// It holds for long enough.
    Firing,
    /// It held.
    Resolved,
}

/// One alert of a rule. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Active {
    /// Its labels, `alertname` among them, sorted by name.
    pub labels: BTreeMap<String, String>,
    /// Its texts.
    pub annotations: BTreeMap<String, String>,
    /// Where it is.
    pub state: RuleState,
    /// The value of the last evaluation in which it held; as text, for infinity is no number in JSON.
    #[serde(with = "value_as_text")]
    pub value: f64,
    /// Since when it holds.
    pub active_at: Timestamp,
    /// Since when it fires.
    pub fired_at: Option<Timestamp>,
    /// When it was first seen not to hold, while it is kept firing.
    pub keep_firing_since: Option<Timestamp>,
    /// When it resolved.
    pub resolved_at: Option<Timestamp>,
    /// When it was last sent on.
    pub sent_at: Option<Timestamp>,
}

mod value_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// What an alerting rule keeps between evaluations. It is data: kept and given back, a rule goes on where it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alerting {
    /// By fingerprint of the labels.
    pub active: BTreeMap<u64, Active>,
}

impl Alerting {
    /// Takes in the result of one evaluation and returns the series `ALERTS` and `ALERTS_FOR_STATE` of that moment.
    ///
    /// # Errors
    /// Where two elements would be the same alert: nothing changes. Where there are more than `limit`: all alerts are dropped, as in Prometheus.
    pub fn evaluate(
        &mut self,
        rule: &Rule,
        limit: u64,
        result: &[Element],
        now: Timestamp,
        around: &mut Surroundings<'_>,
    ) -> Result<Vec<Element>, RuleError> {
        let RuleKind::Alert {
            name,
            hold,
            keep_firing,
            annotations,
        } = &rule.kind
        else {
            return Err(RuleError::NotAlerting {
                rule: rule.name().to_owned(),
            });
        };
        let mut found = BTreeMap::new();
        for element in result {
            let mut filled = Filled::new(&element.labels, element.value, around);
            let mut labels = LabelsBuilder::from(&element.labels);
            labels.remove(METRIC_NAME);
            for (label, text) in &rule.labels {
                labels.set(label, &filled.fill(name, text));
            }
            labels.set("alertname", name);
            let labels = labels.finish();
            let texts = annotations
                .iter()
                .map(|(key, text)| (key.clone(), filled.fill(name, text)))
                .collect();
            let key = fingerprint(labels.iter());
            let alert = (
                labels
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                texts,
                element.value,
            );
            if found.insert(key, alert).is_some() {
                return Err(RuleError::Twice {
                    rule: name.clone(),
                    labels: labels.to_string(),
                });
            }
        }
        for (key, (labels, annotations, value)) in &found {
            match self
                .active
                .get_mut(key)
                .filter(|known| known.state != RuleState::Resolved)
            {
                Some(known) => {
                    known.value = *value;
                    known.annotations.clone_from(annotations);
                    known.keep_firing_since = None;
                }
                None => {
                    let fresh = Active {
                        labels: BTreeMap::clone(labels),
                        annotations: BTreeMap::clone(annotations),
                        state: RuleState::Pending,
                        value: *value,
                        active_at: now,
                        fired_at: None,
                        keep_firing_since: None,
                        resolved_at: None,
                        sent_at: None,
                    };
                    self.active.insert(*key, fresh);
                }
            }
        }
        self.active
            .retain(|key, alert| found.contains_key(key) || stays(alert, now, *keep_firing));
        for alert in self.active.values_mut() {
            if alert.state == RuleState::Pending && now - alert.active_at >= *hold {
                alert.state = RuleState::Firing;
                alert.fired_at = Some(now);
            }
        }
        let count = self
            .active
            .values()
            .filter(|alert| alert.state != RuleState::Resolved)
            .count() as u64;
        if limit > 0 && count > limit {
            self.active.clear();
            return Err(RuleError::Limit {
                rule: name.clone(),
                limit,
                found: count,
            });
        }
        Ok(self.series())
    }

    /// The series that say which alerts there are, and since when.
    #[must_use]
    pub fn series(&self) -> Vec<Element> {
        let mut out = Vec::new();
        for alert in self.active.values() {
            let state = match alert.state {
                RuleState::Pending => "pending",
                RuleState::Firing => "firing",
                RuleState::Resolved => continue,
            };
            let labels = Labels::from_pairs(&alert.labels);
            out.push(Element {
                labels: labels.with(METRIC_NAME, "ALERTS").with("alertstate", state),
                value: 1.0,
            });
            #[allow(clippy::cast_precision_loss, reason = "Prometheus counts in whole seconds")]
            let since = alert.active_at.div_euclid(1000) as f64;
            out.push(Element {
                labels: labels.with(METRIC_NAME, "ALERTS_FOR_STATE"),
                value: since,
            });
        }
        out
    }

    /// After a restart without kept data: finds out from the last samples of `ALERTS_FOR_STATE` since when alerts hold. `known` are labels (any
    /// name is ignored), the time of the last sample, and its value. To be called once, after the first evaluation.
    pub fn restore(&mut self, rule: &Rule, known: &[(Labels, Timestamp, f64)], now: Timestamp) {
        let RuleKind::Alert { hold, .. } = rule.kind else {
            return;
        };
        // A rule that fires sooner than the grace would let it, is not made to wait.
        if hold < GRACE {
            return;
        }
        for (labels, down_at, since) in known {
            let key = fingerprint(labels.iter().filter(|(name, _)| *name != METRIC_NAME));
            let Some(alert) = self.active.get_mut(&key) else {
                continue;
            };
            if now - down_at > OUTAGE_MAX || alert.state == RuleState::Resolved {
                continue;
            }
            #[allow(clippy::cast_possible_truncation, reason = "seconds of a time; it saturates")]
            let since = (*since as i64).saturating_mul(1000);
            let left = hold - (down_at - since);
            alert.active_at = if left <= 0 {
                since
            } else if left < GRACE {
                now + GRACE - hold
            } else {
                // The time it was down counts for nothing.
                since + (now - down_at)
            };
            if alert.state == RuleState::Firing && now - alert.active_at < hold {
                alert.state = RuleState::Pending;
                alert.fired_at = None;
            }
        }
    }

    /// Has all alerts sent on with the next evaluation: what was sent on last may have got lost with the process. Who has it already takes
    /// it as the same.
    pub fn send_again(&mut self) {
        self.active.values_mut().for_each(|alert| alert.sent_at = None);
    }

    /// Returns the alerts that are to be sent on now, and notes that they were: those that fire, every `resend` milliseconds, and once what resolved.
    /// `interval` is that of the group, in milliseconds.
    pub fn take_due(&mut self, now: Timestamp, interval: i64, resend: i64, generator_url: &str) -> Vec<Posted> {
        let mut out = Vec::new();
        for alert in self.active.values_mut() {
            let due = match (alert.state, alert.sent_at) {
                (RuleState::Pending, _) => false,
                (_, None) => true,
                // The clock was set back: what was sent by the other one says nothing.
                (_, Some(sent)) if sent > now => true,
                (_, Some(sent)) => alert.resolved_at.is_some_and(|resolved| resolved > sent) || sent + resend < now,
            };
            if !due {
                continue;
            }
            alert.sent_at = Some(now);
            // Long enough that four rounds may be lost before it counts as resolved by silence.
            let valid_until = now + 4 * interval.max(resend);
            // What resolved by a clock that was ahead is over, too, and what began by it began no later than it ends.
            let ends_at = alert.resolved_at.map_or(valid_until, |resolved| resolved.min(now));
            let starts_at = alert.fired_at.unwrap_or(alert.active_at);
            out.push(Posted {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at: Some(starts_at.min(ends_at)),
                ends_at: Some(ends_at),
                generator_url: generator_url.to_owned(),
            });
        }
        out
    }
}

/// Whether an alert that does not hold is kept; changes it where it resolves.
fn stays(alert: &mut Active, now: Timestamp, keep_firing: i64) -> bool {
    match alert.state {
        RuleState::Pending => false,
        RuleState::Resolved => alert
            .resolved_at
            .is_some_and(|resolved| now - resolved <= RESOLVED_KEPT),
        RuleState::Firing => {
            let since = *alert.keep_firing_since.get_or_insert(now);
            if keep_firing == 0 || now - since >= keep_firing {
                alert.state = RuleState::Resolved;
                alert.resolved_at = Some(now);
            }
            true
        }
    }
}
