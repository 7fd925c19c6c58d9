//! The pages made from the table of keys are the ones committed (`UPDATE=1` rewrites them), and the schema agrees with the loader.

use serde_json::Value;

use crate::disk::{compare, repository};

#[test]
fn the_json_schema_is_current() {
    let text = serde_json::to_string_pretty(&tend_stackfile::schema()).unwrap() + "\n";
    let path = repository().join("docs/reference/stack-file.schema.json");
    if let Err(difference) = compare(&path, &text) {
        panic!("{difference}");
    }
}

#[test]
fn the_manual_page_is_current() {
    let path = repository().join("docs/reference/stack-file.md");
    if let Err(difference) = compare(&path, &tend_stackfile::page()) {
        panic!("{difference}");
    }
}

/// An editor that follows the schema must find every `$ref`.
#[test]
fn every_reference_of_the_schema_leads_somewhere() {
    let schema = tend_stackfile::schema();
    let definitions = schema["definitions"].as_object().unwrap();
    let mut found = 0;
    let mut open = vec![&schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let name = reference.strip_prefix("#/definitions/").unwrap();
                    assert!(definitions[name].is_object(), "{reference}");
                    found += 1;
                }
                open.extend(map.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(found > 30, "{found}");
    let services = &schema["properties"]["services"]["additionalProperties"]["$ref"];
    let name = services.as_str().unwrap().strip_prefix("#/definitions/").unwrap();
    let service = definitions[name]["properties"].as_object().unwrap();
    for key in ["image", "command", "readiness", "restart_every", "deploy"] {
        assert!(service.contains_key(key), "{key}");
    }
    assert_eq!(definitions[name]["additionalProperties"], Value::Bool(false));
}
