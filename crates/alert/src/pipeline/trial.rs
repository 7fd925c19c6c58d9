//! A test of the way to receivers: what is sent when somebody wants to see that an alert would get there. Keeps nothing and sends nothing.
//!
//! It goes past grouping, inhibition, silences and time intervals, and says which of them would have kept the alert quiet.

use std::collections::BTreeMap;

use tend_base::Fnv64;
use tend_promql::Timestamp;

use super::{Hushed, Pipeline, group_labels, is_muted};
use crate::alert::{Alert, Posted, shown};
use crate::config::matching;
use crate::error::AlertError;
use crate::interval::Zones;
use crate::pipeline::delivery::{Delivery, Why};

/// The label that marks a test; its value is `true`.
pub const TEST_LABEL: &str = "tend_test";

/// A test on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What is told.
    pub alert: Alert,
    /// The routes it takes, in their order. None that tells anybody is what a test ought to find.
    pub routes: Vec<TrialRoute>,
    /// What would keep such an alert quiet now.
    pub hushed: Hushed,
}

/// One route of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialRoute {
    /// Who is told.
    pub receiver: String,
    /// Whether a time interval would mute it now.
    pub muted: bool,
    /// One for each means of the receiver: that it fires.
    pub firing: Vec<Delivery>,
    /// One for each means that tells of ends: that it is over. To be sent afterwards, with [`Delivery::at`] as it stands.
    pub resolved: Vec<Delivery>,
}

impl Pipeline {
    /// Returns what a test of an alert with these labels sends. The label [`TEST_LABEL`] is added to it and to its group: neither the other side nor
    /// anybody here takes it for the real one, and its end does not end that.
    ///
    /// # Errors
    /// Where the labels are none.
    pub fn trial(
        &self,
        mut labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        now: Timestamp,
        zones: Zones<'_>,
    ) -> Result<Trial, AlertError> {
        let mark = || (TEST_LABEL.to_owned(), "true".to_owned());
        labels.extend([mark()]);
        let posted = Posted {
            labels,
            annotations,
            starts_at: Some(now),
            ends_at: None,
            generator_url: String::new(),
        };
        let alert = Alert::new(posted, now, self.config.globals.resolve_timeout)?;
        let mut over = alert.clone();
        // As an alert that is over says it: it lasted for a moment.
        (over.ends_at, over.timed) = (now + 1, false);
        let mut routes = Vec::new();
        for at in matching(&self.config.routes, &alert.labels) {
            let route = &self.config.routes[at];
            let mut labels = group_labels(route, &alert.labels);
            labels.extend([mark()]);
            let group_key = format!("{}:{}", route.key, shown(&labels));
            let integrations = self.config.receivers.get(&route.receiver);
            let integrations = integrations.map_or(&[][..], |receiver| &receiver.integrations);
            let delivery = |index: usize, alert: &Alert, at: Timestamp| Delivery {
                id: name(&group_key, &route.receiver, index, at),
                receiver: route.receiver.clone(),
                integration: index,
                group_key: group_key.clone(),
                group_labels: labels.clone(),
                alerts: vec![alert.clone()],
                // Nothing has happened.
                changes: BTreeMap::new(),
                at,
                why: Why::News,
                attempt: 0,
            };
            let each = || integrations.iter().enumerate();
            routes.push(TrialRoute {
                receiver: route.receiver.clone(),
                muted: is_muted(&self.config, route, now, zones),
                firing: each().map(|(index, _)| delivery(index, &alert, now)).collect(),
                resolved: each()
                    .filter(|(_, integration)| integration.send_resolved)
                    .map(|(index, _)| delivery(index, &over, now + 1))
                    .collect(),
            });
        }
        Ok(Trial {
            hushed: self.hushed(&alert, now),
            alert,
            routes,
        })
    }
}

/// The name of a delivery of a test: another for each test, so that no receiver takes it for one it had.
fn name(group_key: &str, receiver: &str, index: usize, at: Timestamp) -> u64 {
    let mut hash = Fnv64::default();
    hash.bytes(group_key.as_bytes());
    hash.number(255);
    hash.bytes(receiver.as_bytes());
    hash.bytes(&index.to_le_bytes());
    hash.bytes(&at.to_le_bytes());
    hash.value()
}
