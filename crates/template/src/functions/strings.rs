//! Texts: escaping, titles, addresses, patterns. Knows no values.

use std::fmt::Write as _;

use regex_lite::Regex;

/// Escapes what means something in HTML.
pub(crate) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// Escapes what means something inside a text of JavaScript.
pub(crate) fn escape_js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            // Writing to a string cannot fail.
            '<' | '>' | '&' | '=' => _ = write!(out, "\\u{:04X}", u32::from(character)),
            _ if character < ' ' || (!character.is_ascii() && !crate::format::is_print(character)) => {
                _ = write!(out, "\\u{:04X}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

/// Escapes a text for the query of an address; blanks become `+`.
pub(crate) fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

/// The way back from [`query_escape`]; `None` when a `%` is followed by no two hexadecimal digits.
pub(crate) fn query_unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = std::str::from_utf8(&digits)
                    .ok()
                    .filter(|digits| !digits.starts_with('+'))?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
            }
            _ => out.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// Go's `strings.Title`: the first letter of each word large, the others as they are.
pub(crate) fn title(text: &str) -> String {
    let mut before = ' ';
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let parts = match before {
            '_' => false,
            _ if before.is_ascii() => !before.is_ascii_alphanumeric(),
            _ => before.is_whitespace(),
        };
        if parts {
            push_large(&mut out, character)
        } else {
            out.push(character)
        }
        before = character;
    }
    out
}

/// All letters large, where one letter becomes one letter, as Go does.
pub(crate) fn large(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|character| push_large(&mut out, character));
    out
}

/// All letters small, where one letter becomes one letter, as Go does.
pub(crate) fn small(text: &str) -> String {
    let one = |character: char| {
        let mut small = character.to_lowercase();
        match (small.next(), small.next()) {
            (Some(one), None) => one,
            _ => character,
        }
    };
    text.chars().map(one).collect()
}

/// Title case as Alertmanager has it: the first letter of each word large, the others small.
pub(crate) fn title_case(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for (index, &character) in chars.iter().enumerate() {
        let joins = |at: Option<usize>| {
            at.and_then(|at| chars.get(at))
                .is_some_and(|next| next.is_alphanumeric())
        };
        if character.is_alphabetic() {
            if in_word {
                out.extend(character.to_lowercase());
            } else {
                let mut letters = character.to_uppercase();
                out.extend(letters.next());
                out.extend(letters.flat_map(char::to_lowercase));
            }
            in_word = true;
        } else {
            // An apostrophe or a point between letters does not end a word, nor does a low line.
            let inside =
                matches!(character, '\'' | '’' | '.' | ':') && joins(index.checked_sub(1)) && joins(Some(index + 1));
            in_word = in_word && (inside || character == '_');
            out.push(character);
        }
    }
    out
}

fn push_large(out: &mut String, character: char) {
    // What becomes several letters (`ß`) is left alone, as Go does.
    let mut large = character.to_uppercase();
    match (large.next(), large.next()) {
        (Some(one), None) => out.push(one),
        _ => out.push(character),
    }
}

/// A host and a port, when the text is both: `a:1`, `[::1]:1`.
pub(crate) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return (!inner.contains(['[', ']'])).then_some((inner, port));
    }
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

/// Compiles a pattern as Go's regexp has them; for a person when it is none.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("`{text}` is not a pattern: {error}"))
}

/// Seconds of a duration as Prometheus writes them: `1h30m`.
pub(crate) fn duration_seconds(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    // Units may be left out, and stand in this order.
    const UNITS: [(&str, u64); 7] = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let length = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let number: u64 = rest[..length].parse().ok()?;
        let after = &rest[length..];
        let name = &after[..after.len()
            - after
                .trim_start_matches(|letter: char| letter.is_ascii_lowercase())
                .len()];
        let (_, unit) = units.by_ref().find(|(unit, _)| *unit == name)?;
        total = total.checked_add(number.checked_mul(*unit)?)?;
        rest = &after[name.len()..];
    }
    // Go counts in nanoseconds of 63 bits.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds below 2^53")]
    (total < 9_223_372_036_854).then_some(total as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_of_two_kinds() {
        assert_eq!(title("hello wORLD foo_bar a-b"), "Hello WORLD Foo_bar A-B");
        assert_eq!(title_case("hello wORLD don't a-b"), "Hello World Don't A-B");
    }

    #[test]
    fn ports_are_split_off_where_there_is_one() {
        assert_eq!(split_host_port("a:1"), Some(("a", "1")));
        assert_eq!(split_host_port("[::1]:1"), Some(("::1", "1")));
        for text in ["a", "::1", "a:1:2", "[::1]"] {
            assert_eq!(split_host_port(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_prometheus_ones() {
        assert_eq!(duration_seconds("1h30m"), Some(5400.0));
        assert_eq!(duration_seconds("500ms"), Some(0.5));
        assert_eq!(duration_seconds("0"), Some(0.0));
        for text in ["", "1", "1m1h", "1.5h", "h", "300y"] {
            assert_eq!(duration_seconds(text), None, "{text}");
        }
    }
}
