//! What the redactor does to streams.

mod fuzz;
mod properties;
mod rules;
mod values;

use std::sync::Arc;

use tend_redact::{Patterns, Redactor, Rules, Value};

pub(crate) fn patterns(values: &[(&str, &[u8])], rules: Rules) -> Arc<Patterns> {
    let values: Vec<Value> = values.iter().map(|(name, value)| Value::new(name, *value)).collect();
    Arc::new(Patterns::new(&values, rules))
}

/// Redacts a text in pieces of the given lengths, again and again.
pub(crate) fn in_pieces(patterns: &Arc<Patterns>, text: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut redactor = Redactor::new(Arc::clone(patterns));
    let mut out = Vec::new();
    let mut rest = text;
    for length in lengths.iter().copied().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at(length.clamp(1, rest.len()));
        redactor.push(piece, &mut out);
        rest = later;
    }
    redactor.flush(&mut out);
    out
}

pub(crate) fn redact(patterns: &Arc<Patterns>, text: &str) -> String {
    patterns.redact(text)
}
