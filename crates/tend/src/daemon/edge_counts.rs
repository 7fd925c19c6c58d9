//! What edges counted of each life of a replica: requests and failures. Knows no socket, and judges nothing.
//!
//! An edge counts from when it first heard of a replica and says its sums again and again. Another edge begins at nothing, so what each
//! said last is kept apart and added up: the counts go on when an edge is replaced or killed, but for its last second.

use std::collections::BTreeMap;

use tend_core::model::ReplicaId;

/// Lives of one replica that are kept, the latest ones: one that crashes over and over must not grow the list.
const LIVES_MAX: usize = 8;

/// Requests, and those of them that failed.
type Sums = (u64, u64);

/// The counts by replica and life.
#[derive(Debug, Default)]
pub(crate) struct EdgeCounts {
    lives: BTreeMap<ReplicaId, BTreeMap<u64, Life>>,
    /// How often an edge said something.
    said: u64,
}

/// What edges said of one life.
#[derive(Debug, Default)]
struct Life {
    /// By process of the edge.
    edges: BTreeMap<u32, Sums>,
    /// Which saying was the last about it.
    said: u64,
}

impl EdgeCounts {
    /// Notes what the edge of this process said of a life.
    pub(crate) fn note(&mut self, edge: u32, replica: &ReplicaId, incarnation: u64, sums: Sums) {
        self.said += 1;
        let lives = self.lives.entry(replica.clone()).or_default();
        let life = lives.entry(incarnation).or_default();
        life.edges.insert(edge, sums);
        life.said = self.said;
        if lives.len() > LIVES_MAX {
            lives.pop_first();
        }
    }

    /// Returns how often an edge said something so far: a moment to ask [`Self::of_after`] about.
    pub(crate) fn said(&self) -> u64 {
        self.said
    }

    /// Returns the requests of a life and its failures, over all edges; none when no edge said anything of it.
    pub(crate) fn of(&self, replica: &ReplicaId, incarnation: u64) -> Option<Sums> {
        self.of_after(replica, incarnation, 0)
    }

    /// Returns the same; none when no edge said anything of it after a moment of [`Self::said`]: an edge says the sums of a service
    /// whose requests are not split only once, so what is known of it may be of long ago.
    pub(crate) fn of_after(&self, replica: &ReplicaId, incarnation: u64, moment: u64) -> Option<Sums> {
        let life = self.lives.get(replica)?.get(&incarnation)?;
        let edges = (life.said > moment).then_some(&life.edges)?;
        Some(
            edges
                .values()
                .fold((0, 0), |sum, said| (sum.0 + said.0, sum.1 + said.1)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica() -> ReplicaId {
        "mps/api/2".parse().unwrap()
    }

    #[test]
    fn what_an_edge_says_again_replaces_what_it_said() {
        let mut counts = EdgeCounts::default();
        assert_eq!(counts.of(&replica(), 7), None);
        counts.note(100, &replica(), 7, (10, 1));
        counts.note(100, &replica(), 7, (25, 2));
        assert_eq!(counts.of(&replica(), 7), Some((25, 2)));
        assert_eq!(counts.of(&replica(), 8), None);
    }

    #[test]
    fn another_edge_goes_on_where_the_one_before_it_ended() {
        let mut counts = EdgeCounts::default();
        counts.note(100, &replica(), 7, (25, 2));
        counts.note(200, &replica(), 7, (1, 0));
        // The first finishes what it has while the second serves.
        counts.note(100, &replica(), 7, (26, 3));
        counts.note(200, &replica(), 7, (5, 1));
        assert_eq!(counts.of(&replica(), 7), Some((31, 4)));
    }

    #[test]
    fn what_was_said_before_a_moment_is_told_from_what_was_said_after_it() {
        let mut counts = EdgeCounts::default();
        counts.note(100, &replica(), 7, (25, 2));
        let moment = counts.said();
        assert_eq!(counts.of_after(&replica(), 7, moment), None);
        counts.note(200, &replica(), 7, (1, 0));
        assert_eq!(counts.of_after(&replica(), 7, moment), Some((26, 2)));
    }

    #[test]
    fn a_replica_that_crashes_over_and_over_does_not_grow_the_list() {
        let mut counts = EdgeCounts::default();
        for life in 1..=100 {
            counts.note(100, &replica(), life, (life, 1));
        }
        assert_eq!(counts.lives[&replica()].len(), LIVES_MAX);
        assert_eq!(counts.of(&replica(), 92), None);
        assert_eq!(counts.of(&replica(), 93), Some((93, 1)));
    }
}
