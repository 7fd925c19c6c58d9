//! What the doors show of the pipeline: groups as they stand, and all that keeps an alert quiet. Changes nothing.

use std::collections::BTreeMap;

use tend_promql::Timestamp;

use super::{Held, Pipeline, inhibitor};
use crate::alert::Alert;
use crate::change::Change;

/// Alerts that are told together, as they stand.
#[derive(Clone, Debug)]
pub struct Together<'a> {
    /// Who is told.
    pub receiver: &'a str,
    /// The labels they have in common.
    pub labels: &'a BTreeMap<String, String>,
    /// The alerts, by their fingerprints; some may have resolved.
    pub alerts: Vec<&'a Alert>,
}

/// All that keeps an alert quiet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hushed {
    /// The fingerprints of alerts that do.
    pub inhibited_by: Vec<u64>,
    /// The names of silences that do.
    pub silenced_by: Vec<String>,
    /// The deployment that holds it back, and until when.
    pub held: Option<Held>,
}

impl Hushed {
    /// Whether nothing keeps it quiet.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.inhibited_by.is_empty() && self.silenced_by.is_empty() && self.held.is_none()
    }
}

impl Pipeline {
    /// Returns the alerts that are known, without asking what keeps them quiet.
    pub fn known(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// Returns the groups, in the order of routes and labels.
    pub fn groups(&self) -> impl Iterator<Item = Together<'_>> {
        self.groups.iter().map(|((route, _), group)| Together {
            receiver: self.config.routes.get(*route).map_or("", |route| &route.receiver),
            labels: &group.labels,
            alerts: group.alerts.values().collect(),
        })
    }

    /// Returns who is told of an alert with these labels, in the order of routes.
    #[must_use]
    pub fn receivers_of(&self, labels: &BTreeMap<String, String>) -> Vec<&str> {
        self.config.receivers_of(labels)
    }

    /// Returns all that keeps an alert quiet at a time.
    #[must_use]
    pub fn hushed(&self, alert: &Alert, now: Timestamp) -> Hushed {
        Hushed {
            inhibited_by: inhibitor(&self.config, &self.alerts, alert, now).into_iter().collect(),
            silenced_by: self
                .silences
                .all_of(&alert.labels, now)
                .map(|silence| silence.id.clone())
                .collect(),
            held: self.holds.of(alert, now),
        }
    }

    /// Takes in what changed lately; alerts that began before it was heard of have it too.
    pub fn changed(&mut self, changes: Vec<Change>) {
        self.care.changed(&changes);
        self.changes = changes;
    }
}
