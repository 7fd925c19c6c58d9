//! What values a key takes: type, range, form. One shape for a key, one for the items of a list, one for the values of an object.

use std::fmt;

use crate::decimal::Decimal;
use crate::quantity::Measure;
use crate::value::Value;

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number, exact.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Text such as `15m`; a number too where the key has a unit.
    Duration,
    /// Text such as `10m`; a number too where the key has a unit.
    Size,
    /// A URL.
    Url,
    /// A list of items of one type.
    List,
    /// Names with scalar values.
    Object,
}

impl Type {
    /// All types by the names the schema gives them.
    pub(crate) const NAMES: [(&'static str, Type); 11] = [
        ("string", Type::String),
        ("integer", Type::Integer),
        ("number", Type::Number),
        ("boolean", Type::Boolean),
        ("duration", Type::Duration),
        ("size", Type::Size),
        ("url", Type::Url),
        ("list", Type::List),
        ("array", Type::List),
        ("object", Type::Object),
        ("map", Type::Object),
    ];

    /// Returns what amounts the type has, if it has units.
    pub(crate) fn measure(self) -> Option<Measure> {
        match self {
            Self::Duration => Some(Measure::Time),
            Self::Size => Some(Measure::Size),
            _ => None,
        }
    }

    /// Returns whether `minimum` and its like say something about it.
    pub(crate) fn is_ordered(self) -> bool {
        matches!(self, Self::Integer | Self::Number | Self::Duration | Self::Size)
    }

    /// Returns whether it is text.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::String | Self::Url)
    }

    /// Returns whether it has parts.
    pub(crate) fn has_parts(self) -> bool {
        matches!(self, Self::List | Self::Object)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES
            .iter()
            .find(|(_, one)| one == self)
            .map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// A bound of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// In the unit of the shape; without one in nanoseconds or bytes.
    pub(crate) amount: Decimal,
    /// As the schema writes it.
    pub(crate) written: String,
}

/// A regular expression with its text.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// As the schema writes it, which is a pattern of JSON Schema too.
    pub(crate) text: String,
    /// Compiled.
    pub(crate) regex: regex_lite::Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Formats that JSON Schema names, each with the pattern that is checked; a validator that ignores `format` judges alike by the pattern.
pub(crate) const FORMATS: [(&str, &str); 5] = [
    ("email", r"^[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+$"),
    (
        "hostname",
        r"^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
    ),
    (
        "ipv4",
        r"^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$",
    ),
    ("uuid", r"^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
    ("date", r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$"),
];

/// Schemes whose URLs have no `//` and host.
const OPAQUE: [&str; 3] = ["sqlite", "file", "unix"];

/// A URL that carries a password: `scheme://user:password@host`.
pub(crate) const WITH_PASSWORD: &str = r"^[^:/?#\s]+://[^/?#\s]*:[^/?#\s]*@";

/// What values are taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The type.
    pub kind: Type,
    /// What a number counts; for a duration or size the unit it is given on in.
    pub unit: Option<String>,
    pub(crate) minimum: Option<Bound>,
    pub(crate) maximum: Option<Bound>,
    pub(crate) exclusive_minimum: Option<Bound>,
    pub(crate) exclusive_maximum: Option<Bound>,
    pub(crate) multiple_of: Option<Bound>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) pattern: Option<Pattern>,
    /// Index into [`FORMATS`], and its pattern.
    pub(crate) format: Option<(usize, Pattern)>,
    pub(crate) values: Option<Vec<Value>>,
    /// Of a URL; empty for any.
    pub(crate) schemes: Vec<String>,
    /// Of a URL, compiled.
    pub(crate) url: Option<Pattern>,
    pub(crate) items: Option<Box<Shape>>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) unique_items: bool,
    /// Of an object's values; any scalar when there is none.
    pub(crate) members: Option<Box<Shape>>,
}

impl Shape {
    /// Makes the shape that takes all values of a type.
    pub(crate) fn any(kind: Type) -> Self {
        Self {
            kind,
            unit: None,
            minimum: None,
            maximum: None,
            exclusive_minimum: None,
            exclusive_maximum: None,
            multiple_of: None,
            min_length: None,
            max_length: None,
            pattern: None,
            format: None,
            values: None,
            schemes: Vec::new(),
            url: None,
            items: None,
            min_items: None,
            max_items: None,
            unique_items: false,
            members: None,
        }
    }

    /// Returns the unit that amounts are turned into, if they are.
    pub(crate) fn amount_unit(&self) -> Option<&str> {
        self.kind.measure()?;
        self.unit.as_deref()
    }

    /// Returns the pattern of URLs with these schemes.
    pub(crate) fn url_pattern(schemes: &[String]) -> String {
        let escaped = |names: Vec<&str>| names.join("|").replace('+', r"\+").replace('.', r"\.");
        let (opaque, with_host): (Vec<&str>, Vec<&str>) = schemes
            .iter()
            .map(String::as_str)
            .partition(|scheme| OPAQUE.contains(scheme));
        if schemes.is_empty() {
            return format!(r"^(?:(?:{}):\S+|[a-z][a-z0-9+.-]*://[^\s/?#]+\S*)$", OPAQUE.join("|"));
        }
        let mut ways = Vec::new();
        if !opaque.is_empty() {
            ways.push(format!(r"(?:{}):\S+", escaped(opaque)));
        }
        if !with_host.is_empty() {
            ways.push(format!(r"(?:{})://[^\s/?#]+\S*", escaped(with_host)));
        }
        format!("^(?:{})$", ways.join("|"))
    }

    /// Says what is taken, as the object of "write": `a whole number from 1 to 200 (connections)`.
    #[must_use]
    pub fn expected(&self) -> String {
        if let Some(values) = &self.values {
            let names: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            return match names.as_slice() {
                [only] => only.clone(),
                [all @ .., last] => format!("{} or {last}", all.join(", ")),
                [] => "nothing".to_owned(),
            };
        }
        let mut text = match self.kind {
            Type::String => "a text".to_owned(),
            Type::Integer => "a whole number".to_owned(),
            Type::Number => "a number".to_owned(),
            Type::Boolean => return "`true` or `false`".to_owned(),
            Type::Duration => match self.unit.as_deref() {
                Some(unit) => format!("a duration such as `30s` or a number of {unit}"),
                None => "a duration such as `30s`".to_owned(),
            },
            Type::Size => match self.unit.as_deref() {
                Some(unit) => format!("a size such as `10m` or a number of {unit}"),
                None => "a size such as `10m`".to_owned(),
            },
            Type::Url => match self.schemes.as_slice() {
                [] => "a URL such as `https://example.com`".to_owned(),
                schemes => format!(
                    "a URL that starts with {}",
                    schemes
                        .iter()
                        .map(|one| format!("`{one}:`"))
                        .collect::<Vec<_>>()
                        .join(" or ")
                ),
            },
            Type::List => match &self.items {
                Some(items) => format!("a list, each item {}", items.expected()),
                None => "a list".to_owned(),
            },
            Type::Object => match &self.members {
                Some(members) => format!("names with values, each {}", members.expected()),
                None => "names with values".to_owned(),
            },
        };
        text.push_str(&self.range());
        if let (Some(unit), None) = (&self.unit, self.kind.measure()) {
            text.push_str(&format!(" ({unit})"));
        }
        text
    }

    /// Says the bounds: ` from 1 to 200, a multiple of 5`.
    pub(crate) fn range(&self) -> String {
        let mut text = String::new();
        match (&self.minimum, &self.maximum) {
            (Some(low), Some(high)) => text.push_str(&format!(" from {} to {}", low.written, high.written)),
            (Some(low), None) => text.push_str(&format!(", at least {}", low.written)),
            (None, Some(high)) => text.push_str(&format!(", at most {}", high.written)),
            (None, None) => {}
        }
        if let Some(low) = &self.exclusive_minimum {
            text.push_str(&format!(", more than {}", low.written));
        }
        if let Some(high) = &self.exclusive_maximum {
            text.push_str(&format!(", less than {}", high.written));
        }
        if let Some(step) = &self.multiple_of {
            text.push_str(&format!(", a multiple of {}", step.written));
        }
        match (self.min_length, self.max_length) {
            (Some(low), Some(high)) => text.push_str(&format!(" of {low} to {high} characters")),
            (Some(low), None) => text.push_str(&format!(" of at least {low} characters")),
            (None, Some(high)) => text.push_str(&format!(" of at most {high} characters")),
            (None, None) => {}
        }
        if let Some((index, _)) = &self.format {
            text.push_str(&format!(", {}", FORMATS[*index].0));
        }
        if let Some(pattern) = &self.pattern {
            text.push_str(&format!(" that matches `{}`", pattern.text));
        }
        match (self.min_items, self.max_items) {
            (Some(low), Some(high)) => text.push_str(&format!(", {low} to {high} items")),
            (Some(low), None) => text.push_str(&format!(", at least {low} items")),
            (None, Some(high)) => text.push_str(&format!(", at most {high} items")),
            (None, None) => {}
        }
        if self.unique_items {
            text.push_str(", no two alike");
        }
        text
    }
}
