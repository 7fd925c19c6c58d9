//! Values as JSON, as Go's package encoding/json writes them.

use serde_json::{Map, Number, Value as Json};

use crate::value::Value;

/// Levels that are written; data have four.
const DEPTH_MAX: usize = 50;

/// Writes a value as JSON; the signs that mean something in HTML are escaped, as Go does.
pub(crate) fn json(value: &Value) -> Result<String, String> {
    let tree = tree(value, 0)?;
    let text = tree.to_string();
    // These signs stand only inside of texts, where an escape means the same.
    Ok(text
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

fn tree(value: &Value, depth: usize) -> Result<Json, String> {
    if depth > DEPTH_MAX {
        return Err(format!("nested deeper than {DEPTH_MAX} levels"));
    }
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) | Value::Word { number: value, .. } => Json::Number((*value).into()),
        Value::Duration(value) => Json::Number(value.0.into()),
        Value::Float(value) => number(*value)?,
        Value::Text(text) | Value::Safe(_, text) => Json::String(text.to_string()),
        Value::Time(time) => Json::String(time.rfc3339()),
        Value::List(list) => {
            let items: Result<_, String> = list.items.iter().map(|item| tree(item, depth + 1)).collect();
            Json::Array(items?)
        }
        Value::Map(map) => {
            let mut out = Map::new();
            for (name, item) in &map.entries {
                out.insert(name.clone(), tree(item, depth + 1)?);
            }
            Json::Object(out)
        }
        Value::Struct(found) => {
            let mut out = Map::new();
            for field in &found.fields {
                out.insert(field.json.to_owned(), tree(&field.value, depth + 1)?);
            }
            Json::Object(out)
        }
    })
}

fn number(value: f64) -> Result<Json, String> {
    // Go writes 3.0 as 3.
    #[allow(clippy::cast_possible_truncation, reason = "it was just seen that it fits")]
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Ok(Json::Number((value as i64).into()));
    }
    Number::from_f64(value)
        .map(Json::Number)
        .ok_or_else(|| format!("{value} cannot be written as JSON"))
}
