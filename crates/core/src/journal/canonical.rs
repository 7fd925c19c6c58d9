//! One text for one JSON value, whatever map type the build happens to use. Knows nothing of events.

use serde_json::Value;

/// Writes a JSON value without white space and with the keys of every object in the order of their bytes.
///
/// Strings are escaped as serde_json does: `\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, other control characters as `\u00xx`, everything
/// else as UTF-8. Integers are plain; floats are the shortest text that reads back the same.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            // serde_json's map is sorted only while no crate of the build switches on `preserve_order`.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| key.as_bytes());
            text.push('{');
            for (index, (key, field)) in fields.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(&Value::String(key.clone()), text);
                text.push(':');
                write(field, text);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_white_space_is_left_out_at_every_depth() {
        let value = json!({"z": [1, {"b": null, "a": true}], "a": "q\"\\\n\u{1}é", "é": -3, "": 0.5});
        assert_eq!(
            canonical_json(&value),
            r#"{"":0.5,"a":"q\"\\\n\u0001é","z":[1,{"a":true,"b":null}],"é":-3}"#
        );
        assert_eq!(serde_json::from_str::<Value>(&canonical_json(&value)).unwrap(), value);
    }
}
