//! Whether a client already has what it asks for, and which part of it it wants (RFC 9110, 13 and 14). Knows no disk.

use std::time::SystemTime;

use tend_routing::Fields;

use super::super::{first, has};

/// What a file's state is known by.
pub(super) struct Version<'a> {
    /// A strong tag, in its quotes.
    pub(super) tag: &'a str,
    /// In whole seconds, as headers have it.
    pub(super) modified: SystemTime,
    /// In bytes.
    pub(super) size: u64,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Whole,
    /// So many bytes from an offset.
    Part {
        offset: u64,
        bytes: u64,
    },
    NotModified,
    PreconditionFailed,
    RangeNotSatisfiable,
}

/// Says what is answered to a GET, or a HEAD, which has no parts.
pub(super) fn outcome(fields: &Fields<'_>, get: bool, version: &Version<'_>) -> Outcome {
    if has(fields, "if-match") {
        if !tags(fields, "if-match", |tag| tag == version.tag) {
            return Outcome::PreconditionFailed;
        }
    } else if date(fields, "if-unmodified-since").is_some_and(|date| version.modified > date) {
        return Outcome::PreconditionFailed;
    }
    if has(fields, "if-none-match") {
        if tags(fields, "if-none-match", |tag| {
            tag.trim_start_matches("W/") == version.tag
        }) {
            return Outcome::NotModified;
        }
    } else if date(fields, "if-modified-since").is_some_and(|date| version.modified <= date) {
        return Outcome::NotModified;
    }
    if !get || !still_the_same(fields, version) {
        return Outcome::Whole;
    }
    let Some(range) = first(fields, "range").and_then(|range| String::from_utf8(range).ok()) else {
        return Outcome::Whole;
    };
    part(&range, version.size)
}

/// Says whether the part asked for belongs to what the client has already (`If-Range`).
fn still_the_same(fields: &Fields<'_>, version: &Version<'_>) -> bool {
    let Some(condition) = first(fields, "if-range").and_then(|value| String::from_utf8(value).ok()) else {
        return !has(fields, "if-range");
    };
    match httpdate::parse_http_date(&condition) {
        Ok(date) => date == version.modified,
        // A weak tag says nothing of bytes.
        Err(_) => condition == version.tag,
    }
}

fn date(fields: &Fields<'_>, name: &str) -> Option<SystemTime> {
    let value = String::from_utf8(first(fields, name)?).ok()?;
    httpdate::parse_http_date(&value).ok()
}

/// Says whether a list of tags has one that `is` accepts, or is `*`. Commas may stand inside of tags.
fn tags(fields: &Fields<'_>, name: &str, is: impl Fn(&str) -> bool) -> bool {
    fields(name, &mut |line| {
        let Ok(mut left) = std::str::from_utf8(line) else {
            return false;
        };
        loop {
            left = left.trim_start_matches([' ', '\t', ',']);
            if left == "*" {
                return true;
            }
            let quoted = left.strip_prefix("W/").unwrap_or(left);
            let Some(end) = quoted.strip_prefix('"').and_then(|inner| inner.find('"')) else {
                return false;
            };
            let length = left.len() - quoted.len() + end + 2;
            if is(&left[..length]) {
                return true;
            }
            left = &left[length..];
        }
    })
}

/// Reads `bytes=0-499`, `bytes=500-` or `bytes=-500`. Several parts at once, other units and what is no range get the whole.
fn part(range: &str, size: u64) -> Outcome {
    let Some((unit, set)) = range.split_once('=') else {
        return Outcome::Whole;
    };
    if !unit.eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Outcome::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Outcome::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than fits is more than any file has.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (offset, end) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(size)),
        (Some(first), None) if last.is_empty() => (first, size),
        (None, Some(suffix)) if first.is_empty() && suffix == 0 => return Outcome::RangeNotSatisfiable,
        (None, Some(suffix)) if first.is_empty() => (size.saturating_sub(suffix), size),
        _ => return Outcome::Whole,
    };
    if offset >= size {
        return Outcome::RangeNotSatisfiable;
    }
    Outcome::Part {
        offset,
        bytes: end - offset,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sat, 21 Nov 2026 10:00:00 GMT.
    const MODIFIED: &str = "Sat, 21 Nov 2026 10:00:00 GMT";
    const BEFORE: &str = "Sat, 21 Nov 2026 09:59:59 GMT";
    const AFTER: &str = "Sat, 21 Nov 2026 10:00:01 GMT";

    fn ask(request: &[(&str, &str)], get: bool) -> Outcome {
        let version = Version {
            tag: "\"v,1\"",
            modified: httpdate::parse_http_date(MODIFIED).unwrap(),
            size: 1000,
        };
        let fields = |name: &str, see: &mut dyn FnMut(&[u8]) -> bool| {
            request
                .iter()
                .any(|(known, value)| *known == name && see(value.as_bytes()))
        };
        outcome(&fields, get, &version)
    }

    #[test]
    fn conditions_are_weighed_in_their_order() {
        use Outcome::{NotModified, PreconditionFailed, Whole};
        for (request, wanted) in [
            (&[][..], Whole),
            (&[("if-none-match", "\"v,1\"")], NotModified),
            (&[("if-none-match", "W/\"v,1\"")], NotModified),
            (&[("if-none-match", "\"other\", W/\"x\" ,\"v,1\"")], NotModified),
            (&[("if-none-match", "\"a\""), ("if-none-match", "\"v,1\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"v\"")], Whole),
            (&[("if-none-match", "v,1")], Whole),
            (&[("if-none-match", "")], Whole),
            (&[("if-modified-since", MODIFIED)], NotModified),
            (&[("if-modified-since", AFTER)], NotModified),
            (&[("if-modified-since", BEFORE)], Whole),
            (&[("if-modified-since", "yesterday")], Whole),
            (&[("if-none-match", "\"v\""), ("if-modified-since", AFTER)], Whole),
            (&[("if-match", "\"v,1\"")], Whole),
            (&[("if-match", "W/\"v,1\"")], PreconditionFailed),
            (&[("if-match", "\"v\"")], PreconditionFailed),
            (&[("if-match", "*")], Whole),
            (&[("if-unmodified-since", BEFORE)], PreconditionFailed),
            (&[("if-unmodified-since", MODIFIED)], Whole),
            (&[("if-match", "\"v,1\""), ("if-unmodified-since", BEFORE)], Whole),
        ] {
            assert_eq!(ask(request, true), wanted, "{request:?}");
            assert_eq!(ask(request, false), wanted, "{request:?}");
        }
    }

    #[test]
    fn parts_are_given_where_they_are_clear() {
        use Outcome::{Part, RangeNotSatisfiable, Whole};
        let part = |offset, bytes| Part { offset, bytes };
        for (range, wanted) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-499", part(0, 500)),
            ("bytes=500-", part(500, 500)),
            ("bytes=999-5000", part(999, 1)),
            ("bytes=-1", part(999, 1)),
            ("bytes=-5000", part(0, 1000)),
            ("bytes=0-99999999999999999999999", part(0, 1000)),
            ("Bytes=1-2", part(1, 2)),
            ("bytes=1000-", RangeNotSatisfiable),
            ("bytes=99999999999999999999999-", RangeNotSatisfiable),
            ("bytes=-0", RangeNotSatisfiable),
            ("bytes=0-1,5-6", Whole),
            ("bytes=5-1", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes 0-1", Whole),
            ("lines=0-1", Whole),
        ] {
            assert_eq!(ask(&[("range", range)], true), wanted, "{range}");
            assert_eq!(ask(&[("range", range)], false), Whole, "{range}");
        }
        for (condition, wanted) in [
            ("\"v,1\"", part(0, 1)),
            (MODIFIED, part(0, 1)),
            ("W/\"v,1\"", Whole),
            ("\"v\"", Whole),
            (BEFORE, Whole),
            (AFTER, Whole),
            ("", Whole),
        ] {
            let request = [("range", "bytes=0-0"), ("if-range", condition)];
            assert_eq!(ask(&request, true), wanted, "{condition}");
        }
    }

    #[test]
    fn a_file_without_bytes_has_no_part() {
        let version = Version {
            tag: "\"e\"",
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            size: 0,
        };
        for range in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            let fields = |name: &str, see: &mut dyn FnMut(&[u8]) -> bool| name == "range" && see(range.as_bytes());
            assert_eq!(
                outcome(&fields, true, &version),
                Outcome::RangeNotSatisfiable,
                "{range}"
            );
        }
    }
}
