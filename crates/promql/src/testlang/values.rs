//! The samples of a series as a script writes them: `1 2+1x3 _ stale`.
//!
//! Owns repetition, steps and gaps. Native histograms are read as such and have no value here.

use crate::sample::STALE;

/// One position of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Item {
    /// `_`
    Gap,
    Float(f64),
    /// `{{…}}`, a native histogram.
    Histogram,
}

/// No script has more positions in one series.
const ITEMS_MAX: usize = 1_000_000;

/// Reads all positions; the error says what could not be read.
pub(crate) fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = end_of_item(rest);
        let (item, behind) = rest.split_at(end);
        append(item, &mut items).ok_or_else(|| format!("`{item}` is no sample"))?;
        if items.len() > ITEMS_MAX {
            return Err(format!("`{item}` repeats too often"));
        }
        rest = behind.trim_start();
    }
    Ok(items)
}

/// Up to the next space that is not within `{{…}}`.
fn end_of_item(text: &str) -> usize {
    let mut within = false;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        match (before, character) {
            ('{', '{') => within = true,
            ('}', '}') => within = false,
            (_, ' ' | '\t') if !within => return at,
            _ => {}
        }
        before = character;
    }
    text.len()
}

fn append(item: &str, into: &mut Vec<Item>) -> Option<()> {
    if item.starts_with("{{") {
        // `{{…}}x3`, `{{…}}+{{…}}x3`
        let behind = item.rfind("}}").map_or("", |at| &item[at + 2..]);
        into.extend(std::iter::repeat_n(Item::Histogram, 1 + times(behind)?));
        return Some(());
    }
    if let Some(behind) = item.strip_prefix('_') {
        into.extend(std::iter::repeat_n(Item::Gap, times(behind)?.max(1)));
        return Some(());
    }
    let (mut value, behind) = number(item)?;
    let (step, behind) = match behind.as_bytes().first() {
        Some(b'+') => number(&behind[1..])?,
        Some(b'-') => number(&behind[1..]).map(|(step, behind)| (-step, behind))?,
        _ => (0.0, behind),
    };
    for _ in 0..=times(behind)? {
        into.push(Item::Float(value));
        // Nothing is added to a marker, whose bits count.
        if step != 0.0 {
            value += step;
        }
    }
    Some(())
}

/// `x3`, or nothing.
fn times(text: &str) -> Option<usize> {
    match text {
        "" => Some(0),
        _ => text.strip_prefix('x')?.parse().ok().filter(|times| *times <= ITEMS_MAX),
    }
}

/// The number that a text begins with, and what is behind it.
fn number(text: &str) -> Option<(f64, &str)> {
    let bytes = text.as_bytes();
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let sign = if bytes.first() == Some(&b'-') { -1.0 } else { 1.0 };
    for (word, value) in [("stale", STALE), ("nan", f64::NAN), ("inf", f64::INFINITY)] {
        let found = text
            .get(at..at + word.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(word));
        if found {
            let value = if word == "inf" { value * sign } else { value };
            return Some((value, &text[at + word.len()..]));
        }
    }
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    at += digits(at);
    if bytes.get(at) == Some(&b'.') {
        at += 1 + digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at += 1 + signed + digits(at + 1 + signed);
    }
    Some((text[..at].parse().ok()?, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_count_one_more_than_they_say_but_gaps() {
        let floats = |text: &str| items(text).unwrap().len();
        assert_eq!(floats("0+10x10"), 11);
        assert_eq!(floats("5x2 _x3 _ 1e+2-1x1"), 3 + 3 + 1 + 2);
        assert_eq!(items("-1-2x2").unwrap()[2], Item::Float(-5.0));
        assert_eq!(items("{{schema:0 sum:1}}x2 1").unwrap().len(), 4);
        assert_eq!(items("{{sum:1 count:1}}+{{sum:1}}x5").unwrap().len(), 6);
        assert!(matches!(items("stale").unwrap()[0], Item::Float(value) if crate::is_stale(value)));
        assert!(items("1y").is_err() && items("1x").is_err() && items("1x99999999").is_err());
    }
}
