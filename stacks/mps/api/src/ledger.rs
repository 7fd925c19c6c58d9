//! The rules of the payment system, written once over [`Statements`].
//!
//! Owns what a request does to the books and why it may be refused. Knows no HTTP, thread or particular database. A
//! command runs inside a transaction that the caller opened and commits: what it changes, its audit row and the stored
//! outcome under its idempotency key become durable together or not at all.
//!
//! Invariant: the entries of every transaction sum to zero (test `books_balance_after_every_kind_of_command`).
//! Invariant: a refusal has changed nothing but the audit log and codes found expired (test `a_refusal_moves_nothing`).

mod audit;
mod check;
mod command;
mod idempotency;
mod money_moves;
mod qr;
mod query;
mod refusal;
mod registry;
mod seed;

pub use check::{CheckReport, Violation, check};
pub use command::{
    Command, Context, CreateCard, CreateMember, CreateMerchant, Facts, Key, Outcome, Pay, Recharge, Refund, RotateQr,
    Write, apply,
};
pub use query::{PAGE_LIMIT_MAX, Page, Query, StatementOf, answer};
pub use refusal::Refusal;
pub use seed::{DEMO_BALANCE, DEMO_CARDS, DEMO_MERCHANTS, demo_card_id, demo_merchant_id, seed_demo};

use crate::db::Statements;
