//! The tree that YAML and JSON are read into: every value knows where it was written. Knows no keys.
//!
//! Source: YAML 1.2, core schema, for what a plain scalar is; the Compose specification for the tags and for switches.

use crate::source::Place;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it starts.
    pub place: Place,
    /// What it is.
    pub value: Value,
    /// `!reset` or `!override`, for merging files.
    pub tag: Option<Tag>,
}

/// The tags of the Compose specification that say how a value is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `!reset`: the value of the files before is removed.
    Reset,
    /// `!override`: this value stands in place of the one of the files before.
    Override,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text, a number, a switch or nothing.
    Scalar(Scalar),
    /// `- a`, `[a]`.
    List(Vec<Node>),
    /// `a: b`, `{a: b}`.
    Map(Map),
}

/// A single value, as text; what it counts as is decided by where it stands, with [`Scalar::kind`] as a hint.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// The value, variables replaced.
    pub text: String,
    /// What YAML says it is.
    pub kind: Kind,
    /// As written, when variables were replaced in it; shown in messages in place of a value that may be secret.
    pub written: Option<String>,
}

/// What YAML 1.2 (core schema) says a scalar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `false`.
    Bool,
    /// A whole number.
    Integer,
    /// Another number.
    Float,
    /// Anything else, and whatever is in quotes.
    Text,
}

/// Entries in the order they were written, their keys different from each other.
#[derive(Clone, Debug, Default)]
pub struct Map(pub Vec<Entry>);

/// One key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key was written.
    pub place: Place,
    /// Its value.
    pub value: Node,
}

impl Kind {
    /// Returns whether it is a number.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Float)
    }

    /// Returns what an unquoted text is.
    #[must_use]
    pub fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Self::Bool,
            ".inf" | "-.inf" | "+.inf" | ".nan" | ".NaN" | ".NAN" => return Self::Float,
            _ => {}
        }
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if let Some(digits) = unsigned.strip_prefix("0x") {
            return if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit()) {
                Self::Integer
            } else {
                Self::Text
            };
        }
        if let Some(digits) = unsigned.strip_prefix("0o") {
            return if !digits.is_empty() && digits.chars().all(|c| ('0'..'8').contains(&c)) {
                Self::Integer
            } else {
                Self::Text
            };
        }
        if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Self::Text;
        }
        if unsigned.chars().all(|c| c.is_ascii_digit()) {
            Self::Integer
        } else if unsigned.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c)) && unsigned.parse::<f64>().is_ok()
        {
            Self::Float
        } else {
            Self::Text
        }
    }
}

impl Scalar {
    /// Returns how messages name the value: as it was written.
    pub fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }
}

impl Node {
    /// Makes a text that was not in the file as such but follows from what stands at `place`.
    pub fn text(place: Place, text: impl Into<String>) -> Self {
        Self::scalar(place, text, Kind::Text)
    }

    /// Makes a scalar that follows from what stands at `place`.
    pub fn scalar(place: Place, text: impl Into<String>, kind: Kind) -> Self {
        Self::new(
            place,
            Value::Scalar(Scalar {
                text: text.into(),
                kind,
                written: None,
            }),
        )
    }

    /// Makes the value that stands for nothing.
    pub fn null(place: Place) -> Self {
        Self::scalar(place, "", Kind::Null)
    }

    /// Makes a node without a tag.
    pub fn new(place: Place, value: Value) -> Self {
        Self {
            place,
            value,
            tag: None,
        }
    }

    /// Returns about how much memory it takes: bytes of text plus 16 for each node.
    pub fn weight(&self) -> usize {
        16 + match &self.value {
            Value::Scalar(scalar) => scalar.text.len(),
            Value::List(items) => items.iter().map(Self::weight).sum(),
            Value::Map(map) => map.0.iter().map(|entry| entry.key.len() + entry.value.weight()).sum(),
        }
    }

    /// Returns whether it is nothing.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind == Kind::Null)
    }

    /// Returns the scalar, unless it is nothing.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) if scalar.kind != Kind::Null => Some(scalar),
            _ => None,
        }
    }

    /// Returns the text of a scalar, unless it is nothing.
    pub fn as_text(&self) -> Option<&str> {
        self.as_scalar().map(|scalar| scalar.text.as_str())
    }

    /// Returns the switch: `true`, `yes`, `on` or their opposites, as Compose reads them.
    pub fn as_bool(&self) -> Option<bool> {
        self.as_text().and_then(parse_bool)
    }

    /// Returns the entries.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the items.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// Returns the value of a key that is there and not nothing.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key).filter(|node| !node.is_null())
    }

    /// Returns the value at the end of several keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Returns what it is, with an article, for messages.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Null => "nothing",
                Kind::Bool => "true or false",
                Kind::Integer | Kind::Float => "a number",
                Kind::Text => "a text",
            },
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Returns the items of a list; empty for anything else.
    pub fn items(&self) -> &[Node] {
        self.as_list().unwrap_or_default()
    }

    /// Returns the entries of a map; empty for anything else.
    pub fn entries(&self) -> &[Entry] {
        self.as_map().map_or(&[], |map| map.0.as_slice())
    }
}

/// Reads a switch as Compose does.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

impl Map {
    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Returns the entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// Returns where a key stands among the entries.
    pub fn position(&self, key: &str) -> Option<usize> {
        self.0.iter().position(|entry| entry.key == key)
    }

    /// Removes a key and returns its entry.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        self.position(key).map(|at| self.0.remove(at))
    }

    /// Sets a key, in its old place when it was there.
    pub fn set(&mut self, entry: Entry) {
        match self.position(&entry.key) {
            Some(at) => self.0[at] = entry,
            None => self.0.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_yaml_1_2_says() {
        for (text, kind) in [
            ("", Kind::Null),
            ("~", Kind::Null),
            ("null", Kind::Null),
            ("true", Kind::Bool),
            ("no", Kind::Text),
            ("12", Kind::Integer),
            ("-0x1f", Kind::Integer),
            ("0o17", Kind::Integer),
            ("0o18", Kind::Text),
            ("1.5", Kind::Float),
            ("1e3", Kind::Float),
            (".5", Kind::Float),
            ("1.2.3", Kind::Text),
            ("22:22", Kind::Text),
            ("inf", Kind::Text),
            ("5s", Kind::Text),
            ("-", Kind::Text),
            ("+-1", Kind::Text),
        ] {
            assert_eq!(Kind::of_plain(text), kind, "{text}");
        }
    }
}
