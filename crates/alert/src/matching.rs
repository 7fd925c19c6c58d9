//! Matchers as Alertmanager writes them: `severity="critical"`, `job=~"a.*"`, `{a=b, c!=d}`; quotes may be left out, names may be in quotes.

use std::collections::BTreeMap;

use tend_promql::{MatchOp, Matcher, is_label_name};

use crate::error::AlertError;

/// Reads matchers that are divided by commas; braces around them may be left out.
///
/// # Errors
/// The first that is none.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, AlertError> {
    let inner = text.trim();
    let inner = inner.strip_prefix('{').unwrap_or(inner);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, character) in inner.char_indices() {
        match character {
            ',' if !quoted => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    if !inner[start..].trim().is_empty() {
        parts.push(&inner[start..]);
    }
    parts.into_iter().map(parse_matcher).collect()
}

/// Reads one matcher.
///
/// # Errors
/// Where it is none.
pub fn parse_matcher(text: &str) -> Result<Matcher, AlertError> {
    let refuse = |what: &str| AlertError::Matcher {
        text: text.trim().to_owned(),
        what: what.to_owned(),
    };
    let trimmed = text.trim();
    let (name, rest) = if let Some(after) = trimmed.strip_prefix('"') {
        let end = closing_quote(after).ok_or_else(|| refuse("the name's quote is not closed"))?;
        (unescape(&after[..end]), &after[end + 1..])
    } else {
        let end = trimmed
            .find(['=', '!'])
            .ok_or_else(|| refuse("there is no =, !=, =~ or !~ in it"))?;
        let name = trimmed[..end].trim();
        if !is_label_name(name) {
            return Err(refuse("what stands in front is not a name of a label"));
        }
        (name.to_owned(), &trimmed[end..])
    };
    let rest = rest.trim_start();
    let operators = [
        ("=~", MatchOp::Regex),
        ("!~", MatchOp::NotRegex),
        ("!=", MatchOp::NotEqual),
        ("=", MatchOp::Equal),
    ];
    let found = operators
        .iter()
        .find_map(|(sign, op)| rest.strip_prefix(sign).map(|rest| (*op, rest.trim())));
    let (op, raw) = found.ok_or_else(|| refuse("there is no =, !=, =~ or !~ in it"))?;
    let value = if let Some(after) = raw.strip_prefix('"') {
        match closing_quote(after) {
            Some(end) if end + 1 == after.len() => unescape(&after[..end]),
            _ => return Err(refuse("a quote stands inside the value or is not closed")),
        }
    } else if closing_quote(raw).is_some() {
        return Err(refuse("a quote stands inside the value"));
    } else {
        unescape(raw)
    };
    new_matcher(&name, op, &value).map_err(|what| refuse(&what))
}

/// A matcher, or why there is none.
pub(crate) fn new_matcher(name: &str, op: MatchOp, value: &str) -> Result<Matcher, String> {
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    Matcher::new(name, op, value).map_err(|error| format!("{error}"))
}

/// Whether all are true of labels.
pub(crate) fn all_match(matchers: &[Matcher], labels: &BTreeMap<String, String>) -> bool {
    matchers
        .iter()
        .all(|matcher| matcher.matches(labels.get(matcher.name()).map_or("", String::as_str)))
}

/// A matcher as it is written, with its value in quotes.
pub(crate) fn written(matcher: &Matcher) -> String {
    format!(
        "{}{}{}",
        matcher.name(),
        matcher.op().as_str(),
        tend_promql::quoted(matcher.value())
    )
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let found = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        found.then_some(at)
    })
}

/// `\"`, `\\` and `\n` mean what they say; another backslash is one.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(character) = chars.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(next @ ('"' | '\\')) => out.push(next),
            Some(next) => {
                out.push('\\');
                out.push(next);
            }
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_as_alertmanager_reads_them() {
        for (text, expected) in [
            ("foo=bar", "foo=\"bar\""),
            (" foo = \"bar\" ", "foo=\"bar\""),
            ("foo!=\"b,a\\\"r\"", "foo!=\"b,a\\\"r\""),
            ("foo=~a|b", "foo=~\"a|b\""),
            ("foo!~\"\"", "foo!~\"\""),
            ("foo=", "foo=\"\""),
            ("foo=a\\d", "foo=\"a\\\\d\""),
            ("\"a b\"=c", "a b=\"c\""),
        ] {
            assert_eq!(
                written(&parse_matcher(text).unwrap_or_else(|error| panic!("{text}: {error}"))),
                expected
            );
        }
        for text in ["foo", "=a", "1a=b", "foo=\"a", "foo=a\"b", "foo=~[", ""] {
            parse_matcher(text).expect_err(text);
        }
        let several: Vec<_> = parse_matchers("{a=\"x,y\", b!=c,}")
            .expect("two")
            .iter()
            .map(written)
            .collect();
        assert_eq!(several, ["a=\"x,y\"", "b!=\"c\""]);
    }
}
