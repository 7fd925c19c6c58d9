//! Folding in who is to be let in nowhere, and who is let in again. Decides nothing: whether it may be was checked before.

use std::sync::Arc;

use serde_json::{Map, json};
use tend_base::Now;

use super::{Chapter, Controller, Reaction};
use crate::ban::BanChange;
use crate::journal::{Entry, Kind, Principal};

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    pub(super) fn ban(&mut self, change: &BanChange, by: Principal, now: Now, reaction: &mut Reaction) {
        let (BanChange::Begin { prefixes, .. } | BanChange::End { prefixes }) = change;
        let before: Map<String, serde_json::Value> = prefixes
            .iter()
            .filter_map(|prefix| {
                let ban = self.world.bans.get(prefix).filter(|ban| ban.holds(now.wall))?;
                Some((prefix.to_string(), json!(ban)))
            })
            .collect();
        if matches!(change, BanChange::End { .. }) && before.is_empty() {
            // None of them was banned: nothing changes, and nothing is told.
            return;
        }
        let touched = Arc::make_mut(&mut self.world.bans).change(change, &by.to_string(), now.wall);
        self.dirty.bans.extend(touched);
        self.world.edge.rules += 1;
        let entry = match change {
            BanChange::Begin {
                prefixes,
                until,
                reason,
                forced,
            } => Entry::new(by, Kind::BanBegun).with(json!({
                "addresses": prefixes, "until": until, "reason": reason, "forced": forced, "before": before,
            })),
            BanChange::End { .. } => {
                let addresses: Vec<&String> = before.keys().collect();
                Entry::new(by, Kind::BanEnded).with(json!({ "addresses": addresses, "before": before }))
            }
        };
        reaction.entries.push(entry);
    }
}
