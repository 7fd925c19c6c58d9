//! The table as a JSON Schema, with which editors complete and check a stack file.

use serde_json::{Map, Value, json};

use super::{FILE, Key, Reach, Record, Shape};

/// Returns the JSON Schema (draft-07, which the editors' YAML plug-ins understand) of a stack file.
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let mut root = record(&FILE, &mut definitions);
    let root_keys = root.as_object_mut().expect("a record is an object");
    root_keys.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    root_keys.insert("title".into(), "tend stack file".into());
    root_keys.insert(
        "description".into(),
        "A superset of the Compose file. Generated from the table in crates/stackfile/src/schema.".into(),
    );
    root_keys.insert("definitions".into(), definitions.into());
    root
}

fn record(record: &'static Record, definitions: &mut Map<String, Value>) -> Value {
    let properties: Map<String, Value> = record
        .all()
        .map(|key| (key.name.to_owned(), property(key, definitions)))
        .collect();
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { "^x-": {} },
        "additionalProperties": false,
    });
    if !record.required.is_empty() {
        object["required"] = json!(record.required);
    }
    object
}

fn property(key: &'static Key, definitions: &mut Map<String, Value>) -> Value {
    let about = match key.reach {
        Reach::Container => format!("{} (containers only)", key.about),
        Reach::Ours => format!("{} (tend)", key.about),
        Reach::Both | Reach::Remark => key.about.to_owned(),
    };
    let mut value = shape(&key.shape, definitions);
    // Beside a `$ref`, draft-07 ignores everything, so the description stands around it.
    if value.get("$ref").is_some() {
        value = json!({ "allOf": [value] });
    }
    if let Some(object) = value.as_object_mut() {
        object.insert("description".into(), about.into());
    }
    value
}

fn shape(of: &'static Shape, definitions: &mut Map<String, Value>) -> Value {
    match of {
        Shape::Any => json!({}),
        Shape::Nothing => json!({ "type": "null" }),
        Shape::Words(words) => json!({ "enum": words }),
        Shape::List(inner) => json!({ "type": "array", "items": shape(inner, definitions) }),
        Shape::Names(inner) => {
            json!({ "type": "object", "additionalProperties": shape(inner, definitions) })
        }
        Shape::Either(shapes) => {
            let any: Vec<Value> = shapes.iter().map(|one| shape(one, definitions)).collect();
            json!({ "anyOf": any })
        }
        Shape::One(form) => {
            let (types, pattern) = form.json();
            let mut value = match types {
                [one] => json!({ "type": one }),
                several => json!({ "type": several }),
            };
            if let Some(pattern) = pattern {
                value["pattern"] = pattern.into();
            }
            value
        }
        Shape::Keys(inner) => {
            let name = definition_name(inner);
            if !definitions.contains_key(&name) {
                // Entered before it is made, so that a record within itself ends.
                definitions.insert(name.clone(), Value::Null);
                let made = record(inner, definitions);
                definitions.insert(name.clone(), made);
            }
            json!({ "$ref": format!("#/definitions/{name}") })
        }
    }
}

/// Returns the record's name; two records of one name are told apart by their first key.
fn definition_name(record: &Record) -> String {
    let first = record.keys.first().map_or("", |key| key.name);
    format!("{}-{first}", record.name)
}
