//! What each receiver was last told of each group, confirmed by it: the log that keeps notifications from being sent twice.
//!
//! It is data and outlives restarts. What was sent and not confirmed is not in it, and so is sent again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tend_promql::Timestamp;

/// Entries that nothing was heard of for so long are dropped; milliseconds, as Alertmanager's retention.
const KEPT: i64 = 5 * 24 * 3600 * 1000;

/// What one means of one receiver was last told of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which alerts it knows to fire.
    pub firing: BTreeSet<u64>,
    /// Which it knows to have resolved.
    pub resolved: BTreeSet<u64>,
    /// Which alerts it may know to fire besides: it was told, and no confirmation came.
    #[serde(default)]
    pub maybe: BTreeSet<u64>,
    /// Which alerts it was told to fire, and nothing since because they are kept quiet: their end is still to be told.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hushed: BTreeSet<u64>,
    /// Whether it was told something since, and no confirmation came: what it knows is not certain, so it is told again whatever is the case now.
    #[serde(default)]
    pub unsure: bool,
    /// Since when that is so; milliseconds since 1970.
    #[serde(default)]
    pub unsure_since: Timestamp,
    /// When it confirmed; milliseconds since 1970.
    pub at: Timestamp,
    /// How often it was told.
    pub count: u64,
}

/// All that receivers were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log(pub BTreeMap<String, Told>);

/// What to do about a group and a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It knows.
    Nothing,
    /// Something is new to it.
    News,
    /// It knows, but has to be told again from time to time.
    Repeat,
}

impl Told {
    fn may_know(&self, alert: u64) -> bool {
        [&self.firing, &self.maybe, &self.hushed]
            .iter()
            .any(|known| known.contains(&alert))
    }
}

impl Log {
    pub(crate) fn need(
        &self,
        key: &str,
        firing: &BTreeSet<u64>,
        resolved: &BTreeSet<u64>,
        send_resolved: bool,
        now: Timestamp,
        repeat: i64,
    ) -> Need {
        let Some(told) = self.0.get(key) else {
            return if firing.is_empty() { Need::Nothing } else { Need::News };
        };
        if told.unsure || !firing.is_subset(&told.firing) {
            return Need::News;
        }
        if firing.is_empty() {
            // It may never have heard of what fired and resolved meanwhile.
            return if told.firing.is_empty() && resolved.is_disjoint(&told.hushed) {
                Need::Nothing
            } else {
                Need::News
            };
        }
        if send_resolved && !resolved.is_subset(&told.resolved) {
            return Need::News;
        }
        // An alert that was taken for resolved by silence may fire again without having been seen to resolve.
        if told.at < now - repeat {
            Need::Repeat
        } else {
            Need::Nothing
        }
    }

    pub(crate) fn confirm(&mut self, key: &str, firing: BTreeSet<u64>, resolved: BTreeSet<u64>, at: Timestamp) {
        let told = self.0.entry(key.to_owned()).or_default();
        let mut hushed: BTreeSet<u64> = std::mem::take(&mut told.hushed);
        hushed.extend(&told.firing);
        hushed.extend(&told.maybe);
        hushed.retain(|alert| !firing.contains(alert) && !resolved.contains(alert));
        *told = Told {
            firing,
            resolved,
            maybe: BTreeSet::new(),
            hushed,
            unsure: false,
            unsure_since: 0,
            at,
            count: told.count + 1,
        };
    }

    /// Notes that it is being told, before it is: if nothing is heard of that, it may know all the same.
    pub(crate) fn attempt(&mut self, key: &str, firing: &BTreeSet<u64>, now: Timestamp) {
        let told = self.0.entry(key.to_owned()).or_insert_with(|| Told {
            at: now,
            ..Told::default()
        });
        told.maybe.extend(firing);
        // What an earlier tend kept does not say since when.
        if !told.unsure || told.unsure_since == 0 {
            told.unsure_since = now;
        }
        told.unsure = true;
    }

    /// Whether it knows, or may know, that an alert fires.
    pub(crate) fn may_know(&self, key: &str, alert: u64) -> bool {
        self.0.get(key).is_some_and(|told| told.may_know(alert))
    }

    /// Whether anything whose key ends so knows, or may know, that an alert fires.
    pub(crate) fn any_may_know(&self, ending: &str, alert: u64) -> bool {
        let mut like = self.0.iter().filter(|(key, _)| key.ends_with(ending));
        like.any(|(_, told)| told.may_know(alert))
    }

    /// Notes that it may know that an alert fires, as was told to it under another key.
    pub(crate) fn suspect(&mut self, key: &str, alert: u64, now: Timestamp) {
        self.attempt(key, &BTreeSet::from([alert]), now);
    }

    /// Forgets what is known of alerts that are not told under this key any more. How often it was told stays: names of deliveries are made of it.
    pub(crate) fn keep_known(&mut self, key: &str, stays: impl Fn(u64) -> bool) {
        if let Some(told) = self.0.get_mut(key) {
            for known in [&mut told.firing, &mut told.maybe, &mut told.hushed] {
                known.retain(|alert| stays(*alert));
            }
        }
    }

    /// Whatever was told was told by now: a clock that was set back must not put repetitions off.
    pub(crate) fn not_after(&mut self, now: Timestamp) {
        for told in self.0.values_mut() {
            told.at = told.at.min(now);
        }
    }

    pub(crate) fn count(&self, key: &str) -> u64 {
        self.0.get(key).map_or(0, |told| told.count)
    }

    pub(crate) fn forget(&mut self, now: Timestamp, repeat_max: i64) {
        self.0.retain(|_, told| now - told.at < KEPT.max(2 * repeat_max));
    }
}
