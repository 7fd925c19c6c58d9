//! Compares a tree with the table and notes every difference, with the nearest valid spelling.

use tend_text::{did_you_mean, masked};

use super::{CHAPTERS_TO_COME, Form, Record, Shape};
use crate::error::Findings;
use crate::source::Place;
use crate::yaml::{Entry, Kind, Node, Scalar, Tag, Value};

/// Checks a value; `path` is where it stands, such as `services.api.ports`.
pub(crate) fn check(node: &Node, shape: &Shape, path: &str, findings: &mut Findings) {
    if node.tag == Some(Tag::Reset) {
        return;
    }
    match (shape, &node.value) {
        (Shape::Any, _) => {}
        (Shape::Either(shapes), _) => check_either(node, shapes, path, findings),
        (Shape::List(inner), Value::List(items)) => {
            for item in items {
                check(item, inner, path, findings);
            }
        }
        (Shape::Names(inner), Value::Map(map)) => {
            for entry in &map.0 {
                check(&entry.value, inner, &join(path, &entry.key), findings);
            }
        }
        (Shape::Keys(record), Value::Map(map)) => {
            for entry in &map.0 {
                check_key(entry, record, path, findings);
            }
        }
        (Shape::One(form), Value::Scalar(scalar)) => {
            check_form(*form, scalar, node.place, path, findings);
        }
        (Shape::Words(words), Value::Scalar(scalar)) => {
            if !words.contains(&scalar.text.as_str()) {
                let near = findings.nearest(&scalar.text, words.iter().copied());
                wrong(scalar, node.place, path, &listed(words), None, findings).help_if(near.map(did_you_mean));
            }
        }
        (Shape::Nothing, Value::Scalar(_)) if node.is_null() => {}
        _ => wrong_kind(node, &[shape], path, findings),
    }
}

/// Notes the keys that are missing; of the merged file, since one file may leave out what another says.
pub(crate) fn check_required(node: &Node, shape: &Shape, path: &str, findings: &mut Findings) {
    match (shape, &node.value) {
        (Shape::Either(shapes), _) => {
            let mut flat = Vec::new();
            flatten(shapes, &mut flat);
            if let Some(shape) = same_kind(node, &flat) {
                check_required(node, shape, path, findings);
            }
        }
        (Shape::List(inner), Value::List(items)) => {
            for item in items {
                check_required(item, inner, path, findings);
            }
        }
        (Shape::Names(inner), Value::Map(map)) => {
            for entry in &map.0 {
                check_required(&entry.value, inner, &join(path, &entry.key), findings);
            }
        }
        (Shape::Keys(record), Value::Map(map)) => {
            for entry in &map.0 {
                if let Some(key) = record.key(&entry.key) {
                    check_required(&entry.value, &key.shape, &join(path, &entry.key), findings);
                }
            }
            for required in record.required {
                if map.get(required).is_none_or(Node::is_null) {
                    findings
                        .error(node.place, format!("`{path}` needs the key `{required}`"))
                        .help_if(record.key(required).map(|key| format!("`{required}`: {}", key.about)));
                }
            }
        }
        _ => {}
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Checks against the shape of the same kind, so that what is said is about what the author meant.
fn check_either(node: &Node, shapes: &'static [Shape], path: &str, findings: &mut Findings) {
    let mut flat = Vec::new();
    flatten(shapes, &mut flat);
    if let Value::Scalar(scalar) = &node.value {
        let fits = flat.iter().any(|shape| match shape {
            Shape::Any => true,
            Shape::Nothing => node.is_null(),
            Shape::One(form) => (!node.is_null() || *form == Form::Value) && form.check(scalar).is_ok(),
            Shape::Words(words) => words.contains(&scalar.text.as_str()),
            _ => false,
        });
        if fits {
            return;
        }
        let first = flat
            .iter()
            .find(|shape| matches!(shape, Shape::One(_) | Shape::Words(_)));
        match first {
            Some(shape) if !node.is_null() => check(node, shape, path, findings),
            _ => wrong_kind(node, &flat, path, findings),
        }
        return;
    }
    match same_kind(node, &flat) {
        Some(shape) => check(node, shape, path, findings),
        None => wrong_kind(node, &flat, path, findings),
    }
}

/// Returns the shape for a list or a mapping, whichever the node is.
fn same_kind(node: &Node, flat: &[&'static Shape]) -> Option<&'static Shape> {
    flat.iter().copied().find(|shape| match &node.value {
        Value::List(_) => matches!(shape, Shape::List(_) | Shape::Any),
        Value::Map(_) => matches!(shape, Shape::Names(_) | Shape::Keys(_) | Shape::Any),
        Value::Scalar(_) => false,
    })
}

fn flatten(shapes: &'static [Shape], flat: &mut Vec<&'static Shape>) {
    for shape in shapes {
        match shape {
            Shape::Either(inner) => flatten(inner, flat),
            other => flat.push(other),
        }
    }
}

fn check_key(entry: &Entry, record: &'static Record, path: &str, findings: &mut Findings) {
    let name = entry.key.as_str();
    if name.starts_with("x-") {
        return;
    }
    if let Some(key) = record.key(name) {
        let inner = join(path, name);
        // As in Compose a key with nothing after it counts as not written; most often it is a slip, so it is said.
        if entry.value.is_null() && entry.value.tag.is_none() && !takes_nothing(&key.shape) {
            findings
                .warning(entry.place, format!("`{inner}` has no value; it counts as not written"))
                .help(format!("`{name}`: {}", key.about));
            return;
        }
        check(&entry.value, &key.shape, &inner, findings);
        return;
    }
    if path.is_empty() && CHAPTERS_TO_COME.contains(&name) {
        findings
            .error(
                entry.place,
                format!("the chapter `{name}` is not in this version of tend"),
            )
            .help(format!("remove it, or keep it for later as `x-{name}`"));
        return;
    }
    let place = if path.is_empty() {
        "at the top level".to_owned()
    } else {
        format!("in `{path}`")
    };
    let near = findings.nearest(name, record.all().map(|key| key.name));
    findings
        .error(entry.place, format!("unknown key `{name}` {place}"))
        .help(match near {
            Some(near) => did_you_mean(near),
            None if record.all().count() <= 12 => format!(
                "the keys here are {}",
                listed(&record.all().map(|key| key.name).collect::<Vec<_>>())
            ),
            None => "extensions of your own start with `x-`".to_owned(),
        });
}

fn takes_nothing(shape: &Shape) -> bool {
    match shape {
        Shape::Any | Shape::Nothing | Shape::One(Form::Value) => true,
        Shape::Either(shapes) => shapes.iter().any(takes_nothing),
        _ => false,
    }
}

fn check_form(form: Form, scalar: &Scalar, place: Place, path: &str, findings: &mut Findings) {
    if scalar.kind == Kind::Null && form != Form::Value {
        findings.error(
            place,
            format!("`{path}` has an empty value; it takes {}", form.expects()),
        );
        return;
    }
    if form == Form::Value && scalar.kind == Kind::Integer && is_octal(&scalar.text) {
        findings
            .warning(
                place,
                format!(
                    "Compose takes `{}` for a number in base 8; here it stays as it is written",
                    scalar.shown()
                ),
            )
            .help(format!("put it in quotes to be read alike: \"{}\"", scalar.shown()));
    }
    if let Err(detail) = form.check(scalar) {
        let help = (scalar.kind == Kind::Bool && matches!(form, Form::Text | Form::Command))
            .then(|| format!("put it in quotes: \"{}\"", scalar.text));
        wrong(scalar, place, path, form.expects(), detail, findings).help_if(help);
    }
}

/// Returns whether readers of YAML 1.1 take a number for octal.
fn is_octal(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| (b'0'..b'8').contains(&byte))
}

fn wrong<'a>(
    scalar: &Scalar,
    place: Place,
    path: &str,
    expected: &str,
    detail: Option<String>,
    findings: &'a mut Findings,
) -> crate::error::Noted<'a> {
    let shown: String = masked(scalar.shown()).chars().take(60).collect();
    let shown = shown.lines().next().unwrap_or_default();
    let message = match (&scalar.written, shown.is_empty()) {
        (_, true) => format!("`{path}` takes {expected}, and this is empty"),
        (None, _) => format!("`{path}` takes {expected}, not `{shown}`"),
        // What the variables stand for may be secret.
        (Some(_), _) => format!("`{path}` takes {expected}; what `{shown}` stands for is none"),
    };
    let noted = findings.error(place, message);
    // Details quote the value.
    noted.help_if(detail.filter(|_| scalar.written.is_none()))
}

fn wrong_kind(node: &Node, shapes: &[&Shape], path: &str, findings: &mut Findings) {
    let is = match &node.value {
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
        Value::Scalar(_) if node.is_null() => "nothing",
        Value::Scalar(_) => "a single value",
    };
    let mut expected: Vec<&str> = Vec::new();
    for shape in shapes {
        let one = match shape {
            Shape::Any => "anything",
            Shape::One(form) => form.expects(),
            Shape::Words(_) => "a word",
            Shape::Nothing => continue,
            Shape::List(_) => "a list",
            Shape::Names(_) | Shape::Keys(_) => "a mapping",
            Shape::Either(_) => continue,
        };
        if !expected.contains(&one) {
            expected.push(one);
        }
    }
    let path = if path.is_empty() {
        "the file".to_owned()
    } else {
        format!("`{path}`")
    };
    let keys = shapes.iter().find_map(|shape| match shape {
        Shape::Keys(record) if !matches!(node.value, Value::Map(_)) => Some(*record),
        _ => None,
    });
    findings
        .error(
            node.place,
            format!("{path} takes {}, and this is {is}", expected.join(" or ")),
        )
        .help_if(keys.map(|record| {
            let some: Vec<&str> = record.all().map(|key| key.name).take(4).collect();
            format!("write keys such as {} with their values", listed(&some))
        }));
}

fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
