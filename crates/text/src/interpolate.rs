//! Variables in values: `$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?error}`, `${VAR?error}`, `${VAR:+instead}`,
//! `${VAR+instead}` and `$$`, nested as deep as anyone writes them.
//!
//! Source: the Compose specification, "Interpolation". Ours: a reference that starts as the caller says is left as it stands. Knows
//! nothing of what such a reference is, and notes nothing: who asked says what is wrong in its own words.

use std::collections::{BTreeMap, BTreeSet};

/// How deep defaults may stand in defaults.
const DEPTH_MAX: usize = 16;

/// Bytes that one value may have once its variables are replaced; no program can be given a longer one.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// What can go wrong in one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `${` that is no variable; with the part of the text that starts there.
    Syntax(String),
    /// A variable that must be set is not; with its name and the author's message as it is written: what variables in it stand for
    /// may be secret.
    Required(String, String),
    /// More bytes than it may have.
    TooLong,
}

/// A value with its variables replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// The value.
    pub text: String,
    /// Variables whose values are part of it.
    pub used: BTreeSet<String>,
    /// Variables that were not set and had no default.
    pub unset: BTreeSet<String>,
}

/// Replaces the variables of one value. References that start with `passes`, such as `${secret:`, are left as they stand; it must
/// start with `${` and go on with what no variable has.
///
/// # Errors
/// When a `${` is no variable, a variable that must be set is not, or the value gets longer than `bytes_max`.
pub fn fill(text: &str, variables: &BTreeMap<String, String>, passes: &str, bytes_max: usize) -> Result<Filled, Fault> {
    let mut filling = Filling {
        variables,
        passes,
        bytes_max,
        filled: Filled::default(),
    };
    let text = filling.expand(text, 0)?;
    Ok(Filled { text, ..filling.filled })
}

/// Returns whether the whole text is one variable without any text of its own: `${VAR}`, `$VAR`, `${VAR:?…}`.
#[must_use]
pub fn is_bare_variable(text: &str) -> bool {
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

/// One value being filled.
struct Filling<'a> {
    variables: &'a BTreeMap<String, String>,
    passes: &'a str,
    bytes_max: usize,
    /// What was found on the way; its text comes last.
    filled: Filled,
}

impl Filling<'_> {
    fn expand(&mut self, text: &str, depth: usize) -> Result<String, Fault> {
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
                let end = closing(body).ok_or_else(|| Fault::Syntax(rest.to_owned()))?;
                let whole = &rest[..end + 3];
                if whole.starts_with(self.passes) {
                    out.push_str(whole);
                } else {
                    let value = self.braced(&body[..end], depth)?;
                    out.push_str(&value.ok_or_else(|| Fault::Syntax(whole.to_owned()))?);
                }
                rest = &rest[whole.len()..];
            } else {
                let length = name_length(after);
                if length == 0 {
                    out.push('$');
                } else {
                    out.push_str(&self.lookup(&after[..length]));
                }
                rest = &after[length..];
            }
            if out.len() > self.bytes_max {
                return Err(Fault::TooLong);
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn lookup(&mut self, name: &str) -> String {
        match self.variables.get(name) {
            Some(value) => {
                self.filled.used.insert(name.to_owned());
                value.clone()
            }
            None => {
                self.filled.unset.insert(name.to_owned());
                String::new()
            }
        }
    }

    /// Returns what stands for the variable in braces; nothing when it is none.
    fn braced(&mut self, body: &str, depth: usize) -> Result<Option<String>, Fault> {
        let length = name_length(body);
        if length == 0 || depth >= DEPTH_MAX {
            return Ok(None);
        }
        let (name, operation) = body.split_at(length);
        if operation.is_empty() {
            return Ok(Some(self.lookup(name)));
        }
        let (empty_counts_as_unset, operation) = match operation.strip_prefix(':') {
            Some(operation) => (true, operation),
            None => (false, operation),
        };
        let value = self.variables.get(name);
        let value = value.filter(|value| !(empty_counts_as_unset && value.is_empty()));
        let word = &operation[operation.chars().next().map_or(0, char::len_utf8)..];
        match (operation.chars().next(), value) {
            (Some('-' | '?'), Some(value)) => {
                let value = value.clone();
                self.filled.used.insert(name.to_owned());
                Ok(Some(value))
            }
            (Some('+'), None) => Ok(Some(String::new())),
            (Some('-'), None) | (Some('+'), Some(_)) => self.expand(word, depth + 1).map(Some),
            (Some('?'), None) => Err(Fault::Required(name.to_owned(), word.to_owned())),
            _ => Ok(None),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, Fault> {
        let variables = [("A", "a"), ("EMPTY", ""), ("_x1", "u")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        fill(text, &variables, "${secret:", 64).map(|filled| filled.text)
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
            ("${U:-}$U", ""),
            ("$", "$"),
            ("${secret:jwt}", "${secret:jwt}"),
            ("${U:-${secret:jwt}}", "${secret:jwt}"),
            ("é$A", "éa"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn faults_are_told_apart() {
        for (text, part) in [
            ("x ${", "${"),
            ("${}", "${}"),
            ("${A", "${A"),
            ("x ${A!x} y", "${A!x}"),
            ("${A/x/y}", "${A/x/y}"),
            ("${1}", "${1}"),
            ("${A:x}", "${A:x}"),
            ("${ A}", "${ A}"),
            ("${service.a.url}", "${service.a.url}"),
            ("${U:-${}}", "${}"),
        ] {
            assert_eq!(with(text), Err(Fault::Syntax(part.into())), "{text}");
        }
        // What is to be said is not replaced: what a variable holds may be secret.
        assert_eq!(with("${U:?set $A}"), Err(Fault::Required("U".into(), "set $A".into())));
        assert_eq!(with("${EMPTY:?}"), Err(Fault::Required("EMPTY".into(), String::new())));
        let deep = "${U:-".repeat(40) + &"}".repeat(40);
        assert!(matches!(with(&deep), Err(Fault::Syntax(_))));
        assert_eq!(with(&"$A".repeat(65)), Err(Fault::TooLong));
        assert_eq!(with(&"$A".repeat(64)), Ok("a".repeat(64)));
    }

    #[test]
    fn what_was_used_and_what_was_missing_is_told() {
        let variables = [("A".to_owned(), "a".to_owned())].into();
        let filled = fill("$A${A:-x}${B-$C}${A:+$D}", &variables, "${secret:", 64).unwrap();
        let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<String>();
        assert_eq!((names(&filled.used), names(&filled.unset)), ("A".into(), "CD".into()));
    }

    #[test]
    fn bare_variables_are_known_from_text() {
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
    }
}
