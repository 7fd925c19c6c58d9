//! The functions of templates: which there are, what they take, and what they do. Knows no pipelines.

mod alertmanager;
mod builtin;
mod compare;
mod humanize;
mod json;
mod prometheus;
mod strings;

use crate::value::Value;
use crate::world::World;

pub(crate) use strings::escape_html;
use strings::{escape_js, query_escape};

/// Whose templates they are; it decides which functions there are beside Go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Labels and annotations of rules, and consoles.
    Prometheus,
    /// Notifications.
    Alertmanager,
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    Any,
    Text,
    Texts,
    Samples,
    Sample,
    Time,
    Duration,
}

impl Param {
    fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Texts => "[]string",
            Self::Samples => "template.queryResult",
            Self::Sample => "*template.sample",
            Self::Time => "time.Time",
            Self::Duration => "time.Duration",
        }
    }

    /// Returns the value as this type, or why it is none.
    pub(crate) fn accept(self, value: Value) -> Result<Value, String> {
        use crate::value::{Duration, ListKind, SAMPLE};
        let fits = match (&value, self) {
            (_, Self::Any)
            | (Value::Text(_), Self::Text)
            | (Value::Time(_), Self::Time)
            | (Value::Duration(_), Self::Duration) => true,
            (Value::List(list), Self::Texts) => list.kind == ListKind::Texts,
            (Value::List(list), Self::Samples) => list.kind == ListKind::Samples,
            (Value::Struct(found), Self::Sample) => found.type_name == SAMPLE,
            // What is no value is an empty list where a list is asked for.
            (Value::Nil, Self::Texts) => return Ok(Value::list(Vec::new(), ListKind::Texts)),
            (Value::Nil, Self::Samples) => return Ok(Value::list(Vec::new(), ListKind::Samples)),
            (Value::Int(nanos), Self::Duration) => return Ok(Value::Duration(Duration(*nanos))),
            _ => false,
        };
        match &value {
            _ if fits => Ok(value),
            Value::Nil => Err(format!("there is no value; a {} is expected", self.name())),
            other => Err(format!(
                "a {} is expected; this is a {}",
                self.name(),
                other.type_name()
            )),
        }
    }
}

/// What a function is given beside its arguments.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut dyn World,
    /// How long a text may be that it makes, in bytes.
    pub(crate) limit: usize,
    /// Whether what it returns is going to be escaped as HTML.
    pub(crate) html: bool,
}

/// Why a function has no result.
pub(crate) enum Trouble {
    Says(String),
    /// Its text would be longer than it may be.
    TooLong,
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self::Says(text)
    }
}

impl From<&str> for Trouble {
    fn from(text: &str) -> Self {
        Self::Says(text.to_owned())
    }
}

impl From<crate::format::TooLong> for Trouble {
    fn from(_: crate::format::TooLong) -> Self {
        Self::TooLong
    }
}

pub(crate) type Answer = Result<Value, Trouble>;

/// How a function is run.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Value(fn(&mut Call<'_>, &[Value]) -> Answer),
    /// Arguments are evaluated until one decides.
    And,
    Or,
    /// Renders the template that is named.
    Tmpl,
}

/// A function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) params: &'static [Param],
    /// The type of any further arguments.
    pub(crate) rest: Option<Param>,
    pub(crate) run: Run,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn function(
    name: &'static str,
    params: &'static [Param],
    rest: Option<Param>,
    run: fn(&mut Call<'_>, &[Value]) -> Answer,
) -> Function {
    Function {
        name,
        params,
        rest,
        run: Run::Value(run),
    }
}

/// Finds a function by its name. Those of a dialect win over Go's.
pub(crate) fn find(dialect: Dialect, name: &str) -> Option<&'static Function> {
    let own = match dialect {
        Dialect::Prometheus => prometheus::FUNCTIONS,
        Dialect::Alertmanager => alertmanager::FUNCTIONS,
    };
    own.iter()
        .chain(builtin::FUNCTIONS)
        .find(|function| function.name == name)
}

/// Returns the names of all functions of a dialect, Go's among them.
#[must_use]
pub fn function_names(dialect: Dialect) -> Vec<&'static str> {
    let own = match dialect {
        Dialect::Prometheus => prometheus::FUNCTIONS,
        Dialect::Alertmanager => alertmanager::FUNCTIONS,
    };
    own.iter()
        .chain(builtin::FUNCTIONS)
        .map(|function| function.name)
        .collect()
}

/// The text of an argument that was accepted as one.
fn text(args: &[Value], at: usize) -> &str {
    args.get(at).and_then(Value::as_text).unwrap_or_default()
}

/// A text that was made, when it is not too long.
fn made(call: &Call<'_>, text: String) -> Answer {
    if text.len() > call.limit {
        Err(Trouble::TooLong)
    } else {
        Ok(text.into())
    }
}
