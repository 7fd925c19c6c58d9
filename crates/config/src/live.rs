//! When a revision is live: every replica that should have it was observed to hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_base::Mono;

/// How long a replica has to take a revision before it is named as late.
pub const LATE_AFTER: Duration = Duration::from_secs(10);

/// What was observed of a replica that takes configuration: the environment it was started with, the file that was written before its
/// signal, the revision it acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The revision it holds; nothing where that is not known.
    pub revision: Option<u64>,
    /// It is to be started anew for what it is to hold, so what it says meanwhile does not count.
    pub is_replaced: bool,
    /// Why it does not take the revision in force, by its own word.
    pub refused: Option<String>,
}

impl Holding {
    /// Returns whether it holds a revision.
    #[must_use]
    pub fn is_of(&self, revision: u64) -> bool {
        !self.is_replaced && self.revision.is_some_and(|held| held >= revision)
    }
}

/// Whether the revision in force is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Every replica has it.
    Live,
    /// These do not have it yet, and have time.
    Going(BTreeSet<String>),
    /// These do not have it and should, or say that they do not take it.
    Late(BTreeSet<String>),
}

/// Returns whether a revision that is in force since a moment is live in these replicas.
#[must_use]
pub fn liveness(revision: u64, since: Mono, replicas: &BTreeMap<String, Holding>, now: Mono) -> Liveness {
    let missing = replicas.iter().filter(|(_, holding)| !holding.is_of(revision));
    let names = |holdings: Vec<(&String, &Holding)>| holdings.into_iter().map(|(name, _)| name.clone()).collect();
    let missing: Vec<_> = missing.collect();
    let is_late = now.since(since) >= LATE_AFTER || missing.iter().any(|(_, holding)| holding.refused.is_some());
    match missing.is_empty() {
        true => Liveness::Live,
        false if is_late => Liveness::Late(names(missing)),
        false => Liveness::Going(names(missing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_live_when_every_replica_has_it() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        let mut replicas: BTreeMap<String, Holding> = names(&["api/1", "api/2", "worker/1"])
            .into_iter()
            .map(|name| (name, Holding::default()))
            .collect();
        let hold = |replicas: &mut BTreeMap<String, Holding>, name: &str, revision| {
            replicas.get_mut(name).unwrap().revision = Some(revision);
        };
        let all = names(&["api/1", "api/2", "worker/1"]);
        assert_eq!(liveness(1, at(0), &replicas, at(1)), Liveness::Going(all.clone()));
        assert_eq!(liveness(1, at(0), &replicas, at(10)), Liveness::Late(all));
        for name in ["api/1", "api/2", "worker/1"] {
            hold(&mut replicas, name, 1);
        }
        assert_eq!(liveness(1, at(0), &replicas, at(10)), Liveness::Live);
        hold(&mut replicas, "api/1", 2);
        hold(&mut replicas, "worker/1", 2);
        assert_eq!(liveness(2, at(5), &replicas, at(6)), Liveness::Going(names(&["api/2"])));
        // Who says no is not waited for.
        replicas.get_mut("api/2").unwrap().refused = Some("no such currency".to_owned());
        assert_eq!(liveness(2, at(5), &replicas, at(6)), Liveness::Late(names(&["api/2"])));
        // One that is replaced has the word of the one before it.
        hold(&mut replicas, "api/2", 2);
        replicas.get_mut("api/2").unwrap().is_replaced = true;
        assert!(!replicas["api/2"].is_of(2));
        replicas.remove("api/2");
        assert_eq!(liveness(2, at(5), &replicas, at(15)), Liveness::Live);
        assert_eq!(liveness(2, at(5), &BTreeMap::new(), at(15)), Liveness::Live);
    }
}
