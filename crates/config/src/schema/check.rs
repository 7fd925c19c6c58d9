//! Whether a value is what a key takes, and the value itself when it is.
//!
//! Owns the rules of JSON Schema's keywords and of ours. Knows no layers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use tend_text::{Kind, Node, Place, Scalar, Value as Tree, did_you_mean, nearest_name};

use super::shape::{Bound, FORMATS, Shape, Type, WITH_PASSWORD};
use crate::decimal::Decimal;
use crate::json;
use crate::value::Value;
use crate::yaml;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// YAML or JSON, which tell numbers and texts apart.
    Typed,
    /// A variable or an argument, where everything is text.
    Text,
}

/// One thing that is wrong with a value; the sentence starts with the key, which is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub(crate) place: Place,
    /// `is 0; it must be at least 1`.
    pub(crate) what: String,
    /// What to write instead.
    pub(crate) help: String,
}

/// Characters of a value that are quoted.
const QUOTED_MAX: usize = 60;

/// Whether an amount keeps a bound.
type Holds = fn(Decimal, Decimal) -> bool;

/// A value being checked.
struct Check<'a> {
    form: Form,
    /// Whether the value may be part of a message.
    quotes: bool,
    problems: &'a mut Vec<Problem>,
}

impl Shape {
    /// Reads a value and returns it, or everything that is wrong with it. With `quotes` off no part of it is in any message.
    pub(crate) fn check(&self, node: &Node, form: Form, quotes: bool) -> Result<Value, Vec<Problem>> {
        let mut problems = Vec::new();
        let value = Check {
            form,
            quotes,
            problems: &mut problems,
        }
        .value(self, node);
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(problems),
        }
    }
}

impl Check<'_> {
    fn note(&mut self, node: &Node, shape: &Shape, what: String) {
        self.problems.push(Problem {
            place: node.place,
            what,
            help: format!("write {}", shape.expected()),
        });
    }

    /// Returns how a message names the value.
    fn shown(&self, node: &Node) -> String {
        match &node.value {
            Tree::Scalar(scalar) if self.quotes && scalar.kind != Kind::Null => quoted(scalar.shown()),
            _ => node.noun().to_owned(),
        }
    }

    fn wrong_type(&mut self, node: &Node, shape: &Shape) -> Option<Value> {
        let shown = self.shown(node);
        let wanted = match shape.kind {
            Type::String => "a text",
            Type::Integer => "a whole number",
            Type::Number => "a number",
            Type::Boolean => "true or false",
            Type::Duration => "a duration",
            Type::Size => "a size",
            Type::Url => "a URL",
            Type::List => "a list",
            Type::Object => "names with values",
        };
        self.note(node, shape, format!("is {shown}; it must be {wanted}"));
        let last = self.problems.last_mut().expect("just noted");
        if let Some(scalar) = node.as_scalar().filter(|_| self.form == Form::Typed && self.quotes) {
            if scalar.kind == Kind::Text
                && matches!(shape.kind, Type::Integer | Type::Number | Type::Boolean)
                && matches!(yaml::plain(&scalar.text), Kind::Integer | Kind::Float | Kind::Bool)
            {
                last.help = format!("leave out the quotes: {}", scalar.shown());
            } else if scalar.kind != Kind::Text && shape.kind.is_text() {
                last.help = format!("put it in quotes: \"{}\"", scalar.shown());
            }
        }
        None
    }

    fn value(&mut self, shape: &Shape, node: &Node) -> Option<Value> {
        // What variables stand for is text, whatever the file is.
        let filled = matches!(&node.value, Tree::Scalar(scalar) if scalar.written.is_some());
        let form = self.form;
        if filled {
            self.form = Form::Text;
        }
        let value = self.typed(shape, node);
        self.form = form;
        let value = value?;
        if let Some(values) = &shape.values
            && !values.contains(&value)
        {
            let shown = self.shown(node);
            self.note(node, shape, format!("is {shown}, which is none of its values"));
            let last = self.problems.last_mut().expect("just noted");
            if let (Value::Text(text), true) = (&value, self.quotes) {
                let texts = values.iter().filter_map(|value| match value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                if let Some(other) = nearest_name(text, texts) {
                    last.help = format!("{} It takes {}", did_you_mean(other), shape.expected());
                }
            }
        }
        Some(value)
    }

    fn typed(&mut self, shape: &Shape, node: &Node) -> Option<Value> {
        match shape.kind {
            Type::String | Type::Url => {
                let text = self.text(shape, node)?;
                self.check_text(shape, node, &text);
                Some(Value::Text(text))
            }
            Type::Boolean => match self.boolean(node) {
                Some(value) => Some(Value::Bool(value)),
                None => self.wrong_type(node, shape),
            },
            Type::Integer | Type::Number => {
                let Some(number) = self
                    .number(node)
                    .filter(|number| shape.kind == Type::Number || number.is_whole())
                else {
                    return self.wrong_type(node, shape);
                };
                self.check_range(shape, node, number);
                Some(Value::Number(number))
            }
            Type::Duration | Type::Size => self.amount(shape, node),
            Type::List => self.list(shape, node),
            Type::Object => self.object(shape, node),
        }
    }

    fn scalar<'n>(&self, node: &'n Node) -> Option<&'n Scalar> {
        match &node.value {
            Tree::Scalar(scalar) if scalar.kind != Kind::Null || self.form == Form::Text => Some(scalar),
            _ => None,
        }
    }

    fn text(&mut self, shape: &Shape, node: &Node) -> Option<String> {
        match self.scalar(node) {
            Some(scalar) if scalar.kind == Kind::Text || self.form == Form::Text => Some(scalar.text.clone()),
            _ => {
                self.wrong_type(node, shape);
                None
            }
        }
    }

    fn boolean(&self, node: &Node) -> Option<bool> {
        match self.form {
            Form::Typed => yaml::switch(node),
            // As the guides' programs and Compose's users write switches in variables.
            Form::Text => match self.scalar(node)?.text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(true),
                "false" | "no" | "off" | "0" => Some(false),
                _ => None,
            },
        }
    }

    fn number(&self, node: &Node) -> Option<Decimal> {
        let scalar = self.scalar(node)?;
        (scalar.kind.is_number() || self.form == Form::Text)
            .then(|| Decimal::parse(scalar.text.trim()))
            .flatten()
    }

    fn amount(&mut self, shape: &Shape, node: &Node) -> Option<Value> {
        let measure = shape.kind.measure()?;
        let Some(scalar) = self.scalar(node) else {
            return self.wrong_type(node, shape);
        };
        let is_text = scalar.kind == Kind::Text || self.form == Form::Text;
        match shape.amount_unit() {
            Some(unit) => {
                let of_text = || measure.parse_in(&scalar.text, unit);
                let number = self.number(node).or_else(|| is_text.then(of_text).flatten());
                let Some(number) = number else {
                    return self.wrong_type(node, shape);
                };
                self.check_range(shape, node, number);
                Some(Value::Number(number))
            }
            None => {
                let Some(amount) = measure.parse(&scalar.text).filter(|_| is_text) else {
                    return self.wrong_type(node, shape);
                };
                self.check_range(shape, node, amount);
                Some(Value::Text(scalar.text.clone()))
            }
        }
    }

    fn check_range(&mut self, shape: &Shape, node: &Node, amount: Decimal) {
        let tests: [(&Option<Bound>, Holds, &str); 5] = [
            (&shape.minimum, |a, b| a >= b, "at least"),
            (&shape.maximum, |a, b| a <= b, "at most"),
            (&shape.exclusive_minimum, |a, b| a > b, "more than"),
            (&shape.exclusive_maximum, |a, b| a < b, "less than"),
            (&shape.multiple_of, Decimal::is_multiple_of, "a multiple of"),
        ];
        for (bound, holds, words) in tests {
            if let Some(bound) = bound
                && !holds(amount, bound.amount)
            {
                let shown = self.shown(node);
                self.note(node, shape, format!("is {shown}; it must be {words} {}", bound.written));
            }
        }
    }

    fn check_text(&mut self, shape: &Shape, node: &Node, text: &str) {
        let length = text.chars().count() as u64;
        let characters = |count: u64| {
            if count == 1 {
                "1 character".to_owned()
            } else {
                format!("{count} characters")
            }
        };
        if let Some(low) = shape.min_length.filter(|low| length < *low) {
            self.note(
                node,
                shape,
                format!("has {}; it must have at least {low}", characters(length)),
            );
        }
        if let Some(high) = shape.max_length.filter(|high| length > *high) {
            self.note(
                node,
                shape,
                format!("has {}; it must have at most {high}", characters(length)),
            );
        }
        let shown = if self.quotes { quoted(text) } else { "a text".to_owned() };
        if let Some(pattern) = &shape.pattern
            && !pattern.regex.is_match(text)
        {
            self.note(
                node,
                shape,
                format!("is {shown}, which does not match `{}`", pattern.text),
            );
        }
        if let Some((index, pattern)) = &shape.format
            && !pattern.regex.is_match(text)
        {
            self.note(node, shape, format!("is {shown}, which is no {}", FORMATS[*index].0));
        }
        if let Some(pattern) = &shape.url {
            if !pattern.regex.is_match(text) {
                // What is no URL may still have a password in it.
                let what = match text.split_once(':') {
                    Some((scheme, _))
                        if self.quotes && scheme.len() < 20 && scheme.chars().all(|c| c.is_ascii_alphanumeric()) =>
                    {
                        format!("starts with `{scheme}:`")
                    }
                    _ => "is no URL of those it takes".to_owned(),
                };
                let help = match shape.schemes.as_slice() {
                    [] => "write a URL such as https://example.com".to_owned(),
                    _ => format!("write {}", shape.expected()),
                };
                self.problems.push(Problem {
                    place: node.place,
                    what: if what.starts_with("starts") {
                        format!("{what}, which is no URL of those it takes")
                    } else {
                        what
                    },
                    help,
                });
            } else if self.quotes && has_password(text) {
                self.problems.push(Problem {
                    place: node.place,
                    what: "has a password in it, and the key is not secret".to_owned(),
                    help: "mark the key `secret: true` in the schema, or take the password out".to_owned(),
                });
            }
        }
    }

    fn list(&mut self, shape: &Shape, node: &Node) -> Option<Value> {
        let of_text;
        let items: &[Node] = match (&node.value, self.form) {
            (Tree::List(items), _) => items,
            (Tree::Scalar(scalar), Form::Text) => {
                of_text = self.list_of_text(shape, node, &scalar.text)?;
                &of_text
            }
            _ => return self.wrong_type(node, shape),
        };
        let form = self.form;
        let any = Shape::any(Type::String);
        let item_shape = shape.items.as_deref().unwrap_or(&any);
        let before = self.problems.len();
        let mut values = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let first = self.problems.len();
            // JSON in a variable tells types apart, a list with commas does not.
            self.form = match &item.value {
                Tree::Scalar(scalar) if form == Form::Text && scalar.kind == Kind::Text => Form::Text,
                _ => Form::Typed,
            };
            values.extend(self.value(item_shape, item));
            for problem in &mut self.problems[first..] {
                problem.what = format!("has item {} that {}", at + 1, problem.what);
            }
        }
        self.form = form;
        let count = items.len() as u64;
        if let Some(low) = shape.min_items.filter(|low| count < *low) {
            self.note(node, shape, format!("has {count} items; it must have at least {low}"));
        }
        if let Some(high) = shape.max_items.filter(|high| count > *high) {
            self.note(node, shape, format!("has {count} items; it must have at most {high}"));
        }
        if shape.unique_items {
            let mut seen = std::collections::HashSet::new();
            if let Some(at) = values.iter().position(|value| !seen.insert(value)) {
                let item = items.get(at).unwrap_or(node);
                let shown = self.shown(item);
                self.note(item, shape, format!("has {shown} twice"));
            }
        }
        (self.problems.len() == before).then_some(Value::List(values))
    }

    fn list_of_text(&mut self, shape: &Shape, node: &Node, text: &str) -> Option<Vec<Node>> {
        let trimmed = text.trim();
        if trimmed.starts_with('[') {
            return match json::read(trimmed, node.place) {
                Ok(Node {
                    value: Tree::List(items),
                    ..
                }) => Some(items),
                Ok(_) => None,
                Err(why) => {
                    self.note(node, shape, format!("is no JSON list: {why}"));
                    None
                }
            };
        }
        if trimmed.is_empty() {
            return Some(Vec::new());
        }
        let item = |part: &str| Node::scalar(node.place, part.trim(), Kind::Text);
        Some(trimmed.split(',').map(item).collect())
    }

    fn object(&mut self, shape: &Shape, node: &Node) -> Option<Value> {
        let of_text;
        let entries = match (&node.value, self.form) {
            (Tree::Map(map), _) => map,
            (Tree::Scalar(scalar), Form::Text) => match json::read(&scalar.text, node.place) {
                Ok(Node {
                    value: Tree::Map(map), ..
                }) => {
                    of_text = map;
                    &of_text
                }
                Ok(_) => return self.wrong_type(node, shape),
                Err(why) => {
                    self.note(node, shape, format!("is no JSON object: {why}"));
                    return None;
                }
            },
            _ => return self.wrong_type(node, shape),
        };
        let form = std::mem::replace(&mut self.form, Form::Typed);
        let before = self.problems.len();
        let mut values = BTreeMap::new();
        for entry in &entries.0 {
            let first = self.problems.len();
            let value = match &shape.members {
                Some(members) => self.value(members, &entry.value),
                None => self.any_scalar(shape, &entry.value),
            };
            for problem in &mut self.problems[first..] {
                problem.what = format!("has `{}` that {}", entry.key, problem.what);
            }
            if let Some(value) = value {
                values.insert(entry.key.clone(), value);
            }
        }
        self.form = form;
        (self.problems.len() == before).then_some(Value::Map(values))
    }

    fn any_scalar(&mut self, shape: &Shape, node: &Node) -> Option<Value> {
        let Some(scalar) = node.as_scalar() else {
            let noun = node.noun();
            self.note(
                node,
                shape,
                format!("is {noun}; it must be a text, a number, true or false"),
            );
            return None;
        };
        match scalar.kind {
            Kind::Bool => yaml::switch(node).map(Value::Bool),
            Kind::Integer | Kind::Float => Decimal::parse(&scalar.text).map(Value::Number),
            _ => Some(Value::Text(scalar.text.clone())),
        }
    }
}

/// Returns whether a URL carries a password.
pub(crate) fn has_password(url: &str) -> bool {
    static PATTERN: LazyLock<regex_lite::Regex> =
        LazyLock::new(|| regex_lite::Regex::new(WITH_PASSWORD).expect("the pattern is ours"));
    PATTERN.is_match(url)
}

/// Returns a value in quotes, its first line only; one that carries a password is not shown.
fn quoted(text: &str) -> String {
    if has_password(text) {
        return "a URL with a password".to_owned();
    }
    let first: String = text.chars().take(QUOTED_MAX).collect();
    let line = first.lines().next().unwrap_or_default();
    let more = if line.len() < text.len() { "…" } else { "" };
    format!("`{line}{more}`")
}
