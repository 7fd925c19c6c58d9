//! Idempotency keys on disk, each with what became of its first request. Owns the SQL; what is decided from it stands in `decide`.
//!
//! ```text
//!            ┌─ begin ─► begun ── finish ──► answered ── window over ─► (gone)
//!  (nothing) ┤             ├──── release ──► (gone)
//!            │             ├──── doubt, or its edge died ──► in doubt ── resolve ─► answered, or gone
//!            └─────────────┴───────────── again, where the service honours the key ◄──┘
//! ```

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use tend_base::Wall;

use crate::decide::{Decision, State, decide};
use crate::key::{Key, KeyId, RequestHash};

/// Names and values of header fields.
pub type Fields = Vec<(String, Vec<u8>)>;

const BEGUN: i64 = 0;
const ANSWERED: i64 = 1;
const IN_DOUBT: i64 = 2;

/// So many answers whose window is over are removed at once.
const EXPIRED_AT_ONCE: u32 = 500;

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of the response.
    pub status: u16,
    /// Of the response, without framing and hop-by-hop ones.
    pub fields: Fields,
    /// Whole; none where it was too large to be kept.
    pub body: Option<Vec<u8>>,
    /// Who answered, as `mps/api/1`; none where a person said so.
    pub replica: Option<String>,
}

/// What a person is shown of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The digits that name it.
    pub id: String,
    /// Who answers, as `mps/api`.
    pub scope: String,
    /// Stands for the account.
    pub account: String,
    /// Of the request.
    pub method: String,
    /// Of the request.
    pub path: String,
    /// As the client wrote it.
    pub key: String,
    /// Of the first request, as replicas and the access log have it.
    pub request_id: String,
    /// What became of it.
    pub state: LineState,
    /// When the first request came.
    pub begun_at: Wall,
}

/// What became of the first request with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineState {
    /// It is being answered, or its edge died and nobody looked since.
    Begun,
    /// It was answered, and is until then.
    Answered {
        /// With this.
        answer: Answer,
        /// The end of the window.
        expires_at: Wall,
    },
    /// Nobody knows.
    InDoubt {
        /// What happened.
        why: String,
        /// Since when.
        since: Wall,
    },
}

impl LineState {
    /// Returns the word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Answered { .. } => "answered",
            Self::InDoubt { .. } => "in doubt",
        }
    }
}

/// What an edge asks when a request with a key comes.
pub(crate) struct Beginning {
    pub(crate) key: Key,
    pub(crate) request: RequestHash,
    pub(crate) request_id: String,
    pub(crate) upstream_idempotent: bool,
    pub(crate) now: Wall,
}

/// What is known of the edge that began a request.
pub(crate) enum Beginner {
    /// It lives, and has it.
    Has,
    /// It lives, and never came to send it.
    HasNot,
    Dead,
}

/// What a key was found to be.
pub(crate) enum Found {
    /// It is now begun by who asks.
    Claimed {
        /// An earlier request with it may have been carried out.
        again: bool,
    },
    Answered(Answer),
    NotKept,
    UnderWay,
    InDoubt,
    Reused,
}

/// Looks at a key and begins where it may be.
pub(crate) fn begin(
    connection: &Connection,
    asked: &Beginning,
    instance: &str,
    beginner: impl FnOnce(&str) -> Beginner,
) -> rusqlite::Result<Found> {
    let id = asked.key.id();
    let row = connection
        .prepare_cached("SELECT state, instance, request, expires_at, body IS NOT NULL FROM money_keys WHERE id = ?1")?
        .query_row([&id.0[..]], |row| {
            let state: i64 = row.get(0)?;
            let by: String = row.get(1)?;
            let request: Vec<u8> = row.get(2)?;
            let expires_at: Option<u64> = row.get(3)?;
            let kept: bool = row.get(4)?;
            Ok((state, by, request, expires_at, kept))
        })
        .optional()?;
    let same = row
        .as_ref()
        .is_some_and(|(_, _, request, ..)| *request == asked.request.0);
    let known = row.map(|(state, by, _, expires_at, kept)| match state {
        ANSWERED => State::Answered {
            kept,
            expired: expires_at.is_some_and(|at| at <= asked.now.0),
        },
        IN_DOUBT => State::InDoubt,
        _ => match beginner(&by) {
            Beginner::Has => State::UnderWay,
            Beginner::HasNot => State::NeverSent,
            Beginner::Dead => State::Abandoned,
        },
    });
    match decide(known, same, asked.upstream_idempotent) {
        decision @ (Decision::Fresh | Decision::Again) => {
            insert(connection, asked, id, instance)?;
            Ok(Found::Claimed {
                again: decision == Decision::Again,
            })
        }
        Decision::Replay => Ok(read_answer(connection, id)?.map_or(Found::NotKept, Found::Answered)),
        Decision::NotKept => Ok(Found::NotKept),
        Decision::Wait => Ok(Found::UnderWay),
        Decision::InDoubt => Ok(Found::InDoubt),
        Decision::Reused => Ok(Found::Reused),
    }
}

fn insert(connection: &Connection, asked: &Beginning, id: KeyId, instance: &str) -> rusqlite::Result<()> {
    let key = &asked.key;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO money_keys
                 (id, scope, account, method, path, key, request, request_id, state, instance, begun_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            &id.0[..],
            key.scope,
            key.account,
            key.method,
            key.path,
            key.key,
            &asked.request.0[..],
            asked.request_id,
            BEGUN,
            instance,
            asked.now.0,
        ])?;
    Ok(())
}

fn read_answer(connection: &Connection, id: KeyId) -> rusqlite::Result<Option<Answer>> {
    connection
        .prepare_cached("SELECT status, fields, body, replica FROM money_keys WHERE id = ?1 AND state = 1")?
        .query_row([&id.0[..]], |row| answer_of(row, 0))
        .optional()
}

fn answer_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Answer> {
    let fields: String = row.get(first + 1)?;
    Ok(Answer {
        status: row.get(first)?,
        fields: read_fields(&fields),
        body: row.get(first + 2)?,
        replica: row.get(first + 3)?,
    })
}

/// Writes down the answer; false when the key is not begun by `instance`.
pub(crate) fn finish(
    connection: &Connection,
    id: KeyId,
    instance: &str,
    answer: &Answer,
    expires_at: Wall,
) -> rusqlite::Result<bool> {
    let changed = connection
        .prepare_cached(
            "UPDATE money_keys SET state = 1, status = ?3, fields = ?4, body = ?5, replica = ?6, expires_at = ?7
             WHERE id = ?1 AND state = 0 AND instance = ?2",
        )?
        .execute(params![
            &id.0[..],
            instance,
            answer.status,
            write_fields(&answer.fields),
            answer.body,
            answer.replica,
            expires_at.0,
        ])?;
    Ok(changed == 1)
}

/// Forgets a key whose request is known not to have been sent.
pub(crate) fn release(connection: &Connection, id: KeyId, instance: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM money_keys WHERE id = ?1 AND state = 0 AND instance = ?2")?
        .execute(params![&id.0[..], instance])?;
    Ok(())
}

/// Writes down that nobody knows what became of a request.
pub(crate) fn doubt(connection: &Connection, id: KeyId, instance: &str, why: &str, now: Wall) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE money_keys SET state = 2, why = ?3, doubted_at = ?4 WHERE id = ?1 AND state = 0 AND instance = ?2",
        )?
        .execute(params![&id.0[..], instance, why, now.0])?;
    Ok(())
}

/// Returns the other edges that have something begun.
pub(crate) fn others_with_begun(connection: &Connection, instance: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT DISTINCT instance FROM money_keys WHERE state = 0 AND instance <> ?1")?;
    let names = statement.query_map([instance], |row| row.get(0))?;
    names.collect()
}

/// Writes down that what an edge that died had begun is in doubt; returns how many that are.
pub(crate) fn bury(connection: &Connection, dead: &str, now: Wall) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE money_keys SET state = 2, doubted_at = ?2,
                 why = 'the edge that sent it ended before it had written down an answer'
             WHERE state = 0 AND instance = ?1",
        )?
        .execute(params![dead, now.0])
}

/// Removes some of the answers whose window is over; returns how many.
pub(crate) fn expire(connection: &Connection, now: Wall) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM money_keys WHERE rowid IN
                 (SELECT rowid FROM money_keys WHERE state = 1 AND expires_at <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.0, EXPIRED_AT_ONCE])
}

/// Which keys [`lines`] returns.
pub(crate) enum Which<'a> {
    InDoubt,
    /// Not written into the journal yet.
    Untold,
    /// The latest.
    All,
    /// With these letters as the client wrote them, or as the first digits of the id. Looks at every key.
    Named(&'a str),
    /// The same among those in doubt, which are few.
    NamedInDoubt(&'a str),
}

/// The condition for a key of this name.
const NAMED: &str =
    "(key = ?1 OR (length(?1) >= 6 AND substr(lower(hex(id)), 1, length(?1)) = lower(?1))) ORDER BY rowid DESC";

/// Returns keys, the latest first, at most so many.
pub(crate) fn lines(connection: &Connection, which: &Which<'_>, at_most: u32) -> rusqlite::Result<Vec<(KeyId, Line)>> {
    let (condition, name) = match which {
        Which::InDoubt => ("state = 2 AND ?1 IS NULL ORDER BY doubted_at DESC", None),
        Which::Untold => ("state = 2 AND told = 0 AND ?1 IS NULL ORDER BY doubted_at", None),
        Which::All => ("?1 IS NULL ORDER BY rowid DESC", None),
        Which::Named(name) => (NAMED, Some(*name)),
        Which::NamedInDoubt(name) => (NAMED, Some(*name)),
    };
    let among = match which {
        Which::NamedInDoubt(_) => "state = 2 AND ",
        _ => "",
    };
    let mut statement = connection.prepare(&format!(
        "SELECT id, scope, account, method, path, key, request_id, state, begun_at, status, fields, body, replica,
             expires_at, why, doubted_at FROM money_keys WHERE {among}{condition} LIMIT ?2"
    ))?;
    let found = statement.query_map(params![name, at_most], |row| {
        let bytes: Vec<u8> = row.get(0)?;
        let mut id = KeyId([0; 32]);
        let length = bytes.len().min(32);
        id.0[..length].copy_from_slice(&bytes[..length]);
        let state = match row.get::<_, i64>(7)? {
            ANSWERED => LineState::Answered {
                answer: answer_of(row, 9)?,
                expires_at: Wall(row.get(13)?),
            },
            IN_DOUBT => LineState::InDoubt {
                why: row.get(14)?,
                since: Wall(row.get(15)?),
            },
            _ => LineState::Begun,
        };
        let line = Line {
            id: id.short(),
            scope: row.get(1)?,
            account: row.get(2)?,
            method: row.get(3)?,
            path: row.get(4)?,
            key: row.get(5)?,
            request_id: row.get(6)?,
            state,
            begun_at: Wall(row.get(8)?),
        };
        Ok((id, line))
    })?;
    found.collect()
}

/// Returns how many keys are in doubt.
pub(crate) fn doubts(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT count(*) FROM money_keys WHERE state = 2", [], |row| row.get(0))
}

/// Notes that a doubt is in the journal.
pub(crate) fn tell(connection: &Connection, id: KeyId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE money_keys SET told = 1 WHERE id = ?1")?
        .execute([&id.0[..]])?;
    Ok(())
}

/// Ends a doubt: with the answer that was given, or by forgetting the key where nothing happened. False when there is no doubt.
pub(crate) fn resolve(
    connection: &Connection,
    id: KeyId,
    happened: Option<&Answer>,
    now: Wall,
    window: Duration,
) -> rusqlite::Result<bool> {
    let changed = match happened {
        Some(answer) => connection.execute(
            "UPDATE money_keys SET state = 1, status = ?2, fields = ?3, body = ?4, replica = NULL, expires_at = ?5
             WHERE id = ?1 AND state = 2",
            params![
                &id.0[..],
                answer.status,
                write_fields(&answer.fields),
                answer.body,
                later(now, window).0,
            ],
        )?,
        None => connection.execute("DELETE FROM money_keys WHERE id = ?1 AND state = 2", [&id.0[..]])?,
    };
    Ok(changed == 1)
}

/// Returns the moment so long after another.
pub(crate) fn later(now: Wall, by: Duration) -> Wall {
    Wall(
        now.0
            .saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX))
            .min(i64::MAX as u64),
    )
}

/// Writes fields as JSON; each byte of a value is a character, so that none is lost.
pub(crate) fn write_fields(fields: &Fields) -> String {
    let pairs: Vec<(&str, String)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.iter().map(|byte| char::from(*byte)).collect()))
        .collect();
    serde_json::to_string(&pairs).expect("pairs of texts have a JSON form")
}

/// Reads what [`write_fields`] wrote.
pub(crate) fn read_fields(json: &str) -> Fields {
    let pairs: Vec<(String, String)> = serde_json::from_str(json).unwrap_or_default();
    let byte = |character: char| u8::try_from(u32::from(character)).unwrap_or(b'?');
    pairs
        .into_iter()
        .map(|(name, value)| (name, value.chars().map(byte).collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_every_byte() {
        let fields: Fields = vec![
            ("set-cookie".to_owned(), b"a=1".to_vec()),
            ("set-cookie".to_owned(), b"b=\"2\"".to_vec()),
            ("x-name".to_owned(), vec![0xe9, 0xff, 0x80, b' ']),
        ];
        assert_eq!(read_fields(&write_fields(&fields)), fields);
    }
}
