//! Which series, labels and values there are.

use std::collections::BTreeSet;

use tend_promql::{Labels, Matcher, StoreError, Timestamp};

use super::Answered;
use crate::backend::Backend;
use crate::error::DoorError;
use crate::json::{Notes, Pairs, success_of, text};
use crate::params::Params;

/// `series`: the labels of series.
pub(super) fn series(params: &Params<'_>, backend: &dyn Backend) -> Answered {
    if params.all("match[]").next().is_none() {
        return Err(DoorError::BadData("no match[] parameter provided".to_owned()));
    }
    let limit = params.limit()?;
    let range = params.range()?;
    let sets = params
        .matchers()
        .map_err(|error| DoorError::parameter("match[]", error.to_string()))?;
    let mut found: BTreeSet<Labels> = BTreeSet::new();
    for matchers in &sets {
        backend.series(matchers, range, &mut |labels| {
            if !found.contains(labels) {
                found.insert(labels.clone());
            }
        })?;
    }
    Ok(limited(found.iter().map(Pairs).collect(), limit))
}

/// `labels`: the names of labels.
pub(super) fn names(params: &Params<'_>, backend: &dyn Backend) -> Answered {
    let limit = params.limit()?;
    let range = params.range()?;
    let found = union(&params.matchers()?, &mut |matchers| {
        backend.label_names(matchers, range)
    })?;
    Ok(limited(found.into_iter().collect(), limit))
}

/// `label/NAME/values`: the values of a label.
pub(super) fn values(name: &str, params: &Params<'_>, backend: &dyn Backend) -> Answered {
    let name = unescaped(name);
    if name.is_empty() {
        return Err(DoorError::BadData("invalid label name: \"\"".to_owned()));
    }
    let limit = params.limit()?;
    let range: (Timestamp, Timestamp) = params.range()?;
    let found = union(&params.matchers()?, &mut |matchers| {
        backend.label_values(&name, matchers, range)
    })?;
    Ok(limited(found.into_iter().collect(), limit))
}

/// Finds names or values of the series that matchers select.
type Look<'a> = dyn FnMut(&[Matcher]) -> Result<BTreeSet<String>, StoreError> + 'a;

/// What any of the selectors gives, or all there is when there is none.
fn union(sets: &[Vec<Matcher>], look: &mut Look<'_>) -> Result<BTreeSet<String>, DoorError> {
    if sets.is_empty() {
        return Ok(look(&[])?);
    }
    let mut found = BTreeSet::new();
    for matchers in sets {
        found.append(&mut look(matchers)?);
    }
    Ok(found)
}

fn limited<T: serde::Serialize>(mut found: Vec<T>, limit: Option<usize>) -> crate::request::Response {
    let mut notes = Notes::default();
    if let Some(limit) = limit.filter(|limit| *limit < found.len()) {
        found.truncate(limit);
        notes = Notes::truncated();
    }
    success_of(&text(&found), &notes)
}

/// A name as it stands in a path: `%` escapes, and `U__` with which a name that is no plain word is written (`U__a_2e_b` is `a.b`).
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    let name = String::from_utf8_lossy(&bytes).into_owned();
    name.strip_prefix("U__").and_then(value_encoded).unwrap_or(name)
}

/// What stands behind `U__`: `__` is a low line, `_2e_` the character of that number. `None` when it is not so.
fn value_encoded(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (digits, after) = rest.split_once('_')?;
        if digits.is_empty() || digits.len() > 6 || digits.starts_with('+') {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_are_read() {
        for (path, wanted) in [
            ("job", "job"),
            ("a%2Eb", "a.b"),
            ("%", "%"),
            ("%zz", "%zz"),
            ("%+1", "%+1"),
            ("U__http_2e_status__code", "http.status_code"),
            ("U__a_zz_b", "U__a_zz_b"),
            ("U__a_2e", "U__a_2e"),
            ("%e4%b8%96", "世"),
        ] {
            assert_eq!(unescaped(path), wanted);
        }
    }
}
