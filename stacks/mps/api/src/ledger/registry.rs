//! Merchants, members and their cards: making them, finding them, locking a card.

use serde_json::{Value as Json, json};

use super::command::{Context, CreateCard, CreateMember, CreateMerchant, Facts, Failure};
use super::{Refusal, Statements};
use crate::{Error, clock, token};

/// Longest identifier, in bytes.
const ID_BYTES_MAX: usize = 64;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Refuses an identifier that could not be written into a path or a log without quoting.
pub(super) fn valid_id(field: &'static str, id: &str) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain) {
        Ok(())
    } else {
        Err(Refusal::Invalid {
            field,
            expected: "1 to 64 letters, digits, `-`, `_` or `.`",
        })
    }
}

fn valid_name(name: &str) -> Result<(), Refusal> {
    if (1..=NAME_BYTES_MAX).contains(&name.trim().len()) {
        Ok(())
    } else {
        Err(Refusal::Invalid {
            field: "name",
            expected: "1 to 200 bytes of text",
        })
    }
}

/// Locks a card against every other command and returns its balance and points, or none where there is no such card.
pub(super) fn lock_card(db: &mut dyn Statements, card_id: &str) -> Result<Option<(i64, i64)>, Error> {
    let row = db.query_one(
        "SELECT balance, points FROM app.member_cards WHERE card_id = $1 FOR UPDATE",
        &[card_id.into()],
    )?;
    Ok(row.map(|row| (row.int(0), row.int(1))))
}

/// Tells whether there is such a merchant.
pub(super) fn merchant_exists(db: &mut dyn Statements, merchant_id: &str) -> Result<bool, Error> {
    Ok(db
        .query_one(
            "SELECT name FROM app.merchants WHERE merchant_id = $1",
            &[merchant_id.into()],
        )?
        .is_some())
}

/// Tells whether there is such a member.
pub(super) fn member_exists(db: &mut dyn Statements, member_id: &str) -> Result<bool, Error> {
    Ok(db
        .query_one("SELECT name FROM app.members WHERE member_id = $1", &[member_id.into()])?
        .is_some())
}

/// Makes a merchant.
pub(super) fn create_merchant(
    db: &mut dyn Statements,
    create: &CreateMerchant,
    context: Context<'_>,
    facts: &mut Facts,
) -> Result<Json, Failure> {
    valid_name(&create.name)?;
    let id = create
        .merchant_id
        .clone()
        .unwrap_or_else(|| token::new_id("mer", context.now_ms));
    valid_id("merchant_id", &id)?;
    facts.merchant_id = Some(id.clone());
    let made = db.execute(
        "INSERT INTO app.merchants (merchant_id, name, created_at) VALUES ($1, $2, app.ts($3)) ON CONFLICT (merchant_id) DO NOTHING",
        &[(&id).into(), (&create.name).into(), context.now_ms.into()],
    )?;
    made_once(made, &id)?;
    Ok(json!({ "merchant_id": id, "name": create.name, "created_at": clock::rfc3339(context.now_ms) }))
}

/// Makes a member.
pub(super) fn create_member(
    db: &mut dyn Statements,
    create: &CreateMember,
    context: Context<'_>,
    _facts: &mut Facts,
) -> Result<Json, Failure> {
    valid_name(&create.name)?;
    let id = create
        .member_id
        .clone()
        .unwrap_or_else(|| token::new_id("mem", context.now_ms));
    valid_id("member_id", &id)?;
    let made = db.execute(
        "INSERT INTO app.members (member_id, name, created_at) VALUES ($1, $2, app.ts($3)) ON CONFLICT (member_id) DO NOTHING",
        &[(&id).into(), (&create.name).into(), context.now_ms.into()],
    )?;
    made_once(made, &id)?;
    Ok(json!({ "member_id": id, "name": create.name, "created_at": clock::rfc3339(context.now_ms) }))
}

/// Makes an empty card for a member.
pub(super) fn create_card(
    db: &mut dyn Statements,
    create: &CreateCard,
    context: Context<'_>,
    facts: &mut Facts,
) -> Result<Json, Failure> {
    valid_id("member_id", &create.member_id)?;
    let id = create
        .card_id
        .clone()
        .unwrap_or_else(|| token::new_id("card", context.now_ms));
    valid_id("card_id", &id)?;
    facts.card_id = Some(id.clone());
    if !member_exists(db, &create.member_id)? {
        return Err(Refusal::MemberNotFound(create.member_id.clone()).into());
    }
    let made = db.execute(
        "INSERT INTO app.member_cards (card_id, member_id, balance, points, created_at) VALUES ($1, $2, 0, 0, app.ts($3)) \
         ON CONFLICT (card_id) DO NOTHING",
        &[(&id).into(), (&create.member_id).into(), context.now_ms.into()],
    )?;
    made_once(made, &id)?;
    Ok(json!({
        "card_id": id, "member_id": create.member_id, "balance": 0, "points": 0, "created_at": clock::rfc3339(context.now_ms),
    }))
}

fn made_once(made: u64, id: &str) -> Result<(), Refusal> {
    if made == 1 {
        Ok(())
    } else {
        Err(Refusal::AlreadyExists(id.to_owned()))
    }
}
