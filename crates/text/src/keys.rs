//! Takes the keys of a mapping one by one and says what was not known. Knows no key by name.

use std::collections::BTreeMap;

use crate::findings::Findings;
use crate::nearest::did_you_mean;
use crate::node::{Entry, Node, Value};
use crate::source::Place;

/// A mapping whose keys are being taken. Each question makes its key a known one; [`Keys::finish`] says which nobody asked for.
///
/// A value that should be a number, a length of time or a switch is shown in what is said of it, any other only where all lines are.
#[derive(Debug)]
pub struct Keys<'a> {
    /// Where the mapping stands.
    pub place: Place,
    /// What it is, for messages: `a route`.
    of: &'static str,
    entries: Vec<&'a Entry>,
    /// Every key that was asked for.
    known: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    /// The keys of a node, which has to be a mapping; nothing at all is one without keys.
    pub fn of(node: &'a Node, of: &'static str, findings: &mut Findings) -> Option<Self> {
        let entries = match &node.value {
            Value::Map(map) => map.0.iter().collect(),
            _ if node.is_null() => Vec::new(),
            _ => {
                findings
                    .error(node.place, format!("{of} is a mapping, and this is {}", node.noun()))
                    .help("write `key: value`");
                return None;
            }
        };
        Some(Self {
            place: node.place,
            of,
            entries,
            known: Vec::new(),
        })
    }

    /// The key with its place and value, which is known from now on; nothing when it is not there or says nothing.
    pub fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.remove(at);
        (!entry.value.is_null()).then_some(entry)
    }

    /// The value of a key; nothing when it is not there or says nothing.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The text of a key, with its place.
    pub fn text(&mut self, key: &'static str, findings: &mut Findings) -> Option<(String, Place)> {
        let node = self.node(key)?;
        match node.as_text() {
            Some(text) => Some((text.to_owned(), node.place)),
            None => {
                findings.error(node.place, format!("`{key}` is a text, and this is {}", node.noun()));
                None
            }
        }
    }

    /// A switch.
    pub fn switch(&mut self, key: &'static str, findings: &mut Findings) -> Option<bool> {
        let node = self.node(key)?;
        let found = node.as_bool();
        if found.is_none() {
            let message = format!("`{key}` is `true` or `false`, and this is {}", node.noun());
            findings.error(node.place, message).plainly();
        }
        found
    }

    /// A value that `parse` makes of the text; `what` says what it should be, such as `a length of time`, and `help` how it is written.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
        what: &str,
        help: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Option<(T, Place)> {
        let node = self.node(key)?;
        let found = node.as_text().and_then(parse);
        if found.is_none() {
            let error = findings.error(node.place, format!("`{key}` is not {what}"));
            error.help(help).plainly();
        }
        found.map(|found| (found, node.place))
    }

    /// A whole number that is not negative.
    pub fn count(&mut self, key: &'static str, findings: &mut Findings) -> Option<u64> {
        let node = self.node(key)?;
        let found = node.as_text().and_then(|text| text.parse().ok());
        if found.is_none() {
            let message = format!("`{key}` is a whole number that is not negative");
            findings.error(node.place, message).plainly();
        }
        found
    }

    /// Texts in a list.
    pub fn texts(&mut self, key: &'static str, findings: &mut Findings) -> Option<Vec<(String, Place)>> {
        let node = self.node(key)?;
        let Some(items) = node.as_list() else {
            findings
                .error(node.place, format!("`{key}` is a list, and this is {}", node.noun()))
                .help(format!("write `{key}: [a, b]`"));
            return None;
        };
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            match item.as_text() {
                Some(text) => out.push((text.to_owned(), item.place)),
                None => {
                    findings.error(
                        item.place,
                        format!("`{key}` is a list of texts, and this is {}", item.noun()),
                    );
                }
            }
        }
        Some(out)
    }

    /// Texts by names, with the places of the values.
    pub fn texts_by_name(&mut self, key: &'static str, findings: &mut Findings) -> BTreeMap<String, (String, Place)> {
        let mut out = BTreeMap::new();
        let Some(node) = self.node(key) else { return out };
        let Some(map) = node.as_map() else {
            findings.error(node.place, format!("`{key}` is a mapping, and this is {}", node.noun()));
            return out;
        };
        for entry in &map.0 {
            match entry.value.as_text() {
                Some(text) => _ = out.insert(entry.key.clone(), (text.to_owned(), entry.value.place)),
                None if entry.value.is_null() => _ = out.insert(entry.key.clone(), (String::new(), entry.value.place)),
                None => {
                    let message = format!("`{}` is a text, and this is {}", entry.key, entry.value.noun());
                    findings.error(entry.value.place, message);
                }
            }
        }
        out
    }

    /// The items of a list.
    pub fn items(&mut self, key: &'static str, findings: &mut Findings) -> &'a [Node] {
        let Some(node) = self.node(key) else { return &[] };
        match node.as_list() {
            Some(items) => items,
            None => {
                findings
                    .error(node.place, format!("`{key}` is a list, and this is {}", node.noun()))
                    .help("start each item with `- `");
                &[]
            }
        }
    }

    /// Says which keys nobody asked for.
    pub fn finish(self, findings: &mut Findings) {
        for entry in self.entries {
            let near = findings
                .nearest(&entry.key, self.known.iter().copied())
                .map(did_you_mean);
            let help = near.unwrap_or_else(|| format!("known keys are {}", self.known.join(", ")));
            let message = format!("{} has no key `{}`", self.of, entry.key);
            findings.error(entry.place, message).help(help);
        }
    }
}
