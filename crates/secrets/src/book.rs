//! The secrets of one stack as a value: names, versions, and what may become of each.
//!
//! Owns the life of a version. Knows no file, no key and no clock: who asks brings the time.
//!
//! ```text
//!  set, generate ──► staged ──► current ──► retired ──► destroyed
//!      first one ───────────────►│              ▲
//!                    staged ─────┴── retire ────┘
//! ```
//!
//! A rotation with an overlap goes through one state more: of its two versions one is current and the other is `overlap`, and they may
//! change places ([`Book::issue`]) until one is retired or thrown away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tend_base::{Exposed, Secret, Wall};
use tend_core::model::{Issued, is_secret_name};

use crate::{Recipe, SecretsError};

/// Days after which a secret should have been rotated, unless it says otherwise (requirement S3).
pub const DUE_DAYS: u32 = 90;

/// Longest value. The kernel takes variables of at most 128 KiB each.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// Who makes a version that was read in a Vault.
const VAULT: &str = "vault";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// All secrets of one stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Version of this form.
    pub(crate) format: u32,
    /// Whose they are: the owner of the stack.
    pub owner_uid: u32,
    /// By name.
    pub secrets: BTreeMap<String, Kept>,
}

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// How it is rotated.
    pub class: Class,
    /// Days after which its current version should have been rotated.
    pub due_days: u32,
    /// How its values are made, where tend makes them.
    #[serde(default)]
    pub recipe: Option<Recipe>,
    /// While it is rotated: the version that is given beside the current one, to be accepted and not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<u64>,
    /// By number, from 1; a number is never given twice.
    pub versions: BTreeMap<u64, Version>,
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// What it is now.
    pub state: State,
    /// Its value; none once it is destroyed.
    #[serde(default)]
    value: Option<Exposed>,
    /// When it was stored.
    pub made_at: Wall,
    /// By whom, for people.
    pub made_by: String,
    /// Where it was read, when it came from a Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// When it became what it is now.
    pub since: Wall,
}

/// Where in a Vault a value was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The server's address.
    pub address: String,
    /// The path of the secret there.
    pub path: String,
    /// Which of its fields.
    pub field: String,
    /// Its version there, which is not the one here.
    pub version: u64,
    /// When it was written there, in that server's words: numbers of versions begin anew when a secret is made anew.
    pub written: String,
}

/// What a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Stored, and not given to anybody yet.
    Staged,
    /// The one that replicas are given.
    Current,
    /// Of a secret that is being rotated: valid beside the current one. Given only where both are to be known.
    Overlap,
    /// Given to nobody any more; kept so that it can be found where it should not be.
    Retired,
    /// Its value is gone.
    Destroyed,
}

impl State {
    /// Returns the word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Current => "current",
            Self::Overlap => "overlap",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
        }
    }
}

/// How a secret is rotated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The new value holds from the restart of each replica that has it.
    #[default]
    RestartOnly,
    /// Old and new are both valid for a while.
    TokenOverlap,
    /// Two users of a database take turns.
    DatabaseTwoUsers,
    /// What was encrypted with the old value is encrypted anew before it goes.
    ReEncrypt,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [
        Self::RestartOnly,
        Self::TokenOverlap,
        Self::DatabaseTwoUsers,
        Self::ReEncrypt,
    ];

    /// Returns the word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::RestartOnly => "restart-only",
            Self::TokenOverlap => "token-overlap",
            Self::DatabaseTwoUsers => "database-two-users",
            Self::ReEncrypt => "re-encrypt",
        }
    }
}

/// What became of a value that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its version.
    pub version: u64,
    /// What that is.
    pub state: State,
    /// It was there already, with this very value.
    pub unchanged: bool,
}

fn check_name(name: &str) -> Result<(), SecretsError> {
    is_secret_name(name)
        .then_some(())
        .ok_or_else(|| SecretsError::Name { name: name.to_owned() })
}

fn check_value(name: &str, value: &Secret) -> Result<(), SecretsError> {
    let why = match value.expose() {
        "" => "is empty",
        text if text.len() > VALUE_BYTES_MAX => "is longer than 64 KiB",
        text if text.contains('\0') => "holds a NUL byte, which no variable can",
        _ => return Ok(()),
    };
    Err(SecretsError::Value {
        name: name.to_owned(),
        why,
    })
}

impl Book {
    /// Version of the stored form that this program writes.
    pub(crate) const FORMAT: u32 = 1;

    /// Returns an empty book of an owner.
    #[must_use]
    pub fn new(owner_uid: u32) -> Self {
        Self {
            format: Self::FORMAT,
            owner_uid,
            secrets: BTreeMap::new(),
        }
    }

    /// Takes in a value: the first of a secret is current at once, a later one is staged in the place of one that was staged before.
    /// A value that is current or staged already changes nothing.
    ///
    /// # Errors
    /// When name or value cannot be one.
    pub fn put(&mut self, name: &str, value: Secret, by: &str, now: Wall) -> Result<Stored, SecretsError> {
        check_name(name)?;
        check_value(name, &value)?;
        let kept = self.secrets.entry(name.to_owned()).or_insert_with(|| Kept {
            class: Class::default(),
            due_days: DUE_DAYS,
            recipe: None,
            also: None,
            versions: BTreeMap::new(),
        });
        let same = kept.versions.iter().find(|(_, version)| {
            matches!(version.state, State::Current | State::Overlap | State::Staged)
                && version.value.as_deref() == Some(&value)
        });
        if let Some((number, version)) = same {
            return Ok(Stored {
                version: *number,
                state: version.state,
                unchanged: true,
            });
        }
        let number = kept.versions.keys().next_back().copied().unwrap_or(0) + 1;
        let state = match kept.current() {
            None => State::Current,
            Some(_) => State::Staged,
        };
        // What was staged has been given to nobody: its value is of no use any more.
        for version in kept
            .versions
            .values_mut()
            .filter(|version| version.state == State::Staged)
        {
            version.become_state(State::Destroyed, now);
        }
        kept.versions.insert(
            number,
            Version {
                state,
                value: Some(Exposed(value)),
                made_at: now,
                made_by: by.to_owned(),
                origin: None,
                since: now,
            },
        );
        Ok(Stored {
            version: number,
            state,
            unchanged: false,
        })
    }

    /// Takes in what a Vault has now, current at once; a value that is current already changes nothing but where it was read. What was
    /// taken out of use here stays so, although the Vault has it still: until something is written there. Returns the version before, where
    /// another one is current now, and the one that is.
    ///
    /// # Errors
    /// When name or value cannot be one.
    pub fn follow(
        &mut self,
        name: &str,
        value: Secret,
        origin: Origin,
        now: Wall,
    ) -> Result<(Option<u64>, Stored), SecretsError> {
        let kept = self.secrets.get(name).into_iter().flat_map(|kept| &kept.versions);
        let gone = |version: &Version| matches!(version.state, State::Retired | State::Destroyed);
        let mut retired = kept.filter(|(_, version)| gone(version) && version.origin.as_ref() == Some(&origin));
        if let Some((number, version)) = retired.next_back() {
            let (version, state) = (*number, version.state);
            return Ok((
                None,
                Stored {
                    version,
                    state,
                    unchanged: true,
                },
            ));
        }
        let mut stored = self.put(name, value, VAULT, now)?;
        let mut before = None;
        if stored.state == State::Staged {
            before = self.promote(name, now)?.0;
            stored.state = State::Current;
            stored.unchanged = false;
        }
        let version = self.of_mut(name)?.version_mut(name, stored.version)?;
        version.origin = Some(origin);
        Ok((before, stored))
    }

    /// Returns whether a version with this value is current, staged, or part of a rotation.
    #[must_use]
    pub fn in_use(&self, name: &str, value: &Secret) -> bool {
        let versions = self
            .secrets
            .get(name)
            .into_iter()
            .flat_map(|kept| kept.versions.values());
        let mut alive = versions.filter(|one| matches!(one.state, State::Current | State::Overlap | State::Staged));
        alive.any(|one| one.value.as_deref() == Some(value))
    }

    /// Makes a value, notes how, and takes it in.
    ///
    /// # Errors
    /// When the name cannot be one, or no value can be made so.
    pub fn generate(&mut self, name: &str, recipe: Recipe, by: &str, now: Wall) -> Result<Stored, SecretsError> {
        check_name(name)?;
        let stored = self.put(name, recipe.draw(name)?, by, now)?;
        self.of_mut(name)?.recipe = Some(recipe);
        Ok(stored)
    }

    /// Makes the staged version the current one and retires the one before; returns both.
    ///
    /// # Errors
    /// When nothing is staged.
    pub fn promote(&mut self, name: &str, now: Wall) -> Result<(Option<u64>, u64), SecretsError> {
        let kept = self.of_mut(name)?;
        let staged = kept
            .number_of(State::Staged)
            .ok_or_else(|| SecretsError::NothingStaged { name: name.to_owned() })?;
        let before = kept.current();
        for (number, version) in &mut kept.versions {
            if Some(*number) == before {
                version.become_state(State::Retired, now);
            } else if *number == staged {
                version.become_state(State::Current, now);
            }
        }
        Ok((before, staged))
    }

    /// Of a secret that is rotated: this version is given from now on, and with `both` the other one beside it. Neither is retired, so
    /// that it can go on and back. The same once more changes nothing; returns whether anything was another before.
    ///
    /// # Errors
    /// When one of the two is not there or out of use.
    pub fn issue(&mut self, name: &str, version: u64, other: u64, both: bool, now: Wall) -> Result<bool, SecretsError> {
        let kept = self.of_mut(name)?;
        for number in [version, other] {
            match kept.version_mut(name, number)?.state {
                State::Staged | State::Current | State::Overlap => {}
                state => return Err(not_usable(name, number, state)),
            }
        }
        let before = kept.clone();
        for (number, state) in [(version, State::Current), (other, State::Overlap)] {
            let one = kept.version_mut(name, number)?;
            if one.state != state {
                one.become_state(state, now);
            }
        }
        kept.also = both.then_some(other);
        Ok(*kept != before)
    }

    /// Throws away a version that was to be: its value is gone. One that is gone already is left so.
    ///
    /// # Errors
    /// When there is no such version, or it is current.
    pub fn discard(&mut self, name: &str, number: u64, now: Wall) -> Result<(), SecretsError> {
        let kept = self.of_mut(name)?;
        let version = kept.version_mut(name, number)?;
        match version.state {
            State::Destroyed => {}
            State::Current => return Err(not_usable(name, number, State::Current)),
            State::Staged | State::Overlap | State::Retired => version.become_state(State::Destroyed, now),
        }
        kept.also = kept.also.filter(|also| *also != number);
        Ok(())
    }

    /// Takes a version out of use: the one named, else the current one. It is for the caller to know that nobody holds it.
    ///
    /// # Errors
    /// When there is no such version, or it is out of use.
    pub fn retire(&mut self, name: &str, number: Option<u64>, now: Wall) -> Result<u64, SecretsError> {
        let kept = self.of_mut(name)?;
        let number = number.or_else(|| kept.current()).unwrap_or(0);
        let version = kept.version_mut(name, number)?;
        match version.state {
            State::Current | State::Overlap | State::Staged => version.become_state(State::Retired, now),
            state => return Err(not_usable(name, number, state)),
        }
        kept.also = kept.also.filter(|also| *also != number);
        Ok(number)
    }

    /// Wipes the value of a version, or of all that are retired; returns which.
    ///
    /// # Errors
    /// When there is no such version, it is current or staged, or none is retired.
    pub fn destroy(&mut self, name: &str, number: Option<u64>, now: Wall) -> Result<Vec<u64>, SecretsError> {
        let kept = self.of_mut(name)?;
        let numbers: Vec<u64> = match number {
            Some(number) => vec![number],
            None => kept.numbers_of(State::Retired).collect(),
        };
        if numbers.is_empty() {
            let current = kept.current().or_else(|| kept.number_of(State::Staged)).unwrap_or(0);
            let state = kept.version_mut(name, current)?.state;
            return Err(not_usable(name, current, state));
        }
        for number in &numbers {
            let version = kept.version_mut(name, *number)?;
            if version.state != State::Retired {
                return Err(not_usable(name, *number, version.state));
            }
            version.become_state(State::Destroyed, now);
        }
        Ok(numbers)
    }

    /// Returns the value of a version that may be given to a process: of the current one, of the one that is given beside it while the
    /// secret is rotated, and of no other.
    ///
    /// # Errors
    /// When there is no such version, or it is not one of these.
    pub fn given(&self, name: &str, number: u64) -> Result<&Secret, SecretsError> {
        let version = self.version(name, number)?;
        let beside = self.of(name)?.also == Some(number);
        match (&version.value, version.state) {
            (Some(value), State::Current) => Ok(value),
            (Some(value), State::Overlap) if beside => Ok(value),
            (_, state) => Err(not_usable(name, number, state)),
        }
    }

    /// Returns the value of any version that has one, for showing it to a person who may see it.
    ///
    /// # Errors
    /// When there is no such version, or its value is gone.
    pub fn shown(&self, name: &str, number: Option<u64>) -> Result<(u64, &Secret), SecretsError> {
        let number = number.or_else(|| self.current(name)).unwrap_or(0);
        let version = self.version(name, number)?;
        let value = version.value.as_deref();
        value
            .map(|value| (number, value))
            .ok_or_else(|| not_usable(name, number, version.state))
    }

    /// Returns the number of the current version.
    #[must_use]
    pub fn current(&self, name: &str) -> Option<u64> {
        self.secrets.get(name)?.current()
    }

    /// Returns the current version of every secret that has one.
    #[must_use]
    pub fn current_versions(&self) -> BTreeMap<String, u64> {
        let versions = self.secrets.iter();
        versions
            .filter_map(|(name, kept)| Some((name.clone(), kept.current()?)))
            .collect()
    }

    /// Returns which versions of every secret are given to replicas.
    #[must_use]
    pub fn issued(&self) -> BTreeMap<String, Issued> {
        let each = self.secrets.iter().filter_map(|(name, kept)| {
            let issued = Issued {
                version: kept.current()?,
                also: kept.also,
            };
            Some((name.clone(), issued))
        });
        each.collect()
    }

    /// Returns, by name, the highest version that may not be used any more. What was thrown away without having been current, when a later
    /// value was staged or a rotation was taken back, may be higher than the one that is in use, and does not count.
    #[must_use]
    pub fn retired_versions(&self) -> BTreeMap<String, u64> {
        let highest = |kept: &Kept| {
            let gone = kept.numbers_of(State::Retired).chain(kept.numbers_of(State::Destroyed));
            let current = kept.current().unwrap_or(u64::MAX);
            gone.filter(|number| *number < current).max()
        };
        let versions = self.secrets.iter();
        versions
            .filter_map(|(name, kept)| Some((name.clone(), highest(kept)?)))
            .collect()
    }

    /// Returns every value that is still known, with its secret and version: for finding them where they should not be.
    pub fn values(&self) -> impl Iterator<Item = (&str, u64, &Secret)> {
        self.secrets.iter().flat_map(|(name, kept)| {
            let versions = kept.versions.iter();
            versions.filter_map(|(number, version)| Some((name.as_str(), *number, version.value.as_deref()?)))
        })
    }

    /// Returns a secret.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn of(&self, name: &str) -> Result<&Kept, SecretsError> {
        self.secrets.get(name).ok_or_else(|| unknown(name))
    }

    /// Returns a secret to be changed.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn of_mut(&mut self, name: &str) -> Result<&mut Kept, SecretsError> {
        self.secrets.get_mut(name).ok_or_else(|| unknown(name))
    }

    fn version(&self, name: &str, number: u64) -> Result<&Version, SecretsError> {
        let version = self.of(name)?.versions.get(&number);
        version.ok_or_else(|| SecretsError::NoVersion {
            name: name.to_owned(),
            version: number,
        })
    }
}

impl Kept {
    /// Returns the number of the current version.
    #[must_use]
    pub fn current(&self) -> Option<u64> {
        self.number_of(State::Current)
    }

    /// Returns the number of the newest version in a state.
    #[must_use]
    pub fn number_of(&self, state: State) -> Option<u64> {
        self.numbers_of(state).max()
    }

    /// Returns when the current version should have been rotated.
    #[must_use]
    pub fn due_at(&self) -> Option<Wall> {
        let current = self.versions.get(&self.current()?)?;
        Some(Wall(current.made_at.0 + u64::from(self.due_days) * DAY_MS))
    }

    fn numbers_of(&self, state: State) -> impl Iterator<Item = u64> {
        let versions = self.versions.iter();
        versions.filter_map(move |(number, version)| (version.state == state).then_some(*number))
    }

    fn version_mut(&mut self, name: &str, number: u64) -> Result<&mut Version, SecretsError> {
        self.versions.get_mut(&number).ok_or_else(|| SecretsError::NoVersion {
            name: name.to_owned(),
            version: number,
        })
    }
}

impl Version {
    fn become_state(&mut self, state: State, now: Wall) {
        self.state = state;
        self.since = now;
        if state == State::Destroyed {
            self.value = None;
        }
    }
}

fn unknown(name: &str) -> SecretsError {
    SecretsError::Unknown { name: name.to_owned() }
}

fn not_usable(name: &str, version: u64, state: State) -> SecretsError {
    SecretsError::NotUsable {
        name: name.to_owned(),
        version,
        state,
    }
}
