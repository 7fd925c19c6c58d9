//! Finds the keys in a tree that nests them, writes them with dots, or both.

use std::collections::{BTreeMap, BTreeSet};

use tend_text::{Entry, Findings, Node, Place, did_you_mean, nearest_name};

/// A key found in a tree.
#[derive(Clone, Debug)]
pub(crate) struct Leaf<'a> {
    /// The key.
    pub(crate) key: String,
    /// Where its name stands; of nested names the last.
    pub(crate) place: Place,
    /// Its value.
    pub(crate) value: &'a Node,
}

/// The names of all keys, and of all groups of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    keys: BTreeSet<String>,
    groups: BTreeSet<String>,
    /// Variables and their keys.
    variables: BTreeMap<String, String>,
}

impl Names {
    /// Adds a key and its variable.
    pub(crate) fn add(&mut self, key: &str, variable: &str) {
        self.keys.insert(key.to_owned());
        self.groups
            .extend(key.match_indices('.').map(|(at, _)| key[..at].to_owned()));
        self.variables.insert(variable.to_owned(), key.to_owned());
    }

    /// Returns the key of a variable.
    pub(crate) fn by_variable(&self, variable: &str) -> Option<&str> {
        self.variables.get(variable).map(String::as_str)
    }

    /// Returns the variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// Returns the help for a key that is not known.
    pub(crate) fn suggestion(&self, word: &str) -> String {
        if let Some(key) = self.by_variable(word) {
            return format!("`{word}` is the variable of the key `{key}`: write the key");
        }
        let known = self.keys.iter().chain(&self.groups).map(String::as_str);
        if let Some(other) = nearest_name(word, known) {
            return did_you_mean(other);
        }
        // The last word is right and the way to it wrong.
        let last = word.rsplit('.').next().unwrap_or(word);
        let mut same = self.keys.iter().filter(|key| key.rsplit('.').next() == Some(last));
        match (same.next(), same.next()) {
            (Some(only), None) => did_you_mean(only),
            _ => "declare it in config/schema.yaml, or delete it; `tend config docs` lists the keys".to_owned(),
        }
    }
}

/// Returns the keys of a tree; notes what is none. Words that start with `x-` at the top are the author's own.
pub(crate) fn leaves<'a>(root: &'a Node, names: &Names, findings: &mut Findings) -> Vec<Leaf<'a>> {
    let mut found = Vec::new();
    match root.as_map() {
        Some(map) => walk("", &map.0, names, findings, &mut found),
        None => {
            findings
                .error(root.place, format!("here stands {}, not keys with values", root.noun()))
                .help("write `key: value` lines");
        }
    }
    let mut first: BTreeMap<String, Place> = BTreeMap::new();
    found.retain(|leaf: &Leaf<'_>| match first.get(&leaf.key) {
        Some(place) => {
            findings
                .error(leaf.place, format!("the key `{}` stands here a second time", leaf.key))
                .key(&leaf.key)
                .also(*place, "first here")
                .help("delete one of the two; a key may be nested or written with dots, not both");
            false
        }
        None => {
            first.insert(leaf.key.clone(), leaf.place);
            true
        }
    });
    found
}

fn walk<'a>(prefix: &str, entries: &'a [Entry], names: &Names, findings: &mut Findings, found: &mut Vec<Leaf<'a>>) {
    for entry in entries {
        if prefix.is_empty() && entry.key.starts_with("x-") {
            continue;
        }
        let key = if prefix.is_empty() {
            entry.key.clone()
        } else {
            format!("{prefix}.{}", entry.key)
        };
        if names.keys.contains(&key) {
            found.push(Leaf {
                key,
                place: entry.place,
                value: &entry.value,
            });
        } else if names.groups.contains(&key) {
            match entry.value.as_map() {
                Some(below) => walk(&key, &below.0, names, findings, found),
                None if entry.value.is_null() => {}
                None => {
                    let inside = format!("{key}.");
                    let example = names.keys.range(inside.clone()..).find(|one| one.starts_with(&inside));
                    findings
                        .error(
                            entry.place,
                            format!("`{key}` is a group of keys and has no value of its own"),
                        )
                        .help_if(example.map(|one| format!("the keys are below it, such as `{one}`")));
                }
            }
        } else {
            findings
                .error(entry.place, format!("the key `{key}` is not known"))
                .key(&key)
                .help(names.suggestion(&key));
        }
    }
}
