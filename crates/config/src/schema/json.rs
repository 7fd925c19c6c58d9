//! The schema as a JSON Schema document (draft 2020-12), for editors and other validators.
//!
//! It describes a file of the environment: any key may be left out there, because another layer may have it, and may be `null`, which
//! unsets. What JSON Schema cannot say stands under names that begin with `x-`: the range of a duration written as text (`15m`), and
//! what is required or forbidden where. Variables (`${NAME}`) are not in it: a validator sees the file after they were replaced.

use serde_json::{Map, Value as Json, json};

use super::shape::{Bound, FORMATS, Shape, Type, WITH_PASSWORD};
use super::{Key, Required, Schema};
use crate::decimal::Decimal;
use crate::value::Value;

/// What a file may hold for a secret: a reference, or a variable as a whole.
const SECRET: &str =
    r"^\$(?:\{secret:[A-Za-z0-9_./-]+\}|[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*(?::?\?[^}]*)?\})$";

/// Returns the schema as JSON Schema.
#[must_use]
pub fn json_schema(schema: &Schema) -> Json {
    let mut root = group();
    for key in schema.keys.values() {
        let mut at = &mut root;
        let mut words = key.name.split('.').peekable();
        while let Some(word) = words.next() {
            let Some(Json::Object(properties)) = at.get_mut("properties") else {
                break;
            };
            if words.peek().is_none() {
                properties.insert(word.to_owned(), property(key));
                break;
            }
            at = properties.entry(word).or_insert_with(group);
        }
    }
    if let Json::Object(root) = &mut root {
        root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".into(), json!("Configuration"));
        root.insert("type".into(), json!("object"));
        root.insert("patternProperties".into(), json!({"^x-": {}}));
        // Any key may be written with dots too.
        let dotted: Map<String, Json> = schema
            .keys
            .values()
            .filter(|key| key.name.contains('.'))
            .map(|key| (key.name.clone(), property(key)))
            .collect();
        if let Some(Json::Object(properties)) = root.get_mut("properties") {
            properties.extend(dotted);
        }
    }
    root
}

/// A group may be empty, which YAML reads as nothing.
fn group() -> Json {
    json!({"type": ["object", "null"], "properties": {}, "additionalProperties": false})
}

fn property(key: &Key) -> Json {
    let mut property = if key.secret {
        object(json!({"type": ["string", "null"], "pattern": SECRET, "writeOnly": true}))
    } else {
        shape(&key.shape, true)
    };
    if let Some(description) = &key.description {
        property.insert("description".into(), json!(description));
    }
    if let Some(default) = &key.default {
        property.insert("default".into(), value(default));
    }
    if let Some(unit) = &key.shape.unit {
        property.insert("x-unit".into(), json!(unit));
    }
    if let Some(owner) = &key.owner {
        property.insert("x-owner".into(), json!(owner));
    }
    match &key.required {
        Required::Never => {}
        Required::Always => {
            property.insert("x-required".into(), json!(true));
        }
        Required::In(environments) => {
            property.insert("x-required".into(), json!(environments));
        }
    }
    for (environment, values) in &key.forbidden {
        let values: Vec<Json> = values.iter().map(value).collect();
        let forbidden = property.entry("x-forbidden").or_insert_with(|| json!({}));
        forbidden[environment] = json!(values);
    }
    property.insert("x-env".into(), json!(key.variable));
    property.insert("x-reload".into(), json!(key.reload.to_string()));
    Json::Object(property)
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

fn shape(shape: &Shape, nullable: bool) -> Map<String, Json> {
    let types = |names: &[&str]| {
        let mut names: Vec<&str> = names.to_vec();
        if nullable {
            names.push("null");
        }
        match names.as_slice() {
            [only] => json!(only),
            many => json!(many),
        }
    };
    let mut out = Map::new();
    match shape.kind {
        Type::String => {
            out.insert("type".into(), types(&["string"]));
        }
        Type::Url => {
            out.insert("type".into(), types(&["string"]));
            out.insert("format".into(), json!("uri"));
            out.insert("not".into(), json!({"pattern": WITH_PASSWORD, "type": "string"}));
        }
        Type::Integer => {
            out.insert("type".into(), types(&["integer"]));
            range(shape, &mut out);
        }
        Type::Number => {
            out.insert("type".into(), types(&["number"]));
            range(shape, &mut out);
        }
        Type::Boolean => {
            out.insert("type".into(), types(&["boolean"]));
        }
        Type::Duration | Type::Size => {
            let pattern = shape.kind.measure().map_or("", |measure| measure.pattern());
            let text = json!({"type": "string", "pattern": pattern});
            let mut ways = vec![text];
            if shape.unit.is_some() {
                let mut number = object(json!({"type": "number"}));
                range(shape, &mut number);
                ways.push(Json::Object(number));
            } else {
                let range = shape.range();
                if !range.is_empty() {
                    out.insert("x-range".into(), json!(range.trim_start_matches([',', ' '])));
                }
            }
            if nullable {
                ways.push(json!({"type": "null"}));
            }
            out.insert("anyOf".into(), Json::Array(ways));
        }
        Type::List => {
            out.insert("type".into(), types(&["array"]));
            let items = shape
                .items
                .as_deref()
                .map_or_else(Map::new, |items| self::shape(items, false));
            out.insert("items".into(), Json::Object(items));
        }
        Type::Object => {
            out.insert("type".into(), types(&["object"]));
            let members = match &shape.members {
                Some(members) => self::shape(members, false),
                None => object(json!({"type": ["string", "number", "boolean"]})),
            };
            out.insert("additionalProperties".into(), Json::Object(members));
        }
    }
    for (word, count) in [
        ("minLength", shape.min_length),
        ("maxLength", shape.max_length),
        ("minItems", shape.min_items),
        ("maxItems", shape.max_items),
    ] {
        if let Some(count) = count {
            out.insert(word.into(), json!(count));
        }
    }
    if shape.unique_items {
        out.insert("uniqueItems".into(), json!(true));
    }
    if let Some((index, _)) = &shape.format {
        out.insert("format".into(), json!(FORMATS[*index].0));
    }
    // One pattern each: ours, that of the format, that of the URL.
    let mut patterns: Vec<&str> = Vec::new();
    patterns.extend(shape.pattern.as_ref().map(|pattern| pattern.text.as_str()));
    patterns.extend(shape.format.as_ref().map(|(_, pattern)| pattern.text.as_str()));
    patterns.extend(shape.url.as_ref().map(|pattern| pattern.text.as_str()));
    match patterns.as_slice() {
        [] => {}
        [only] => {
            out.insert("pattern".into(), json!(only));
        }
        many => {
            let all: Vec<Json> = many.iter().map(|pattern| json!({"pattern": pattern})).collect();
            out.insert("allOf".into(), Json::Array(all));
        }
    }
    if let Some(values) = &shape.values {
        let mut values: Vec<Json> = values.iter().map(value).collect();
        if nullable {
            values.push(Json::Null);
        }
        // An amount may be written with another unit and be the same.
        if shape.kind.measure().is_none() {
            out.insert("enum".into(), Json::Array(values));
        } else {
            out.insert("x-enum".into(), Json::Array(values));
        }
    }
    out
}

fn range(shape: &Shape, out: &mut Map<String, Json>) {
    let mut put = |word: &str, bound: &Option<Bound>| {
        if let Some(bound) = bound {
            out.insert(word.into(), number(bound.amount));
        }
    };
    put("minimum", &shape.minimum);
    put("maximum", &shape.maximum);
    put("exclusiveMinimum", &shape.exclusive_minimum);
    put("exclusiveMaximum", &shape.exclusive_maximum);
    put("multipleOf", &shape.multiple_of);
}

/// Returns a number as serde_json holds it: beyond 64 bits or 17 digits that is the nearest floating point number.
fn number(number: Decimal) -> Json {
    match number.as_i64() {
        Some(whole) => json!(whole),
        None => json!(number.to_string().parse::<f64>().unwrap_or_default()),
    }
}

fn value(of: &Value) -> Json {
    match of {
        Value::Bool(switch) => json!(switch),
        Value::Number(one) => number(*one),
        Value::Text(text) => json!(text),
        Value::List(items) => Json::Array(items.iter().map(value).collect()),
        Value::Map(entries) => Json::Object(entries.iter().map(|(name, one)| (name.clone(), value(one))).collect()),
    }
}
