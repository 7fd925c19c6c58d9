//! What a stack's configuration is made from now, and what was taken of it: what the daemon keeps for each stack.
//!
//! Pure: texts, rows and times are handed in. What cannot be read stays as it was last known, and is told.
//!
//! Invariant: what was taken survives as the record of its revision, and a daemon that reads the records again offers the same (test
//! `a_stand_that_is_read_again_takes_nothing_new`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_base::{Now, Secret};
use tend_text::{Diagnostic, Report};

use crate::ask::Taker;
use crate::layers::{Layers, Origin, Row, SetLayer, StoredSecret};
use crate::revision::{History, Revision};
use crate::schema::Schema;
use crate::set::{Diff, Entry, Set};
use crate::take::{Candidate, Confirm, Standing, Step, Taken, take, take_back};

/// A text that the configuration is made from.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// As messages should show it.
    pub path: String,
    /// What it holds; none when there is no such file.
    pub text: Option<String>,
}

/// Shows no text: there may be secrets in it.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.path)
    }
}

/// Everything that is not ours to decide.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `deploy.environment` of the stack.
    pub environment: String,
    /// The schema, which has to be there.
    pub schema: Option<Source>,
    /// Files of values, the later above the earlier.
    pub files: Vec<Source>,
    /// Files of variables.
    pub dotenv: Vec<Source>,
    /// tend's own environment.
    pub process: BTreeMap<String, String>,
    /// What the store of secrets has.
    pub secrets: Vec<StoredSecret>,
    /// The table's name, where there is one.
    pub table: Option<String>,
}

/// A revision with all that a daemon needs to go on from it. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The revision.
    pub revision: Revision,
    /// What was set by command when it was taken.
    #[serde(default)]
    pub set: SetLayer,
    /// What waited to be confirmed.
    #[serde(default)]
    pub waiting: Option<Confirm>,
    /// The rows of the table as they were last known.
    #[serde(default)]
    pub rows: Vec<Row>,
}

/// What a stack's configuration is made from, and what was taken of it.
#[derive(Clone, Debug, Default)]
pub struct Stand {
    /// Everything that is not ours to decide.
    pub sources: Sources,
    /// The rows of the table, as last known.
    pub rows: Vec<Row>,
    set: SetLayer,
    history: History,
    waiting: Option<Confirm>,
}

/// Who offers, and among whom.
#[derive(Clone, Copy)]
pub struct Offer<'a> {
    /// Who made the change.
    pub who: &'a str,
    /// For how long to wait for a confirmation, if one is asked for.
    pub confirm: Option<Duration>,
    /// The services that run now.
    pub running: &'a [Taker],
    /// The boot of the machine, as the kernel names it.
    pub boot: &'a str,
    /// See [`Layers::mark`].
    pub mark: &'a dyn Fn(&Secret) -> String,
}

impl Stand {
    /// Returns the stand that the records of a stack tell of, oldest first.
    #[must_use]
    pub fn of(records: impl IntoIterator<Item = Record>) -> Self {
        let mut stand = Self::default();
        for record in records {
            stand.keep(record);
        }
        stand
    }

    /// Returns what was set by command, to be changed and offered.
    #[must_use]
    pub fn set_layer(&self) -> &SetLayer {
        &self.set
    }

    /// Returns the revisions that are kept.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Returns the change that waits to be confirmed.
    #[must_use]
    pub fn waiting(&self) -> Option<&Confirm> {
        self.waiting.as_ref()
    }

    /// Reads the schema.
    ///
    /// # Errors
    /// Everything that is wrong with it, or that there is none.
    pub fn schema(&self) -> Result<Schema, Report> {
        let Some(source) = &self.sources.schema else {
            return Err(Report::one(
                None,
                "the stack",
                "its configuration has no schema".to_owned(),
                "name one: `config: {schema: config/schema.yaml}`".to_owned(),
            ));
        };
        match &source.text {
            Some(text) => Schema::parse(&source.path, text),
            None => Err(Report::one(
                None,
                &source.path,
                "there is no such file".to_owned(),
                "write the schema there, or name another: `config: {schema: …}` in the stack file".to_owned(),
            )),
        }
    }

    /// Returns the set that the layers give, with another layer of what was set by command where one is tried.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn build(&self, schema: &Schema, set: &SetLayer, mark: &dyn Fn(&Secret) -> String) -> Result<Set, Report> {
        Set::build(schema, &self.layers(set, mark))
    }

    /// Returns what the layers say as far as it can be told, and what is wrong with the rest; see [`Set::sketch`].
    #[must_use]
    pub fn sketch(
        &self,
        schema: &Schema,
        mark: &dyn Fn(&Secret) -> String,
    ) -> (BTreeMap<String, Entry>, Vec<Diagnostic>) {
        Set::sketch(schema, &self.layers(&self.set, mark))
    }

    fn layers<'a>(&self, set: &SetLayer, mark: &'a dyn Fn(&Secret) -> String) -> Layers<'a> {
        let sources = &self.sources;
        let there = |source: &Source| Some((source.path.clone(), source.text.clone()?));
        let mut origins = Vec::new();
        origins.extend(
            sources
                .files
                .iter()
                .filter_map(there)
                .map(|(path, text)| Origin::File { path, text }),
        );
        origins.extend(
            sources
                .dotenv
                .iter()
                .filter_map(there)
                .map(|(path, text)| Origin::Dotenv { path, text }),
        );
        origins.push(Origin::Process(sources.process.clone()));
        origins.push(Origin::Secrets(sources.secrets.clone()));
        if let Some(name) = &sources.table {
            origins.push(Origin::Table {
                name: name.clone(),
                rows: self.rows.clone(),
            });
        }
        origins.push(Origin::Set(set.clone()));
        Layers {
            environment: sources.environment.clone(),
            origins,
            mark,
        }
    }

    /// Decides about what the layers give now, with `set` as what was set by command.
    ///
    /// What is set without changing anything is taken all the same: it has to hold when what lies beneath changes.
    #[must_use]
    pub fn offer(&self, schema: &Schema, set: &SetLayer, offer: &Offer<'_>, now: Now) -> Taken {
        let built = self.build(schema, set, offer.mark);
        self.decide(schema, set, built.as_ref(), offer, now)
    }

    /// Decides as [`Stand::offer`] about what was built of the layers already.
    #[must_use]
    pub fn decide(
        &self,
        schema: &Schema,
        set: &SetLayer,
        built: Result<&Set, &Report>,
        offer: &Offer<'_>,
        now: Now,
    ) -> Taken {
        let candidate = Candidate {
            outcome: built,
            who: offer.who,
            confirm: offer.confirm,
        };
        let taken = take(&self.standing(schema, offer), &candidate, now);
        match (taken, built, self.history.current()) {
            (Taken::Same, Ok(built), Some(current)) if *set != self.set => {
                let revision = Revision::of(built, current.number + 1, now.wall, offer.who);
                Taken::Taken(Box::new(Step {
                    diff: current.diff(&revision),
                    asks: BTreeMap::new(),
                    revision,
                    waiting: self.waiting.clone(),
                }))
            }
            (taken, ..) => taken,
        }
    }

    /// Decides about going back to an earlier revision.
    ///
    /// # Errors
    /// When that one is not kept, or holds what is in force.
    pub fn offer_back(
        &self,
        schema: &Schema,
        number: u64,
        offer: &Offer<'_>,
        now: Now,
    ) -> Result<Taken, crate::error::Error> {
        let revision = self.history.rollback(number, now.wall, offer.who)?;
        Ok(take_back(&self.standing(schema, offer), revision, offer.confirm, now))
    }

    /// Returns what is in force as a new revision: it holds the same, and is given to others or in other ways.
    #[must_use]
    pub fn renew(&self, who: &str, now: Now) -> Option<Step> {
        let current = self.history.current()?;
        Some(Step {
            revision: Revision {
                number: current.number + 1,
                when: now.wall,
                who: who.to_owned(),
                ..current.clone()
            },
            diff: Diff::default(),
            asks: BTreeMap::new(),
            waiting: self.waiting.clone().map(|waiting| Confirm {
                revision: current.number + 1,
                ..waiting
            }),
        })
    }

    /// Returns the record of the revision in force as one that nobody has to confirm any more, to be stored and then kept.
    ///
    /// # Errors
    /// When another revision waits than `number`, or none.
    pub fn confirm(&self, number: u64) -> Result<Record, crate::error::Error> {
        Confirm::confirm(self.waiting.as_ref(), number)?;
        let current = self
            .history
            .current()
            .ok_or(crate::error::Error::NothingToConfirm { number, waiting: None })?;
        Ok(Record {
            revision: current.clone(),
            set: self.set.clone(),
            waiting: None,
            rows: self.rows.clone(),
        })
    }

    /// Decides about a change that nobody confirmed: nothing while there is time.
    #[must_use]
    pub fn due(&self, schema: &Schema, offer: &Offer<'_>, now: Now) -> Option<Taken> {
        let (waiting, current) = self.waiting.as_ref().zip(self.history.current())?;
        let back = waiting.due(current, now, offer.boot)?;
        let standing = Standing {
            // It is over, whatever becomes of what is in force.
            waiting: None,
            ..self.standing(schema, offer)
        };
        Some(take_back(&standing, back, None, now))
    }

    /// Returns whether a change waits to be confirmed and its time is over.
    #[must_use]
    pub fn is_due(&self, now: Now, boot: &str) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.is_due(now, boot))
    }

    /// Returns the record of a step, to be stored in one transaction with what follows from it, and then kept.
    #[must_use]
    pub fn record(&self, step: &Step, set: &SetLayer) -> Record {
        Record {
            revision: step.revision.clone(),
            set: set.clone(),
            waiting: step.waiting.clone(),
            rows: self.rows.clone(),
        }
    }

    /// Returns the number of a revision that is kept no longer once another is.
    #[must_use]
    pub fn forgets(&self) -> Option<u64> {
        self.history.forgets()
    }

    /// Takes a stored record for what is in force; returns the number of a revision that is kept no longer.
    pub fn keep(&mut self, record: Record) -> Option<u64> {
        self.set = record.set;
        self.waiting = record.waiting;
        self.rows = record.rows;
        match self.history.current() {
            // Only what surrounds it is another.
            Some(current) if current.number == record.revision.number => None,
            _ => self.history.push(record.revision),
        }
    }

    fn standing<'a>(&'a self, schema: &'a Schema, offer: &Offer<'a>) -> Standing<'a> {
        Standing {
            current: self.history.current(),
            waiting: self.waiting.as_ref(),
            schema,
            running: offer.running,
            boot: offer.boot,
        }
    }
}
