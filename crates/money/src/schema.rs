//! The tables, and how a database of an older format is brought to the present one. Knows nothing of what the rows mean.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::Error;

/// The format this tend writes, kept in `user_version`.
const FORMAT: u32 = 1;

/// What brings format N to N + 1, at index N. A past entry is never changed: databases in the field went through it.
const MIGRATIONS: [&str; FORMAT as usize] = ["
-- state: 0 begun, 1 answered, 2 in doubt
CREATE TABLE money_keys (
    id BLOB NOT NULL UNIQUE,
    scope TEXT NOT NULL,
    account TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    key TEXT NOT NULL,
    request BLOB NOT NULL,
    request_id TEXT NOT NULL,
    state INTEGER NOT NULL,
    instance TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    -- In milliseconds since 1970, of an answer.
    expires_at INTEGER,
    replica TEXT,
    status INTEGER,
    fields TEXT,
    -- None where the answer was too large to be kept.
    body BLOB,
    -- Of a doubt.
    why TEXT,
    doubted_at INTEGER,
    -- The daemon has written it into the journal.
    told INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX money_keys_begun ON money_keys (instance) WHERE state = 0;
CREATE INDEX money_keys_answered ON money_keys (expires_at) WHERE state = 1;
CREATE INDEX money_keys_in_doubt ON money_keys (doubted_at) WHERE state = 2;

-- state: 0 waiting, 1 refused by the service
CREATE TABLE spool (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    route TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    listener TEXT NOT NULL,
    host TEXT NOT NULL,
    client TEXT NOT NULL,
    method TEXT NOT NULL,
    target TEXT NOT NULL,
    fields TEXT NOT NULL,
    body BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0,
    last TEXT,
    settled_at INTEGER
) STRICT;
CREATE INDEX spool_waiting ON spool (route, seq) WHERE state = 0;
CREATE INDEX spool_refused ON spool (settled_at) WHERE state = 1;
"];

/// How long a statement waits for another process that has the database locked: an edge that drains, or the daemon.
const BUSY: Duration = Duration::from_secs(10);

/// Returns where the database is in the folder.
pub(crate) fn path_in(folder: &Path) -> PathBuf {
    folder.join("money.db")
}

/// Opens the database for reading and writing; makes it, and the folder, when there is none. Several processes may at once.
pub(crate) fn open(folder: &Path) -> Result<Connection, Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| Error::Folder {
            path: folder.to_owned(),
            source: Arc::new(source),
        })?;
    let path = path_in(folder);
    // SQLite would make it readable for everybody; the log and its index get the mode of the database. Where this fails, SQLite says why.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    drop(made);
    let prepare = || -> rusqlite::Result<(Connection, u32)> {
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch(
            // FULL: a commit has reached the disk when it returns.
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216; \
             PRAGMA temp_store = MEMORY;",
        )?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        for migration in MIGRATIONS.iter().skip(found as usize) {
            transaction.execute_batch(migration)?;
        }
        if found < FORMAT {
            transaction.execute_batch(&format!("PRAGMA user_version = {FORMAT};"))?;
        }
        transaction.commit()?;
        Ok((connection, found))
    };
    let (connection, found) = prepare().map_err(|source| Error::Open {
        path: path.clone(),
        source: Arc::new(source),
    })?;
    if found > FORMAT {
        return Err(Error::Newer {
            path,
            found,
            known: FORMAT,
        });
    }
    Ok(connection)
}
