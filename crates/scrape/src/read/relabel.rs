//! Reads `relabel_configs` and whatever has their form. What a rule does, and which are refused, is known to `tend-relabel`.

use tend_relabel::{Action, Error, Rule, RuleText};
use tend_text::{Keys, Node};

use super::Reading;

/// The rules of the list under this key.
pub(super) fn rules(reading: &mut Reading<'_>, keys: &mut Keys<'_>, key: &'static str) -> Vec<Rule> {
    let items = keys.items(key, reading.findings);
    items.iter().filter_map(|item| rule(reading, item)).collect()
}

fn rule(reading: &mut Reading<'_>, node: &Node) -> Option<Rule> {
    let mut keys = Keys::of(node, "a rule of relabelling", reading.findings)?;
    let mut text = RuleText::default();
    let findings = &mut *reading.findings;
    let errors = findings.errors();
    if let Some(labels) = keys.texts("source_labels", findings) {
        text.source_labels = labels.into_iter().map(|(label, _)| label).collect();
    }
    // An empty separator, replacement or pattern is one, so nothing here asks whether the text is empty.
    let mut place = node.place;
    for (key, field) in [
        ("separator", &mut text.separator),
        ("replacement", &mut text.replacement),
        ("target_label", &mut text.target_label),
        ("regex", &mut text.regex),
    ] {
        if let Some((written, at)) = keys.text(key, findings) {
            *field = written;
            // The last of them is the one that most is wrong with.
            place = at;
        }
    }
    if let Some(modulus) = keys.count("modulus", findings) {
        text.modulus = modulus;
    }
    if let Some((word, at)) = keys.text("action", findings) {
        match Action::parse(&word) {
            Ok(action) => text.action = action,
            Err(error) => _ = findings.error(at, error.to_string()).help(error.hint()).plainly(),
        }
    }
    keys.finish(findings);
    if findings.errors() > errors {
        return None;
    }
    match Rule::new(text) {
        Ok(rule) => Some(rule),
        Err(error) => {
            let place = if matches!(error, Error::Pattern { .. }) {
                place
            } else {
                node.place
            };
            let message = match &error {
                Error::Pattern { source, .. } => format!("{error}: {}", last_line(&source.to_string())),
                _ => error.to_string(),
            };
            reading.findings.error(place, message).help(error.hint()).plainly();
            None
        }
    }
}

/// The regex crate draws the pattern over several lines; the last says what is wrong.
fn last_line(text: &str) -> &str {
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last)
}
