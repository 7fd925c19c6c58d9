//! The tables, and how a database of an older format is brought to the present one. Knows nothing of what the rows mean.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::Error;

/// The format this tend writes, kept in `user_version`.
pub(crate) const FORMAT: u32 = 2;

/// `tend` in ASCII, kept in `application_id`.
const APPLICATION_ID: u32 = 0x7465_6e64;

/// What brings format N to N + 1, at index N. A past entry is never changed: databases in the field went through it.
///
/// Invariant: no column of `events` that a filter looks at is kept beside what is hashed; they are computed from it (test
/// `filters_look_at_nothing_that_is_not_hashed`).
const MIGRATIONS: [&str; FORMAT as usize] = [
    "
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    mono INTEGER NOT NULL,
    principal TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    cause INTEGER,
    prev_hash BLOB NOT NULL,
    hash BLOB NOT NULL,
    stack TEXT GENERATED ALWAYS AS (subject ->> '$.stack') VIRTUAL,
    service TEXT GENERATED ALWAYS AS (subject ->> '$.service') VIRTUAL,
    slot INTEGER GENERATED ALWAYS AS (subject ->> '$.slot') VIRTUAL
) STRICT;
CREATE INDEX events_by_kind ON events (kind, seq);
CREATE INDEX events_by_service ON events (stack, service, seq) WHERE stack IS NOT NULL;
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_cause ON events (cause) WHERE cause IS NOT NULL;

-- Signed statements that stand for pruned rows; the newest counts.
CREATE TABLE checkpoints (seq INTEGER PRIMARY KEY, statement TEXT NOT NULL) STRICT;

-- Who writes; one row at most.
CREATE TABLE lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    pid INTEGER NOT NULL,
    start_ticks INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    file TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT;

-- The daemon's state.
CREATE TABLE documents (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
",
    "
-- What is still to be done to the database itself. Documents are sealed from here on: an earlier tend cannot read them.
CREATE TABLE upkeep (what TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
",
];

/// How long a statement waits for another connection that has the database locked, such as a shell of a curious person.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the database for writing; makes it when there is none. [`migrate`] follows once the lock is held.
///
/// # Errors
/// When it cannot be opened, is not ours, or is newer than this tend.
pub(crate) fn open_for_writing(path: &Path) -> Result<Connection, Error> {
    let failed = open_failed(path);
    // SQLite would make it readable for everybody; the log and its index get the mode of the database.
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    // Where that fails, SQLite says why.
    drop(made);
    let connection = Connection::open(path).map_err(&failed)?;
    connection.busy_timeout(BUSY).map_err(&failed)?;
    if is_foreign(&connection).map_err(|error| not_a_database(path, error))? {
        return Err(Error::Foreign { path: path.to_owned() });
    }
    refuse_newer(&connection, path)?;
    Ok(connection)
}

/// Sets the database up for writing and brings its tables to the present format. To be called by who holds the lock: see
/// [`crate::lease`].
///
/// # Errors
/// When SQLite refuses.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let failed = open_failed(path);
    connection
        .execute_batch(
            // FULL: a commit has reached the disk when it returns. The log is cut back after a long reader made it grow.
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216; \
             PRAGMA temp_store = MEMORY;",
        )
        .map_err(&failed)?;
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(&failed)?;
    let found = format_of(&transaction).map_err(&failed)?;
    for migration in &MIGRATIONS[found as usize..] {
        transaction.execute_batch(migration).map_err(&failed)?;
    }
    if found < FORMAT {
        transaction
            .execute_batch(&format!(
                "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
            ))
            .map_err(&failed)?;
    }
    transaction.commit().map_err(&failed)
}

/// Opens the database for reading, while it is written or not.
///
/// # Errors
/// When it cannot be opened, is not ours, or is newer than this tend.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .and_then(|connection| {
            connection.busy_timeout(BUSY)?;
            format_of(&connection)?;
            Ok(connection)
        })
        .or_else(|error| {
            // On a medium that cannot be written, SQLite cannot make the shared index of the write-ahead log; where there is no
            // log there is nothing to share, and the file is all there is.
            if is_unwritable(&error) && !beside(path, "-wal").exists() {
                let flags = flags | OpenFlags::SQLITE_OPEN_URI;
                Connection::open_with_flags(format!("file:{}?immutable=1", uri_path(path)), flags)
            } else {
                Err(error)
            }
        })
        .map_err(|error| not_a_database(path, error))?;
    if is_foreign(&connection).map_err(|error| not_a_database(path, error))?
        || format_of(&connection).map_err(open_failed(path))? == 0
    {
        return Err(Error::Foreign { path: path.to_owned() });
    }
    refuse_newer(&connection, path)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;")
        .map_err(open_failed(path))?;
    Ok(connection)
}

fn open_failed(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Open {
        path: path.clone(),
        source: Arc::new(source),
    }
}

fn not_a_database(path: &Path, error: rusqlite::Error) -> Error {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) {
        Error::Foreign { path: path.to_owned() }
    } else {
        open_failed(path)(error)
    }
}

fn is_unwritable(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly)
    )
}

/// Tells whether the database holds tables of somebody else.
fn is_foreign(connection: &Connection) -> rusqlite::Result<bool> {
    let id: u32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id == APPLICATION_ID {
        return Ok(false);
    }
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables > 0)
}

fn format_of(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn refuse_newer(connection: &Connection, path: &Path) -> Result<(), Error> {
    let found = format_of(connection).map_err(open_failed(path))?;
    if found > FORMAT {
        return Err(Error::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a path so that it stands for itself in a `file:` URI.
fn uri_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(*byte).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect()
}
