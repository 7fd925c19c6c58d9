//! Payment, refund and recharge: the three transactions that move money.
//!
//! Double entry over three kinds of accounts: `card:<id>` holds a member's money, `merchant:<id>` what a merchant has taken,
//! `external:funding` what came in from outside (always negative: the sum of all cards and merchants). Discounts are
//! borne by the merchant, so they are no entry of their own: the merchant receives what the card pays.

use serde_json::{Value as Json, json};

use super::command::{Context, Facts, Failure, Pay, Recharge, Refund};
use super::registry::{lock_card, merchant_exists, valid_id};
use super::{Refusal, Statements, qr};
use crate::db::Value;
use crate::{Error, clock, money, token};

/// The account that recharges come from.
pub(super) const FUNDING: &str = "external:funding";

/// A transaction about to be written.
struct Transaction<'a> {
    id: String,
    kind: &'static str,
    card_id: &'a str,
    merchant_id: Option<&'a str>,
    amount: i64,
    discount_permille: i64,
    paid: i64,
    points: i64,
    payment_id: Option<&'a str>,
    qr_id: Option<&'a str>,
    key: Option<&'a str>,
    now_ms: i64,
}

impl Transaction<'_> {
    /// Writes the transaction, its two entries, its points, and the card's new balance.
    ///
    /// `card_delta` is what the card gains (negative: pays); `other` is the account on the other side.
    fn write(&self, db: &mut dyn Statements, card_delta: i64, other: &str) -> Result<(), Error> {
        db.execute(
            "INSERT INTO app.transactions (id, kind, status, card_id, merchant_id, amount, discount_permille, paid, points, \
             payment_id, qr_id, idempotency_key, created_at) \
             VALUES ($1, $2, 'completed', $3, $4, $5, $6, $7, $8, $9, $10, $11, app.ts($12))",
            &[
                (&self.id).into(),
                self.kind.into(),
                self.card_id.into(),
                self.merchant_id.into(),
                self.amount.into(),
                self.discount_permille.into(),
                self.paid.into(),
                self.points.into(),
                self.payment_id.into(),
                self.qr_id.into(),
                self.key.into(),
                self.now_ms.into(),
            ],
        )?;
        db.execute(
            "INSERT INTO app.ledger_entries (transaction_id, line, account, amount) VALUES ($1, 1, $2, $3), ($1, 2, $4, $5)",
            &[(&self.id).into(), (&format!("card:{}", self.card_id)).into(), card_delta.into(), other.into(), (-card_delta).into()],
        )?;
        if self.points != 0 {
            db.execute(
                "INSERT INTO app.point_entries (transaction_id, card_id, points) VALUES ($1, $2, $3)",
                &[(&self.id).into(), self.card_id.into(), self.points.into()],
            )?;
        }
        db.execute(
            "UPDATE app.member_cards SET balance = balance + $2, points = points + $3 WHERE card_id = $1",
            &[self.card_id.into(), card_delta.into(), self.points.into()],
        )?;
        Ok(())
    }
}

/// Pays a merchant with the card behind a live code, at the discount of the card's level.
pub(super) fn pay(
    db: &mut dyn Statements,
    pay: &Pay,
    key: Option<&str>,
    context: Context<'_>,
    facts: &mut Facts,
) -> Result<Json, Failure> {
    let now_ms = context.now_ms;
    valid_amount(pay.amount)?;
    if let Some(max) = pay.amount_max.filter(|max| pay.amount > *max) {
        return Err(Refusal::OverLimit { max }.into());
    }
    valid_id("merchant_id", &pay.merchant_id)?;
    facts.amount = Some(pay.amount);
    facts.merchant_id = Some(pay.merchant_id.clone());
    if !merchant_exists(db, &pay.merchant_id)? {
        return Err(Refusal::MerchantNotFound(pay.merchant_id.clone()).into());
    }
    let live = qr::present(db, &pay.qr_plain, now_ms, facts)?;
    let (level, discount_permille) = level_of(db, live.points)?;
    let paid = money::discounted(pay.amount, discount_permille);
    if live.balance < paid {
        return Err(Refusal::InsufficientBalance {
            balance: live.balance,
            needed: paid,
        }
        .into());
    }
    qr::use_up(db, &live, now_ms)?;
    let transaction = Transaction {
        id: token::new_id("tx", now_ms),
        kind: "payment",
        card_id: &live.card_id,
        merchant_id: Some(&pay.merchant_id),
        amount: pay.amount,
        discount_permille,
        paid,
        points: money::points_for(paid),
        payment_id: None,
        qr_id: Some(&live.qr_id),
        key,
        now_ms,
    };
    transaction.write(db, -paid, &format!("merchant:{}", pay.merchant_id))?;
    facts.transaction_id = Some(transaction.id.clone());
    Ok(json!({
        "transaction_id": transaction.id,
        "status": "completed",
        "card_id": live.card_id,
        "merchant_id": pay.merchant_id,
        "amount": pay.amount,
        "level": level,
        "discount_permille": discount_permille,
        "paid": paid,
        "points_earned": transaction.points,
        "points": live.points + transaction.points,
        "balance": live.balance - paid,
        "created_at": clock::rfc3339(now_ms),
    }))
}

/// Gives back a payment or a part of it, and takes back the points it earned.
pub(super) fn refund(
    db: &mut dyn Statements,
    refund: &Refund,
    key: Option<&str>,
    context: Context<'_>,
    facts: &mut Facts,
) -> Result<Json, Failure> {
    let now_ms = context.now_ms;
    let payment_id = &refund.transaction_id;
    valid_id("transaction_id", payment_id)?;
    facts.amount = refund.amount;
    let owner = db.query_one(
        "SELECT card_id, merchant_id, kind FROM app.transactions WHERE id = $1",
        &[payment_id.into()],
    )?;
    let owner = owner.ok_or_else(|| Refusal::TransactionNotFound(payment_id.clone()))?;
    if owner.text(2) != "payment" {
        return Err(Refusal::NotAPayment(payment_id.clone()).into());
    }
    let (card_id, merchant_id) = (owner.text(0), owner.text(1));
    facts.card_id = Some(card_id.to_owned());
    facts.merchant_id = Some(merchant_id.to_owned());
    // The card is the lock: what is left of the payment is read under it.
    let (balance, points) = lock_card(db, card_id)?.ok_or_else(|| Refusal::CardNotFound(card_id.to_owned()))?;
    let payment = db.query_one(
        "SELECT paid, refunded, discount_permille FROM app.transactions WHERE id = $1",
        &[payment_id.into()],
    )?;
    let payment = payment.ok_or_else(|| Refusal::TransactionNotFound(payment_id.clone()))?;
    let (paid, refunded, discount_permille) = (payment.int(0), payment.int(1), payment.int(2));
    let left = paid - refunded;
    let amount = refund.amount.unwrap_or(left);
    facts.amount = Some(amount);
    if refund.amount.is_some() {
        valid_amount(amount)?;
    }
    if amount > left || left == 0 {
        return Err(Refusal::RefundTooLarge { left, asked: amount }.into());
    }
    let status = if amount == left {
        "refunded"
    } else {
        "partially_refunded"
    };
    db.execute(
        "UPDATE app.transactions SET refunded = refunded + $2, status = $3 WHERE id = $1",
        &[payment_id.into(), amount.into(), status.into()],
    )?;
    let transaction = Transaction {
        id: token::new_id("tx", now_ms),
        kind: "refund",
        card_id,
        merchant_id: Some(merchant_id),
        amount,
        discount_permille,
        paid: amount,
        points: -money::points_taken_back(paid, refunded, amount),
        payment_id: Some(payment_id),
        qr_id: None,
        key,
        now_ms,
    };
    transaction.write(db, amount, &format!("merchant:{merchant_id}"))?;
    facts.transaction_id = Some(transaction.id.clone());
    Ok(json!({
        "transaction_id": transaction.id,
        "payment_id": payment_id,
        "status": "completed",
        "payment_status": status,
        "card_id": card_id,
        "merchant_id": merchant_id,
        "amount": amount,
        "left": left - amount,
        "points_taken": -transaction.points,
        "points": points + transaction.points,
        "balance": balance + amount,
        "created_at": clock::rfc3339(now_ms),
    }))
}

/// Puts money onto a card from outside.
pub(super) fn recharge(
    db: &mut dyn Statements,
    recharge: &Recharge,
    key: Option<&str>,
    context: Context<'_>,
    facts: &mut Facts,
) -> Result<Json, Failure> {
    let card_id = &recharge.card_id;
    valid_amount(recharge.amount)?;
    valid_id("card_id", card_id)?;
    facts.amount = Some(recharge.amount);
    facts.card_id = Some(card_id.clone());
    let (balance, _) = lock_card(db, card_id)?.ok_or_else(|| Refusal::CardNotFound(card_id.clone()))?;
    let transaction = Transaction {
        id: token::new_id("tx", context.now_ms),
        kind: "recharge",
        card_id,
        merchant_id: None,
        amount: recharge.amount,
        discount_permille: 1000,
        paid: recharge.amount,
        points: 0,
        payment_id: None,
        qr_id: None,
        key,
        now_ms: context.now_ms,
    };
    transaction.write(db, recharge.amount, FUNDING)?;
    facts.transaction_id = Some(transaction.id.clone());
    Ok(json!({
        "transaction_id": transaction.id,
        "status": "completed",
        "card_id": card_id,
        "amount": recharge.amount,
        "balance": balance + recharge.amount,
        "created_at": clock::rfc3339(context.now_ms),
    }))
}

/// Returns level and discount (permille) for a number of points; no discount where no active level begins that low.
pub(super) fn level_of(db: &mut dyn Statements, points: i64) -> Result<(i64, i64), Error> {
    let row = db.query_one(
        "SELECT level, CAST(round(discount * 1000) AS BIGINT) FROM app.membership_levels \
         WHERE is_active AND min_points <= $1 ORDER BY min_points DESC LIMIT 1",
        &[Value::Int(points)],
    )?;
    Ok(row.map_or((0, 1000), |row| (row.int(0), row.int(1))))
}

fn valid_amount(amount: i64) -> Result<(), Refusal> {
    if (1..=money::AMOUNT_MAX).contains(&amount) {
        Ok(())
    } else {
        Err(Refusal::Invalid {
            field: "amount",
            expected: "1 to 1000000000000 minor units",
        })
    }
}
