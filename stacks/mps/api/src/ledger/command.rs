//! The commands that change the books, and how one is carried out from its idempotency key to its audit row.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Refusal, Statements, audit, idempotency, money_moves, qr, registry};
use crate::{Error, Live};

/// `POST /api/qr/rotate`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateQr {
    /// The card that gets a new code; its earlier code ends.
    pub card_id: String,
    /// Seconds until the code ends by itself, 1 to 86 400; what is configured where absent.
    #[serde(default)]
    pub ttl_seconds: Option<i64>,
}

/// `POST /api/payment/pay`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pay {
    /// Who is paid.
    pub merchant_id: String,
    /// The code the member shows.
    pub qr_plain: String,
    /// The price before the discount, in minor units.
    pub amount: i64,
    /// The largest price that is allowed now. Never from the client; looked at only when the payment is carried out, so that one
    /// that was carried out before is answered as it was then.
    #[serde(skip)]
    pub amount_max: Option<i64>,
}

/// `POST /api/payment/refund`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// The payment to give back from.
    pub transaction_id: String,
    /// What to give back in minor units; all that is left where absent.
    #[serde(default)]
    pub amount: Option<i64>,
}

/// `POST /api/payment/recharge`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recharge {
    /// The card to fill.
    pub card_id: String,
    /// With what, in minor units.
    pub amount: i64,
}

/// `POST /api/merchants`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateMerchant {
    /// The identifier; made up where absent.
    #[serde(default)]
    pub merchant_id: Option<String>,
    /// The name.
    pub name: String,
}

/// `POST /api/members`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateMember {
    /// The identifier; made up where absent.
    #[serde(default)]
    pub member_id: Option<String>,
    /// The name.
    pub name: String,
}

/// `POST /api/cards`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateCard {
    /// The identifier; made up where absent.
    #[serde(default)]
    pub card_id: Option<String>,
    /// Whose card it is.
    pub member_id: String,
}

/// A request that changes the books.
#[derive(Debug, Clone)]
pub enum Command {
    /// A new code for a card.
    RotateQr(RotateQr),
    /// A payment by code.
    Pay(Pay),
    /// A refund of a payment, whole or in part.
    Refund(Refund),
    /// Money onto a card.
    Recharge(Recharge),
    /// A new merchant.
    CreateMerchant(CreateMerchant),
    /// A new member.
    CreateMember(CreateMember),
    /// A new card.
    CreateCard(CreateCard),
}

impl Command {
    /// Returns the action's name in the audit log and the service's log.
    pub fn action(&self) -> &'static str {
        match self {
            Command::RotateQr(_) => "QR_ROTATE",
            Command::Pay(_) => "PAYMENT",
            Command::Refund(_) => "REFUND",
            Command::Recharge(_) => "RECHARGE",
            Command::CreateMerchant(_) => "MERCHANT_CREATE",
            Command::CreateMember(_) => "MEMBER_CREATE",
            Command::CreateCard(_) => "CARD_CREATE",
        }
    }

    /// Tells whether the command moves money and so must come with a key.
    pub fn moves_money(&self) -> bool {
        matches!(self, Command::Pay(_) | Command::Refund(_) | Command::Recharge(_))
    }

    /// Fills in what is configured at this moment.
    pub fn fill_in(&mut self, live: &Live) {
        match self {
            Command::RotateQr(rotate) => {
                rotate.ttl_seconds.get_or_insert(live.qr_ttl_seconds());
            }
            Command::Pay(pay) => pay.amount_max = Some(live.payment_amount_max()),
            _ => {}
        }
    }

    fn status(&self) -> u16 {
        match self {
            Command::CreateMerchant(_) | Command::CreateMember(_) | Command::CreateCard(_) => 201,
            _ => 200,
        }
    }
}

/// An Idempotency-Key with the fingerprint of the request it came with.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key as the client sent it.
    pub text: String,
    /// SHA-256 over method, path and body.
    pub request_hash: String,
}

/// A command as it is queued for the database.
#[derive(Debug, Clone)]
pub struct Write {
    /// What to do.
    pub command: Command,
    /// Under which key; always present where the command moves money, never for a new code (its answer holds the code in the
    /// clear, which is not stored).
    pub key: Option<Key>,
}

/// What a command is carried out under.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// This replica's name, for the audit log.
    pub replica: &'a str,
}

/// What the audit log, the service's log and the metrics say of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The action, as [`Command::action`].
    pub action: &'static str,
    /// The refusal's code; none where the command was carried out.
    pub error_code: Option<&'static str>,
    /// The card concerned.
    pub card_id: Option<String>,
    /// The merchant concerned.
    pub merchant_id: Option<String>,
    /// The transaction made.
    pub transaction_id: Option<String>,
    /// The amount asked for.
    pub amount: Option<i64>,
    /// A code was found past its time and ended.
    pub qr_expired: bool,
}

/// How a command ended: an answer to send, carried out or refused.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: String,
    /// The answer is the stored one of an earlier request with the same key.
    pub replayed: bool,
    /// For logs and metrics.
    pub facts: Facts,
}

/// Why a command did not get its answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The rules refuse it; what was written up to here is kept.
    Refused(Refusal),
    /// The database failed; the transaction is rolled back.
    Database(Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Database(error)
    }
}

/// Carries out a command inside the open transaction of `db`.
///
/// Idempotent under its key: the first outcome, be it a refusal, is stored in the same transaction and replayed. An error
/// means the caller must roll back to where the command began.
pub fn apply(db: &mut dyn Statements, write: &Write, context: Context<'_>) -> Result<Outcome, Error> {
    let mut facts = Facts {
        action: write.command.action(),
        ..Facts::default()
    };
    if let Some(key) = &write.key
        && let Some(outcome) = idempotency::replay(db, key, &facts)?
    {
        return Ok(outcome);
    }
    let (status, body) = match carry_out(db, write, context, &mut facts) {
        Ok(answer) => (write.command.status(), answer.to_string()),
        Err(Failure::Refused(refusal)) => {
            facts.error_code = Some(refusal.code());
            (refusal.status(), refusal_body(&refusal))
        }
        Err(Failure::Database(error)) => return Err(error),
    };
    audit::record(db, context, &facts)?;
    if let Some(key) = &write.key {
        idempotency::store(db, key, status, &body, context.now_ms)?;
    }
    Ok(Outcome {
        status,
        body,
        replayed: false,
        facts,
    })
}

/// Returns the JSON body of a refusal.
pub(super) fn refusal_body(refusal: &Refusal) -> String {
    json!({ "error": { "code": refusal.code(), "message": refusal.to_string() } }).to_string()
}

fn carry_out(db: &mut dyn Statements, write: &Write, context: Context<'_>, facts: &mut Facts) -> Result<Json, Failure> {
    let key = write.key.as_ref().map(|key| key.text.as_str());
    match &write.command {
        Command::RotateQr(rotate) => qr::rotate(db, rotate, context, facts),
        Command::Pay(pay) => money_moves::pay(db, pay, key, context, facts),
        Command::Refund(refund) => money_moves::refund(db, refund, key, context, facts),
        Command::Recharge(recharge) => money_moves::recharge(db, recharge, key, context, facts),
        Command::CreateMerchant(create) => registry::create_merchant(db, create, context, facts),
        Command::CreateMember(create) => registry::create_member(db, create, context, facts),
        Command::CreateCard(create) => registry::create_card(db, create, context, facts),
    }
}
