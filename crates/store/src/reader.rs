//! Asks the journal and the state, while they are written or not. Knows no writer.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde::de::DeserializeOwned;
use tend_core::journal::{Event, EventId, Filter};

use crate::sealing::{self, Seal};
use crate::{DocumentKind, Error, schema, select::select, transaction};

/// Rows that [`Reader::rows`] holds in memory.
const ROWS_AT_ONCE: usize = 64;

/// What a row is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowName<'a> {
    /// A document; its kind may be one that only another tend knows.
    Document {
        /// Its kind.
        kind: &'a str,
        /// Its id.
        id: &'a str,
    },
    /// An event.
    Event(EventId),
}

impl fmt::Display for RowName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document { kind, id } => write!(f, "{kind} {id}"),
            Self::Event(id) => write!(f, "event {id}"),
        }
    }
}

/// A read-only look at a database. Not shared between threads: each opens its own.
pub struct Reader {
    path: PathBuf,
    connection: Connection,
    seal: Option<Arc<dyn Seal>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({})", self.path.display())
    }
}

impl Reader {
    /// Opens a database for reading.
    ///
    /// # Errors
    /// When there is none, it is not ours, or it was written by a newer tend.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            connection: schema::open_for_reading(path)?,
            seal: None,
        })
    }

    /// Opens sealed documents with this.
    #[must_use]
    pub fn opened_by(self, seal: Arc<dyn Seal>) -> Self {
        Self {
            seal: Some(seal),
            ..self
        }
    }

    /// Returns the events a filter asks for.
    ///
    /// # Errors
    /// When reading fails, or a row was changed so that it is not an event any more.
    pub fn events(&self, filter: &Filter) -> Result<Vec<Event>, Error> {
        let query = select(filter);
        let failed = self.read_failed("events");
        let mut statement = self.connection.prepare_cached(&query.sql).map_err(&failed)?;
        let mut rows = statement.query(params_from_iter(query.values)).map_err(&failed)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            let seq: i64 = row.get(0).map_err(&failed)?;
            let row = transaction::row_of(row).ok_or_else(|| Error::Malformed {
                path: self.path.clone(),
                event: EventId(seq.cast_unsigned()),
            })?;
            events.push(row.to_event().map_err(|source| Error::Row {
                path: self.path.clone(),
                source: Arc::new(source),
            })?);
        }
        Ok(events)
    }

    /// Returns one event; none when there is none of this number, or it was pruned.
    ///
    /// # Errors
    /// As [`Reader::events`].
    pub fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        let filter = Filter {
            after: Some(EventId(id.0.saturating_sub(1))),
            before: Some(EventId(id.0.saturating_add(1))),
            ..Filter::default()
        };
        Ok(self.events(&filter)?.pop())
    }

    /// Returns the number of the last event, 0 when there is none.
    ///
    /// # Errors
    /// When reading fails.
    pub fn head(&self) -> Result<EventId, Error> {
        transaction::read_head(&self.connection)
            .map(|head| head.seq)
            .map_err(self.read_failed("the last event"))
    }

    /// Follows the journal from here on: what `filter` asks for and what has not been given yet, each time it is asked.
    ///
    /// Starts after [`Filter::after`], or at the oldest event. Order and limit of the filter apply to each answer, the order always
    /// being oldest first.
    #[must_use]
    pub fn tail(self, filter: Filter) -> Tail {
        Tail {
            reader: self,
            filter: Filter {
                newest_first: false,
                ..filter
            },
        }
    }

    /// Returns all documents of a kind with their ids, in the order of the ids.
    ///
    /// # Errors
    /// When reading fails or a document is not a `T`.
    pub fn documents<T: DeserializeOwned>(&self, kind: DocumentKind) -> Result<Vec<(String, T)>, Error> {
        let failed = self.read_failed("documents");
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, json FROM documents WHERE kind = ? ORDER BY id")
            .map_err(&failed)?;
        let rows = statement
            .query_map([kind.as_str()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .map_err(&failed)?;
        rows.map(|row| {
            let (id, json) = row.map_err(&failed)?;
            let value = self.parse(kind, &id, json)?;
            Ok((id, value))
        })
        .collect()
    }

    /// Returns one document; none when there is none of this id.
    ///
    /// # Errors
    /// When reading fails or the document is not a `T`.
    pub fn document<T: DeserializeOwned>(&self, kind: DocumentKind, id: &str) -> Result<Option<T>, Error> {
        let json: Option<String> = self
            .connection
            .query_row(
                "SELECT json FROM documents WHERE kind = ? AND id = ?",
                [kind.as_str(), id],
                |row| row.get(0),
            )
            .optional()
            .map_err(self.read_failed("documents"))?;
        json.map(|json| self.parse(kind, id, json)).transpose()
    }

    /// Shows every row of documents and events as it is stored, each with what it is called, such as `stack mps` or `event 12`: for who
    /// looks for something that should be in none. Stops when told to.
    ///
    /// Reads a bounded number of rows at a time, so that it neither takes memory nor keeps the writer's log from being cut back.
    ///
    /// # Errors
    /// When reading fails.
    pub fn rows(&self, each: &mut dyn FnMut(RowName<'_>, &str) -> ControlFlow<()>) -> Result<(), Error> {
        let mut after = (String::new(), String::new());
        loop {
            let failed = self.read_failed("documents");
            let mut statement = self
                .connection
                .prepare_cached(
                    "SELECT kind, id, json FROM documents WHERE (kind, id) > (?, ?) ORDER BY kind, id LIMIT ?",
                )
                .map_err(&failed)?;
            let rows = statement
                .query_map(params![after.0, after.1, ROWS_AT_ONCE], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, String>(2)?,
                    ))
                })
                .map_err(&failed)?;
            let rows: Vec<_> = rows.collect::<Result<_, _>>().map_err(&failed)?;
            for (kind, id, json) in &rows {
                if each(RowName::Document { kind, id }, json).is_break() {
                    return Ok(());
                }
            }
            let full = rows.len() == ROWS_AT_ONCE;
            match rows.into_iter().next_back() {
                Some((kind, id, _)) if full => after = (kind, id),
                _ => break,
            }
        }
        let mut after = -1_i64;
        loop {
            let failed = self.read_failed("events");
            let mut statement = self
                .connection
                .prepare_cached(
                    "SELECT seq, principal || ' ' || subject || ' ' || data FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
                )
                .map_err(&failed)?;
            let rows = statement
                .query_map(params![after, ROWS_AT_ONCE], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                })
                .map_err(&failed)?;
            let rows: Vec<_> = rows.collect::<Result<_, _>>().map_err(&failed)?;
            for (seq, text) in &rows {
                if each(RowName::Event(EventId(seq.cast_unsigned())), text).is_break() {
                    return Ok(());
                }
            }
            match rows.last() {
                Some((seq, _)) if rows.len() == ROWS_AT_ONCE => after = *seq,
                _ => return Ok(()),
            }
        }
    }

    fn parse<T: DeserializeOwned>(&self, kind: DocumentKind, id: &str, stored: String) -> Result<T, Error> {
        let json = sealing::opened(self.seal.as_ref(), &self.path, kind.as_str(), id, stored)?;
        serde_json::from_str(&json).map_err(|source| Error::Document {
            kind: kind.as_str(),
            id: id.to_owned(),
            path: self.path.clone(),
            source: Arc::new(source),
        })
    }

    fn read_failed(&self, what: &'static str) -> impl Fn(rusqlite::Error) -> Error {
        let path = self.path.clone();
        move |source| Error::Read {
            what,
            path: path.clone(),
            source: Arc::new(source),
        }
    }
}

/// A reader that remembers how far it has read.
#[derive(Debug)]
pub struct Tail {
    reader: Reader,
    filter: Filter,
}

impl Tail {
    /// Returns what has come since the last time; nothing when nothing has.
    ///
    /// # Errors
    /// As [`Reader::events`]; the next call asks for the same again.
    pub fn next_events(&mut self) -> Result<Vec<Event>, Error> {
        let events = self.reader.events(&self.filter)?;
        if let Some(last) = events.last() {
            self.filter.after = Some(last.id);
        }
        Ok(events)
    }
}
