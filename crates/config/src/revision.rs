//! Revisions: sets that were taken, by number, and how one is taken again.
//!
//! Invariant: a secret of a revision is never older than the one in force: going back gives no retired secret to anybody (test
//! `going_back_keeps_the_secrets_in_force`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tend_base::{Wall, fnv64};

use crate::error::Error;
use crate::set::{Diff, Entry, Set, Why};
use crate::value::{Held, SecretRef};

/// A set that was taken. Secrets are names and versions, so it may be stored and journalled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// From 1, each more than the one before.
    pub number: u64,
    /// When it was taken.
    pub when: Wall,
    /// Who made it so: a principal, a file, a row's author.
    pub who: String,
    /// The environment it was made for.
    pub environment: String,
    /// What it holds, by key.
    pub entries: BTreeMap<String, Entry>,
    /// The revision it took the values of, when somebody went back.
    pub back_to: Option<u64>,
    /// The digest of what the layers gave when it was taken, but for secrets. After going back that is not what it holds; as long as the
    /// layers give the same, nothing but secrets is taken of them.
    pub layers: u64,
}

impl Revision {
    /// Makes the revision of a set.
    #[must_use]
    pub fn of(set: &Set, number: u64, when: Wall, who: &str) -> Self {
        Self {
            number,
            when,
            who: who.to_owned(),
            environment: set.environment.clone(),
            entries: set.entries.clone(),
            back_to: None,
            layers: digest(&set.entries),
        }
    }

    /// Returns the revision that follows this one when the layers give a set; nothing when there is nothing new in it.
    ///
    /// After going back the layers still say what was left. As long as they say nothing else, only secrets are taken of them: a rotation
    /// does not undo a way back.
    #[must_use]
    pub fn next(&self, set: &Set, when: Wall, who: &str) -> Option<Self> {
        let mut next = Self::of(set, self.number + 1, when, who);
        if next.layers == self.layers {
            next.entries.retain(|_, entry| is_secret(entry));
            let plain = self.entries.iter().filter(|(_, entry)| !is_secret(entry));
            next.entries
                .extend(plain.map(|(key, entry)| (key.clone(), entry.clone())));
            next.back_to = self.back_to;
            if self.diff(&next).is_empty() {
                return None;
            }
        }
        Some(next)
    }

    /// Returns what `tend config why KEY` says of the layers; nothing for a key without a value.
    #[must_use]
    pub fn why(&self, key: &str) -> Option<Why<'_>> {
        let (key, entry) = self.entries.get_key_value(key)?;
        Some(Why { key, entry })
    }

    /// Returns what changed from this one to another.
    #[must_use]
    pub fn diff(&self, other: &Self) -> Diff {
        Diff::between(&self.entries, &other.entries)
    }

    /// Returns which versions of which secrets it names, by key.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        crate::set::secrets(&self.entries)
    }

    /// Returns the revision that holds again what `target` held, after this one.
    ///
    /// # Errors
    /// When that is what this one holds.
    pub fn go_back(&self, target: &Self, when: Wall, who: &str) -> Result<Self, Error> {
        // The secrets in force stay, all of them: one that was taken away since may be revoked, and a key that became secret may have
        // held in plain then what it must not show now.
        let of = |entries: &BTreeMap<String, Entry>, secret: bool| {
            let some = entries.iter().filter(|(_, entry)| is_secret(entry) == secret);
            some.map(|(key, entry)| (key.clone(), entry.clone()))
                .collect::<BTreeMap<_, _>>()
        };
        let mut entries = of(&target.entries, false);
        entries.extend(of(&self.entries, true));
        if Diff::between(&self.entries, &entries).is_empty() {
            return Err(Error::SameRevision { number: target.number });
        }
        Ok(Self {
            number: self.number + 1,
            when,
            who: who.to_owned(),
            environment: self.environment.clone(),
            entries,
            back_to: Some(target.number),
            layers: self.layers,
        })
    }
}

/// Returns the digest of what entries hold, secrets left out; where they hold it from does not count.
fn digest(entries: &BTreeMap<String, Entry>) -> u64 {
    let plain: BTreeMap<&String, &Held> = entries
        .iter()
        .filter(|(_, entry)| !is_secret(entry))
        .map(|(key, entry)| (key, &entry.held))
        .collect();
    fnv64(&serde_json::to_vec(&plain).expect("values and names always serialise"))
}

fn is_secret(entry: &Entry) -> bool {
    matches!(entry.held, Held::Secret(_))
}

/// The revisions that are kept, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History(Vec<Revision>);

/// Revisions that are kept. `rustbgpd` and network systems before it keep 20 to 50; a row a minute for an hour is 60.
const KEPT: usize = 100;

impl History {
    /// Returns the one in force.
    #[must_use]
    pub fn current(&self) -> Option<&Revision> {
        self.0.last()
    }

    /// Returns all, oldest first.
    #[must_use]
    pub fn all(&self) -> &[Revision] {
        &self.0
    }

    /// Returns one by its number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Revision> {
        self.0.iter().find(|revision| revision.number == number)
    }

    /// Returns the one before a number; that is not always the number less one, since a revision that came with a deployment may be gone with it.
    #[must_use]
    pub fn before(&self, number: u64) -> Option<&Revision> {
        self.0.iter().rev().find(|revision| revision.number < number)
    }

    /// Adds the next one, and returns the number of the oldest when that is kept no longer.
    pub fn push(&mut self, revision: Revision) -> Option<u64> {
        let forgotten = self.forgets();
        if forgotten.is_some() {
            self.0.remove(0);
        }
        self.0.push(revision);
        forgotten
    }

    /// Returns the number of the oldest when that is kept no longer once there is another.
    #[must_use]
    pub fn forgets(&self) -> Option<u64> {
        let oldest = self.0.first().filter(|_| self.0.len() >= KEPT)?;
        Some(oldest.number)
    }

    /// Returns the revision that holds again what `number` held, to be pushed when it is in force.
    ///
    /// # Errors
    /// When that one is not kept, or holds what is in force.
    pub fn rollback(&self, number: u64, when: Wall, who: &str) -> Result<Revision, Error> {
        let oldest = self.0.first().map(|revision| revision.number);
        let missing = Error::NoRevision { number, oldest };
        let (Some(current), Some(target)) = (self.current(), self.get(number)) else {
            return Err(missing);
        };
        current.go_back(target, when, who)
    }

    /// Returns each revision with what it changed, newest first.
    pub fn changes(&self) -> impl Iterator<Item = (&Revision, Diff)> {
        let empty = BTreeMap::new();
        let diffs: Vec<(&Revision, Diff)> = self
            .0
            .iter()
            .enumerate()
            .map(|(at, revision)| {
                let before = at.checked_sub(1).map_or(&empty, |before| &self.0[before].entries);
                (revision, Diff::between(before, &revision.entries))
            })
            .collect();
        diffs.into_iter().rev()
    }
}
