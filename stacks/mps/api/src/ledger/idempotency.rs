//! Stores the first outcome under each Idempotency-Key and replays it.
//!
//! The row is written in the transaction of the outcome. Two requests with one new key at once meet at the primary key:
//! SQLite has one writer, PostgreSQL reports the second as a unique violation, which is run again and then replays.

use super::command::{Facts, Key, Outcome, refusal_body};
use super::{Refusal, Statements};
use crate::Error;

/// Returns the stored outcome under `key`, a refusal where the key came with another request, or none where it is new.
pub(super) fn replay(db: &mut dyn Statements, key: &Key, facts: &Facts) -> Result<Option<Outcome>, Error> {
    let stored = db.query_one(
        "SELECT request_hash, status, response FROM app.idempotency_keys WHERE idempotency_key = $1",
        &[(&key.text).into()],
    )?;
    Ok(stored.map(|row| {
        if row.text(0) == key.request_hash {
            let status = u16::try_from(row.int(1)).expect("only HTTP statuses are stored");
            Outcome {
                status,
                body: row.text(2).to_owned(),
                replayed: true,
                facts: facts.clone(),
            }
        } else {
            let refusal = Refusal::KeyReused;
            let facts = Facts {
                error_code: Some(refusal.code()),
                ..facts.clone()
            };
            Outcome {
                status: refusal.status(),
                body: refusal_body(&refusal),
                replayed: false,
                facts,
            }
        }
    }))
}

/// Stores an outcome under a new key.
pub(super) fn store(db: &mut dyn Statements, key: &Key, status: u16, body: &str, now_ms: i64) -> Result<(), Error> {
    db.execute(
        "INSERT INTO app.idempotency_keys (idempotency_key, request_hash, status, response, created_at) \
         VALUES ($1, $2, $3, $4, app.ts($5))",
        &[
            (&key.text).into(),
            (&key.request_hash).into(),
            i64::from(status).into(),
            body.into(),
            now_ms.into(),
        ],
    )?;
    Ok(())
}
