//! One transaction: rows put onto the chain, documents changed, rows pruned. Knows no queue and no thread.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use tend_base::{Now, Wall};
use tend_core::journal::{Entry, EventId, GENESIS, Hash, Row, Statement, StatementKind};

use crate::{Batch, MachineKey};

/// The columns of a [`Row`], in the order [`row_of`] reads them.
pub(crate) const COLUMNS: &str = "seq, at, mono, principal, subject, kind, data, cause, prev_hash, hash";

/// The last row of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) seq: EventId,
    pub(crate) hash: Hash,
}

impl Head {
    /// The head of a journal without rows.
    pub(crate) const NONE: Self = Self {
        seq: EventId(0),
        hash: GENESIS,
    };
}

/// Returns the last row in the database, or what stands for it when all rows were pruned.
pub(crate) fn read_head(connection: &Connection) -> rusqlite::Result<Head> {
    let last = connection
        .prepare_cached("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| {
            Ok(Head {
                seq: EventId(row.get::<_, i64>(0)?.cast_unsigned()),
                hash: hash_of(row, 1),
            })
        })
        .optional()?;
    if let Some(head) = last {
        return Ok(head);
    }
    let pruned = read_checkpoint(connection)?.and_then(|text| text.parse::<Statement>().ok());
    Ok(pruned.map_or(Head::NONE, |statement| Head {
        seq: statement.seq,
        hash: statement.hash,
    }))
}

/// Returns the text of the newest checkpoint.
pub(crate) fn read_checkpoint(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection
        .query_row(
            "SELECT statement FROM checkpoints ORDER BY seq DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()
}

/// Returns the hash of a row.
pub(crate) fn read_hash(connection: &Connection, seq: EventId) -> rusqlite::Result<Option<Hash>> {
    connection
        .query_row("SELECT hash FROM events WHERE seq = ?", [seq.0.cast_signed()], |row| {
            Ok(hash_of(row, 0))
        })
        .optional()
}

/// Reads a hash; one of another length, which was never written, becomes one that fits nothing.
fn hash_of(row: &rusqlite::Row<'_>, index: usize) -> Hash {
    Hash(row.get(index).unwrap_or([0xff; 32]))
}

/// Puts rows onto the chain, each after the one before.
pub(crate) struct Appender<'c> {
    statement: CachedStatement<'c>,
    pub(crate) head: Head,
}

impl<'c> Appender<'c> {
    pub(crate) fn new(connection: &'c Connection, head: Head) -> rusqlite::Result<Self> {
        let statement = connection.prepare_cached(
            "INSERT INTO events (seq, at, mono, principal, subject, kind, data, cause, prev_hash, hash) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        Ok(Self { statement, head })
    }

    pub(crate) fn append(&mut self, entry: &Entry, at: Now) -> rusqlite::Result<EventId> {
        let seq = EventId(self.head.seq.0 + 1);
        let row = Row::chained(self.head.hash, entry, seq, at);
        self.statement.execute(params![
            row.seq.cast_signed(),
            row.at.cast_signed(),
            row.mono.cast_signed(),
            row.principal,
            row.subject,
            row.kind,
            row.data,
            row.cause.map(u64::cast_signed),
            row.prev_hash.0,
            row.hash.0
        ])?;
        self.head = Head { seq, hash: row.hash };
        Ok(seq)
    }
}

/// Changes documents as a batch says.
pub(crate) fn change_documents(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    if !batch.puts.is_empty() {
        let mut put =
            connection.prepare_cached("INSERT OR REPLACE INTO documents (kind, id, json) VALUES (?, ?, ?)")?;
        for document in &batch.puts {
            put.execute(params![document.kind.as_str(), document.id, document.json])?;
        }
    }
    if !batch.deletes.is_empty() {
        let mut delete = connection.prepare_cached("DELETE FROM documents WHERE kind = ? AND id = ?")?;
        for (kind, id) in &batch.deletes {
            delete.execute(params![kind.as_str(), id])?;
        }
    }
    Ok(())
}

/// What [`prune`] did.
pub(crate) enum Pruning {
    /// Nothing is older.
    Nothing,
    /// Rows were removed.
    Removed { rows: u64, upto: Head, is_partial: bool },
    /// Nothing was removed, because this row is not as it was written.
    Damaged(EventId),
}

/// Removes rows from the start of the chain that are older than `before`, at most `rows_max` and never the last row, and leaves
/// a signed checkpoint.
pub(crate) fn prune(
    connection: &Connection,
    key: &MachineKey,
    before: Wall,
    rows_max: u64,
    at: Wall,
) -> rusqlite::Result<Pruning> {
    let first: Option<i64> = connection.query_row("SELECT min(seq) FROM events", [], |row| row.get(0))?;
    // The time of day may jump, so the oldest row to stay is the first by number, not all rows by time.
    let stays: Option<i64> = connection.query_row(
        "SELECT coalesce((SELECT min(seq) FROM events WHERE at >= ?), (SELECT max(seq) FROM events))",
        [before.0.cast_signed()],
        |row| row.get(0),
    )?;
    let (Some(first), Some(stays)) = (first, stays) else {
        return Ok(Pruning::Nothing);
    };
    let limit = first.saturating_add(rows_max.cast_signed());
    let end = stays.min(limit);
    if end <= first {
        return Ok(Pruning::Nothing);
    }
    let upto = match sound_until(connection, end)? {
        Ok(upto) => upto,
        Err(seq) => return Ok(Pruning::Damaged(seq)),
    };
    let statement = Statement::sign(StatementKind::Checkpoint, upto.seq, upto.hash, at, |text| {
        key.sign(text)
    });
    connection.execute("DELETE FROM checkpoints", [])?;
    connection.execute(
        "INSERT INTO checkpoints (seq, statement) VALUES (?, ?)",
        params![upto.seq.0.cast_signed(), statement.to_string()],
    )?;
    let rows = connection.execute("DELETE FROM events WHERE seq < ?", [end])?;
    Ok(Pruning::Removed {
        rows: rows as u64,
        upto,
        is_partial: end < stays,
    })
}

/// Checks the rows before `end` against each other and the checkpoint before them: removing rows that were tampered with would
/// remove the evidence. Returns the last of them, or the first that is not as it was written.
fn sound_until(connection: &Connection, end: i64) -> rusqlite::Result<Result<Head, EventId>> {
    let checkpoint = read_checkpoint(connection)?.and_then(|text| text.parse::<Statement>().ok());
    let mut head = checkpoint.map_or(Head::NONE, |statement| Head {
        seq: statement.seq,
        hash: statement.hash,
    });
    let mut rows = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM events WHERE seq < ? ORDER BY seq"))?;
    let mut rows = rows.query([end])?;
    while let Some(row) = rows.next()? {
        let next = EventId(head.seq.0 + 1);
        match row_of(row) {
            Some(row) if row.seq == next.0 && row.prev_hash == head.hash && row.digest() == row.hash => {
                head = Head {
                    seq: next,
                    hash: row.hash,
                };
            }
            _ => return Ok(Err(next)),
        }
    }
    Ok(if head.seq.0 + 1 == end.cast_unsigned() {
        Ok(head)
    } else {
        Err(EventId(head.seq.0 + 1))
    })
}

/// Reads a row selected by [`COLUMNS`]; none when a field has a form that was never written.
pub(crate) fn row_of(row: &rusqlite::Row<'_>) -> Option<Row> {
    let number = |index| Some(row.get::<_, i64>(index).ok()?.cast_unsigned());
    let text = |index| row.get::<_, String>(index).ok();
    Some(Row {
        seq: number(0)?,
        at: number(1)?,
        mono: number(2)?,
        principal: text(3)?,
        subject: text(4)?,
        kind: text(5)?,
        data: text(6)?,
        cause: row.get::<_, Option<i64>>(7).ok()?.map(i64::cast_unsigned),
        prev_hash: Hash(row.get(8).ok()?),
        hash: Hash(row.get(9).ok()?),
    })
}
