//! Takes the keys of a mapping one by one and says what was not known. Knows YAML only as `tend_text` gives it, and no key by name.

use std::collections::BTreeMap;
use std::path::Path;

use tend_promql::parse_duration;
use tend_text::{Dialect, Entry, Findings, Kind, Node, Place, Report, Severity, Shows, Value, did_you_mean, read};

/// How Prometheus' and Alertmanager's files are read.
const DIALECT: Dialect = Dialect {
    depth_max: 64,
    entries_max: 20_000,
    plain: Kind::of_plain,
    kinds: &[
        ("str", Kind::Text),
        ("int", Kind::Integer),
        ("float", Kind::Float),
        ("bool", Kind::Bool),
        ("null", Kind::Null),
    ],
    merge_tags: false,
    file: "a file of rules or of alert routing",
    inside: "such a file",
    help_document: "delete the `---`, or put the document into a file of its own",
    help_depth: "is the indentation right?",
    help_entries: "divide it into several files",
    help_tag: "leave it out, or put a text that starts with `!` in quotes",
    help_empty: None,
};

/// Reads a text with a reader for its root; the result, and the warnings, or everything that is wrong.
pub(crate) fn document<T>(
    file: &Path,
    text: &str,
    shows: Shows,
    take: impl FnOnce(&mut Findings, &Node) -> Option<T>,
) -> Result<(T, Report), Report> {
    let mut findings = Findings::default();
    let source = findings.sources.add(file, text, shows);
    let root = read(source, &DIALECT, &mut findings);
    let root = match root {
        Some(root) => root,
        None if findings.failed() => return Err(Report(findings.into_diagnostics())),
        // An empty file is a mapping without keys.
        None => Node::new(source.whole(), Value::Map(tend_text::Map(Vec::new()))),
    };
    let taken = take(&mut findings, &root);
    let report = Report(findings.into_diagnostics());
    match taken {
        Some(taken) if report.0.iter().all(|one| one.severity != Severity::Error) => Ok((taken, report)),
        _ => Err(report),
    }
}

/// A mapping whose keys are being taken.
pub(crate) struct Keys<'a> {
    /// Where the mapping stands.
    pub(crate) place: Place,
    /// What it is, for messages: `a route`.
    of: &'static str,
    entries: Vec<&'a Entry>,
    /// Every key that was asked for.
    known: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    /// The keys of a node, which has to be a mapping; nothing at all is one without keys.
    pub(crate) fn of(node: &'a Node, of: &'static str, findings: &mut Findings) -> Option<Self> {
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

    /// The value of a key, which is known from now on; nothing when it is not there or says nothing.
    pub(crate) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.remove(at);
        (!entry.value.is_null()).then_some(&entry.value)
    }

    /// Whether a key is still there to be taken.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The text of a key, with its place.
    pub(crate) fn text(&mut self, key: &'static str, findings: &mut Findings) -> Option<(String, Place)> {
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
    pub(crate) fn switch(&mut self, key: &'static str, findings: &mut Findings) -> Option<bool> {
        let node = self.node(key)?;
        let found = node.as_bool();
        if found.is_none() {
            findings.error(
                node.place,
                format!("`{key}` is `true` or `false`, and this is {}", node.noun()),
            );
        }
        found
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&mut self, key: &'static str, findings: &mut Findings) -> Option<u64> {
        let node = self.node(key)?;
        let found = node.as_text().and_then(|text| text.parse().ok());
        if found.is_none() {
            findings.error(node.place, format!("`{key}` is a whole number that is not negative"));
        }
        found
    }

    /// A length of time as `5m`, in milliseconds.
    pub(crate) fn duration(&mut self, key: &'static str, findings: &mut Findings) -> Option<(i64, Place)> {
        let (text, place) = self.text(key, findings)?;
        match parse_duration(&text) {
            Some(millis) => Some((millis, place)),
            None => {
                findings
                    .error(place, format!("`{key}: {text}` is not a length of time"))
                    .help("write a number and a unit, such as 30s, 5m or 1h30m");
                None
            }
        }
    }

    /// Texts in a list.
    pub(crate) fn texts(&mut self, key: &'static str, findings: &mut Findings) -> Option<Vec<(String, Place)>> {
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
                    _ = findings.error(
                        item.place,
                        format!("`{key}` is a list of texts, and this is {}", item.noun()),
                    )
                }
            }
        }
        Some(out)
    }

    /// Texts by names, with the places of the values.
    pub(crate) fn texts_by_name(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
    ) -> BTreeMap<String, (String, Place)> {
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
                    _ = findings.error(
                        entry.value.place,
                        format!("`{}` is a text, and this is {}", entry.key, entry.value.noun()),
                    )
                }
            }
        }
        out
    }

    /// The items of a list of mappings.
    pub(crate) fn items(&mut self, key: &'static str, findings: &mut Findings) -> &'a [Node] {
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
    pub(crate) fn finish(self, findings: &mut Findings) {
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
