//! What a template works on: values with the types that Go would give them. Knows no template.

mod duration;
mod member;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use duration::Duration;
pub(crate) use member::{Member, between, member, sorted_pairs};
pub use time::{Offset, Time};

/// A value. Cloning one is cheap.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value: a variable without one, a key that is not there in a map of anything.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction: every value of a sample.
    Float(f64),
    /// A text.
    Text(Arc<str>),
    /// A text that is not escaped in the place it was made for.
    Safe(Safe, Arc<str>),
    /// A moment, seen from a time zone.
    Time(Time),
    /// A span of time.
    Duration(Duration),
    /// A month or a day of the week.
    Word {
        /// Its number.
        number: i64,
        /// Its English name.
        text: &'static str,
        /// `time.Month` or `time.Weekday`.
        of: &'static str,
    },
    /// Things in order.
    List(Arc<List>),
    /// Things by name.
    Map(Arc<Map>),
    /// Named fields.
    Struct(Arc<Struct>),
}

/// Where a text may stand as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safe {
    /// As HTML.
    Html,
    /// As an address in an attribute.
    Url,
}

/// A list and what it is a list of.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// The elements.
    pub items: Vec<Value>,
    /// What it is.
    pub kind: ListKind,
}

/// What a list holds; it decides which methods it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Anything.
    Any,
    /// Texts.
    Texts,
    /// The samples that a query gave.
    Samples,
    /// Alerts; has `Firing` and `Resolved`.
    Alerts,
    /// Names with values; has `Names` and `Values`.
    Pairs,
}

impl ListKind {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "[]interface {}",
            Self::Texts => "[]string",
            Self::Samples => "template.queryResult",
            Self::Alerts => "template.Alerts",
            Self::Pairs => "template.Pairs",
        }
    }
}

/// A map and what it is a map of.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// The entries; they are walked in this order.
    pub entries: BTreeMap<String, Value>,
    /// What it is.
    pub kind: MapKind,
}

/// What a map holds; it decides what a key that is not there means, and which methods it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Anything; a key that is not there is no value.
    Any,
    /// Texts; a key that is not there is an empty text.
    Texts,
    /// Texts, with `SortedPairs`, `Remove`, `Names` and `Values`: labels and annotations in Alertmanager.
    Labels,
}

impl MapKind {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "map[string]interface {}",
            Self::Texts => "map[string]string",
            Self::Labels => "template.KV",
        }
    }
}

/// Named fields in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Struct {
    /// The name of its type in messages.
    pub type_name: &'static str,
    /// The fields: their names in templates and in JSON, and their values.
    pub fields: Vec<Field>,
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name in templates.
    pub name: &'static str,
    /// Its name where the struct is written as JSON.
    pub json: &'static str,
    /// Its value.
    pub value: Value,
}

impl Value {
    /// A list of anything.
    #[must_use]
    pub fn list(items: Vec<Value>, kind: ListKind) -> Self {
        Self::List(Arc::new(List { items, kind }))
    }

    /// A list of texts.
    pub fn texts<T: Into<Arc<str>>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::list(
            items.into_iter().map(|item| Self::Text(item.into())).collect(),
            ListKind::Texts,
        )
    }

    /// A map from text to text, without methods: labels in Prometheus.
    pub fn texts_by_name<K: Into<String>, V: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::map(
            entries
                .into_iter()
                .map(|(name, value)| (name.into(), Self::Text(value.into())))
                .collect(),
            MapKind::Texts,
        )
    }

    /// Labels or annotations as Alertmanager's templates know them.
    pub fn labels<K: Into<String>, V: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::map(
            entries
                .into_iter()
                .map(|(name, value)| (name.into(), Self::Text(value.into())))
                .collect(),
            MapKind::Labels,
        )
    }

    /// A map.
    #[must_use]
    pub fn map(entries: BTreeMap<String, Value>, kind: MapKind) -> Self {
        Self::Map(Arc::new(Map { entries, kind }))
    }

    /// A struct of fields with the name in templates, the name in JSON, and the value.
    #[must_use]
    pub fn structure(type_name: &'static str, fields: Vec<(&'static str, &'static str, Value)>) -> Self {
        let fields = fields
            .into_iter()
            .map(|(name, json, value)| Field { name, json, value })
            .collect();
        Self::Struct(Arc::new(Struct { type_name, fields }))
    }

    /// A sample as templates of Prometheus know it.
    #[must_use]
    pub fn sample(sample: Sample) -> Self {
        Self::structure(
            SAMPLE,
            vec![
                ("Labels", "Labels", Self::texts_by_name(sample.labels)),
                ("Value", "Value", Self::Float(sample.value)),
            ],
        )
    }

    /// Returns the text of a text, safe or not.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Safe(_, text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Struct(found) => found
                .fields
                .iter()
                .find(|field| field.name == name)
                .map(|field| &field.value),
            _ => None,
        }
    }

    /// The type as Go would write it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Safe(Safe::Html, _) => "template.HTML",
            Self::Safe(Safe::Url, _) => "template.URL",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Word { of, .. } => of,
            Self::List(list) => list.kind.type_name(),
            Self::Map(map) => map.kind.type_name(),
            Self::Struct(found) => found.type_name,
        }
    }

    /// Whether `if` takes it for true: it is not the zero of its type.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) | Self::Safe(_, text) => !text.is_empty(),
            Self::Duration(value) => value.0 != 0,
            Self::Word { number, .. } => *number != 0,
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Time(_) | Self::Struct(_) => true,
        }
    }
}

/// The name of a sample's type.
pub(crate) const SAMPLE: &str = "*template.sample";

/// One element of what a query gave.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Sample {
    /// Its labels, `__name__` among them.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Time> for Value {
    fn from(time: Time) -> Self {
        Self::Time(time)
    }
}
