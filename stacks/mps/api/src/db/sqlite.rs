//! Statements on SQLite, and how a connection of this service is set up.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{Dialect, Row, Statements, Value};
use crate::Error;

/// How long a connection waits for another process's write lock before it gives up. Writers also queue on a file lock (see
/// [`crate::worker`]), so this is met only by foreign programs that hold the database open.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages of write-ahead log after which a commit copies it back: 16 MB, so that a burst is not copied back over and over.
const WAL_PAGES: u32 = 4000;

/// A SQLite connection with the statements it has translated.
pub struct Sqlite {
    connection: Connection,
    translated: HashMap<&'static str, String>,
}

impl Sqlite {
    /// Opens the database at `path`, creating file and folder where they are missing.
    ///
    /// `synchronous=FULL` syncs the write-ahead log at every commit: an acknowledged payment survives kill -9 and a power cut.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| Error::CreateFolder {
                path: folder.into(),
                source,
            })?;
        }
        Sqlite::set_up(path, Connection::open(path))
    }

    /// Opens the database at `path`, which must be there: a check of a missing database must not leave an empty one behind.
    pub fn open_existing(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Sqlite::set_up(path, Connection::open_with_flags(path, flags))
    }

    fn set_up(path: &Path, opened: rusqlite::Result<Connection>) -> Result<Self, Error> {
        let connection = opened.and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
            connection.set_prepared_statement_cache_capacity(64);
            Ok(connection)
        });
        let connection = connection.map_err(|source| Error::OpenSqlite {
            path: PathBuf::from(path),
            source,
        })?;
        Ok(Sqlite {
            connection,
            translated: HashMap::new(),
        })
    }

    /// Runs a statement that steers the transaction (`BEGIN IMMEDIATE`, `SAVEPOINT …`) and is the same in no other dialect.
    pub fn control(&self, sql: &'static str) -> Result<(), Error> {
        let run = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]));
        run.map(drop).map_err(|source| Error::Sqlite { sql, source })
    }

    /// Tells whether a transaction is open; a failed commit may have closed it.
    pub fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Runs `work` in a read transaction: everything it sees is of one instant, while writers go on.
    pub fn reading<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.control("BEGIN")?;
        let outcome = work(self);
        let ended = self.control("ROLLBACK");
        outcome.and_then(|value| ended.map(|()| value))
    }
}

impl Statements for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn script(&mut self, name: &'static str, sql: &'static str) -> Result<(), Error> {
        self.connection
            .execute_batch(sql)
            .map_err(|source| Error::Sqlite { sql: name, source })
    }

    fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64, Error> {
        let translated = self.translated.entry(sql).or_insert_with(|| translate(sql));
        let run = self
            .connection
            .prepare_cached(translated)
            .and_then(|mut statement| statement.execute(params_from_iter(params)));
        run.map(|changed| changed as u64)
            .map_err(|source| Error::Sqlite { sql, source })
    }

    fn query(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let translated = self.translated.entry(sql).or_insert_with(|| translate(sql));
        let run = self.connection.prepare_cached(translated).and_then(|mut statement| {
            let columns = statement.column_count();
            let mut rows = statement.query(params_from_iter(params))?;
            let mut read = Vec::new();
            while let Some(row) = rows.next()? {
                read.push(Row((0..columns)
                    .map(|column| row.get_ref(column).map(from_sqlite))
                    .collect::<Result<_, _>>()?));
            }
            Ok(read)
        });
        run.map_err(|source| Error::Sqlite { sql, source })
    }
}

/// Rewrites a statement from the ledger's dialect into SQLite's.
///
/// Schemas become prefixes, times are already integers so `app.ts(x)` and `app.ms(x)` become `(x)`, `$1` becomes `?1` (SQLite
/// numbers `$1` by first appearance), and `FOR UPDATE` goes, since a writer holds the whole database.
pub fn translate(sql: &str) -> String {
    sql.replace("app.ts(", "(")
        .replace("app.ms(", "(")
        .replace("app.", "app_")
        .replace("audit.", "audit_")
        .replace(" FOR UPDATE", "")
        .replace('$', "?")
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Value::Null => ToSqlOutput::Owned(SqliteValue::Null),
            Value::Int(int) => ToSqlOutput::Owned(SqliteValue::Integer(*int)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

fn from_sqlite(value: ValueRef<'_>) -> Value<'static> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(int) => Value::Int(int),
        ValueRef::Real(_) | ValueRef::Blob(_) => {
            panic!("no statement of the ledger selects a real or a blob")
        }
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn a_statement_is_rewritten_into_sqlites_dialect() {
        assert_eq!(
            translate("SELECT app.ms(t.at) FROM app.t t WHERE id = $1 AND at < app.ts($2) FOR UPDATE"),
            "SELECT (t.at) FROM app_t t WHERE id = ?1 AND at < (?2)"
        );
    }
}
