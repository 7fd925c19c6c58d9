//! A revision as a replica sees it, what differs between two, and which keys a subscriber chose. Pure.
//!
//! Knows neither layers nor schemas: values come here when they are valid and final.

use std::collections::BTreeMap;

use serde_json::Value;

/// Dotted keys and what they stand for. Secret values are not in it: `tend_base::Secret` does not become JSON.
pub type Values = BTreeMap<String, Value>;

/// One set of values of one replica, under its number. Replicas that get the same values share one.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Grows with each set that was taken; from 1.
    pub number: u64,
    /// All values, never a part of them.
    pub values: Values,
}

/// What a reader is told: the whole of a revision, or what differs from the one it has.
#[derive(Debug, PartialEq)]
pub(crate) struct Update<'a> {
    /// The revision that it leads to.
    pub(crate) number: u64,
    /// `changed` holds everything, and what is not in it is not there any more.
    pub(crate) whole: bool,
    /// New values.
    pub(crate) changed: BTreeMap<&'a str, &'a Value>,
    /// Keys that are gone.
    pub(crate) removed: Vec<&'a str>,
}

impl Revision {
    /// Returns what leads here from `before`; everything without one.
    pub(crate) fn update_from<'a>(&'a self, before: Option<&'a Revision>, chosen: &Selection) -> Update<'a> {
        let is_new = |key: &str, value: &Value| before.is_none_or(|before| before.values.get(key) != Some(value));
        let changed = self
            .values
            .iter()
            .filter(|(key, value)| chosen.has(key) && is_new(key, value))
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        let removed = before
            .iter()
            .flat_map(|before| before.values.keys())
            .filter(|key| chosen.has(key) && !self.values.contains_key(*key))
            .map(String::as_str)
            .collect();
        Update {
            number: self.number,
            whole: before.is_none(),
            changed,
            removed,
        }
    }
}

/// The keys that a subscriber wants: exact ones and prefixes; all of them where it names none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Selection(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq)]
enum Pattern {
    Key(String),
    /// With its last dot; empty for all keys.
    Prefix(String),
}

impl Selection {
    /// Reads `a.b,c.*`.
    ///
    /// # Errors
    /// The pattern that is none: a `*` stands alone or behind the last dot.
    pub(crate) fn parse(text: &str) -> Result<Selection, String> {
        let patterns = text.split(',').map(str::trim).map(|pattern| {
            let prefix = pattern.strip_suffix('*');
            let stars = pattern.matches('*').count();
            match prefix {
                Some(prefix) if stars == 1 && (prefix.is_empty() || (prefix.ends_with('.') && prefix.len() > 1)) => {
                    Ok(Pattern::Prefix(prefix.to_owned()))
                }
                None if stars == 0 && !pattern.is_empty() => Ok(Pattern::Key(pattern.to_owned())),
                _ => Err(pattern.to_owned()),
            }
        });
        patterns.collect::<Result<_, _>>().map(Selection)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|pattern| match pattern {
                Pattern::Key(wanted) => wanted == key,
                Pattern::Prefix(start) => key.starts_with(start),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: u64, values: &[(&str, i64)]) -> Revision {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).into()));
        Revision {
            number,
            values: values.collect(),
        }
    }

    #[test]
    fn a_difference_leads_from_one_set_to_the_other_and_holds_no_more() {
        let before = revision(1, &[("a", 1), ("b.x", 2), ("c", 3)]);
        let after = revision(2, &[("a", 1), ("b.x", 9), ("d", 4)]);
        let update = after.update_from(Some(&before), &Selection::default());
        assert_eq!(update.changed.keys().copied().collect::<Vec<_>>(), ["b.x", "d"]);
        assert_eq!((update.removed, update.whole), (vec!["c"], false));

        let whole = after.update_from(None, &Selection::parse("b.*,a").expect("valid"));
        assert_eq!(whole.changed.keys().copied().collect::<Vec<_>>(), ["a", "b.x"]);
        assert!(whole.whole && whole.removed.is_empty());

        let not_mine = after.update_from(Some(&before), &Selection::parse("a").expect("valid"));
        assert!(not_mine.changed.is_empty() && not_mine.removed.is_empty());
    }

    #[test]
    fn patterns_are_keys_and_prefixes_at_a_dot() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("a.b", &["a.b"], &["a.b.c", "a", "a.bc"]),
            ("a.*", &["a.b", "a.b.c"], &["a", "ab.c"]),
            ("*", &["a", "b.c"], &[]),
            ("a, c.*", &["a", "c.d"], &["c"]),
        ];
        for (text, in_it, outside) in cases {
            let selection = Selection::parse(text).expect("valid");
            assert!(in_it.iter().all(|key| selection.has(key)), "{text}");
            assert!(!outside.iter().any(|key| selection.has(key)), "{text}");
        }
        for wrong in ["", "a,", "a*", "*.a", ".*", "a.*.b", "a.**"] {
            assert!(Selection::parse(wrong).is_err(), "{wrong}");
        }
    }
}
