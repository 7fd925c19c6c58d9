//! The tree written out again, as JSON for programs and as YAML for people.

use serde_json::Value as Json;

use super::{Kind, Node, Scalar, Value};
use crate::interpolate::TEMPLATE;

/// Returns the tree as JSON; numbers that JSON cannot hold stay text.
pub(crate) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(scalar) => scalar_to_json(scalar),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => map
            .0
            .iter()
            .map(|entry| (entry.key.clone(), to_json(&entry.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn scalar_to_json(scalar: &Scalar) -> Json {
    let text = scalar.text.as_str();
    match scalar.kind {
        Kind::Null => Json::Null,
        Kind::Bool => Json::Bool(text.eq_ignore_ascii_case("true")),
        // `0440` stays as it is: whether it is octal depends on the reader.
        Kind::Integer => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => number.into(),
            _ => text.into(),
        },
        Kind::Float => text
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map_or_else(|| text.into(), Json::Number),
        Kind::Text => text.into(),
    }
}

/// Returns the tree as YAML, in the order of the files, that reads back as the same tree.
pub(crate) fn to_yaml(node: &Node) -> String {
    let mut out = String::new();
    write_block(node, 0, &mut out);
    out
}

fn write_block(node: &Node, indent: usize, out: &mut String) {
    match &node.value {
        Value::Map(map) if !map.0.is_empty() => {
            for entry in &map.0 {
                out.push_str(&" ".repeat(indent));
                out.push_str(&quoted(&entry.key, Kind::Text));
                out.push(':');
                write_value(&entry.value, indent, out);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&" ".repeat(indent));
                out.push('-');
                write_value(item, indent, out);
            }
        }
        _ => write_value(node, indent, out),
    }
}

fn write_value(node: &Node, indent: usize, out: &mut String) {
    match &node.value {
        Value::Scalar(scalar) => {
            out.push(' ');
            out.push_str(&quoted(&escaped(&scalar.text), scalar.kind));
            out.push('\n');
        }
        Value::List(items) if items.is_empty() => out.push_str(" []\n"),
        Value::Map(map) if map.0.is_empty() => out.push_str(" {}\n"),
        _ => {
            out.push('\n');
            write_block(node, indent + 2, out);
        }
    }
}

/// Doubles dollar signs, so that no variable is seen where there was none; templates stay.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split('$').enumerate() {
        if at > 0 {
            out.push_str(if part.starts_with(&TEMPLATE[1..]) { "$" } else { "$$" });
        }
        out.push_str(part);
    }
    out
}

/// Returns a scalar as YAML: bare where that reads back as the same, else in double quotes, which JSON's are too.
fn quoted(text: &str, kind: Kind) -> String {
    match kind {
        Kind::Null => return "null".to_owned(),
        Kind::Bool | Kind::Integer | Kind::Float if Kind::of_plain(text) == kind => {
            return text.to_owned();
        }
        _ => {}
    }
    let bare = Kind::of_plain(text) == Kind::Text
        && text.starts_with(|c: char| c.is_alphanumeric() || "./_".contains(c))
        && !text.ends_with([':', ' '])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains(|c: char| c.is_control() || "{}[],&*!|>'\"%@`".contains(c))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "on" | "off"
        )
        // YAML 1.1 readers take 22:22 for a number in base 60.
        && !text.chars().all(|c| c.is_ascii_digit() || c == ':');
    if bare {
        text.to_owned()
    } else {
        serde_json::to_string(text).expect("a text is always valid JSON")
    }
}
