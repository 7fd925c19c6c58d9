//! Callbacks that wait for their service, on disk in the order they came. Owns the SQL; who delivers them, and when, is not known here.
//!
//! ```text
//!  keep ─► waiting ── taken by the service ──► (gone)
//!             ├────── refused by it ─────────► refused, shown to people until it is removed
//!             └────── failed ── waiting, tried again
//! ```

use std::io;

use rusqlite::{Connection, OptionalExtension, params};
use tend_base::Wall;

use crate::window::{Fields, read_fields, write_fields};

/// A callback as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Of which route: callbacks of one are delivered in order.
    pub route: String,
    /// The same on every delivery.
    pub delivery_id: String,
    /// Where it came in.
    pub listener: String,
    /// As the client wrote it.
    pub host: String,
    /// Who sent it.
    pub client: String,
    /// Of the request.
    pub method: String,
    /// Path and query as the client wrote them; the service may be asked for others.
    pub target: String,
    /// As they go to a replica.
    pub fields: Fields,
    /// Whole.
    pub body: Vec<u8>,
}

/// What became of a callback that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk, behind so many others.
    Behind(u64),
    /// As many as may wait do.
    Full(u64),
}

/// A callback to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its place.
    pub seq: i64,
    /// It was tried so often.
    pub tries: u32,
    /// When it came.
    pub received_at: Wall,
    /// What is to be delivered.
    pub callback: Callback,
}

/// Returns an id for a callback.
///
/// # Errors
/// When the system has no randomness to give.
pub fn new_delivery_id() -> io::Result<String> {
    crate::instance::random_digits()
}

/// A callback that the service did not want, as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The same as on every delivery.
    pub delivery_id: String,
    /// Of which route.
    pub route: String,
    /// Of the request.
    pub method: String,
    /// Path and query as the client wrote them.
    pub target: String,
    /// When it came.
    pub received_at: Wall,
    /// It was tried so often.
    pub tries: u32,
    /// What the service said.
    pub why: String,
}

/// Returns the refused callbacks whose id begins so, the oldest first; all for an empty beginning.
pub(crate) fn all_refused(connection: &Connection, beginning: &str, lines_max: u32) -> rusqlite::Result<Vec<Refused>> {
    let mut statement = connection.prepare_cached(
        "SELECT delivery_id, route, method, target, received_at, tries, last FROM spool
         WHERE state = 1 AND substr(delivery_id, 1, length(?1)) = ?1 ORDER BY seq LIMIT ?2",
    )?;
    let found = statement.query_map(params![beginning, lines_max], |row| {
        Ok(Refused {
            delivery_id: row.get(0)?,
            route: row.get(1)?,
            method: row.get(2)?,
            target: row.get(3)?,
            received_at: Wall(row.get(4)?),
            tries: row.get(5)?,
            why: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        })
    })?;
    found.collect()
}

/// Says whether a callback that still waits has an id that begins so.
pub(crate) fn waits_as(connection: &Connection, beginning: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM spool WHERE state = 0 AND substr(delivery_id, 1, length(?1)) = ?1)",
        )?
        .query_row([beginning], |row| row.get(0))
}

/// Removes a refused callback; false when there is none of this id.
pub(crate) fn drop_refused(connection: &Connection, delivery_id: &str) -> rusqlite::Result<bool> {
    let changed = connection
        .prepare_cached("DELETE FROM spool WHERE delivery_id = ?1 AND state = 1")?
        .execute([delivery_id])?;
    Ok(changed > 0)
}

pub(crate) fn waiting(connection: &Connection, route: &str) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM spool WHERE route = ?1 AND state = 0")?
        .query_row([route], |row| row.get(0))
}

/// Says whether any callback of a route waits.
pub(crate) fn any_waits(connection: &Connection, route: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM spool WHERE route = ?1 AND state = 0)")?
        .query_row([route], |row| row.get(0))
}

pub(crate) fn keep(
    connection: &Connection,
    callback: &Callback,
    entries_max: u64,
    now: Wall,
) -> rusqlite::Result<Kept> {
    let before = waiting(connection, &callback.route)?;
    if before >= entries_max {
        return Ok(Kept::Full(before));
    }
    connection
        .prepare_cached(
            "INSERT INTO spool
                 (route, delivery_id, listener, host, client, method, target, fields, body, received_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            callback.route,
            callback.delivery_id,
            callback.listener,
            callback.host,
            callback.client,
            callback.method,
            callback.target,
            write_fields(&callback.fields),
            callback.body,
            now.0,
        ])?;
    Ok(Kept::Behind(before))
}

/// Returns the routes of which callbacks wait.
pub(crate) fn routes(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT route FROM spool WHERE state = 0")?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

/// Returns the callback of a route that is next.
pub(crate) fn next(connection: &Connection, route: &str) -> rusqlite::Result<Option<Delivery>> {
    connection
        .prepare_cached(
            "SELECT seq, tries, received_at, delivery_id, listener, host, client, method, target, fields, body
             FROM spool WHERE route = ?1 AND state = 0 ORDER BY seq LIMIT 1",
        )?
        .query_row([route], |row| {
            let fields: String = row.get(9)?;
            Ok(Delivery {
                seq: row.get(0)?,
                tries: row.get(1)?,
                received_at: Wall(row.get(2)?),
                callback: Callback {
                    route: route.to_owned(),
                    delivery_id: row.get(3)?,
                    listener: row.get(4)?,
                    host: row.get(5)?,
                    client: row.get(6)?,
                    method: row.get(7)?,
                    target: row.get(8)?,
                    fields: read_fields(&fields),
                    body: row.get(10)?,
                },
            })
        })
        .optional()
}

/// Removes what the service has taken.
pub(crate) fn delivered(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM spool WHERE seq = ?1 AND state = 0")?
        .execute([seq])?;
    Ok(())
}

/// Sets aside what the service does not want, so that what stands behind it is delivered.
pub(crate) fn refused(connection: &Connection, seq: i64, why: &str, now: Wall) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE spool SET state = 1, tries = tries + 1, last = ?2, settled_at = ?3 WHERE seq = ?1 AND state = 0",
        )?
        .execute(params![seq, why, now.0])?;
    Ok(())
}

/// Notes a try that failed.
pub(crate) fn failed(connection: &Connection, seq: i64, why: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE spool SET tries = tries + 1, last = ?2 WHERE seq = ?1 AND state = 0")?
        .execute(params![seq, why])?;
    Ok(())
}
