//! Checks the server's books against what was acknowledged.
//!
//! The run pays merchants of its own, so their statements hold this run's payments and nothing else.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::client::Client;
use crate::load::{Outcome, Payment, insist};

/// Findings listed of each kind.
const LISTED_MAX: usize = 20;

/// What the books say of this run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// The server's own check: every transaction balances and so on.
    pub balanced: bool,
    /// Payments of this run in the ledger.
    pub payments: u64,
    /// Acknowledged payments that are not in the ledger.
    pub missing: u64,
    /// Payments that are in the ledger more than once.
    pub repeated: u64,
    /// Payments in the ledger with another amount or identifier than acknowledged.
    pub altered: u64,
    /// Payments in the ledger that were refused or never sent.
    pub unasked: u64,
    /// Payments of unknown outcome that turned out to be in the ledger, once.
    pub unknown_found: u64,
    /// Some of the above by key, and the server's own findings.
    pub findings: Vec<String>,
}

impl Books {
    /// Tells whether nothing is wrong.
    pub fn are_right(&self) -> bool {
        self.balanced && self.missing + self.repeated + self.altered + self.unasked == 0
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < LISTED_MAX {
            self.findings.push(finding);
        }
    }
}

/// A line of a merchant's statement.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Line {
    pub(crate) transaction_id: String,
    pub(crate) amount: i64,
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Deserialize)]
struct Statement {
    transactions: Vec<Line>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Check {
    balanced: bool,
    violations: Vec<serde_json::Value>,
}

/// Reads statements and the ledger's own check, and compares.
pub(crate) async fn judge(client: &mut Client, merchants: &[String], payments: &[Payment]) -> Result<Books, Error> {
    let mut lines = Vec::new();
    for merchant in merchants {
        let mut after = String::new();
        loop {
            let path = format!("/api/merchants/{merchant}/statement?limit=1000{after}");
            let statement: Statement = read(client, &path).await?;
            lines.extend(statement.transactions);
            match statement.next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
    }
    let check: Check = read(client, "/api/ledger/check").await?;
    let mut books = compare(&lines, payments);
    books.balanced = check.balanced;
    for violation in check.violations {
        books.find(format!("the ledger's check: {violation}"));
    }
    Ok(books)
}

async fn read<T: for<'de> Deserialize<'de>>(client: &mut Client, path: &str) -> Result<T, Error> {
    let parse = |body: &Bytes| serde_json::from_slice::<T>(body).ok();
    let answer = insist(client, &Method::GET, path, Bytes::new(), |answer| {
        answer.status == 200 && parse(&answer.body).is_some()
    })
    .await?;
    Ok(parse(&answer.body).expect("parsed just now"))
}

/// Compares the statements' lines with what the driver knows of each payment.
pub(crate) fn compare(lines: &[Line], payments: &[Payment]) -> Books {
    let mut books = Books {
        payments: lines.len() as u64,
        ..Books::default()
    };
    let mut by_key: HashMap<&str, Vec<&Line>> = HashMap::new();
    for line in lines {
        by_key
            .entry(line.idempotency_key.as_deref().unwrap_or_default())
            .or_default()
            .push(line);
    }
    for payment in payments {
        let found = by_key.remove(payment.key.as_str()).unwrap_or_default();
        let key = &payment.key;
        if found.len() > 1 {
            books.repeated += 1;
            books.find(format!("{key} is in the ledger {} times", found.len()));
        }
        let entered = found.first().copied();
        match (&payment.outcome, entered) {
            (Outcome::Acknowledged { .. }, None) => {
                books.missing += 1;
                books.find(format!("{key} was acknowledged and is not in the ledger"));
            }
            (Outcome::Acknowledged { transaction_id }, Some(line)) => {
                if line.amount != payment.amount || line.transaction_id != *transaction_id {
                    books.altered += 1;
                    books.find(format!(
                        "{key} was acknowledged as {transaction_id} of {} and is {line:?}",
                        payment.amount
                    ));
                }
            }
            (Outcome::Unknown, Some(line)) => {
                books.unknown_found += 1;
                if line.amount != payment.amount {
                    books.altered += 1;
                    books.find(format!("{key} was sent with {} and is {line:?}", payment.amount));
                }
            }
            (Outcome::Refused(_) | Outcome::NotSent, Some(_)) => {
                books.unasked += 1;
                books.find(format!("{key} is in the ledger, though {:?}", payment.outcome));
            }
            (Outcome::Refused(_) | Outcome::NotSent | Outcome::Unknown, None) => {}
        }
    }
    for (key, lines) in by_key {
        books.unasked += lines.len() as u64;
        books.find(format!("`{key}` is in the ledger and was never sent"));
    }
    books
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(key: &str, outcome: Outcome) -> Payment {
        Payment {
            key: key.to_owned(),
            amount: 100,
            outcome,
        }
    }

    fn acknowledged(key: &str) -> Payment {
        payment(
            key,
            Outcome::Acknowledged {
                transaction_id: format!("tx_{key}"),
            },
        )
    }

    fn line(key: &str, amount: i64) -> Line {
        Line {
            transaction_id: format!("tx_{key}"),
            amount,
            idempotency_key: Some(key.to_owned()),
        }
    }

    fn judged(lines: &[Line], payments: &[Payment]) -> (bool, Books) {
        let books = Books {
            balanced: true,
            ..compare(lines, payments)
        };
        (books.are_right(), books)
    }

    #[test]
    fn books_are_right_when_each_acknowledged_payment_is_there_once() {
        let payments = [
            acknowledged("a"),
            payment("b", Outcome::Unknown),
            payment("c", Outcome::Unknown),
            payment("d", Outcome::NotSent),
        ];
        let (right, books) = judged(&[line("a", 100), line("b", 100)], &payments);
        assert!(right, "{books:?}");
        assert_eq!((books.payments, books.unknown_found), (2, 1));
    }

    #[test]
    fn books_are_wrong_when_a_payment_is_missing() {
        let (right, books) = judged(&[], &[acknowledged("a")]);
        assert_eq!((right, books.missing), (false, 1));
    }

    #[test]
    fn books_are_wrong_when_a_payment_is_there_twice_or_altered() {
        let (right, books) = judged(&[line("a", 100), line("a", 100)], &[acknowledged("a")]);
        assert_eq!((right, books.repeated), (false, 1));
        let (right, books) = judged(&[line("a", 99)], &[acknowledged("a")]);
        assert_eq!((right, books.altered), (false, 1));
        let (right, books) = judged(&[line("a", 99)], &[payment("a", Outcome::Unknown)]);
        assert_eq!((right, books.altered), (false, 1));
    }

    #[test]
    fn books_are_wrong_when_a_payment_is_there_that_was_refused_or_never_sent() {
        let (right, books) = judged(
            &[line("a", 100)],
            &[payment("a", Outcome::Refused("qr_used".to_owned()))],
        );
        assert_eq!((right, books.unasked), (false, 1));
        let (right, books) = judged(&[line("a", 100)], &[]);
        assert_eq!((right, books.unasked), (false, 1));
    }

    #[test]
    fn books_are_wrong_when_the_ledger_does_not_balance() {
        assert!(!compare(&[], &[]).are_right());
    }
}
