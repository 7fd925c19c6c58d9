//! The tree that YAML and JSON are read into: every value knows where it was written. Knows no keys and no types.

use crate::decimal::Decimal;
use crate::source::Place;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it starts.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) tree: Tree,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    /// Text, a number, a switch or nothing.
    Scalar(Scalar),
    /// `- a`, `[a]`.
    List(Vec<Node>),
    /// `a: b`, `{a: b}`, keys different from each other, in the order written.
    Map(Vec<Entry>),
}

/// A single value as text, with what the language says it is.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    /// The value, variables replaced.
    pub(crate) text: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// As written, when variables were replaced in it.
    pub(crate) written: Option<String>,
}

/// What a scalar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `false`.
    Bool,
    /// A number.
    Number,
    /// Anything else, and whatever is in quotes.
    Text,
}

/// One key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key was written.
    pub(crate) place: Place,
    /// Its value.
    pub(crate) value: Node,
}

impl Kind {
    /// Returns what YAML 1.2 (core schema) says an unquoted text is; numbers in base 8 and 16 stay text, nobody configures in them.
    pub(crate) fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Self::Bool,
            _ if looks_like_a_number(text) => Self::Number,
            _ => Self::Text,
        }
    }
}

fn looks_like_a_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && Decimal::parse(text).is_some()
}

impl Node {
    /// Makes a scalar.
    pub(crate) fn scalar(place: Place, text: impl Into<String>, kind: Kind) -> Self {
        Self {
            place,
            tree: Tree::Scalar(Scalar {
                text: text.into(),
                kind,
                written: None,
            }),
        }
    }

    /// Returns whether it is nothing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.tree, Tree::Scalar(scalar) if scalar.kind == Kind::Null)
    }

    /// Returns the scalar, unless it is nothing.
    pub(crate) fn as_scalar(&self) -> Option<&Scalar> {
        match &self.tree {
            Tree::Scalar(scalar) if scalar.kind != Kind::Null => Some(scalar),
            _ => None,
        }
    }

    /// Returns the text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        self.as_scalar()
            .filter(|scalar| scalar.kind == Kind::Text)
            .map(|scalar| scalar.text.as_str())
    }

    /// Returns the switch, if it is one.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        self.as_scalar()
            .filter(|scalar| scalar.kind == Kind::Bool)
            .map(|scalar| scalar.text.eq_ignore_ascii_case("true"))
    }

    /// Returns the entries, if it is a map.
    pub(crate) fn as_map(&self) -> Option<&[Entry]> {
        match &self.tree {
            Tree::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Returns the items, if it is a list.
    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        match &self.tree {
            Tree::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns what it is, with an article, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match &self.tree {
            Tree::Scalar(scalar) => match scalar.kind {
                Kind::Null => "nothing",
                Kind::Bool => "true or false",
                Kind::Number => "a number",
                Kind::Text => "a text",
            },
            Tree::List(_) => "a list",
            Tree::Map(_) => "a mapping",
        }
    }

    /// Returns about how much memory it takes: bytes of text plus 16 for each node.
    pub(crate) fn weight(&self) -> usize {
        16 + match &self.tree {
            Tree::Scalar(scalar) => scalar.text.len(),
            Tree::List(items) => items.iter().map(Self::weight).sum(),
            Tree::Map(entries) => entries.iter().map(|entry| entry.key.len() + entry.value.weight()).sum(),
        }
    }
}

impl Scalar {
    /// Returns how messages name the value: as it was written.
    pub(crate) fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }
}
