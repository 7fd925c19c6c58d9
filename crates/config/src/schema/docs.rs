//! The schema as a page for people: what `tend config docs` prints.

use super::{Key, Required, Schema};
use crate::value::json_string;

/// Returns the keys of a schema as a Markdown page, by group.
#[must_use]
pub fn docs(schema: &Schema) -> String {
    let mut out = String::from("# Configuration\n\n");
    out.push_str(&format!(
        "Made from `{}` by `tend config docs`. Environments: {}.\n",
        schema.file,
        schema.environments.join(", ")
    ));
    let mut group = None;
    for key in schema.keys.values() {
        let this = key.name.split_once('.').map_or("", |(group, _)| group);
        if group != Some(this) {
            group = Some(this);
            let title = if this.is_empty() { "Keys without a group" } else { this };
            out.push_str(&format!("\n## {title}\n"));
        }
        describe(key, &mut out);
    }
    if !schema.presets.is_empty() {
        out.push_str("\n## Presets\n\nValues that are set together, with `tend config preset NAME`.\n");
        for (name, preset) in &schema.presets {
            out.push_str(&format!("\n### {name}\n\n| key | value |\n| --- | --- |\n"));
            for (key, value) in &preset.values {
                out.push_str(&format!("| `{key}` | {} |\n", cell(&code(value))));
            }
        }
    }
    out
}

fn describe(key: &Key, out: &mut String) {
    out.push_str(&format!("\n### {}\n\n", key.name));
    if let Some(description) = &key.description {
        out.push_str(description);
        out.push_str("\n\n");
    }
    out.push_str("| | |\n| --- | --- |\n");
    let mut row = |name: &str, value: &str| out.push_str(&format!("| {name} | {} |\n", cell(value)));
    row("variable", &code(&key.variable));
    row("takes", &key.shape.expected());
    if let Some(unit) = &key.shape.unit {
        row("unit", unit);
    }
    if let Some(default) = &key.default {
        row("default", &code(&default.to_text()));
    }
    match &key.required {
        Required::Never => {}
        Required::Always => row("required", "yes"),
        Required::In(environments) => row("required", &format!("in {}", environments.join(", "))),
    }
    if key.secret {
        row("secret", "yes: `tend secret set`, or `${secret:NAME}` in a file");
    }
    for (environment, values) in &key.forbidden {
        let values: Vec<String> = values.iter().map(|value| code(&value.to_text())).collect();
        row(&format!("not in {environment}"), &values.join(", "));
    }
    let change = match key.reload {
        super::Reload::Live => "live: taken while the service runs",
        super::Reload::Signal => "signal: the file is written again and the service told",
        super::Reload::Rolling => "rolling: replicas are replaced one at a time",
        super::Reload::Refuse => "refuse: only while the service is stopped",
    };
    row("a change", change);
    if let Some(owner) = &key.owner {
        row("owner", owner);
    }
}

/// Returns a text as code, on one line; an empty one as two quotes.
fn code(text: &str) -> String {
    let shown = if text.is_empty() || text.contains(['`', '\n']) {
        json_string(text)
    } else {
        text.to_owned()
    };
    format!("`{}`", shown.replace('`', "'"))
}

/// Escapes what would end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
