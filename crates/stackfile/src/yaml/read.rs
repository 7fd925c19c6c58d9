//! From the parser's events to the tree.
//!
//! Invariant: whatever the text, reading ends within [`DEPTH_MAX`] levels and [`WEIGHT_MAX`] of expanded aliases.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::node::{Entry, Kind, Map, Node, Scalar, Tag, Value};
use crate::error::Findings;
use crate::source::{Place, SourceId};

/// Levels of nesting; the deepest place the Compose specification defines is nine levels down.
const DEPTH_MAX: usize = 64;
/// Bytes of text plus 16 for each node that aliases may expand to in one document. Real files with anchors need a few thousand;
/// the known attack ("billion laughs") wants thousands of millions.
const WEIGHT_MAX: usize = 4 << 20;
/// Entries of one list or mapping. What compares each with each stays quick with so many, and the largest file known to us has a
/// few hundred.
const ENTRIES_MAX: usize = 2000;

/// Reads the one document of a file; notes what is wrong and returns nothing if it is not YAML.
pub(crate) fn read(source: SourceId, findings: &mut Findings) -> Option<Node> {
    let text = findings.sources.get(source).text.clone();
    if let Some(place) = control_character(source, &text) {
        findings
            .error(place, "a control character is not allowed in YAML")
            .help("delete it, or write it as an escape in double quotes, such as \"\\x07\"");
        return None;
    }
    let mut reader = Reader {
        source,
        findings,
        anchors: HashMap::new(),
        weight: 0,
        open: Vec::new(),
        root: None,
    };
    let mut parser = Parser::new_from_str(&text);
    let outcome = reader.run(&mut parser);
    let root = reader.root;
    match outcome {
        Ok(()) => {
            let empty = root.as_ref().is_none_or(Node::is_null);
            if empty {
                let place = Place {
                    source,
                    line: 1,
                    column: 1,
                    length: 1,
                };
                findings
                    .error(place, "the file is empty")
                    .help("write what runs below `services:`");
            }
            root.filter(|_| !empty)
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
        node: Node,
        anchor: usize,
    },
    Map {
        node: Node,
        anchor: usize,
        key: Option<(String, Place)>,
        seen: HashMap<String, Place>,
        /// Maps named by `<<`, to be merged when the map is closed.
        merged: Vec<Node>,
    },
}

struct Reader<'a> {
    source: SourceId,
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
                    self.findings
                        .error(place, "a second document starts here; a stack file is one document")
                        .help("put it into a file of its own and name both: -f a.yml -f b.yml");
                    return Err(Stop::Said);
                }
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                Event::Alias(anchor) => {
                    let Some(node) = self.anchors.get(&anchor) else {
                        self.findings
                            .error(place, "this alias stands inside what it is an alias of")
                            .help("an alias can only name something that ended before it");
                        return Err(Stop::Said);
                    };
                    let node = node.clone();
                    self.weight += node.weight();
                    if self.weight > WEIGHT_MAX {
                        self.findings
                            .error(place, "the aliases up to here expand to more than 4 MiB")
                            .help("write fewer aliases of aliases");
                        return Err(Stop::Said);
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
                        (None, ScalarStyle::Plain) => Kind::of_plain(&text),
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
                    let (tag, _) = self.tag(tag.as_deref(), place)?;
                    self.deeper(place)?;
                    let mut node = Node::new(place, Value::List(Vec::new()));
                    node.tag = tag;
                    self.open.push(Open::List { node, anchor });
                }
                Event::MappingStart(anchor, tag) => {
                    let (tag, _) = self.tag(tag.as_deref(), place)?;
                    self.deeper(place)?;
                    let mut node = Node::new(place, Value::Map(Map::default()));
                    node.tag = tag;
                    self.open.push(Open::Map {
                        node,
                        anchor,
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

    fn too_many(&mut self, place: Place) -> Stop {
        self.findings
            .error(place, format!("more than {ENTRIES_MAX} entries in one list or mapping"))
            .help("no part of a stack file has that many");
        Stop::Said
    }

    fn deeper(&mut self, place: Place) -> Result<(), Stop> {
        if self.open.len() < DEPTH_MAX {
            return Ok(());
        }
        self.findings
            .error(place, format!("nested deeper than {DEPTH_MAX} levels"))
            .help("no part of a stack file is nested that deep");
        Err(Stop::Said)
    }

    /// Puts a finished node where it belongs: into the list or map that is open, or as the root.
    fn take(&mut self, node: Node, place: Place) -> Result<(), Stop> {
        match self.open.last_mut() {
            None => {
                self.root = Some(node);
                Ok(())
            }
            Some(Open::List { node: list, .. }) => {
                if let Value::List(items) = &mut list.value {
                    items.push(node);
                    if items.len() > ENTRIES_MAX {
                        return Err(self.too_many(place));
                    }
                }
                Ok(())
            }
            Some(Open::Map {
                node: map,
                key,
                seen,
                merged,
                ..
            }) => match key.take() {
                None => {
                    let Value::Scalar(scalar) = &node.value else {
                        self.findings
                            .error(place, "a list or a mapping cannot be a key")
                            .help("is a `-` or a quote missing or too many on this line?");
                        return Err(Stop::Said);
                    };
                    if scalar.kind == Kind::Null {
                        self.findings
                            .error(place, "a key is missing here")
                            .help("write `key: value`");
                        return Err(Stop::Said);
                    }
                    let text = scalar.text.clone();
                    if let Some(first) = seen.get(&text) {
                        self.findings
                            .error(place, format!("the key `{text}` stands here a second time"))
                            .also(*first, "first here")
                            .help(if text == "<<" {
                                "name several maps in one merge: `<<: [*a, *b]`"
                            } else {
                                "delete one of the two"
                            });
                    } else {
                        seen.insert(text.clone(), place);
                    }
                    *key = Some((text, place));
                    Ok(())
                }
                Some((key, key_place)) => {
                    if key == "<<" {
                        merged.push(node);
                    } else if let Value::Map(map) = &mut map.value {
                        // Of two equal keys the first is kept; the second was noted.
                        if seen.get(&key) == Some(&key_place) {
                            map.0.push(Entry {
                                key,
                                place: key_place,
                                value: node,
                            });
                            if map.0.len() > ENTRIES_MAX {
                                return Err(self.too_many(place));
                            }
                        }
                    }
                    Ok(())
                }
            },
        }
    }

    fn close(&mut self) -> Result<(), Stop> {
        let (node, anchor) = match self.open.pop() {
            None => return Ok(()),
            Some(Open::List { node, anchor }) => (node, anchor),
            Some(Open::Map {
                mut node,
                anchor,
                merged,
                mut seen,
                ..
            }) => {
                if let Value::Map(map) = &mut node.value {
                    for source in merged {
                        self.merge(map, source, &mut seen);
                    }
                }
                (node, anchor)
            }
        };
        self.keep(anchor, &node);
        let place = node.place;
        self.take(node, place)
    }

    /// Adds what `<<` names: keys written in the map itself win, and of several maps the earlier.
    fn merge(&mut self, map: &mut Map, source: Node, seen: &mut HashMap<String, Place>) {
        match source.value {
            Value::Map(from) => {
                for entry in from.0 {
                    if !seen.contains_key(&entry.key) {
                        seen.insert(entry.key.clone(), entry.place);
                        map.0.push(entry);
                    }
                }
            }
            Value::List(items) => {
                for item in items {
                    if matches!(item.value, Value::Map(_)) {
                        self.merge(map, item, seen);
                    } else {
                        self.not_mergeable(item.place);
                    }
                }
            }
            Value::Scalar(_) => self.not_mergeable(source.place),
        }
    }

    fn not_mergeable(&mut self, place: Place) {
        self.findings
            .error(place, "`<<` takes a mapping or a list of mappings")
            .help("name an anchor of a mapping: `<<: *defaults`");
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
        if tag.is_yaml_core_schema() {
            let kind = match tag.suffix.as_str() {
                "str" => Some(Kind::Text),
                "int" => Some(Kind::Integer),
                "float" => Some(Kind::Float),
                "bool" => Some(Kind::Bool),
                "null" => Some(Kind::Null),
                "map" | "seq" => None,
                _ => return self.unknown_tag(tag, place),
            };
            return Ok((None, kind));
        }
        match (tag.handle.as_str(), tag.suffix.as_str()) {
            ("!", "reset") => Ok((Some(Tag::Reset), None)),
            ("!", "override") => Ok((Some(Tag::Override), None)),
            // A lone `!` says "not a number": the value is text.
            ("" | "!", "") => Ok((None, Some(Kind::Text))),
            _ => self.unknown_tag(tag, place),
        }
    }

    fn unknown_tag<T>(&mut self, tag: &saphyr_parser::Tag, place: Place) -> Result<T, Stop> {
        let name = if tag.is_yaml_core_schema() {
            format!("!!{}", tag.suffix)
        } else {
            format!("{}{}", tag.handle, tag.suffix)
        };
        self.findings
            .error(place, format!("the tag `{name}` means nothing in a stack file"))
            .help("the tags are `!reset` and `!override`; put a text that starts with `!` in quotes");
        Err(Stop::Said)
    }

    fn place(&self, span: Span) -> Place {
        let length = if span.end.line() == span.start.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            let rest = self
                .findings
                .sources
                .get(self.source)
                .line(number(span.start.line()))
                .map_or(0, |line| line.trim_end().chars().count());
            rest.saturating_sub(span.start.col())
        };
        Place {
            source: self.source,
            line: number(span.start.line()),
            column: number(span.start.col() + 1),
            length: number(length.max(1)),
        }
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn control_character(source: SourceId, text: &str) -> Option<Place> {
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(column) = line.chars().position(|c| c.is_control() && c != '\t') {
            return Some(Place {
                source,
                line: number(index + 1),
                column: number(column + 1),
                length: 1,
            });
        }
    }
    None
}

/// Notes the parser's own message, with the advice that the line suggests.
fn say_scan_error(source: SourceId, error: &ScanError, findings: &mut Findings) {
    let marker = error.marker();
    let file = findings.sources.get(source);
    let lines = file.lines();
    let mut line = number(marker.line()).clamp(1, lines);
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
    let place = Place {
        source,
        line,
        column: column.max(1),
        length: 1,
    };
    findings
        .error(place, format!("this is not YAML: {}", error.info()))
        .help(help);
}
