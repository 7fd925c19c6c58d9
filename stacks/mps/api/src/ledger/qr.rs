//! The life of a QR code: issued, then used, expired or replaced. A card has at most one live code.
//!
//! Invariant: a code pays at most once (test `a_code_pays_once`; `app.transactions.qr_id` is unique as well).

use serde_json::{Value as Json, json};

use super::command::{Context, Facts, Failure, RotateQr};
use super::registry::{lock_card, valid_id};
use super::{Refusal, Statements};
use crate::{Error, clock, live, token};

/// The live code that was presented, on a card that is now locked.
pub(super) struct LiveQr {
    /// The code's row in the history.
    pub(super) qr_id: String,
    /// The card it stands for.
    pub(super) card_id: String,
    /// What the card holds.
    pub(super) balance: i64,
    /// The card's points.
    pub(super) points: i64,
}

/// Issues a new code for a card and ends the one before.
pub(super) fn rotate(
    db: &mut dyn Statements,
    rotate: &RotateQr,
    context: Context<'_>,
    facts: &mut Facts,
) -> Result<Json, Failure> {
    valid_id("card_id", &rotate.card_id)?;
    let ttl_seconds = rotate.ttl_seconds.unwrap_or(live::QR_TTL_SECONDS);
    if !(1..=live::QR_TTL_SECONDS_MAX).contains(&ttl_seconds) {
        return Err(Refusal::Invalid {
            field: "ttl_seconds",
            expected: "1 to 86400",
        }
        .into());
    }
    let now = context.now_ms;
    let card_id = &rotate.card_id;
    facts.card_id = Some(card_id.clone());
    lock_card(db, card_id)?.ok_or_else(|| Refusal::CardNotFound(card_id.clone()))?;
    let before = db.query_one(
        "SELECT qr_id, app.ms(expires_at) FROM app.card_qr_state WHERE card_id = $1 AND ended_at IS NULL",
        &[card_id.into()],
    )?;
    if let Some(before) = before {
        facts.qr_expired = before.int(1) <= now;
        end_in_history(
            db,
            before.text(0),
            if facts.qr_expired { "expired" } else { "replaced" },
            now,
        )?;
    }

    let qr_plain = token::new_qr();
    let qr_hash = token::hash(&[qr_plain.as_bytes()]);
    let qr_id = token::new_id("qr", now);
    let expires_at = now + ttl_seconds * 1000;
    db.execute(
        "INSERT INTO app.card_qr_state (card_id, qr_id, qr_hash, issued_at, expires_at, ended_at) \
         VALUES ($1, $2, $3, app.ts($4), app.ts($5), NULL) \
         ON CONFLICT (card_id) DO UPDATE SET qr_id = excluded.qr_id, qr_hash = excluded.qr_hash, \
         issued_at = excluded.issued_at, expires_at = excluded.expires_at, ended_at = NULL",
        &[
            card_id.into(),
            (&qr_id).into(),
            (&qr_hash).into(),
            now.into(),
            expires_at.into(),
        ],
    )?;
    db.execute(
        "INSERT INTO app.card_qr_history (qr_id, card_id, qr_hash, issued_at, expires_at) \
         VALUES ($1, $2, $3, app.ts($4), app.ts($5))",
        &[
            (&qr_id).into(),
            card_id.into(),
            (&qr_hash).into(),
            now.into(),
            expires_at.into(),
        ],
    )?;
    Ok(json!({
        "qr_plain": qr_plain,
        "card_id": card_id,
        "ttl_seconds": ttl_seconds,
        "issued_at": clock::rfc3339(now),
        "expires_at": clock::rfc3339(expires_at),
    }))
}

/// Finds the live code behind what was presented and locks its card; ends a code found past its time.
pub(super) fn present(db: &mut dyn Statements, qr_plain: &str, now: i64, facts: &mut Facts) -> Result<LiveQr, Failure> {
    let qr_hash = token::hash(&[qr_plain.as_bytes()]);
    let holder = db.query_one(
        "SELECT card_id FROM app.card_qr_state WHERE qr_hash = $1",
        &[(&qr_hash).into()],
    )?;
    let card_id = holder.ok_or(Refusal::QrUnknown)?.text(0).to_owned();
    facts.card_id = Some(card_id.clone());
    // The card is the lock of its code too. It may have been rotated while we waited for it, so the code is read again.
    let (balance, points) = lock_card(db, &card_id)?.ok_or_else(|| Refusal::CardNotFound(card_id.clone()))?;
    let state = db.query_one(
        "SELECT qr_id, app.ms(expires_at), app.ms(ended_at) FROM app.card_qr_state WHERE card_id = $1 AND qr_hash = $2",
        &[(&card_id).into(), (&qr_hash).into()],
    )?;
    let state = state.ok_or(Refusal::QrUnknown)?;
    let (qr_id, expires_at) = (state.text(0), state.int(1));
    match state.opt_int(2) {
        Some(ended_at) if ended_at < expires_at => Err(Refusal::QrUsed.into()),
        None if now < expires_at => Ok(LiveQr {
            qr_id: qr_id.to_owned(),
            card_id,
            balance,
            points,
        }),
        already => {
            if already.is_none() {
                facts.qr_expired = true;
                end(db, &card_id, qr_id, "expired", now)?;
            }
            Err(Refusal::QrExpired.into())
        }
    }
}

/// Ends a card's live code because it has paid.
pub(super) fn use_up(db: &mut dyn Statements, live: &LiveQr, now: i64) -> Result<(), Error> {
    end(db, &live.card_id, &live.qr_id, "used", now)
}

fn end(db: &mut dyn Statements, card_id: &str, qr_id: &str, ended_by: &'static str, now: i64) -> Result<(), Error> {
    db.execute(
        "UPDATE app.card_qr_state SET ended_at = app.ts($2) WHERE card_id = $1",
        &[card_id.into(), now.into()],
    )?;
    end_in_history(db, qr_id, ended_by, now)
}

fn end_in_history(db: &mut dyn Statements, qr_id: &str, ended_by: &'static str, now: i64) -> Result<(), Error> {
    db.execute(
        "UPDATE app.card_qr_history SET ended_at = app.ts($2), ended_by = $3 WHERE qr_id = $1",
        &[qr_id.into(), now.into(), ended_by.into()],
    )?;
    Ok(())
}
