//! Copying an SQLite database that is in use, and reading the copy back. Knows nothing of where copies are kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Deadline;
use crate::error::Error;

/// Pages copied between two looks at the clock: 4 MiB of the usual 4 KiB.
const PAGES: i32 = 1024;

/// Between two tries while somebody keeps the database locked.
const AGAIN: Duration = Duration::from_millis(10);

/// Tables with rows of their own. A virtual table keeps its rows in tables that are listed themselves.
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                      AND sql NOT LIKE 'CREATE VIRTUAL %' ORDER BY name";

/// Copies the database at `from` over the empty file `to`, reads the copy back, and returns the rows of its tables.
pub(super) fn copy(from: &Path, to: &Path, of: &str, deadline: Deadline) -> Result<BTreeMap<String, u64>, Error> {
    let failed = |act, path: &Path| {
        let path = path.to_owned();
        move |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                deadline.passed(of)
            }
            _ => Error::Sqlite { act, path, source },
        }
    };
    let source = open_source(from, deadline).map_err(failed("open", from))?;
    // One read transaction for all of the copy: without it a copy begins again whenever somebody writes.
    source.execute_batch("BEGIN").map_err(failed("read", from))?;
    let expected = limited(&source, deadline, || tables(&source)).map_err(failed("read", from))?;
    {
        let mut copy =
            Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed("copy", to))?;
        // A copy that was not finished is thrown away, so nothing is needed to repair it; it is synced as a whole in the end.
        copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            .map_err(failed("copy", to))?;
        let backup = Backup::new(&source, &mut copy).map_err(failed("copy", from))?;
        loop {
            let step = backup.step(PAGES).map_err(failed("copy", from))?;
            if step == StepResult::Done {
                break;
            }
            if deadline.left().is_zero() {
                return Err(deadline.passed(of));
            }
            if step != StepResult::More {
                std::thread::sleep(AGAIN);
            }
        }
    }
    drop(source);

    let copy = open_copy(to).map_err(failed("read back", to))?;
    let read_back = limited(&copy, deadline, || read_back(&copy)).map_err(failed("read back", to))?;
    let why = match read_back {
        Err(damage) => damage,
        Ok(found) if !found.keys().eq(expected.iter()) => {
            format!("it has {} tables, and the database had {}", found.len(), expected.len())
        }
        Ok(found) => return Ok(found),
    };
    Err(Error::NotReadBack { of: of.to_owned(), why })
}

fn open_source(path: &Path, deadline: Deadline) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |flags| -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(deadline.left())?;
        // Nothing is read at opening; whether it can be, this tells.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    match open(flags | OpenFlags::SQLITE_OPEN_READ_ONLY) {
        // After a crash of its writer the database has to be repaired by the first who opens it, which reading alone cannot do.
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)
            ) =>
        {
            open(flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
        }
        opened => opened,
    }
}

/// Opens a copy that nobody else uses, without making a file beside it.
fn open_copy(path: &Path) -> rusqlite::Result<Connection> {
    let name = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)
}

/// Returns the rows of each table, or what is damaged.
fn read_back(copy: &Connection) -> rusqlite::Result<Result<BTreeMap<String, u64>, String>> {
    let mut check = copy.prepare("PRAGMA integrity_check(5)")?;
    let said = check.query_map([], |row| row.get::<_, String>(0))?;
    let said = said.collect::<rusqlite::Result<Vec<_>>>()?;
    if said != ["ok"] {
        return Ok(Err(said.join("; ")));
    }
    let mut rows = BTreeMap::new();
    for table in tables(copy)? {
        let quoted = table.replace('"', "\"\"");
        let count = copy.query_row(&format!("SELECT count(*) FROM \"{quoted}\""), [], |row| {
            row.get::<_, i64>(0)
        })?;
        rows.insert(table, count.unsigned_abs());
    }
    Ok(Ok(rows))
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut names = connection.prepare(TABLES)?;
    let names = names.query_map([], |row| row.get(0))?;
    names.collect()
}

/// Does something with a connection that SQLite breaks off at the deadline.
fn limited<T>(connection: &Connection, deadline: Deadline, act: impl FnOnce() -> T) -> T {
    let handle = connection.get_interrupt_handle();
    std::thread::scope(|scope| {
        let (done, wait) = sync_channel::<()>(0);
        scope.spawn(move || {
            // The other end is dropped when it is done.
            if wait.recv_timeout(deadline.left()) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let result = act();
        drop(done);
        result
    })
}
