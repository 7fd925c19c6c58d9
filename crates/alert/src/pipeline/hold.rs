//! Alerts that are held back while a deployment disturbs what they watch: bounded in time, and never critical ones.
//!
//! Owns which alerts a deployment holds back and until when. Knows deployments only as they are told to it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tend_promql::Timestamp;

use super::Pipeline;
use crate::alert::Alert;
use crate::care::Episode;

/// After a deployment ended, what it disturbed has this long to settle; milliseconds.
pub const SETTLE: i64 = 60_000;

/// A deployment as it concerns alerts. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploying {
    /// What it is known by.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The services it changes.
    pub services: BTreeSet<String>,
}

/// Why and until when an alert is held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The deployment that does.
    pub by: String,
    /// At most until then; milliseconds since 1970.
    pub until: Timestamp,
}

/// What holds alerts back.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds {
    /// Milliseconds from the begin of a deployment; none is held without.
    at_most: Option<i64>,
    /// Each with whether what it held back was let go.
    deploys: Vec<(Deploying, bool)>,
}

impl Holds {
    fn until(&self, deploying: &Deploying) -> Timestamp {
        let bound = deploying.since.saturating_add(self.at_most.unwrap_or(0));
        let settled = deploying.ended.map(|ended| ended.saturating_add(SETTLE));
        settled.map_or(bound, |settled| settled.min(bound))
    }

    /// What holds an alert back, if something does. An alert that names a service is held back by its service's deployment alone.
    pub(super) fn of(&self, alert: &Alert, now: Timestamp) -> Option<Held> {
        if alert.label("severity") == "critical" {
            return None;
        }
        let service = alert.label("service");
        self.deploys.iter().find_map(|(deploying, _)| {
            let until = self.until(deploying);
            // Where the clock was set back to before it began, it holds nothing.
            let holds = (deploying.since..until).contains(&now) && (deploying.since..until).contains(&alert.starts_at);
            (holds && (service.is_empty() || deploying.services.contains(service))).then(|| Held {
                by: deploying.name.clone(),
                until,
            })
        })
    }

    /// When the next one lets go.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let waiting = self.deploys.iter().filter(|(_, let_go)| !let_go);
        waiting.map(|(deploying, _)| self.until(deploying)).min()
    }
}

impl Pipeline {
    /// Takes in which deployments run, or ended lately, and for how many milliseconds from its begin one holds alerts back at most.
    pub fn deploys(&mut self, deploys: &[Deploying], at_most: Option<i64>) {
        let known = std::mem::take(&mut self.holds.deploys);
        let let_go = |deploying: &Deploying| {
            let mut known = known.iter();
            known.any(|(before, let_go)| before == deploying && *let_go)
        };
        self.holds.deploys = deploys
            .iter()
            .map(|deploying| (deploying.clone(), let_go(deploying)))
            .collect();
        self.holds.at_most = at_most;
    }

    /// Lets go what a deployment does not hold back any more; returns what is held back from now on.
    pub(super) fn hold(&mut self, now: Timestamp) -> Vec<Episode> {
        let mut gone = false;
        for at in 0..self.holds.deploys.len() {
            let until = self.holds.until(&self.holds.deploys[at].0);
            let (_, let_go) = &mut self.holds.deploys[at];
            if until <= now && !*let_go {
                *let_go = true;
                gone = true;
            }
        }
        let mut held = Vec::new();
        for (key, alert) in &self.alerts {
            let Some(episode) = self.care.open.get_mut(key) else {
                continue;
            };
            match self.holds.of(alert, now) {
                Some(by) if episode.held.as_ref().is_none_or(|held| held.by != by.by) => {
                    episode.held = Some(by);
                    held.push(episode.clone());
                }
                // What was held back and fires still is told now, and not when its group would be looked at.
                None if gone && episode.held.is_some() => {
                    let groups = self.groups.values_mut();
                    for group in groups.filter(|group| group.alerts.contains_key(key)) {
                        group.next = group.next.min(now);
                    }
                }
                _ => {}
            }
        }
        held
    }
}
