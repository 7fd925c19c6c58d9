//! Arithmetic of prices, discounts and points. Pure; knows no database.
//!
//! Money is in minor units (cents) as `i64`. A discount is the share that is paid, in permille: 950 means the member pays
//! 95 %. The merchant bears the discount, so what the card pays is what the merchant receives.

/// Largest amount of one request: ten thousand million in major units. Far from where `i64` sums could overflow.
pub(crate) const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// Minor units that earn one point.
pub(crate) const MINOR_UNITS_A_POINT: i64 = 100;

/// Returns what a card pays for `amount` at `discount_permille`, rounded half up to a whole minor unit, never below one.
pub(crate) fn discounted(amount: i64, discount_permille: i64) -> i64 {
    ((amount * discount_permille + 500) / 1000).max(1)
}

/// Returns the points that `paid` earns: one for each full hundred minor units.
pub(crate) fn points_for(paid: i64) -> i64 {
    paid / MINOR_UNITS_A_POINT
}

/// Returns the points a refund takes back, so that the card keeps what the part not refunded would have earned.
///
/// Taking the difference of two totals, rather than the points of the part, makes several small refunds take exactly what
/// one large one takes.
pub(crate) fn points_taken_back(paid: i64, refunded_before: i64, refund: i64) -> i64 {
    points_for(paid - refunded_before) - points_for(paid - refunded_before - refund)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discount_rounds_half_up_and_never_to_nothing() {
        let cases = [
            (1000, 950, 950),
            (1, 850, 1),
            (10, 950, 10),
            (9, 950, 9),
            (30, 850, 26),
            (AMOUNT_MAX, 1000, AMOUNT_MAX),
        ];
        for (amount, permille, paid) in cases {
            assert_eq!(discounted(amount, permille), paid, "{amount} at {permille}");
        }
    }

    #[test]
    fn refunds_in_parts_take_back_what_one_refund_takes() {
        for paid in [99, 100, 250, 1001] {
            let in_cents: i64 = (0..paid).map(|before| points_taken_back(paid, before, 1)).sum();
            assert_eq!(in_cents, points_taken_back(paid, 0, paid));
            assert_eq!(in_cents, points_for(paid));
        }
    }
}
