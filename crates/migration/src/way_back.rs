//! Whether an earlier release can run on the database as it is now, and which migrations must wait so that it can.
//!
//! Owns both decisions. Opens no database: what was applied is told by the caller, or taken to be all that the release knows.
//!
//! Invariant: a retired version of a secret is never used again (test `a_retired_secret_is_never_used_again`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use tend_core::model::{MigrationClass, Release};

/// Which migrations the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All that the running release knows. The careful answer where nobody asked the database.
    All,
    /// These, by file name, as the database or the journal says: a held migration is not among them.
    Only(BTreeSet<String>),
}

/// Whether going back is safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The code of that release can run on the database as it is.
    Safe,
    /// It cannot, for each of these reasons.
    Refused(Vec<Reason>),
}

/// Why going back is refused, as a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A migration was applied that the earlier code cannot live with.
    Migration {
        /// Its file name.
        name: String,
        /// What it does.
        class: MigrationClass,
        /// The release to go back to.
        to: u64,
    },
    /// The earlier code needs a migration that the database does not have.
    Missing {
        /// Its file name.
        name: String,
        /// The release to go back to.
        to: u64,
    },
    /// The earlier code needs a secret of which no version is left that may be used.
    Secret {
        /// Its name.
        name: String,
        /// The version it was made with.
        version: u64,
        /// The highest retired version.
        retired: u64,
        /// The release to go back to.
        to: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migration { name, class, to } => {
                let does = match class {
                    MigrationClass::Irreversible => "changed data or schema for good",
                    _ => "took away or tightened",
                };
                write!(
                    f,
                    "migration `{name}` ({}) {does} what release {to} was written for; go forward with a new release, \
                     or restore the data, which is an act of its own",
                    class.text()
                )
            }
            Self::Missing { name, to } => write!(
                f,
                "release {to} needs migration `{name}`, which the database does not have; deploy that release, so that it is \
                 migrated, instead of going back to it"
            ),
            Self::Secret {
                name,
                version,
                retired,
                to,
            } => write!(
                f,
                "release {to} was made with version {version} of secret `{name}`; versions up to {retired} are retired and the \
                 running release has no later one; give the secret a new version first"
            ),
        }
    }
}

/// Decides whether the code of `to` can run on the database that `from` and its migrations left behind.
///
/// Safe only if every migration that was applied and that `to` does not know is of class `expand`, every migration that `to`
/// knows was applied, and every secret of `to` has a version that may be used. `retired` holds, by name, the highest version
/// of each secret that may not be used any more.
///
/// A secret follows the running release, not the one gone back to: code goes back, a rotated password does not. So the version
/// is that of [`secrets`], and a retired version in `to` alone refuses nothing. Only when that version is retired as well, or
/// `from` no longer has the secret, is there nothing to give to the earlier code, and going back is refused.
#[must_use]
pub fn rollback(from: &Release, to: &Release, applied: &Applied, retired: &BTreeMap<String, u64>) -> Verdict {
    let known = |release: &Release| -> BTreeMap<String, MigrationClass> {
        let migrations = release.schema.migrations.iter();
        migrations.map(|one| (one.name.clone(), one.class)).collect()
    };
    let (of_from, of_to) = (known(from), known(to));
    let applied: BTreeSet<String> = match applied {
        Applied::All => of_from.keys().cloned().collect(),
        Applied::Only(names) => names.clone(),
    };
    let mut reasons = Vec::new();
    for name in applied.iter().filter(|name| !of_to.contains_key(*name)) {
        // Of a migration that no record has, nothing is known that would make it safe.
        let class = of_from.get(name).copied().unwrap_or(MigrationClass::Irreversible);
        if class != MigrationClass::Expand {
            let name = name.clone();
            reasons.push(Reason::Migration {
                name,
                class,
                to: to.number,
            });
        }
    }
    for name in of_to.keys().filter(|name| !applied.contains(*name)) {
        // What is only taken away later is not needed by code that was written to do without.
        if of_to[name] == MigrationClass::Expand {
            reasons.push(Reason::Missing {
                name: name.clone(),
                to: to.number,
            });
        }
    }
    let versions = secrets(from, to);
    for (name, version) in &to.secrets {
        let retired = retired.get(name).copied().unwrap_or(0);
        if versions[name] <= retired {
            reasons.push(Reason::Secret {
                name: name.clone(),
                version: *version,
                retired,
                to: to.number,
            });
        }
    }
    match reasons.is_empty() {
        true => Verdict::Safe,
        false => Verdict::Refused(reasons),
    }
}

/// Returns the version of each secret that the code of `to` is given when it is gone back to from `from`.
///
/// The later of both: what was rotated since stays rotated. Whether that version may still be used, [`rollback`] says.
#[must_use]
pub fn secrets(from: &Release, to: &Release) -> BTreeMap<String, u64> {
    let later = |(name, version): (&String, &u64)| {
        let now = from.secrets.get(name).copied().unwrap_or(0);
        (name.clone(), now.max(*version))
    };
    to.secrets.iter().map(later).collect()
}

/// Returns the migrations of `next` that must not run yet, in order: those that code which may have to run cannot live with.
///
/// That code is `running`, which serves while the migrations run and takes over again when the deploy fails, and `back`, the way
/// back from it. A migration may run once every one of them knows it: its code was written to do without what is taken away.
/// So a contract migration waits at least one deploy, and is not run by a deploy whose failure would cost the way back.
///
/// `irreversible` waits like `contract`: the release before cannot live with it either. What was applied already is named too; the
/// caller knows what is pending.
#[must_use]
pub fn held(running: &Release, next: &Release, back: Option<&Release>) -> Vec<String> {
    let knows = |release: &Release, name: &str| release.schema.migrations.iter().any(|one| one.name == name);
    next.schema
        .migrations
        .iter()
        .filter(|migration| migration.class != MigrationClass::Expand)
        .filter(|migration| !knows(running, &migration.name) || back.is_some_and(|back| !knows(back, &migration.name)))
        .map(|migration| migration.name.clone())
        .collect()
}
