//! Finds numbers of payment cards: 13 to 19 digits, of a known issuer, with the right check digit.
//!
//! Digits stand together or in the groups that cards print, with one space or one dash between them all. Other groupings are left
//! alone: columns of numbers would be eaten. What is part of a longer word or number is no card.
//!
//! A number made up at random passes for a card as often as the test `few_ordinary_numbers_pass_for_a_card` prints.

use crate::rules::Outcome;

/// Longest card number.
const DIGITS_MAX: usize = 19;
const DIGITS_MIN: usize = 13;

/// Groups in which cards print their number.
const GROUPINGS: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];

/// Returns the first place at `from` or later that may be the begin of a card's number: a digit after something else.
///
/// Every fourth byte is looked at: a number has four digits together at its begin.
pub(crate) fn next_group(window: &[u8], from: usize, before: Option<u8>) -> Option<usize> {
    let mut at = from;
    while let Some(byte) = window.get(at) {
        if byte.is_ascii_digit() {
            let mut start = at;
            while start > from && window[start - 1].is_ascii_digit() {
                start -= 1;
            }
            let end = end_of_digits(window, at);
            // Most numbers are short: no card's first group has fewer than four digits.
            if end - start >= 4 || end == window.len() {
                let preceding = start.checked_sub(1).map_or(before, |at| window.get(at).copied());
                if !preceding.is_some_and(is_part_of_word) {
                    return Some(start);
                }
            }
            at = end + 1;
            continue;
        }
        at += 4;
    }
    // The last bytes, which a step went over: their number may go on after the window.
    let mut start = window.len();
    while start > from && window[start - 1].is_ascii_digit() {
        start -= 1;
    }
    let preceding = start.checked_sub(1).map_or(before, |at| window.get(at).copied());
    (start < window.len() && !preceding.is_some_and(is_part_of_word)).then_some(start)
}

/// A number that goes on before with these is no number by itself.
fn is_part_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')
}

/// Returns the end of the digits that stand at a place.
pub(crate) fn end_of_digits(window: &[u8], at: usize) -> usize {
    let digits = window[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    at + digits
}

/// Judges the number that begins at a place of [`next_group`].
pub(crate) fn at(window: &[u8], start: usize, last: bool) -> Outcome {
    let end = end_of_digits(window, start);
    let first = &window[start..end];
    if lengths(first) == 0 {
        return Outcome::Nothing;
    }
    if end == window.len() && !last && first.len() <= DIGITS_MAX {
        return Outcome::Open;
    }
    if (DIGITS_MIN..=DIGITS_MAX).contains(&first.len()) {
        return finish(window, start, end, last, first);
    }
    if first.len() != 4 {
        return Outcome::Nothing;
    }
    let mut open = false;
    for grouping in GROUPINGS {
        match in_groups(window, start, grouping, last) {
            Outcome::Nothing => {}
            Outcome::Open => open = true,
            // A longer grouping that may still come true goes first.
            found if !open => return found,
            Outcome::Found { .. } => return Outcome::Open,
        }
    }
    if open { Outcome::Open } else { Outcome::Nothing }
}

fn in_groups(window: &[u8], start: usize, grouping: &[usize], last: bool) -> Outcome {
    let mut digits = [0u8; DIGITS_MAX];
    let mut count = 0;
    let mut at = start;
    let mut separator = None;
    for (number, &length) in grouping.iter().enumerate() {
        if number > 0 {
            match window.get(at) {
                None if last => return Outcome::Nothing,
                None => return Outcome::Open,
                Some(b' ' | b'-') if separator.is_none_or(|one| one == window[at]) => separator = Some(window[at]),
                Some(_) => return Outcome::Nothing,
            }
            at += 1;
        }
        for _ in 0..length {
            match window.get(at) {
                None if last => return Outcome::Nothing,
                None => return Outcome::Open,
                Some(byte) if byte.is_ascii_digit() => digits[count] = *byte,
                Some(_) => return Outcome::Nothing,
            }
            count += 1;
            at += 1;
        }
    }
    finish(window, start, at, last, &digits[..count])
}

/// Judges digits by their number and by what follows them.
fn finish(window: &[u8], start: usize, end: usize, last: bool, digits: &[u8]) -> Outcome {
    if !is_card_number(digits) {
        return Outcome::Nothing;
    }
    match (window.get(end), window.get(end + 1)) {
        (None, _) if !last => Outcome::Open,
        (Some(byte), _) if byte.is_ascii_alphanumeric() || *byte == b'_' => Outcome::Nothing,
        (Some(b'.'), None) if !last => Outcome::Open,
        // A number with a fraction.
        (Some(b'.'), Some(next)) if next.is_ascii_digit() => Outcome::Nothing,
        _ => Outcome::Found {
            context: start,
            start,
            end,
        },
    }
}

/// Whether digits, as text and without anything between them, are the number of a card.
#[must_use]
pub fn is_card_number(digits: &[u8]) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && lengths(digits) >> digits.len() & 1 == 1
        && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0');
            match at % 2 {
                0 => digit,
                _ => digit * 2 / 10 + digit * 2 % 10,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Returns the lengths that numbers with this begin have, a bit each; 0 when no issuer has it.
///
/// The ranges are those the networks publish (ISO/IEC 7812 lists of Visa, Mastercard, American Express, Diners, Discover, JCB,
/// UnionPay, Maestro, Mir, Troy, RuPay and Vietnam's NAPAS). All begin with 2 to 9: a time in milliseconds or finer begins with 1.
fn lengths(digits: &[u8]) -> u32 {
    const TO_19: u32 = 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19;
    let Some(begin) = digits.get(..4) else {
        // Too few to tell; a number that goes on is waited for only where it can become one.
        return match digits.first() {
            Some(b'2'..=b'6' | b'8' | b'9') => TO_19,
            _ => 0,
        };
    };
    let begin = begin.iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    match begin {
        2200..=2204 => TO_19,
        2221..=2720 => 1 << 16,
        3000..=3059 | 3095 | 3800..=3999 => 1 << 14 | 1 << 16,
        3400..=3499 | 3700..=3799 => 1 << 15,
        3528..=3589 => TO_19,
        3600..=3699 => 1 << 14 | TO_19,
        4000..=4999 => 1 << 13 | 1 << 16 | 1 << 19,
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => 1 << 13 | 1 << 14 | 1 << 15 | TO_19,
        5080..=5089 | 5100..=5599 => 1 << 16,
        6011 | 6440..=6599 | 6200..=6299 | 8100..=8171 => TO_19,
        6000..=6099 | 8200..=8299 => 1 << 16,
        9792 => 1 << 16,
        9704 => 1 << 16 | 1 << 19,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_numbers_of_the_networks_are_cards() {
        for number in [
            "4111111111111111",
            "4222222222222",
            "4012888888881881",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "30569309025904",
            "38520000023237",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
            "6759649826438453",
            "2200000000000004",
        ] {
            assert!(is_card_number(number.as_bytes()), "{number}");
            let mut other = number.as_bytes().to_vec();
            let end = other.len() - 1;
            other[end] = b'0' + (other[end] - b'0' + 1) % 10;
            assert!(!is_card_number(&other), "{number} with another check digit");
        }
    }

    /// Made-up numbers of the kinds that stand in logs. The bounds are twice what was measured when this was written.
    #[test]
    fn few_ordinary_numbers_pass_for_a_card() {
        let mut seed = 1u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let mut rate = |what: &str, per_million_max: u32, make: &mut dyn FnMut(u64) -> String| {
            let count = 200_000;
            let passed = (0..count).filter(|_| is_card_number(make(random()).as_bytes())).count() as u32;
            let per_million = passed * (1_000_000 / count);
            assert!(per_million <= per_million_max, "{what}: {per_million} in a million");
        };
        // 2000-01-01 to 2033-05-18, by the second.
        let second = |n: u64| 946_684_800 + n % 1_053_315_200;
        rate("milliseconds", 0, &mut |n| format!("{}{:03}", second(n), n % 1000));
        rate("microseconds", 0, &mut |n| format!("{}{:06}", second(n), n % 1_000_000));
        rate("nanoseconds", 0, &mut |n| {
            format!("{}{:09}", second(n), n % 1_000_000_000)
        });
        rate("snowflakes", 0, &mut |n| {
            format!("{}", 1_000_000_000_000_000_000 + n % 1_000_000_000_000_000_000)
        });
        rate("days with a counter", 0, &mut |n| {
            format!("202611{:02}{:08}", n % 30 + 1, n % 100_000_000)
        });
        rate("random 13 digits", 24_000, &mut |n| {
            format!("{:013}", n % 10_u64.pow(13))
        });
        rate("random 16 digits", 62_000, &mut |n| {
            format!("{:016}", n % 10_u64.pow(16))
        });
        rate("random 19 digits", 34_000, &mut |n| {
            format!("{:019}", n % 10_u64.pow(19))
        });
    }
}
