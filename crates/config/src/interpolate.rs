//! Variables in values: `$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?error}`, `${VAR?error}`, `${VAR:+instead}`,
//! `${VAR+instead}` and `$$`, nested as deep as anyone writes them.
//!
//! Source: the Compose specification, "Interpolation". Ours: `${secret:NAME}` is left as it stands; a colon cannot follow a name
//! that way, so nothing of Compose's is lost.

use std::collections::{BTreeMap, BTreeSet};

/// How deep defaults may stand in defaults.
const DEPTH_MAX: usize = 16;
/// Bytes that one value may have once its variables are replaced.
const BYTES_MAX: usize = 1 << 20;
/// What stands at the start of a reference to a secret.
pub(crate) const SECRET: &str = "${secret:";

/// What can go wrong in one value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `${` that is no variable.
    Syntax,
    /// A variable that must be set is not; with its name and the author's message as it is written.
    Required(String, String),
    /// More than a mebibyte.
    TooLong,
}

/// A value with its variables replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    /// The value.
    pub(crate) text: String,
    /// Variables whose values are part of it.
    pub(crate) used: BTreeSet<String>,
    /// Variables that were not set and had no default.
    pub(crate) unset: BTreeSet<String>,
}

/// Replaces the variables of one value.
pub(crate) fn fill(text: &str, variables: &BTreeMap<String, String>) -> Result<Filled, Fault> {
    let mut filled = Filled::default();
    filled.text = expand(text, variables, &mut filled, 0)?;
    Ok(filled)
}

/// Returns the name when the whole text is a reference to a secret.
pub(crate) fn secret_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix(SECRET)?.strip_suffix('}')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    (!name.is_empty() && name.chars().all(fits)).then_some(name)
}

/// Returns whether the whole text is one variable without any text of its own: `${VAR}`, `$VAR`, `${VAR:?…}`.
pub(crate) fn is_bare_variable(text: &str) -> bool {
    let Some(after) = text.strip_prefix('$') else {
        return false;
    };
    let body = after
        .strip_prefix('{')
        .map_or(Some(after), |body| body.strip_suffix('}'));
    let Some(body) = body else { return false };
    let length = name_length(body);
    let rest = &body[length..];
    length > 0
        && (rest.is_empty()
            || after.starts_with('{') && (rest.starts_with(":?") || rest.starts_with('?')) && !rest.contains('}'))
}

fn name_length(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}

fn expand(
    text: &str,
    variables: &BTreeMap<String, String>,
    filled: &mut Filled,
    depth: usize,
) -> Result<String, Fault> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let after = &rest[1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some(body) = after.strip_prefix('{') {
            let end = closing(body).ok_or(Fault::Syntax)?;
            let whole = &rest[..end + 3];
            if whole.starts_with(SECRET) {
                out.push_str(whole);
            } else {
                out.push_str(&braced(&body[..end], variables, filled, depth)?);
            }
            rest = &rest[whole.len()..];
        } else {
            let length = name_length(after);
            if length == 0 {
                out.push('$');
            } else {
                out.push_str(&lookup(&after[..length], variables, filled));
            }
            rest = &after[length..];
        }
        if out.len() > BYTES_MAX {
            return Err(Fault::TooLong);
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Returns where the brace that closes `body` stands.
fn closing(body: &str) -> Option<usize> {
    let mut depth = 0usize;
    let bytes = body.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'$') => at += 1,
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                depth += 1;
                at += 1;
            }
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

fn lookup(name: &str, variables: &BTreeMap<String, String>, filled: &mut Filled) -> String {
    match variables.get(name) {
        Some(value) => {
            filled.used.insert(name.to_owned());
            value.clone()
        }
        None => {
            filled.unset.insert(name.to_owned());
            String::new()
        }
    }
}

fn braced(
    body: &str,
    variables: &BTreeMap<String, String>,
    filled: &mut Filled,
    depth: usize,
) -> Result<String, Fault> {
    let length = name_length(body);
    if length == 0 || depth >= DEPTH_MAX {
        return Err(Fault::Syntax);
    }
    let (name, operation) = body.split_at(length);
    if operation.is_empty() {
        return Ok(lookup(name, variables, filled));
    }
    let (empty_counts_as_unset, operation) = match operation.strip_prefix(':') {
        Some(operation) => (true, operation),
        None => (false, operation),
    };
    let value = variables
        .get(name)
        .filter(|value| !(empty_counts_as_unset && value.is_empty()));
    let word = &operation[operation.chars().next().map_or(0, char::len_utf8)..];
    match (operation.chars().next(), value) {
        (Some('-' | '?'), Some(value)) => {
            filled.used.insert(name.to_owned());
            Ok(value.clone())
        }
        (Some('-'), None) => expand(word, variables, filled, depth + 1),
        (Some('+'), None) => Ok(String::new()),
        (Some('+'), Some(_)) => expand(word, variables, filled, depth + 1),
        // The message is not expanded: what a variable holds may be secret.
        (Some('?'), None) => Err(Fault::Required(name.to_owned(), word.to_owned())),
        _ => Err(Fault::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, Fault> {
        let variables = [("A", "a"), ("EMPTY", ""), ("_x1", "u")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        fill(text, &variables).map(|filled| filled.text)
    }

    #[test]
    fn every_form_of_the_specification_is_replaced() {
        for (text, value) in [
            ("$A", "a"),
            ("${A}b$A", "aba"),
            ("$_x1-", "u-"),
            ("$$A $${A}", "$A ${A}"),
            ("${A:-d}${U:-d}${EMPTY:-d}", "add"),
            ("${A-d}${U-d}${EMPTY-d}", "ad"),
            ("${A:+r}${U:+r}${EMPTY:+r}", "r"),
            ("${A+r}${U+r}${EMPTY+r}", "rr"),
            ("${A:?e}${A?e}${EMPTY?e}", "aa"),
            ("${U:-${V:-$A}}x", "ax"),
            ("${U:-$${A}}", "${A}"),
            ("${U-a:b-c?d}", "a:b-c?d"),
            ("cost 5$ or $5", "cost 5$ or $5"),
            ("${secret:jwt}", "${secret:jwt}"),
            ("é$A", "éa"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(value), "{text}");
        }
        for text in ["${", "${}", "${A", "${A!x}", "${1}", "${A:x}", "${ A}", "${U:-${}}"] {
            assert_eq!(with(text), Err(Fault::Syntax), "{text}");
        }
        assert_eq!(with("${U:?set $A}"), Err(Fault::Required("U".into(), "set $A".into())));
        let deep = "${U:-".repeat(40) + &"}".repeat(40);
        assert_eq!(with(&deep), Err(Fault::Syntax));
    }

    #[test]
    fn bare_variables_and_secrets_are_known_from_text() {
        for (text, bare) in [
            ("${A}", true),
            ("$A", true),
            ("${A:?set it}", true),
            ("${A:-d}", false),
            ("x${A}", false),
            ("$A$B", false),
            ("${A}}", false),
            ("$$A", false),
            ("A", false),
        ] {
            assert_eq!(is_bare_variable(text), bare, "{text}");
        }
        assert_eq!(secret_name("${secret:jwt/secret}"), Some("jwt/secret"));
        assert_eq!(secret_name("${secret:}"), None);
        assert_eq!(secret_name("x${secret:a}"), None);
    }
}
