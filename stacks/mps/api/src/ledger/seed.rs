//! Demo data: something to pay with, and enough cards for a load test. Seeding again changes nothing.

use super::Statements;
use super::command::{Command, Context, CreateCard, CreateMember, CreateMerchant, Recharge, Write, apply};
use super::registry::merchant_exists;
use crate::Error;

/// Numbered demo cards, beside `test-card-id`.
pub const DEMO_CARDS: u32 = 1000;
/// Demo merchants.
pub const DEMO_MERCHANTS: u32 = 10;
/// What each demo card holds at first, in minor units.
pub const DEMO_BALANCE: i64 = 10_000_000;

/// Returns the identifier of demo card `number`, 1 to [`DEMO_CARDS`]: `card-0001`.
pub fn demo_card_id(number: u32) -> String {
    format!("card-{number:04}")
}

/// Returns the identifier of demo merchant `number`, 1 to [`DEMO_MERCHANTS`]: `merchant-01`.
pub fn demo_merchant_id(number: u32) -> String {
    format!("merchant-{number:02}")
}

/// Writes the demo data inside the open transaction of `db`; what exists already stays as it is.
pub fn seed_demo(db: &mut dyn Statements, context: Context<'_>) -> Result<(), Error> {
    for number in 1..=DEMO_MERCHANTS {
        let merchant_id = demo_merchant_id(number);
        if !merchant_exists(db, &merchant_id)? {
            let create = CreateMerchant {
                merchant_id: Some(merchant_id),
                name: format!("Demo merchant {number}"),
            };
            run(db, context, Command::CreateMerchant(create))?;
        }
    }
    seed_card(db, context, "test-card-id".to_owned(), "test-member".to_owned())?;
    for number in 1..=DEMO_CARDS {
        seed_card(db, context, demo_card_id(number), format!("member-{number:04}"))?;
    }
    Ok(())
}

fn seed_card(db: &mut dyn Statements, context: Context<'_>, card_id: String, member_id: String) -> Result<(), Error> {
    let known = db.query_one(
        "SELECT card_id FROM app.member_cards WHERE card_id = $1",
        &[(&card_id).into()],
    )?;
    if known.is_some() {
        return Ok(());
    }
    run(
        db,
        context,
        Command::CreateMember(CreateMember {
            member_id: Some(member_id.clone()),
            name: format!("Demo {member_id}"),
        }),
    )?;
    run(
        db,
        context,
        Command::CreateCard(CreateCard {
            card_id: Some(card_id.clone()),
            member_id,
        }),
    )?;
    run(
        db,
        context,
        Command::Recharge(Recharge {
            card_id,
            amount: DEMO_BALANCE,
        }),
    )
}

/// Carries out one command. A member that exists already is refused, which is what seeding again means.
fn run(db: &mut dyn Statements, context: Context<'_>, command: Command) -> Result<(), Error> {
    apply(db, &Write { command, key: None }, context).map(drop)
}
