//! A set of values under its revision, what differs between two, and patterns of keys. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// All values of one revision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Set {
    /// Its number; 0 before the first has arrived.
    pub revision: u64,
    /// Dotted keys and their values.
    pub values: BTreeMap<String, Value>,
}

/// One key that is different now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change<'a> {
    /// The dotted key.
    pub key: &'a str,
    /// Its value; none when it is gone.
    pub new: Option<&'a Value>,
    /// What it was; none when it was not there.
    pub old: Option<&'a Value>,
}

impl Set {
    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Returns the set that an event leads to; none for data that is no event.
    pub(crate) fn after(&self, data: &str) -> Option<Set> {
        let event: Map<String, Value> = serde_json::from_str(data).ok()?;
        let changed = event.get("changed")?.as_object()?;
        let mut values = if event.get("whole")?.as_bool()? {
            BTreeMap::new()
        } else {
            self.values.clone()
        };
        for key in event.get("removed")?.as_array()? {
            values.remove(key.as_str()?);
        }
        values.extend(changed.iter().map(|(key, value)| (key.clone(), value.clone())));
        Some(Set {
            revision: event.get("revision")?.as_u64()?,
            values,
        })
    }

    /// Returns what is different from `old`, by key.
    pub(crate) fn changes_from<'a>(&'a self, old: &'a Set) -> Vec<Change<'a>> {
        let gone = old.values.keys().filter(|key| !self.values.contains_key(*key));
        let mut changes: Vec<Change<'a>> = self
            .values
            .keys()
            .chain(gone)
            .map(|key| Change {
                key,
                new: self.values.get(key),
                old: old.values.get(key),
            })
            .filter(|change| change.new != change.old)
            .collect();
        changes.sort_by_key(|change| change.key);
        changes
    }
}

/// Tells whether `pattern` is `a.b`, `a.*` or `*`.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => !prefix.contains('*') && (prefix.is_empty() || (prefix.len() > 1 && prefix.ends_with('.'))),
        None => !pattern.is_empty() && !pattern.contains([',', '*']),
    }
}

/// Tells whether a pattern means a key.
pub(crate) fn fits(pattern: &str, key: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => pattern == key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_leads_from_one_set_to_the_next() {
        let first = Set::default()
            .after(r#"{"revision":1,"whole":true,"changed":{"a":1,"b":[2]},"removed":[]}"#)
            .expect("an event");
        let second = first
            .after(r#"{"revision":4,"whole":false,"changed":{"c":null},"removed":["a"]}"#)
            .expect("an event");
        assert_eq!(second.revision, 4);
        assert_eq!(second.values.keys().collect::<Vec<_>>(), ["b", "c"]);
        let changes = second.changes_from(&first);
        assert_eq!(changes.iter().map(|change| change.key).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!((changes[0].new, changes[0].old), (None, Some(&1.into())));
        let whole = second
            .after(r#"{"revision":5,"whole":true,"changed":{"b":[2]},"removed":[]}"#)
            .expect("an event");
        assert_eq!(whole.values.len(), 1, "what a whole set does not have is gone");
        for no_event in [
            "",
            "{}",
            "[]",
            r#"{"revision":1,"whole":true,"changed":[],"removed":[]}"#,
        ] {
            assert_eq!(first.after(no_event), None, "{no_event}");
        }
    }

    #[test]
    fn patterns_end_at_a_dot() {
        assert!(is_pattern("a.b") && is_pattern("a.*") && is_pattern("*"));
        for wrong in ["", "a*", ".*", "*.a", "a,b", "a.*.*"] {
            assert!(!is_pattern(wrong), "{wrong}");
        }
        assert!(fits("a.*", "a.b") && !fits("a.*", "ab") && fits("*", "x") && !fits("a", "a.b"));
    }
}
