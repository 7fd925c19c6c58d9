//! Proves the books, or names what is wrong with them.
//!
//! Each rule is a query for its violations; the books balance when none finds any. All rules and figures are read in one
//! snapshot, so that a check while payments go on is as good as one at rest.

use serde::Serialize;

use super::Statements;
use crate::Error;

/// Most violations listed of each rule; one is enough to fail, a few show the pattern.
const LISTED_MAX: usize = 20;

/// A rule, and the query that finds what breaks it as (subject, what was found).
struct Rule {
    name: &'static str,
    sql: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        name: "the entries of each transaction sum to zero",
        sql: "SELECT transaction_id, CAST(SUM(amount) AS TEXT) FROM app.ledger_entries \
              GROUP BY transaction_id HAVING SUM(amount) <> 0",
    },
    Rule {
        name: "each transaction has one entry of the card for the amount moved, one of the other side, and no more",
        sql: "SELECT t.id, t.kind FROM app.transactions t \
              LEFT JOIN app.ledger_entries a ON a.transaction_id = t.id AND a.line = 1 \
              LEFT JOIN app.ledger_entries b ON b.transaction_id = t.id AND b.line = 2 \
              LEFT JOIN app.ledger_entries more ON more.transaction_id = t.id AND more.line NOT IN (1, 2) \
              WHERE a.account IS DISTINCT FROM 'card:' || t.card_id \
              OR a.amount IS DISTINCT FROM CASE t.kind WHEN 'payment' THEN -t.paid ELSE t.paid END \
              OR b.account IS DISTINCT FROM COALESCE('merchant:' || t.merchant_id, 'external:funding') \
              OR more.line IS NOT NULL",
    },
    Rule {
        name: "each entry belongs to a transaction",
        sql: "SELECT e.transaction_id, e.account FROM app.ledger_entries e \
              LEFT JOIN app.transactions t ON t.id = e.transaction_id WHERE t.id IS NULL",
    },
    Rule {
        name: "each card holds the sum of its entries",
        sql: "SELECT c.card_id, CAST(c.balance AS TEXT) FROM app.member_cards c \
              WHERE c.balance <> (SELECT COALESCE(SUM(e.amount), 0) FROM app.ledger_entries e WHERE e.account = 'card:' || c.card_id)",
    },
    Rule {
        name: "no card and no merchant is below zero",
        sql: "SELECT account, CAST(SUM(amount) AS TEXT) FROM app.ledger_entries \
              WHERE account <> 'external:funding' GROUP BY account HAVING SUM(amount) < 0",
    },
    Rule {
        name: "each key made at most one transaction",
        sql: "SELECT idempotency_key, CAST(COUNT(*) AS TEXT) FROM app.transactions \
              WHERE idempotency_key IS NOT NULL GROUP BY idempotency_key HAVING COUNT(*) > 1",
    },
    Rule {
        name: "each payment was paid by a code of its own",
        sql: "SELECT id, card_id FROM app.transactions WHERE kind = 'payment' AND qr_id IS NULL",
    },
    Rule {
        name: "each code that paid is marked used",
        sql: "SELECT t.id, h.qr_id FROM app.transactions t JOIN app.card_qr_history h ON h.qr_id = t.qr_id \
              WHERE h.ended_by IS NULL OR h.ended_by <> 'used'",
    },
    Rule {
        name: "what was refunded of each payment is the sum of its refunds and not beyond the payment",
        sql: "SELECT p.id, CAST(p.refunded AS TEXT) FROM app.transactions p WHERE p.kind = 'payment' AND (p.refunded > p.paid \
              OR p.refunded <> (SELECT COALESCE(SUM(r.paid), 0) FROM app.transactions r WHERE r.payment_id = p.id))",
    },
    Rule {
        name: "each card's points are the sum of its point entries",
        sql: "SELECT c.card_id, CAST(c.points AS TEXT) FROM app.member_cards c \
              LEFT JOIN (SELECT card_id, SUM(points) AS points FROM app.point_entries GROUP BY card_id) e ON e.card_id = c.card_id \
              WHERE c.points <> COALESCE(e.points, 0)",
    },
    Rule {
        name: "each transaction's points are entered once",
        sql: "SELECT t.id, CAST(t.points AS TEXT) FROM app.transactions t \
              LEFT JOIN app.point_entries e ON e.transaction_id = t.id WHERE t.points <> COALESCE(e.points, 0)",
    },
];

/// One thing wrong with the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The rule that is broken.
    pub rule: &'static str,
    /// The transaction, card or account that breaks it.
    pub subject: String,
    /// What was found there.
    pub found: String,
}

/// The state of the books at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// No rule is broken and the total is zero.
    pub balanced: bool,
    /// Payments, refunds and recharges together.
    pub transactions: i64,
    /// Payments.
    pub payments: i64,
    /// What payments moved, in minor units.
    pub paid: i64,
    /// Refunds.
    pub refunds: i64,
    /// What refunds gave back, in minor units.
    pub refunded: i64,
    /// Recharges.
    pub recharges: i64,
    /// What recharges brought in, in minor units.
    pub recharged: i64,
    /// Ledger entries.
    pub entries: i64,
    /// The sum of all entries; zero in whole books.
    pub total: i64,
    /// Cards.
    pub cards: i64,
    /// What all cards hold, in minor units.
    pub card_balances: i64,
    /// Points of all cards.
    pub points: i64,
    /// What is wrong, at most twenty of each rule.
    pub violations: Vec<Violation>,
}

/// Checks the books as the open read transaction of `db` sees them.
pub fn check(db: &mut dyn Statements) -> Result<CheckReport, Error> {
    let mut figures = |sql| Ok::<_, Error>(db.query_one(sql, &[])?.expect("an aggregate has one row"));
    let kinds = figures(
        "SELECT COUNT(*), \
         CAST(COALESCE(SUM(CASE kind WHEN 'payment' THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE kind WHEN 'payment' THEN paid ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE kind WHEN 'refund' THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE kind WHEN 'refund' THEN paid ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE kind WHEN 'recharge' THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE kind WHEN 'recharge' THEN paid ELSE 0 END), 0) AS BIGINT) FROM app.transactions",
    )?;
    let entries = figures("SELECT COUNT(*), CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM app.ledger_entries")?;
    let cards = figures(
        "SELECT COUNT(*), CAST(COALESCE(SUM(balance), 0) AS BIGINT), CAST(COALESCE(SUM(points), 0) AS BIGINT) FROM app.member_cards",
    )?;
    let mut violations = Vec::new();
    for rule in RULES {
        let broken = db.query(rule.sql, &[])?;
        violations.extend(broken.iter().take(LISTED_MAX).map(|row| Violation {
            rule: rule.name,
            subject: row.text(0).to_owned(),
            found: row.text(1).to_owned(),
        }));
    }
    let total = entries.int(1);
    Ok(CheckReport {
        balanced: violations.is_empty() && total == 0,
        transactions: kinds.int(0),
        payments: kinds.int(1),
        paid: kinds.int(2),
        refunds: kinds.int(3),
        refunded: kinds.int(4),
        recharges: kinds.int(5),
        recharged: kinds.int(6),
        entries: entries.int(0),
        total,
        cards: cards.int(0),
        card_balances: cards.int(1),
        points: cards.int(2),
        violations,
    })
}
