//! What a person looks at and decides, in the files of edges that may be running or not. Reads and writes beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};
use tend_base::Wall;

use crate::key::KeyId;
use crate::spool::{self, Refused};
use crate::window::{self, Answer, Line, Which};
use crate::{Error, schema};

/// So many lines are shown at most.
const LINES_MAX: u32 = 1000;

/// The keys and callbacks of a folder.
#[derive(Debug)]
pub struct Books {
    connection: Connection,
    path: PathBuf,
}

/// What a person says of a request that is in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was carried out: this is the answer from now on.
    Happened(Answer),
    /// It was not: the key is free.
    DidNotHappen,
}

/// What waits of a route, or was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolLine {
    /// Which.
    pub route: String,
    /// So many callbacks wait.
    pub waiting: u64,
    /// When the first of them came.
    pub oldest_at: Option<Wall>,
    /// How often the first was tried.
    pub tries: u32,
    /// What the last try of the first one gave.
    pub last: Option<String>,
    /// So many the service did not want.
    pub refused: u64,
}

impl Books {
    /// Opens the files of a folder; none when no edge ever made them.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub fn open(folder: &Path) -> Result<Option<Self>, Error> {
        let path = schema::path_in(folder);
        if !path.exists() {
            return Ok(None);
        }
        let connection = schema::open(folder)?;
        Ok(Some(Self { connection, path }))
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Write {
            path: path.clone(),
            source: Arc::new(source),
        }
    }

    fn lines(&self, which: &Which<'_>) -> Result<Vec<Line>, Error> {
        let lines = window::lines(&self.connection, which, LINES_MAX).map_err(self.failed())?;
        Ok(lines.into_iter().map(|(_, line)| line).collect())
    }

    /// Returns the keys in doubt, the latest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn in_doubt(&self) -> Result<Vec<Line>, Error> {
        self.lines(&Which::InDoubt)
    }

    /// Returns how many keys are in doubt.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub fn doubts(&self) -> Result<u64, Error> {
        window::doubts(&self.connection).map_err(self.failed())
    }

    /// Returns the latest keys.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn latest(&self) -> Result<Vec<Line>, Error> {
        self.lines(&Which::All)
    }

    /// Returns the key of this name: as the client wrote it, or the first digits of its id.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn find(&self, name: &str) -> Result<Line, Error> {
        self.one(&Which::Named(name), name).map(|(_, line)| line)
    }

    fn one(&self, which: &Which<'_>, name: &str) -> Result<(KeyId, Line), Error> {
        let mut found = window::lines(&self.connection, which, LINES_MAX).map_err(self.failed())?;
        if found.len() > 1 {
            return Err(Error::Ambiguous {
                name: name.to_owned(),
                candidates: found.into_iter().map(|(_, line)| line.id).collect(),
            });
        }
        found.pop().ok_or_else(|| Error::Unknown { name: name.to_owned() })
    }

    /// Ends a doubt and returns the key as it was; an answer is given again until `window` is over.
    ///
    /// # Errors
    /// When there is no such key, or what became of it is known.
    pub fn resolve(&mut self, name: &str, resolution: &Resolution, now: Wall, window: Duration) -> Result<Line, Error> {
        let (id, line) = match self.one(&Which::NamedInDoubt(name), name) {
            Err(Error::Unknown { .. }) => self.one(&Which::Named(name), name)?,
            found => found?,
        };
        let failed = self.failed();
        let happened = match resolution {
            Resolution::Happened(answer) => Some(answer),
            Resolution::DidNotHappen => None,
        };
        let mut change = || -> rusqlite::Result<bool> {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let resolved = window::resolve(&transaction, id, happened, now, window)?;
            transaction.commit()?;
            Ok(resolved)
        };
        if change().map_err(failed)? {
            return Ok(line);
        }
        Err(Error::NotInDoubt {
            name: line.id,
            state: line.state.as_str(),
        })
    }

    /// Gives every doubt that is not in the journal to `write`, the oldest first, and returns how many it took, which it says for each; what
    /// it took is not given again. One is given twice only when the process dies in between.
    ///
    /// # Errors
    /// When they cannot be read or marked.
    pub fn tell(&self, mut write: impl FnMut(&Line) -> bool) -> Result<usize, Error> {
        let untold = window::lines(&self.connection, &Which::Untold, LINES_MAX).map_err(self.failed())?;
        let mut told = 0;
        for (id, line) in &untold {
            if write(line) {
                window::tell(&self.connection, *id).map_err(self.failed())?;
                told += 1;
            }
        }
        Ok(told)
    }

    /// Returns the callbacks that services did not want, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn refused(&self) -> Result<Vec<Refused>, Error> {
        spool::all_refused(&self.connection, "", LINES_MAX).map_err(self.failed())
    }

    /// Removes a callback that its service did not want, by its id or the first digits of that, and returns it as it was.
    ///
    /// # Errors
    /// When there is none, several, or it still waits to be delivered.
    pub fn drop_refused(&mut self, id: &str) -> Result<Refused, Error> {
        let unknown = || Error::UnknownCallback { id: id.to_owned() };
        if id.is_empty() {
            return Err(unknown());
        }
        let mut found = spool::all_refused(&self.connection, id, LINES_MAX).map_err(self.failed())?;
        if found.len() > 1 {
            return Err(Error::AmbiguousCallback {
                id: id.to_owned(),
                candidates: found.into_iter().map(|one| one.delivery_id).collect(),
            });
        }
        let Some(refused) = found.pop() else {
            let waits = spool::waits_as(&self.connection, id).map_err(self.failed())?;
            return Err(if waits {
                Error::StillWaits { id: id.to_owned() }
            } else {
                unknown()
            });
        };
        let dropped = spool::drop_refused(&self.connection, &refused.delivery_id).map_err(self.failed())?;
        // Somebody else was quicker.
        if dropped { Ok(refused) } else { Err(unknown()) }
    }

    /// Returns what waits or was refused, by route.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn spool(&self) -> Result<Vec<SpoolLine>, Error> {
        let read = || -> rusqlite::Result<Vec<SpoolLine>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT route, sum(state = 0), min(CASE state WHEN 0 THEN seq END), sum(state = 1)
                 FROM spool GROUP BY route ORDER BY route",
            )?;
            let lines = statement.query_map([], |row| {
                let first: Option<i64> = row.get(2)?;
                let line = SpoolLine {
                    route: row.get(0)?,
                    waiting: row.get(1)?,
                    oldest_at: None,
                    tries: 0,
                    last: None,
                    refused: row.get(3)?,
                };
                Ok((first, line))
            })?;
            let mut out = Vec::new();
            for line in lines {
                let (first, mut line) = line?;
                if let Some(first) = first {
                    let row = self.connection.query_row(
                        "SELECT received_at, tries, last FROM spool WHERE seq = ?1",
                        params![first],
                        |row| Ok((Wall(row.get(0)?), row.get(1)?, row.get(2)?)),
                    )?;
                    (line.oldest_at, line.tries, line.last) = (Some(row.0), row.1, row.2);
                }
                out.push(line);
            }
            Ok(out)
        };
        read().map_err(self.failed())
    }
}
