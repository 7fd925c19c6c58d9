//! Questions that change nothing: cards, members, merchants, levels, transactions, statements.

use serde_json::{Value as Json, json};

use super::command::{Facts, Failure, Outcome, refusal_body};
use super::money_moves::level_of;
use super::registry::{merchant_exists, valid_id};
use super::{Refusal, Statements};
use crate::db::{Row, Value};
use crate::{Error, clock};

/// Most lines of one page of a statement.
pub const PAGE_LIMIT_MAX: i64 = 1000;

/// Whose statement is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementOf {
    /// One card.
    Card(String),
    /// All cards of one member.
    Member(String),
    /// One merchant.
    Merchant(String),
}

/// Which lines of a statement: oldest first, from after `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The `next` of the page before; none for the first page.
    pub after: Option<String>,
    /// Most lines, 1 to [`PAGE_LIMIT_MAX`].
    pub limit: i64,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Whether the database answers.
    Ping,
    /// All levels.
    Levels,
    /// A card: balance, points, level.
    Card(String),
    /// A member and their cards.
    Member(String),
    /// A merchant and what it has taken.
    Merchant(String),
    /// One transaction with its entries.
    Transaction(String),
    /// Transactions in the order they were made.
    Statement(StatementOf, Page),
    /// Payments of all merchants since a moment, in milliseconds since 1970; up to [`PAGE_LIMIT_MAX`] of them, oldest first.
    PaymentsSince(i64),
}

/// Answers a question inside the open read transaction of `db`.
pub fn answer(db: &mut dyn Statements, query: &Query) -> Result<Outcome, Error> {
    let answered = match query {
        Query::Ping => ping(db),
        Query::Levels => levels(db),
        Query::Card(id) => card(db, id),
        Query::Member(id) => member(db, id),
        Query::Merchant(id) => merchant(db, id),
        Query::Transaction(id) => transaction(db, id),
        Query::Statement(of, page) => statement(db, of, page),
        Query::PaymentsSince(since_ms) => payments_since(db, *since_ms),
    };
    match answered {
        Ok(body) => Ok(Outcome {
            status: 200,
            body: body.to_string(),
            replayed: false,
            facts: Facts::default(),
        }),
        Err(Failure::Refused(refusal)) => {
            let facts = Facts {
                error_code: Some(refusal.code()),
                ..Facts::default()
            };
            Ok(Outcome {
                status: refusal.status(),
                body: refusal_body(&refusal),
                replayed: false,
                facts,
            })
        }
        Err(Failure::Database(error)) => Err(error),
    }
}

fn ping(db: &mut dyn Statements) -> Result<Json, Failure> {
    db.query("SELECT level FROM app.membership_levels LIMIT 1", &[])?;
    Ok(json!({ "database": "ok" }))
}

fn levels(db: &mut dyn Statements) -> Result<Json, Failure> {
    let rows = db.query(
        "SELECT level, name, min_points, max_points, CAST(round(discount * 1000) AS BIGINT) \
         FROM app.membership_levels WHERE is_active ORDER BY level",
        &[],
    )?;
    let levels: Vec<Json> = rows
        .iter()
        .map(|row| {
            json!({
                "level": row.int(0), "name": row.text(1), "min_points": row.int(2), "max_points": row.opt_int(3),
                "discount_permille": row.int(4),
            })
        })
        .collect();
    Ok(json!({ "levels": levels }))
}

fn card(db: &mut dyn Statements, card_id: &str) -> Result<Json, Failure> {
    let row = db.query_one(
        "SELECT member_id, balance, points FROM app.member_cards WHERE card_id = $1",
        &[card_id.into()],
    )?;
    let row = row.ok_or_else(|| Refusal::CardNotFound(card_id.to_owned()))?;
    let (level, discount_permille) = level_of(db, row.int(2))?;
    Ok(json!({
        "card_id": card_id, "member_id": row.text(0), "balance": row.int(1), "points": row.int(2),
        "level": level, "discount_permille": discount_permille,
    }))
}

fn member(db: &mut dyn Statements, member_id: &str) -> Result<Json, Failure> {
    let name = db.query_one("SELECT name FROM app.members WHERE member_id = $1", &[member_id.into()])?;
    let name = name.ok_or_else(|| Refusal::MemberNotFound(member_id.to_owned()))?;
    let cards = db.query(
        "SELECT card_id, balance, points FROM app.member_cards WHERE member_id = $1 ORDER BY card_id",
        &[member_id.into()],
    )?;
    let cards: Vec<Json> = cards
        .iter()
        .map(|row| json!({ "card_id": row.text(0), "balance": row.int(1), "points": row.int(2) }))
        .collect();
    Ok(json!({ "member_id": member_id, "name": name.text(0), "cards": cards }))
}

fn merchant(db: &mut dyn Statements, merchant_id: &str) -> Result<Json, Failure> {
    let name = db.query_one(
        "SELECT name FROM app.merchants WHERE merchant_id = $1",
        &[merchant_id.into()],
    )?;
    let name = name.ok_or_else(|| Refusal::MerchantNotFound(merchant_id.to_owned()))?;
    let taken = db.query_one(
        "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM app.ledger_entries WHERE account = $1",
        &[(&format!("merchant:{merchant_id}")).into()],
    )?;
    Ok(json!({ "merchant_id": merchant_id, "name": name.text(0), "balance": taken.map_or(0, |row| row.int(0)) }))
}

/// The columns of a transaction as every answer shows it, in the order [`line`] reads them.
macro_rules! select_transactions {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.kind, t.status, t.card_id, t.merchant_id, t.amount, t.discount_permille, t.paid, t.refunded, \
             t.points, t.payment_id, t.idempotency_key, app.ms(t.created_at) FROM app.transactions t ",
            $rest
        )
    };
}

fn line(row: &Row) -> Json {
    json!({
        "transaction_id": row.text(0), "kind": row.text(1), "status": row.text(2), "card_id": row.text(3),
        "merchant_id": row.opt_text(4), "amount": row.int(5), "discount_permille": row.int(6), "paid": row.int(7),
        "refunded": row.int(8), "points": row.int(9), "payment_id": row.opt_text(10), "idempotency_key": row.opt_text(11),
        "created_at": clock::rfc3339(row.int(12)),
    })
}

fn transaction(db: &mut dyn Statements, id: &str) -> Result<Json, Failure> {
    let row = db.query_one(select_transactions!("WHERE t.id = $1"), &[id.into()])?;
    let mut answer = line(&row.ok_or_else(|| Refusal::TransactionNotFound(id.to_owned()))?);
    let entries = db.query(
        "SELECT account, amount FROM app.ledger_entries WHERE transaction_id = $1 ORDER BY line",
        &[id.into()],
    )?;
    answer["entries"] = entries
        .iter()
        .map(|row| json!({ "account": row.text(0), "amount": row.int(1) }))
        .collect::<Vec<_>>()
        .into();
    Ok(answer)
}

fn statement(db: &mut dyn Statements, of: &StatementOf, page: &Page) -> Result<Json, Failure> {
    if !(1..=PAGE_LIMIT_MAX).contains(&page.limit) {
        return Err(Refusal::Invalid {
            field: "limit",
            expected: "1 to 1000",
        }
        .into());
    }
    let (after_ms, after_id) = match &page.after {
        None => (-1, ""),
        Some(cursor) => read_cursor(cursor).ok_or(Refusal::Invalid {
            field: "after",
            expected: "the `next` of a page",
        })?,
    };
    let (sql, owner) = match of {
        StatementOf::Card(id) => {
            card(db, id)?;
            (
                select_transactions!(
                    "WHERE t.card_id = $1 AND (t.created_at, t.id) > (app.ts($2), $3) ORDER BY t.created_at, t.id LIMIT $4"
                ),
                id,
            )
        }
        StatementOf::Merchant(id) => {
            if !merchant_exists(db, id)? {
                return Err(Refusal::MerchantNotFound(id.clone()).into());
            }
            (
                select_transactions!(
                    "WHERE t.merchant_id = $1 AND (t.created_at, t.id) > (app.ts($2), $3) ORDER BY t.created_at, t.id LIMIT $4"
                ),
                id,
            )
        }
        StatementOf::Member(id) => {
            member(db, id)?;
            (
                select_transactions!(
                    "JOIN app.member_cards c ON c.card_id = t.card_id \
                     WHERE c.member_id = $1 AND (t.created_at, t.id) > (app.ts($2), $3) ORDER BY t.created_at, t.id LIMIT $4"
                ),
                id,
            )
        }
    };
    // One line more than asked for tells whether there is a next page.
    let mut rows = db.query(
        sql,
        &[
            owner.into(),
            after_ms.into(),
            after_id.into(),
            Value::Int(page.limit + 1),
        ],
    )?;
    let more = rows.len() as i64 > page.limit;
    rows.truncate(page.limit as usize);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|row| format!("{}-{}", row.int(12), row.text(0)));
    Ok(json!({ "transactions": rows.iter().map(line).collect::<Vec<_>>(), "next": next }))
}

fn payments_since(db: &mut dyn Statements, since_ms: i64) -> Result<Json, Failure> {
    // Each status is named so that the index on kind, status and time serves.
    let rows = db.query(
        select_transactions!(
            "WHERE t.kind = 'payment' AND t.status IN ('completed', 'partially_refunded', 'refunded') \
             AND t.created_at >= app.ts($1) ORDER BY t.created_at, t.id LIMIT $2"
        ),
        &[since_ms.into(), PAGE_LIMIT_MAX.into()],
    )?;
    Ok(rows.iter().map(line).collect::<Vec<_>>().into())
}

fn read_cursor(cursor: &str) -> Option<(i64, &str)> {
    let (ms, id) = cursor.split_once('-')?;
    valid_id("after", id).ok()?;
    Some((ms.parse().ok()?, id))
}
