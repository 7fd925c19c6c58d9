//! SQLite: a file, the rows at one moment, and the wait for a change. Knows no back-off and no meaning of a key.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tend_base::Wall;

use crate::row::{Raw, RawRow, is_true, moment_of_number, moment_of_text};
use crate::settings::quoted;
use crate::{DatabaseError, Rows, Settings, Table};

/// How often `PRAGMA data_version` is asked, at least: it reads a few bytes and takes microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// For so long a writer may keep a reader waiting.
const BUSY_WITHIN: Duration = Duration::from_secs(2);

/// A file that is read. It is given to a thread and back for each question, for a disk may take its time.
pub(crate) struct Link {
    open: Option<Open>,
    settings: Settings,
    at: String,
}

struct Open {
    connection: Connection,
    /// Device and number of the file: another file may be put in its place.
    file: (u64, u64),
    /// Changes when somebody else wrote.
    version: i64,
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Link {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, DatabaseError> {
        let at = settings.address.to_string();
        let path = settings.address.file.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let file = identity(&path).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(BUSY_WITHIN)?;
            let version = version(&connection)?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Open {
                connection,
                file,
                version,
            })
        });
        let open = opened.await.unwrap_or_else(|error| Err(error.into()));
        let open = open.map_err(|source| DatabaseError::Unreachable { at: at.clone(), source })?;
        Ok(Self {
            open: Some(open),
            settings: settings.clone(),
            at,
        })
    }

    /// Asks in a thread that may wait for the disk.
    async fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&mut Open, &Settings) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let lost = |at: &str, source| DatabaseError::Lost {
            at: at.to_owned(),
            source,
        };
        let Some(mut open) = self.open.take() else {
            return Err(lost(&self.at, "the question before it was not answered".into()));
        };
        let settings = self.settings.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question(&mut open, &settings);
            (open, answer)
        });
        let (open, answer) = asked.await.map_err(|error| lost(&self.at, error.into()))?;
        self.open = Some(open);
        answer.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> DatabaseError {
        let at = self.at.clone();
        let table = self.settings.table.as_ref().map(|table| table.name.clone());
        match (&error, table) {
            (rusqlite::Error::SqliteFailure(_, Some(why)), Some(table))
                if why.contains(&format!("no such table: {table}")) =>
            {
                DatabaseError::NoTable { at, table }
            }
            (rusqlite::Error::InvalidColumnName(column), Some(table)) => DatabaseError::NoColumn {
                at,
                table,
                column: column.clone(),
            },
            _ => DatabaseError::Statement {
                at,
                what: "be read".to_owned(),
                why: error.to_string(),
            },
        }
    }

    /// Reads all rows as they are at one moment.
    pub(crate) async fn read(&mut self) -> Result<Rows, DatabaseError> {
        self.ask(|open, settings| {
            // Before the rows: what is written in between is read again.
            open.version = version(&open.connection)?;
            let read = open.connection.transaction()?;
            let mut rows = Rows::default();
            if let Some(table) = &settings.table {
                rows.add(&table.name, true, read_table(&read, table)?);
            }
            for query in &settings.queries {
                let mut statement = read.prepare(&query.sql)?;
                let found = statement.query_map([], |row| {
                    Ok(RawRow {
                        key: raw(row.get_ref(0)?),
                        value: raw(row.get_ref(1)?),
                        created_at: None,
                        updated_at: None,
                        updated_by: None,
                    })
                })?;
                rows.add(&query.name, query.text_is_json, found.collect::<Result<_, _>>()?);
            }
            Ok(rows)
        })
        .await
    }

    /// Waits until somebody wrote to the file, or another is in its place.
    pub(crate) async fn changed(&mut self) -> Result<(), DatabaseError> {
        let path = self.settings.address.file.clone();
        loop {
            tokio::time::sleep(self.settings.poll.min(LOOK_EVERY)).await;
            let path = path.clone();
            let (file_now, changed) = self
                .ask(move |open, _| {
                    let same = identity(&path) == Some(open.file);
                    Ok((same, version(&open.connection)? != open.version))
                })
                .await?;
            if !file_now {
                return Err(DatabaseError::Lost {
                    at: self.at.clone(),
                    source: "the file was removed, or another was put in its place".into(),
                });
            }
            if changed {
                return Ok(());
            }
        }
    }
}

fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}

fn read_table(read: &Connection, table: &Table) -> Result<Vec<RawRow>, rusqlite::Error> {
    let mut statement = read.prepare(&format!("SELECT * FROM {}", quoted(&table.name, '"')))?;
    let columns = &table.columns;
    let index = |name: &str| {
        let mut names = statement.column_names();
        names.position(|column| column.eq_ignore_ascii_case(name))
    };
    let needed = |name: &str| index(name).ok_or_else(|| rusqlite::Error::InvalidColumnName(name.to_owned()));
    let (key, value) = (needed(&columns.key)?, needed(&columns.value)?);
    let active = index(&columns.is_active);
    let (created, updated, by) = (
        index(&columns.created_at),
        index(&columns.updated_at),
        index(&columns.updated_by),
    );
    let mut rows = Vec::new();
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let counts = match active {
            None => true,
            Some(index) => match row.get_ref(index)? {
                ValueRef::Integer(number) => number != 0,
                ValueRef::Text(text) => is_true(&String::from_utf8_lossy(text)),
                _ => false,
            },
        };
        if !counts {
            continue;
        }
        let moment = |index: Option<usize>| index.and_then(|index| row.get_ref(index).ok()).and_then(moment_of);
        rows.push(RawRow {
            key: raw(row.get_ref(key)?),
            value: raw(row.get_ref(value)?),
            created_at: moment(created),
            updated_at: moment(updated),
            updated_by: by.and_then(|index| row.get(index).ok()),
        });
    }
    Ok(rows)
}

fn raw(value: ValueRef<'_>) -> Raw {
    match value {
        ValueRef::Null => Raw::Null,
        ValueRef::Integer(number) => Raw::Json(number.to_string()),
        ValueRef::Real(number) => Raw::Json(number.to_string()),
        ValueRef::Text(text) => String::from_utf8(text.to_vec()).map_or(Raw::Bytes, Raw::Text),
        ValueRef::Blob(_) => Raw::Bytes,
    }
}

fn moment_of(value: ValueRef<'_>) -> Option<Wall> {
    match value {
        ValueRef::Integer(number) => moment_of_number(number),
        ValueRef::Text(text) => moment_of_text(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}
