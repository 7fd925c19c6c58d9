//! All that is looked for, over one window of bytes: what is decided of it, and what must be seen together with what follows.
//!
//! Knows no stream: who has one keeps what was not decided and shows it again with more behind it.

use std::collections::BTreeSet;

use crate::card;
use crate::exact::Exact;
use crate::forms::forms;
use crate::rules::{Outcome, Words, passwords_in_urls};
use crate::value::{VALUE_BYTES_MIN, Value};

/// The window that is always enough: twice what the longest rule, a private key, holds back.
pub const WINDOW_BYTES: usize = 32 << 10;

/// Which rules apply beside the known values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// None: only known values.
    None,
    /// Keys with their values, credentials in headers and URLs, private keys, card numbers.
    All,
}

/// What a piece of the stream was recognised as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// The value of this number in [`Patterns::names`].
    Value(u32),
    /// The value of a key or header that says secret, or the password of a URL.
    Credential,
    /// The number of a payment card.
    Card,
    /// A private key in PEM.
    PrivateKey,
}

/// A piece of a window that is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Bytes from here to `start` stay, and are what it was recognised by: whoever shows them anew shows them together with it.
    pub context: usize,
    /// First byte to be replaced.
    pub start: usize,
    /// After the last.
    pub end: usize,
    /// As what.
    pub label: Label,
}

/// How a window is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// The byte before the window, none at the begin of a stream.
    pub before: Option<u8>,
    /// Nothing follows: all is decided.
    pub last: bool,
}

/// Known values in all their forms, and rules. Costs its tables once; share it.
pub struct Patterns {
    names: Vec<String>,
    short: Vec<String>,
    exact: Exact,
    words: Option<Words>,
}

impl std::fmt::Debug for Patterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Patterns({})", self.names.join(", "))
    }
}

impl Patterns {
    /// Takes in values, and whether rules apply. Of two values that are the same the first gives the name.
    #[must_use]
    pub fn new(values: &[Value], rules: Rules) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut short = BTreeSet::new();
        let mut strings = Vec::new();
        for value in values {
            let of_value = forms(value.expose());
            if value.expose().len() < VALUE_BYTES_MIN || of_value.is_empty() {
                short.insert(value.name().to_owned());
                continue;
            }
            // Both are few; a name that is there keeps its number, so that versions of one secret are one name.
            let number = names.iter().position(|name| name == value.name()).unwrap_or_else(|| {
                names.push(value.name().to_owned());
                names.len() - 1
            });
            strings.extend(of_value.into_iter().map(|form| (form, number as u32)));
        }
        let mut patterns = Self {
            names,
            short: short.into_iter().collect(),
            exact: Exact::new(strings),
            words: (rules == Rules::All).then(Words::new),
        };
        patterns.hide_telling_names();
        patterns
    }

    /// A name in which a value stands must not be shown: `[secret postgres]` for the password `postgres`.
    fn hide_telling_names(&mut self) {
        for at in 0..self.names.len() {
            let mut tells = false;
            let marker = format!("[secret {}]", self.names[at]);
            self.exact.find(marker.as_bytes(), |_| tells = true);
            if tells {
                self.names[at].clear();
            }
        }
    }

    /// Returns the names by number; empty where showing it would show a value.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the names of values that are too short to be looked for.
    #[must_use]
    pub fn short(&self) -> &[String] {
        &self.short
    }

    /// Returns how many texts are looked for: all values in all their forms.
    #[must_use]
    pub fn texts(&self) -> usize {
        self.exact.texts()
    }

    /// Returns how many bytes of memory the tables take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.exact.size() + self.words.as_ref().map_or(0, Words::size)
    }

    /// Looks at a window. Fills `spans` with what is to be replaced, in order, none touching another's bytes, and returns how much of
    /// the window is decided: what follows must be shown again, with more behind it.
    pub fn scan(&self, window: &[u8], scan: Scan, spans: &mut Vec<Span>) -> usize {
        spans.clear();
        let open = self.exact.find(window, |found| {
            spans.push(Span {
                context: found.start,
                start: found.start,
                end: found.end,
                label: Label::Value(found.value),
            });
        });
        let mut decided = if scan.last { window.len() } else { open };
        if let Some(words) = &self.words {
            decided = decided.min(words.find(window, scan.last, |context, start, end, is_key| {
                spans.push(Span {
                    context,
                    start,
                    end,
                    label: if is_key { Label::PrivateKey } else { Label::Credential },
                });
            }));
            decided = decided.min(passwords_in_urls(window, scan.last, |context, start, end| {
                spans.push(Span {
                    context,
                    start,
                    end,
                    label: Label::Credential,
                });
            }));
            decided = decided.min(cards(window, scan, spans));
        }
        merge(spans);
        // What begins in the decided part may be joined by what does not end there.
        while let Some(span) = spans.last() {
            if span.end <= decided {
                break;
            }
            decided = decided.min(span.context);
            spans.pop();
        }
        let mut end = 0;
        for span in spans.iter_mut() {
            span.context = span.context.max(end);
            end = span.end;
        }
        decided
    }

    /// Writes what stands in the place of something.
    pub fn write_marker(&self, label: Label, out: &mut Vec<u8>) {
        match label {
            Label::Value(number) => match self.names.get(number as usize).map(String::as_str) {
                None | Some("") => out.extend(b"[secret]"),
                Some(name) => {
                    out.extend(b"[secret ");
                    out.extend(name.bytes());
                    out.push(b']');
                }
            },
            Label::Credential => out.extend(b"[redacted]"),
            Label::Card => out.extend(b"[redacted card]"),
            Label::PrivateKey => out.extend(b"[redacted private key]"),
        }
    }
}

fn cards(window: &[u8], scan: Scan, spans: &mut Vec<Span>) -> usize {
    let mut at = 0;
    while let Some(start) = card::next_group(window, at, scan.before) {
        match card::at(window, start, scan.last) {
            Outcome::Open => return start,
            Outcome::Found { context, start, end } => {
                spans.push(Span {
                    context,
                    start,
                    end,
                    label: Label::Card,
                });
                at = end;
            }
            Outcome::Nothing => at = card::end_of_digits(window, start) + 1,
        }
    }
    window.len()
}

/// Makes one of those that overlap. A value's name goes before a rule's, that of the longest before others.
fn merge(spans: &mut Vec<Span>) {
    if spans.len() < 2 {
        return;
    }
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    let weight = |span: &Span| (matches!(span.label, Label::Value(_)), span.end - span.start);
    let mut kept = 0;
    let mut heaviest = weight(&spans[0]);
    for at in 1..spans.len() {
        let span = spans[at];
        let open = &mut spans[kept];
        if span.start < open.end {
            if weight(&span) > heaviest {
                heaviest = weight(&span);
                open.label = span.label;
            }
            open.end = open.end.max(span.end);
            open.context = open.context.min(span.context);
        } else {
            heaviest = weight(&span);
            kept += 1;
            spans[kept] = span;
        }
    }
    spans.truncate(kept + 1);
}
