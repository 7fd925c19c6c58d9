//! From YAML to the tree.
//!
//! Invariant: whatever the text, reading ends within [`DEPTH_MAX`] levels and [`WEIGHT_MAX`] of expanded aliases.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::node::{Entry, Kind, Node, Scalar, Tree};
use crate::report::Findings;
use crate::source::{Place, SourceId, number};

/// Levels of nesting; the deepest key known to us has five words.
const DEPTH_MAX: usize = 32;
/// Bytes of text plus 16 for each node that aliases may expand to.
const WEIGHT_MAX: usize = 4 << 20;
/// Entries of one list or mapping.
const ENTRIES_MAX: usize = 4000;

/// Reads the one document of a text; nothing when it is not YAML, which is noted, or when it is empty, which is not.
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
        Ok(()) => root.filter(|root| !root.is_null()),
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
        place: Place,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        place: Place,
        anchor: usize,
        entries: Vec<Entry>,
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
                    return Err(self.stop(
                        place,
                        "a second document starts here; a file of configuration is one document",
                        "delete the `---`, or put the document into a file of its own",
                    ));
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
                    let kind = match (self.tag(tag.as_deref(), place)?, style) {
                        (Some(kind), _) => kind,
                        (None, ScalarStyle::Plain) => Kind::of_plain(&text),
                        (None, _) => Kind::Text,
                    };
                    let node = Node {
                        place,
                        tree: Tree::Scalar(Scalar {
                            text: text.into_owned(),
                            kind,
                            written: None,
                        }),
                    };
                    self.keep(anchor, &node);
                    self.take(node, place)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.tag(tag.as_deref(), place)?;
                    self.deeper(place)?;
                    self.open.push(Open::List {
                        place,
                        anchor,
                        items: Vec::new(),
                    });
                }
                Event::MappingStart(anchor, tag) => {
                    self.tag(tag.as_deref(), place)?;
                    self.deeper(place)?;
                    self.open.push(Open::Map {
                        place,
                        anchor,
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

    fn deeper(&mut self, place: Place) -> Result<(), Stop> {
        if self.open.len() < DEPTH_MAX {
            return Ok(());
        }
        Err(self.stop(
            place,
            format!("nested deeper than {DEPTH_MAX} levels"),
            "write long keys with dots: `a.b.c: value`",
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
                None => {
                    let text = match &node.tree {
                        Tree::Scalar(scalar) if scalar.kind != Kind::Null => scalar.text.clone(),
                        Tree::Scalar(_) => return Err(self.stop(place, "a key is missing here", "write `key: value`")),
                        _ => {
                            return Err(self.stop(
                                place,
                                "a list or a mapping cannot be a key",
                                "is a `-` or a quote missing or too many on this line?",
                            ));
                        }
                    };
                    let first = seen.get(&text).copied();
                    *key = Some((text.clone(), place));
                    if let Some(first) = first {
                        self.findings
                            .error(place, format!("the key `{text}` stands here a second time"))
                            .also(first, "first here")
                            .help(if text == "<<" {
                                "name several maps in one merge: `<<: [*a, *b]`"
                            } else {
                                "delete one of the two"
                            });
                    } else {
                        seen.insert(text, place);
                    }
                    return Ok(());
                }
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
        if count > ENTRIES_MAX {
            return Err(self.stop(
                place,
                format!("more than {ENTRIES_MAX} entries in one list or mapping"),
                "no configuration has that many; is this the right file?",
            ));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let (node, anchor) = match self.open.pop() {
            None => return Ok(()),
            Some(Open::List { place, anchor, items }) => {
                let tree = Tree::List(items);
                (Node { place, tree }, anchor)
            }
            Some(Open::Map {
                place,
                anchor,
                mut entries,
                merged,
                mut seen,
                ..
            }) => {
                for source in merged {
                    self.merge(&mut entries, source, &mut seen);
                }
                let tree = Tree::Map(entries);
                (Node { place, tree }, anchor)
            }
        };
        self.keep(anchor, &node);
        let place = node.place;
        self.take(node, place)
    }

    /// Adds what `<<` names: keys written in the map itself win, and of several maps the earlier.
    fn merge(&mut self, entries: &mut Vec<Entry>, source: Node, seen: &mut HashMap<String, Place>) {
        let sources = match source.tree {
            Tree::List(items) => items,
            _ => vec![source],
        };
        for source in sources {
            let Tree::Map(from) = source.tree else {
                self.findings
                    .error(source.place, "`<<` takes a mapping or a list of mappings")
                    .help("name an anchor of a mapping: `<<: *defaults`");
                continue;
            };
            for entry in from {
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

    fn tag(&mut self, tag: Option<&saphyr_parser::Tag>, place: Place) -> Result<Option<Kind>, Stop> {
        let Some(tag) = tag else {
            return Ok(None);
        };
        let name = if tag.is_yaml_core_schema() {
            match tag.suffix.as_str() {
                "str" => return Ok(Some(Kind::Text)),
                "map" | "seq" => return Ok(None),
                other => format!("!!{other}"),
            }
        } else if matches!(tag.handle.as_str(), "" | "!") && tag.suffix.is_empty() {
            // A lone `!` says "not a number": the value is text.
            return Ok(Some(Kind::Text));
        } else {
            format!("{}{}", tag.handle, tag.suffix)
        };
        Err(self.stop(
            place,
            format!("the tag `{name}` means nothing in a configuration"),
            "leave it out: the schema says what type a key has; put a text that starts with `!` in quotes",
        ))
    }

    fn place(&self, span: Span) -> Place {
        let length = if span.end.line() == span.start.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            let source = self.findings.sources.get(self.source);
            let line = source.line(number(span.start.line()));
            line.map_or(0, |line| line.trim_end().chars().count())
                .saturating_sub(span.start.col())
        };
        Place {
            source: self.source,
            line: number(span.start.line()).max(1),
            column: number(span.start.col() + 1),
            length: number(length.max(1)),
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
    let file = findings.sources.of(source);
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
