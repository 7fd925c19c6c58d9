//! What becomes of groups, deliveries and the log when the configuration changes, or the clock is set back.

use std::collections::{BTreeMap, BTreeSet};

use tend_promql::Timestamp;

use super::{Delivery, Group, Pipeline, log_key};
use crate::config::{Config, Integration};

/// By which means a delivery would be sent now.
fn means<'a>(config: &'a Config, delivery: &Delivery) -> Option<&'a Integration> {
    config
        .receivers
        .get(&delivery.receiver)?
        .integrations
        .get(delivery.integration)
}

impl Pipeline {
    /// Takes another configuration. Groups are made anew from the alerts, and those that stay keep their time; the log keeps them from being told
    /// again. What is in somebody's hands stays there. What ended, and may be known to a receiver under a group that is no more, is told by the
    /// group it belongs to now.
    pub fn reconfigure(&mut self, config: Config, now: Timestamp) {
        self.clock(now);
        let alerts = self.kept().alerts;
        let before = std::mem::replace(&mut self.config, config);
        let mut times = BTreeMap::new();
        for ((route, labels), group) in std::mem::take(&mut self.groups) {
            times.insert(
                format!("{}:{labels}", before.routes[route].key),
                (group.next, group.flushed),
            );
        }
        self.alerts.clear();
        for alert in alerts {
            self.place(alert, now);
        }
        for ((route, labels), group) in &mut self.groups {
            let route = &self.config.routes[*route];
            if let Some((next, flushed)) = times.get(&format!("{}:{labels}", route.key)) {
                group.next = (*next).min(now.saturating_add(route.group_interval.max(route.group_wait)));
                group.flushed = *flushed;
            }
        }
        self.outgoing.reload(
            |delivery| means(&before, delivery),
            |delivery| means(&self.config, delivery),
        );
        self.move_log(now);
        self.look_again(now);
    }

    /// Makes the log fit the groups there are: what a receiver may know of an alert is known to the group that has it now, so that its end is
    /// told, and under other keys it is forgotten, since an alert that comes back there would be taken for told.
    fn move_log(&mut self, now: Timestamp) {
        let mut told: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        let mut moved = Vec::new();
        for ((at, labels), group) in &self.groups {
            let route = &self.config.routes[*at];
            let Some(receiver) = self.config.receivers.get(&route.receiver) else {
                continue;
            };
            for (index, integration) in receiver.integrations.iter().enumerate() {
                let key = log_key(&format!("{}:{labels}", route.key), &route.receiver, index);
                let ending = log_key("", &route.receiver, index);
                for alert in group.alerts.keys().filter(|_| integration.send_resolved) {
                    if !self.log.may_know(&key, *alert) && self.log.any_may_know(&ending, *alert) {
                        moved.push((key.clone(), *alert));
                    }
                }
                told.insert(key, group.alerts.keys().copied().collect());
            }
        }
        let keys: Vec<String> = self.log.0.keys().cloned().collect();
        for key in keys {
            // A receiver that is gone may come back: a file that could not be read for a moment makes it go.
            let receiver = key.split('\u{0}').nth(1).unwrap_or_default();
            if self.config.receivers.contains_key(receiver) {
                let group = told.get(&key);
                self.log
                    .keep_known(&key, |alert| group.is_some_and(|group| group.contains(&alert)));
            }
        }
        for (key, alert) in moved {
            self.log.suspect(&key, alert, now);
        }
    }

    /// Forgets of what was confirmed under a key what its group does not have any more.
    pub(super) fn forget_moved(&mut self, key: &str, group_key: &str) {
        let receiver = key.split('\u{0}').nth(1).unwrap_or_default();
        if !self.config.receivers.contains_key(receiver) {
            return;
        }
        let routes = &self.config.routes;
        let groups = self.groups.iter();
        let groups: Vec<&Group> = groups
            .filter(|((route, labels), _)| format!("{}:{labels}", routes[*route].key) == group_key)
            .map(|(_, group)| group)
            .collect();
        self.log.keep_known(key, |alert| {
            groups.iter().any(|group| group.alerts.contains_key(&alert))
        });
    }

    /// Has groups flushed whose deliveries went another way than usual.
    pub(super) fn look_again(&mut self, now: Timestamp) {
        for (group_key, at) in self.outgoing.take_again() {
            for ((route, labels), group) in &mut self.groups {
                if format!("{}:{labels}", self.config.routes[*route].key) == group_key {
                    group.next = group.next.min(at.max(now));
                }
            }
        }
    }

    /// Looks at the clock: where it was set back, nothing waits for longer because of that.
    pub(super) fn clock(&mut self, now: Timestamp) {
        if now < self.seen {
            let (by, seen) = (self.seen - now, self.seen);
            let groups = self.groups.values_mut();
            let of_groups = groups.flat_map(|group| {
                group.next -= by;
                group.alerts.values_mut()
            });
            // What was over is over, whatever the clock says.
            for alert in of_groups
                .chain(self.alerts.values_mut())
                .filter(|alert| alert.resolved(seen))
            {
                alert.end_by(now);
            }
            self.outgoing.set_back(by);
        }
        self.seen = now;
    }
}
