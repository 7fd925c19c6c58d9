//! Variables in the values of a stack file, replaced, with what is wrong with them.
//!
//! Owns where variables count and what its author is told; the forms of a variable are `tend_text`'s. Ours: `${service.NAME.url}` is
//! left as it stands, since the address is known only when a replica starts; a dot cannot be part of a variable's name, so nothing
//! of Compose's is lost.

use std::collections::BTreeMap;

use tend_text::{Fault, fill};

use crate::error::Findings;
use crate::source::Place;
use crate::yaml::{Node, Scalar, Tag, Value};

/// Bytes that the values of one file may have once their variables are replaced.
const BYTES_MAX: usize = 16 << 20;

/// What stands at the start of a template that is filled in when a replica starts.
pub(crate) const TEMPLATE: &str = "${service.";

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
    let filled = match fill(&scalar.text, variables, TEMPLATE, *left) {
        Ok(filled) if filled.text.len() < *left => filled,
        Ok(_) | Err(Fault::TooLong) => {
            *left = 0;
            return say_fault(Fault::TooLong, place, findings);
        }
        Err(fault) => return say_fault(fault, place, findings),
    };
    *left -= filled.text.len();
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
        Fault::TooLong => {
            findings
                .error(place, "what the variables stand for has more than 16 MiB")
                .help("look at the variables up to here, and at `.env`");
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
