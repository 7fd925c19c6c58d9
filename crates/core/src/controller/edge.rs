//! Folding what the edge says: that it is there, what it serves, that it is gone. Decides nothing.

use std::time::Duration;

use serde_json::json;
use tend_base::Now;

use super::{Chapter, Controller, Reaction};
use crate::journal::{Entry, Kind};
use crate::plan::StepKey;

/// An edge that was connected for so long has come up well; one that was lost sooner counts as a start that failed.
const EDGE_LASTED_MIN: Duration = Duration::from_secs(1);

/// Snapshots that a killed daemon can have given out beyond the last one it wrote down, and that may still be on their way to the edge.
/// The numbers of the next daemon begin beyond them, by the clock not where a third one's do: the word that one of them is served must
/// not pass for the word on another.
const GENERATIONS_UNKNOWN_MAX: u64 = 1000;

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    pub(super) fn edge_connected(&mut self, serving: u64, now: Now, reaction: &mut Reaction) {
        self.finish(StepKey::StartEdge, &Ok(()), reaction);
        let edge = &mut self.world.edge;
        edge.connected_since = Some(now.mono);
        (edge.connected, edge.failed, edge.serving) = (true, None, serving);
        let leap = GENERATIONS_UNKNOWN_MAX + now.mono.0 / 1_000_000 % GENERATIONS_UNKNOWN_MAX;
        edge.generation = edge.generation.max(serving) + leap;
        // Whatever it serves was made by an earlier daemon or for an earlier edge: say it again.
        (edge.published, edge.publish_failed) = (None, None);
        reaction
            .entries
            .push(Entry::new(self.daemon.clone(), Kind::EdgeStarted).with(json!({ "serving": serving })));
    }

    pub(super) fn edge_serving(&mut self, generation: u64, reaction: &mut Reaction) {
        let edge = &mut self.world.edge;
        edge.serving = edge.serving.max(generation);
        if generation > edge.generation {
            // Given out by an earlier daemon that was killed before it could write that down, and taken up only now: what this one says
            // needs a higher number, or the edge would take it for old, and what it serves would count as what this one said.
            (edge.generation, edge.published, edge.publish_failed) = (generation, None, None);
            self.dirty.edge = true;
        }
        let entry = Entry::new(self.daemon.clone(), Kind::EdgeServing);
        reaction.entries.push(entry.with(json!({ "snapshot": generation })));
    }

    pub(super) fn edge_lost(&mut self, now: Now, reaction: &mut Reaction) {
        let edge = &mut self.world.edge;
        if std::mem::take(&mut edge.connected) {
            edge.published = None;
            let since = edge.connected_since.take();
            let lasted = since.is_some_and(|since| now.mono.since(since) >= EDGE_LASTED_MIN);
            edge.failures = if lasted { 0 } else { edge.failures + 1 };
            edge.ended_at = Some(now.mono);
            reaction.entries.push(Entry::new(self.daemon.clone(), Kind::EdgeLost));
        }
    }
}
