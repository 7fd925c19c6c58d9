//! Writes `audit.event_log`: one row for every command, carried out or refused.

use super::Statements;
use super::command::{Context, Facts};
use crate::db::Value;
use crate::{Error, token};

/// Writes the row of one command.
pub(super) fn record(db: &mut dyn Statements, context: Context<'_>, facts: &Facts) -> Result<(), Error> {
    db.execute(
        "INSERT INTO audit.event_log (event_id, happened_at, action, outcome, card_id, merchant_id, transaction_id, amount, replica) \
         VALUES ($1, app.ts($2), $3, $4, $5, $6, $7, $8, $9)",
        &[
            (&token::new_id("ev", context.now_ms)).into(),
            context.now_ms.into(),
            facts.action.into(),
            facts.error_code.unwrap_or("completed").into(),
            facts.card_id.as_ref().into(),
            facts.merchant_id.as_ref().into(),
            facts.transaction_id.as_ref().into(),
            facts.amount.into(),
            Value::from(context.replica),
        ],
    )?;
    Ok(())
}
