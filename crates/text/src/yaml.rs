//! YAML as a tree in which everything knows where it was written: anchors, aliases, merge keys, tags and their limits.
//!
//! Owns the reading of one document and the words in which what is not YAML is refused. What one kind of file takes and another
//! does not is its [`Dialect`].
//!
//! Invariant: whatever the text, reading ends within the levels and entries of the dialect and [`WEIGHT_MAX`] of expanded aliases.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::findings::Findings;
use crate::node::{Entry, Kind, Map, Node, Scalar, Tag, Value};
use crate::source::{Place, SourceId, number};

/// Bytes of text plus 16 for each node that aliases may expand to in one document. Real files with anchors need a few thousand;
/// the known attack ("billion laughs") wants thousands of millions.
const WEIGHT_MAX: usize = 4 << 20;

/// What one kind of file takes of YAML, and what its author is told.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Levels of nesting.
    pub depth_max: usize,
    /// Entries of one list or mapping.
    pub entries_max: usize,
    /// What an unquoted text is: [`Kind::of_plain`], or less than that.
    pub plain: fn(&str) -> Kind,
    /// Tags of the core schema that say what a scalar is, without their `!!`.
    pub kinds: &'static [(&'static str, Kind)],
    /// Whether `!reset` and `!override` are taken.
    pub merge_tags: bool,
    /// What such a file is called where a second document starts, with an article.
    pub file: &'static str,
    /// In what a tag means nothing, with an article.
    pub inside: &'static str,
    /// What to do about a second document.
    pub help_document: &'static str,
    /// What to do about too many levels.
    pub help_depth: &'static str,
    /// What to do about too many entries.
    pub help_entries: &'static str,
    /// What to do about a tag that means nothing.
    pub help_tag: &'static str,
    /// What to write into an empty file, where that is an error.
    pub help_empty: Option<&'static str>,
}

/// Reads the one document of a text and notes what is wrong; nothing when it is not YAML, or when it is empty.
pub fn read(source: SourceId, dialect: &Dialect, findings: &mut Findings) -> Option<Node> {
    let text = findings.sources.get(source).text.clone();
    if let Some(place) = control_character(source, &text) {
        findings
            .error(place, "a control character is not allowed in YAML")
            .help("delete it, or write it as an escape in double quotes, such as \"\\x07\"");
        return None;
    }
    let mut reader = Reader {
        source,
        dialect,
        findings,
        anchors: HashMap::new(),
        weight: 0,
        open: Vec::new(),
        root: None,
    };
    let outcome = reader.run(&mut Parser::new_from_str(&text));
    let root = reader.root.filter(|root| !root.is_null());
    match outcome {
        Ok(()) => {
            if let (None, Some(help)) = (&root, dialect.help_empty) {
                findings.error(source.at(1, 1), "the file is empty").help(help);
            }
            root
        }
        Err(Stop::Said) => None,
        Err(Stop::Scan(error)) => {
            say_scan_error(source, &error, findings);
            None
        }
    }
}

/// Why reading ended early.
enum Stop {
    /// The parser could not go on.
    Scan(ScanError),
    /// We could not, and it was noted.
    Said,
}

/// A list or map that is not yet closed.
enum Open {
    List {
        head: Head,
        items: Vec<Node>,
    },
    Map {
        head: Head,
        entries: Vec<Entry>,
        key: Option<(String, Place)>,
        seen: HashMap<String, Place>,
        /// Maps named by `<<`, to be merged when the map is closed.
        merged: Vec<Node>,
    },
}

/// What stands before a list or map.
struct Head {
    place: Place,
    tag: Option<Tag>,
    anchor: usize,
}

struct Reader<'a> {
    source: SourceId,
    dialect: &'a Dialect,
    findings: &'a mut Findings,
    anchors: HashMap<usize, Node>,
    weight: usize,
    open: Vec<Open>,
    root: Option<Node>,
}

impl Reader<'_> {
    fn run<'input>(&mut self, parser: &mut Parser<'input, StrInput<'input>>) -> Result<(), Stop> {
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(Stop::Scan)?;
            let place = self.place(span);
            match event {
                Event::DocumentStart(_) if self.root.is_some() => {
                    let message = format!("a second document starts here; {} is one document", self.dialect.file);
                    return Err(self.stop(place, message, self.dialect.help_document));
                }
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                Event::Alias(anchor) => {
                    let Some(node) = self.anchors.get(&anchor) else {
                        return Err(self.stop(
                            place,
                            "this alias stands inside what it is an alias of",
                            "an alias can only name something that ended before it",
                        ));
                    };
                    let node = node.clone();
                    self.weight += node.weight();
                    if self.weight > WEIGHT_MAX {
                        return Err(self.stop(
                            place,
                            "the aliases up to here expand to more than 4 MiB",
                            "write fewer aliases of aliases",
                        ));
                    }
                    self.take(node, place)?;
                }
                Event::Scalar(text, style, anchor, tag) => {
                    if text.contains('\0') {
                        self.findings
                            .error(place, "this text has a zero byte in it")
                            .help("no program can be given a zero byte; leave it out");
                    }
                    let (tag, kind) = self.tag(tag.as_deref(), place)?;
                    let kind = match (kind, style) {
                        (Some(kind), _) => kind,
                        (None, ScalarStyle::Plain) => (self.dialect.plain)(&text),
                        (None, _) => Kind::Text,
                    };
                    let node = Node {
                        place,
                        tag,
                        value: Value::Scalar(Scalar {
                            text: text.into_owned(),
                            kind,
                            written: None,
                        }),
                    };
                    self.keep(anchor, &node);
                    self.take(node, place)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    let head = self.head(anchor, tag.as_deref(), place)?;
                    self.open.push(Open::List {
                        head,
                        items: Vec::new(),
                    });
                }
                Event::MappingStart(anchor, tag) => {
                    let head = self.head(anchor, tag.as_deref(), place)?;
                    self.open.push(Open::Map {
                        head,
                        entries: Vec::new(),
                        key: None,
                        seen: HashMap::new(),
                        merged: Vec::new(),
                    });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
            }
        }
        Ok(())
    }

    fn stop(&mut self, place: Place, message: impl Into<String>, help: &str) -> Stop {
        self.findings.error(place, message).help(help);
        Stop::Said
    }

    fn head(&mut self, anchor: usize, tag: Option<&saphyr_parser::Tag>, place: Place) -> Result<Head, Stop> {
        let (tag, _) = self.tag(tag, place)?;
        let most = self.dialect.depth_max;
        if self.open.len() < most {
            return Ok(Head { place, tag, anchor });
        }
        Err(self.stop(
            place,
            format!("nested deeper than {most} levels"),
            self.dialect.help_depth,
        ))
    }

    /// Puts a finished node where it belongs: into the list or map that is open, or as the root.
    fn take(&mut self, node: Node, place: Place) -> Result<(), Stop> {
        let count = match self.open.last_mut() {
            None => {
                self.root = Some(node);
                return Ok(());
            }
            Some(Open::List { items, .. }) => {
                items.push(node);
                items.len()
            }
            Some(Open::Map {
                entries,
                key,
                seen,
                merged,
                ..
            }) => match key.take() {
                None => return self.key(&node, place),
                Some((key, key_place)) => {
                    if key == "<<" {
                        merged.push(node);
                    } else if seen.get(&key) == Some(&key_place) {
                        // Of two equal keys the first is kept; the second was noted.
                        entries.push(Entry {
                            key,
                            place: key_place,
                            value: node,
                        });
                    }
                    entries.len()
                }
            },
        };
        let most = self.dialect.entries_max;
        if count > most {
            return Err(self.stop(
                place,
                format!("more than {most} entries in one list or mapping"),
                self.dialect.help_entries,
            ));
        }
        Ok(())
    }

    /// Takes a node as the key of the map that is open.
    fn key(&mut self, node: &Node, place: Place) -> Result<(), Stop> {
        let text = match &node.value {
            Value::Scalar(scalar) if scalar.kind != Kind::Null => scalar.text.clone(),
            Value::Scalar(_) => return Err(self.stop(place, "a key is missing here", "write `key: value`")),
            _ => {
                return Err(self.stop(
                    place,
                    "a list or a mapping cannot be a key",
                    "is a `-` or a quote missing or too many on this line?",
                ));
            }
        };
        let Some(Open::Map { key, seen, .. }) = self.open.last_mut() else {
            return Ok(());
        };
        *key = Some((text.clone(), place));
        match seen.get(&text) {
            Some(first) => {
                self.findings
                    .error(place, format!("the key `{text}` stands here a second time"))
                    .also(*first, "first here")
                    .help(if text == "<<" {
                        "name several maps in one merge: `<<: [*a, *b]`"
                    } else {
                        "delete one of the two"
                    });
            }
            None => {
                seen.insert(text, place);
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let (head, value) = match self.open.pop() {
            None => return Ok(()),
            Some(Open::List { head, items }) => (head, Value::List(items)),
            Some(Open::Map {
                head,
                mut entries,
                merged,
                mut seen,
                ..
            }) => {
                for source in merged {
                    self.merge(&mut entries, source, &mut seen);
                }
                (head, Value::Map(Map(entries)))
            }
        };
        let Head { place, tag, anchor } = head;
        let node = Node { place, value, tag };
        self.keep(anchor, &node);
        self.take(node, place)
    }

    /// Adds what `<<` names: keys written in the map itself win, and of several maps the earlier.
    fn merge(&mut self, entries: &mut Vec<Entry>, source: Node, seen: &mut HashMap<String, Place>) {
        let sources = match source.value {
            Value::List(items) => items,
            _ => vec![source],
        };
        for source in sources {
            let Value::Map(from) = source.value else {
                self.findings
                    .error(source.place, "`<<` takes a mapping or a list of mappings")
                    .help("name an anchor of a mapping: `<<: *defaults`");
                continue;
            };
            for entry in from.0 {
                if !seen.contains_key(&entry.key) {
                    seen.insert(entry.key.clone(), entry.place);
                    entries.push(entry);
                }
            }
        }
    }

    fn keep(&mut self, anchor: usize, node: &Node) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    fn tag(&mut self, tag: Option<&saphyr_parser::Tag>, place: Place) -> Result<(Option<Tag>, Option<Kind>), Stop> {
        let Some(tag) = tag else {
            return Ok((None, None));
        };
        let name = if tag.is_yaml_core_schema() {
            let suffix = tag.suffix.as_str();
            if let Some((_, kind)) = self.dialect.kinds.iter().find(|(name, _)| *name == suffix) {
                return Ok((None, Some(*kind)));
            }
            if matches!(suffix, "map" | "seq") {
                return Ok((None, None));
            }
            format!("!!{suffix}")
        } else {
            match (tag.handle.as_str(), tag.suffix.as_str()) {
                ("!", "reset") if self.dialect.merge_tags => return Ok((Some(Tag::Reset), None)),
                ("!", "override") if self.dialect.merge_tags => return Ok((Some(Tag::Override), None)),
                // A lone `!` says "not a number": the value is text.
                ("", "!") | ("" | "!", "") => return Ok((None, Some(Kind::Text))),
                (handle, suffix) => format!("{handle}{suffix}"),
            }
        };
        let message = format!("the tag `{name}` means nothing in {}", self.dialect.inside);
        Err(self.stop(place, message, self.dialect.help_tag))
    }

    fn place(&self, span: Span) -> Place {
        let (start, end) = (span.start, span.end);
        // What goes on below is meant to the end of its first line.
        let last = if end.line() == start.line() {
            end.col()
        } else {
            let line = self.findings.sources.get(self.source).line(number(start.line()));
            line.map_or(0, |line| line.trim_end().chars().count())
        };
        Place {
            length: number(last.saturating_sub(start.col()).max(1)),
            ..self.source.at(number(start.line()).max(1), number(start.col() + 1))
        }
    }
}

fn control_character(source: SourceId, text: &str) -> Option<Place> {
    text.split('\n').enumerate().find_map(|(index, line)| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let column = line.chars().position(|c| c.is_control() && c != '\t')?;
        Some(source.at(number(index + 1), number(column + 1)))
    })
}

/// Notes the parser's own message, with the advice that the line suggests.
fn say_scan_error(source: SourceId, error: &ScanError, findings: &mut Findings) {
    let marker = error.marker();
    let file = findings.sources.get(source);
    let mut line = number(marker.line()).clamp(1, file.lines());
    let mut column = number(marker.col() + 1);
    // The parser notices some errors at the start of the next thing; an empty last line is no place to point at.
    while line > 1 && file.line(line).unwrap_or_default().trim().is_empty() {
        line -= 1;
        column = number(file.line(line).unwrap_or_default().chars().count().max(1));
    }
    let tab = |line: u32| {
        let text = file.line(line).unwrap_or_default();
        let indentation = &text[..text.len() - text.trim_start().len()];
        indentation.find('\t').map(|at| (line, number(at + 1)))
    };
    // A tab is noticed where the value before it ends.
    let tab = tab(line).or_else(|| tab(line + 1)).or_else(|| tab(line - 1));
    if let Some((at_line, at_column)) = tab {
        (line, column) = (at_line, at_column);
    }
    let text = file.line(line).unwrap_or_default();
    let help = if tab.is_some() {
        "indent with blanks; YAML does not allow tabs there"
    } else if text.starts_with('%') {
        "only `%YAML 1.2` may stand there; put a value that starts with `%` in quotes"
    } else if [": @", ": `", ": %"].into_iter().any(|start| text.contains(start)) {
        "put a value that starts with `@`, `` ` `` or `%` in quotes"
    } else if text.matches(": ").count() > 1 && !text.contains(['{', '}']) {
        "put a value that has `: ` in it in quotes"
    } else if text.matches('"').count() % 2 == 1 || text.matches('\'').count() % 2 == 1 {
        "a quote is opened and not closed"
    } else {
        "look at the indentation, the quotes and the brackets of this line and the one before"
    };
    let message = format!("this is not YAML: {}", error.info());
    findings.error(source.at(line, column.max(1)), message).help(help);
}
