//! Variables in values: `$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?error}`, `${VAR?error}`,
//! `${VAR:+instead}`, `${VAR+instead}` and `$$`, nested as deep as anyone writes them.
//!
//! Source: the Compose specification, "Interpolation". Ours: `${service.NAME.url}` is left as it stands, since the address is
//! known only when a replica starts; a dot cannot be part of a variable's name, so nothing of Compose's is lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Findings;
use crate::source::Place;
use crate::yaml::{Node, Scalar, Tag, Value};

/// How deep defaults may stand in defaults.
const DEPTH_MAX: usize = 16;

/// Bytes that the values of one file may have once their variables are replaced.
const BYTES_MAX: usize = 16 << 20;

/// What stands at the start of a template that is filled in when a replica starts.
pub(crate) const TEMPLATE: &str = "${service.";

/// What can go wrong in one value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `${` that is no variable; with the part of the text it starts at.
    Syntax(String),
    /// A variable that must be set is not; with its name and the author's message.
    Required(String, String),
}

/// A value with its variables replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    /// The value.
    pub(crate) text: String,
    /// Variables that were not set and had no default.
    pub(crate) unset: BTreeSet<String>,
}

/// Replaces the variables of one value.
pub(crate) fn fill(text: &str, variables: &BTreeMap<String, String>) -> Result<Filled, Fault> {
    let mut filled = Filled {
        text: String::new(),
        unset: BTreeSet::new(),
    };
    filled.text = expand(text, variables, &mut filled.unset, 0)?;
    Ok(filled)
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn name_length(text: &str) -> usize {
    if !text.starts_with(is_name_start) {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}

fn expand(
    text: &str,
    variables: &BTreeMap<String, String>,
    unset: &mut BTreeSet<String>,
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
            let fault = || Fault::Syntax(rest.to_owned());
            let end = closing(body).ok_or_else(fault)?;
            let whole = &rest[..end + 3];
            let body = &body[..end];
            if whole.starts_with(TEMPLATE) {
                out.push_str(whole);
            } else {
                let value = braced(whole, body, variables, unset, depth)?;
                out.push_str(&value);
            }
            rest = &rest[whole.len()..];
        } else {
            let length = name_length(after);
            if length == 0 {
                out.push('$');
            } else {
                out.push_str(lookup(&after[..length], variables, unset));
            }
            rest = &after[length..];
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

fn lookup<'a>(name: &str, variables: &'a BTreeMap<String, String>, unset: &mut BTreeSet<String>) -> &'a str {
    match variables.get(name) {
        Some(value) => value,
        None => {
            unset.insert(name.to_owned());
            ""
        }
    }
}

fn braced(
    whole: &str,
    body: &str,
    variables: &BTreeMap<String, String>,
    unset: &mut BTreeSet<String>,
    depth: usize,
) -> Result<String, Fault> {
    let fault = || Fault::Syntax(whole.to_owned());
    if depth >= DEPTH_MAX {
        return Err(fault());
    }
    let length = name_length(body);
    if length == 0 {
        return Err(fault());
    }
    let (name, operation) = body.split_at(length);
    if operation.is_empty() {
        return Ok(lookup(name, variables, unset).to_owned());
    }
    let (empty_counts_as_unset, operation) = match operation.strip_prefix(':') {
        Some(operation) => (true, operation),
        None => (false, operation),
    };
    let value = variables
        .get(name)
        .filter(|value| !(empty_counts_as_unset && value.is_empty()));
    let mut word = |text: &str| expand(text, variables, unset, depth + 1);
    if let Some(default) = operation.strip_prefix('-') {
        value.map_or_else(|| word(default), |value| Ok(value.clone()))
    } else if let Some(instead) = operation.strip_prefix('+') {
        value.map_or_else(|| Ok(String::new()), |_| word(instead))
    } else if let Some(message) = operation.strip_prefix('?') {
        match value {
            Some(value) => Ok(value.clone()),
            None => Err(Fault::Required(name.to_owned(), word(message)?)),
        }
    } else {
        Err(fault())
    }
}

/// Replaces the variables in all values of a tree, never in keys; notes faults and variables that are not set.
pub(crate) fn fill_tree(node: &mut Node, variables: &BTreeMap<String, String>, findings: &mut Findings) {
    let mut left = BYTES_MAX;
    fill_node(node, variables, &mut left, findings);
}

fn fill_node(node: &mut Node, variables: &BTreeMap<String, String>, left: &mut usize, findings: &mut Findings) {
    if node.tag == Some(Tag::Reset) {
        return;
    }
    match &mut node.value {
        Value::List(items) => {
            for item in items {
                fill_node(item, variables, left, findings);
            }
        }
        Value::Map(map) => {
            for entry in &mut map.0 {
                fill_node(&mut entry.value, variables, left, findings);
            }
        }
        Value::Scalar(scalar) if scalar.text.contains('$') && *left > 0 => {
            fill_scalar(scalar, node.place, variables, left, findings);
        }
        Value::Scalar(_) => {}
    }
}

fn fill_scalar(
    scalar: &mut Scalar,
    place: Place,
    variables: &BTreeMap<String, String>,
    left: &mut usize,
    findings: &mut Findings,
) {
    let filled = match fill(&scalar.text, variables) {
        Ok(filled) => filled,
        Err(fault) => return say_fault(fault, place, findings),
    };
    *left = left.saturating_sub(filled.text.len());
    if *left == 0 {
        findings
            .error(place, "what the variables stand for has more than 16 MiB")
            .help("look at the variables up to here, and at `.env`");
    }
    if filled.text != scalar.text {
        scalar.written = Some(std::mem::replace(&mut scalar.text, filled.text));
    }
    for name in filled.unset {
        let place = narrowed(findings, place, &name);
        findings
            .warning(place, format!("the variable `{name}` is not set; it counts as empty"))
            .help(format!(
                "set it in the environment or in `.env`, or write a default: ${{{name}:-…}}"
            ));
    }
}

/// Returns the place of a variable in a value: its braces if it has them.
fn narrowed(findings: &Findings, place: Place, name: &str) -> Place {
    let braced = findings.sources.narrow(place, &format!("${{{name}"));
    if braced == place {
        findings.sources.narrow(place, &format!("${name}"))
    } else {
        braced
    }
}

fn say_fault(fault: Fault, place: Place, findings: &mut Findings) {
    match fault {
        Fault::Syntax(part) => {
            let first: String = part.chars().take(40).collect();
            let line = first.lines().next().unwrap_or_default();
            let place = findings.sources.narrow(place, line);
            findings
                .error(place, format!("`{line}` is not a variable"))
                .help("write `${NAME}` or `${NAME:-default}`; for a dollar sign as such write `$$`");
        }
        Fault::Required(name, message) => {
            let place = narrowed(findings, place, &name);
            let because = if message.is_empty() {
                String::new()
            } else {
                format!(": {message}")
            };
            findings
                .error(place, format!("the variable `{name}` must be set{because}"))
                .help("set it in the environment or in `.env` beside the stack file");
        }
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
            ("${U:-${A}}", "a"),
            ("${U:-${V:-$A}}x", "ax"),
            ("${U:-$${A}}", "${A}"),
            ("${U-a:b-c?d}", "a:b-c?d"),
            ("${U:-}", ""),
            ("$U", ""),
            ("cost 5$ or $5", "cost 5$ or $5"),
            ("$", "$"),
            ("${service.api.url}/x", "${service.api.url}/x"),
            ("${U:-${service.api.url}}", "${service.api.url}"),
            ("é$A", "éa"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn faults_are_told_apart() {
        for text in [
            "${",
            "${}",
            "${A",
            "${A!x}",
            "${A/x/y}",
            "${1}",
            "${A:x}",
            "${ A}",
            "${U:-${}}",
        ] {
            assert!(matches!(with(text), Err(Fault::Syntax(_))), "{text}");
        }
        assert_eq!(with("${U:?set $A}"), Err(Fault::Required("U".into(), "set a".into())));
        assert_eq!(with("${EMPTY:?}"), Err(Fault::Required("EMPTY".into(), String::new())));
        let deep = "${U:-".repeat(40) + &"}".repeat(40);
        assert!(matches!(with(&deep), Err(Fault::Syntax(_))));
    }
}
