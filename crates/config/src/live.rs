//! When a revision is live: every replica that should have it was observed to hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_base::Mono;

/// How long a replica has to take a revision before it is named as late.
pub const LATE_AFTER: Duration = Duration::from_secs(10);

/// Which revision each replica holds, and since when which one is wanted.
///
/// What a replica holds is what was observed: the environment it was started with, the file that was written before its signal, the
/// revision it acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holders {
    /// The revision in force.
    wanted: u64,
    /// Since when, by the clock that never jumps.
    since: Mono,
    /// What each replica holds; nothing where that is not known.
    holds: BTreeMap<String, Option<u64>>,
    /// The oldest revision that each replica may hold and be right, since nothing it is given changed after it.
    enough: BTreeMap<String, u64>,
}

/// Whether the revision in force is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Every replica has it.
    Live,
    /// These do not have it yet, and have time.
    Going(BTreeSet<String>),
    /// These do not have it and should.
    Late(BTreeSet<String>),
}

impl Holders {
    /// A revision was taken: of the replicas in `asked` it asks something, for the others nothing changes.
    pub fn taken<'a>(&mut self, revision: u64, asked: impl IntoIterator<Item = &'a str>, now: Mono) {
        self.wanted = revision;
        self.since = now;
        for replica in asked {
            self.enough.insert(replica.to_owned(), revision);
        }
    }

    /// A replica was seen to hold a revision. An older word that arrives late does not count against a newer one.
    pub fn observed(&mut self, replica: &str, revision: u64) {
        let held = self.holds.entry(replica.to_owned()).or_default();
        *held = Some(held.map_or(revision, |before| before.max(revision)));
    }

    /// A replica started; what it holds is not known until it is observed.
    pub fn started(&mut self, replica: &str) {
        self.holds.insert(replica.to_owned(), None);
        self.enough.insert(replica.to_owned(), self.wanted);
    }

    /// A replica ended: nothing is waited for from it.
    pub fn gone(&mut self, replica: &str) {
        self.holds.remove(replica);
        self.enough.remove(replica);
    }

    /// Returns what a replica holds, where it is known.
    #[must_use]
    pub fn holds(&self, replica: &str) -> Option<u64> {
        self.holds.get(replica).copied().flatten()
    }

    /// Returns whether the revision in force is live.
    #[must_use]
    pub fn liveness(&self, now: Mono) -> Liveness {
        let missing: BTreeSet<String> = self
            .holds
            .iter()
            .filter(|(replica, held)| {
                let enough = self.enough.get(*replica).copied().unwrap_or_default();
                held.is_none_or(|held| held < enough)
            })
            .map(|(replica, _)| replica.clone())
            .collect();
        if missing.is_empty() {
            Liveness::Live
        } else if now.since(self.since) < LATE_AFTER {
            Liveness::Going(missing)
        } else {
            Liveness::Late(missing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_live_when_every_replica_that_should_have_it_has_it() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        let mut holders = Holders::default();
        holders.taken(1, [], at(0));
        for replica in ["api/1", "api/2", "worker/1"] {
            holders.started(replica);
        }
        assert_eq!(
            holders.liveness(at(1)),
            Liveness::Going(names(&["api/1", "api/2", "worker/1"]))
        );
        for replica in ["api/1", "api/2", "worker/1"] {
            holders.observed(replica, 1);
        }
        assert_eq!(holders.liveness(at(1)), Liveness::Live);
        // The next one changes nothing for the worker.
        holders.taken(2, ["api/1", "api/2"], at(5));
        holders.observed("api/1", 2);
        assert_eq!(holders.liveness(at(6)), Liveness::Going(names(&["api/2"])));
        assert_eq!(holders.liveness(at(15)), Liveness::Late(names(&["api/2"])));
        // A late word of an older one changes nothing, and who is gone is not waited for.
        holders.observed("api/1", 1);
        assert_eq!(holders.holds("api/1"), Some(2));
        holders.gone("api/2");
        assert_eq!(holders.liveness(at(15)), Liveness::Live);
    }
}
