//! The tree itself.

use crate::source::Place;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it starts.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) value: Value,
    /// `!reset` or `!override`, for merging files.
    pub(crate) tag: Option<Tag>,
}

/// The tags of the Compose specification that say how a value is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// `!reset`: the value of the files before is removed.
    Reset,
    /// `!override`: this value stands in place of the one of the files before.
    Override,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Text, a number, a switch or nothing.
    Scalar(Scalar),
    /// `- a`, `[a]`.
    List(Vec<Node>),
    /// `a: b`, `{a: b}`.
    Map(Map),
}

/// A single value, as text; what it counts as is decided by where it stands, with [`Scalar::kind`] as a hint.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    /// The value, variables replaced.
    pub(crate) text: String,
    /// What YAML says it is.
    pub(crate) kind: Kind,
    /// As written, when variables were replaced in it; shown in messages in place of a value that may be secret.
    pub(crate) written: Option<String>,
}

/// What YAML 1.2 (core schema) says a scalar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
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
pub(crate) struct Map(pub(crate) Vec<Entry>);

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
    /// Returns what an unquoted text is.
    pub(crate) fn of_plain(text: &str) -> Self {
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
    pub(crate) fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }
}

impl Node {
    /// Makes a text that was not in the file as such but follows from what stands at `place`.
    pub(crate) fn text(place: Place, text: impl Into<String>) -> Self {
        Self::scalar(place, text, Kind::Text)
    }

    /// Makes a scalar that follows from what stands at `place`.
    pub(crate) fn scalar(place: Place, text: impl Into<String>, kind: Kind) -> Self {
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
    pub(crate) fn null(place: Place) -> Self {
        Self::scalar(place, "", Kind::Null)
    }

    /// Makes a node without a tag.
    pub(crate) fn new(place: Place, value: Value) -> Self {
        Self {
            place,
            value,
            tag: None,
        }
    }

    /// Returns about how much memory it takes: bytes of text plus 16 for each node.
    pub(crate) fn weight(&self) -> usize {
        16 + match &self.value {
            Value::Scalar(scalar) => scalar.text.len(),
            Value::List(items) => items.iter().map(Self::weight).sum(),
            Value::Map(map) => map.0.iter().map(|entry| entry.key.len() + entry.value.weight()).sum(),
        }
    }

    /// Returns whether it is nothing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind == Kind::Null)
    }

    /// Returns the scalar, unless it is nothing.
    pub(crate) fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) if scalar.kind != Kind::Null => Some(scalar),
            _ => None,
        }
    }

    /// Returns the text of a scalar, unless it is nothing.
    pub(crate) fn as_text(&self) -> Option<&str> {
        self.as_scalar().map(|scalar| scalar.text.as_str())
    }

    /// Returns the switch: `true`, `yes`, `on` or their opposites, as Compose reads them.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        self.as_text().and_then(parse_bool)
    }

    /// Returns the entries.
    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the items.
    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// Returns the value of a key that is there and not nothing.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key).filter(|node| !node.is_null())
    }

    /// Returns the value at the end of several keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Returns the items of a list or map of any size; empty for a scalar.
    pub(crate) fn items(&self) -> &[Node] {
        self.as_list().unwrap_or_default()
    }

    /// Returns the entries of a map; empty for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        self.as_map().map_or(&[], |map| map.0.as_slice())
    }
}

/// Reads a switch as Compose does.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

impl Map {
    /// Returns the value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Returns the entry of a key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// Returns where a key stands among the entries.
    pub(crate) fn position(&self, key: &str) -> Option<usize> {
        self.0.iter().position(|entry| entry.key == key)
    }

    /// Removes a key and returns its entry.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        self.position(key).map(|at| self.0.remove(at))
    }

    /// Sets a key, in its old place when it was there.
    pub(crate) fn set(&mut self, entry: Entry) {
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
