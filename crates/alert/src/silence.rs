//! Silences: alerts that nobody is to be told of, until a time and for a reason.
//!
//! Unlike Alertmanager's a silence has to have a reason, and says before it lapses that it is going to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tend_promql::{Matcher, Timestamp};

use crate::error::AlertError;
use crate::matching::{all_match, parse_matcher, written};

/// A reminder comes when a tenth of a silence is left, but never earlier than this before its end; milliseconds.
const REMIND_MAX: i64 = 60 * 60 * 1000;
/// Silences that ended are kept for so long; milliseconds.
pub(crate) const KEPT: i64 = 5 * 24 * 3600 * 1000;

/// A silence. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its name, given by who keeps it.
    pub id: String,
    /// What it is about, each as `name="value"`; all have to be true.
    pub matchers: Vec<String>,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub reason: String,
    /// Whether it was said that it is about to lapse.
    pub reminded: bool,
}

/// Where a silence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilenceState {
    /// It has not begun.
    Pending,
    /// It holds.
    Active,
    /// It is over.
    Expired,
}

impl Silence {
    /// Returns where it is.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now < self.ends_at {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }

    /// When to remind of its end.
    #[must_use]
    pub fn remind_at(&self) -> Timestamp {
        self.ends_at - ((self.ends_at - self.starts_at) / 10).min(REMIND_MAX)
    }

    fn check(&self, now: Timestamp) -> Result<Vec<Matcher>, AlertError> {
        let refuse = |what: &str| Err(AlertError::Silence { what: what.to_owned() });
        if self.reason.trim().is_empty() {
            return refuse("it has no reason; say why, for who finds it in a month");
        }
        if self.created_by.trim().is_empty() {
            return refuse("it has no author");
        }
        if self.ends_at <= self.starts_at {
            return refuse("it ends before it starts");
        }
        if self.ends_at <= now {
            return refuse("its end is over");
        }
        let matchers = self
            .matchers
            .iter()
            .map(|text| parse_matcher(text))
            .collect::<Result<Vec<_>, _>>()?;
        if matchers.iter().all(Matcher::matches_empty) {
            return refuse("its matchers are true of every alert; name at least one label with a value");
        }
        Ok(matchers)
    }
}

/// All silences. It is data but for the compiled matchers, which are made again from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Silences(BTreeMap<String, (Silence, Vec<Matcher>)>);

impl Silences {
    pub(crate) fn new(kept: Vec<Silence>) -> Self {
        let compiled = |silence: Silence| {
            let matchers = silence
                .matchers
                .iter()
                .map(|text| parse_matcher(text))
                .collect::<Result<Vec<_>, _>>()
                .ok()?;
            Some((silence.id.clone(), (silence, matchers)))
        };
        Self(kept.into_iter().filter_map(compiled).collect())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Silence> {
        self.0.values().map(|(silence, _)| silence)
    }

    /// Makes a silence, or changes the one of that name.
    pub(crate) fn set(&mut self, mut silence: Silence, now: Timestamp) -> Result<(), AlertError> {
        let matchers = silence.check(now)?;
        silence.matchers = matchers.iter().map(written).collect();
        silence.reminded = false;
        self.0.insert(silence.id.clone(), (silence, matchers));
        Ok(())
    }

    /// Ends a silence now.
    pub(crate) fn end(&mut self, id: &str, now: Timestamp) -> Result<(), AlertError> {
        let found = self
            .0
            .get_mut(id)
            .filter(|(silence, _)| silence.state(now) != SilenceState::Expired);
        let Some((silence, _)) = found else {
            return Err(AlertError::NoSilence { id: id.to_owned() });
        };
        silence.starts_at = silence.starts_at.min(now);
        silence.ends_at = now;
        Ok(())
    }

    /// The silence that holds for an alert, if any does.
    pub(crate) fn of(&self, labels: &BTreeMap<String, String>, now: Timestamp) -> Option<&Silence> {
        let mut all = self.0.values();
        let found =
            all.find(|(silence, matchers)| silence.state(now) == SilenceState::Active && all_match(matchers, labels));
        found.map(|(silence, _)| silence)
    }

    /// The silences that are about to lapse, each once; and removes those that ended long ago.
    pub(crate) fn remind(&mut self, now: Timestamp) -> Vec<Silence> {
        self.0.retain(|_, (silence, _)| now - silence.ends_at < KEPT);
        let mut out = Vec::new();
        for (silence, _) in self.0.values_mut() {
            if !silence.reminded && silence.state(now) == SilenceState::Active && silence.remind_at() <= now {
                silence.reminded = true;
                out.push(silence.clone());
            }
        }
        out
    }

    /// When the next reminder is due.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self
            .all()
            .filter(|silence| !silence.reminded && silence.state(now) != SilenceState::Expired);
        waiting.map(Silence::remind_at).min()
    }
}
