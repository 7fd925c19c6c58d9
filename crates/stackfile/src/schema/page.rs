//! The table as a manual page.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::alerts::ALERTS;
use super::config::CONFIG;
use super::edge::EDGE;
use super::metrics::{METRICS, SERVICE as SERVICE_METRICS};
use super::rotation::ROTATION;
use super::vault::VAULT;
use super::{FILE, Reach, Record, Shape};

/// Returns the pages of `docs/reference` with their names: every key of a stack file, what it takes and who acts upon it. The chapters
/// `edge`, `vault`, `config`, `metrics` and `alerts`, and `rotation` of a secret, have pages of their own.
#[must_use]
pub fn pages() -> [(&'static str, String); 7] {
    let mut file = String::from(INTRODUCTION);
    let own = [&EDGE, &VAULT, &CONFIG, &METRICS, &SERVICE_METRICS, &ALERTS, &ROTATION];
    let mut seen = HashSet::from(own.map(std::ptr::from_ref));
    table("The file", &FILE, &mut seen, &mut file);
    let mut edge = String::from(EDGE_INTRODUCTION);
    table("`edge`", &EDGE, &mut HashSet::new(), &mut edge);
    let mut vault = String::from(VAULT_INTRODUCTION);
    table("`vault`", &VAULT, &mut HashSet::new(), &mut vault);
    let mut config = String::from(CONFIG_INTRODUCTION);
    table("`config`", &CONFIG, &mut HashSet::new(), &mut config);
    let mut metrics = String::from(METRICS_INTRODUCTION);
    table("`metrics`", &METRICS, &mut HashSet::new(), &mut metrics);
    table(
        "`services.NAME.metrics`",
        &SERVICE_METRICS,
        &mut HashSet::new(),
        &mut metrics,
    );
    let mut alerts = String::from(ALERTS_INTRODUCTION);
    table("`alerts`", &ALERTS, &mut HashSet::new(), &mut alerts);
    let mut rotation = String::from(ROTATION_INTRODUCTION);
    table("`rotation`", &ROTATION, &mut HashSet::new(), &mut rotation);
    [
        ("stack-file.md", file),
        ("stack-file-rotation.md", rotation),
        ("stack-file-edge.md", edge),
        ("stack-file-vault.md", vault),
        ("stack-file-config.md", config),
        ("stack-file-metrics.md", metrics),
        ("stack-file-alerts.md", alerts),
    ]
}

const INTRODUCTION: &str = include_str!("page.md.in");
const EDGE_INTRODUCTION: &str = include_str!("edge_page.md.in");
const VAULT_INTRODUCTION: &str = include_str!("vault_page.md.in");
const ROTATION_INTRODUCTION: &str = include_str!("rotation_page.md.in");
const CONFIG_INTRODUCTION: &str = include_str!("config_page.md.in");
const METRICS_INTRODUCTION: &str = include_str!("metrics_page.md.in");
const ALERTS_INTRODUCTION: &str = include_str!("alerts_page.md.in");

fn table(title: &str, record: &'static Record, seen: &mut HashSet<*const Record>, out: &mut String) {
    if !seen.insert(std::ptr::from_ref(record)) {
        return;
    }
    let _ = writeln!(out, "\n## {title}\n\n| key | takes | |\n| --- | --- | --- |");
    for key in record.all() {
        let reach = match key.reach {
            Reach::Both | Reach::Remark => "",
            Reach::Container => " *(containers only)*",
            Reach::Ours => " **(tend)**",
        };
        let required = if record.required.contains(&key.name) {
            ", required"
        } else {
            ""
        };
        let takes = takes(&key.shape);
        let _ = writeln!(out, "| `{}` | {takes}{required} | {}{reach} |", key.name, key.about);
    }
    for key in record.all() {
        below(title, key.name, &key.shape, seen, out);
    }
}

fn below(title: &str, name: &str, shape: &'static Shape, seen: &mut HashSet<*const Record>, out: &mut String) {
    let path = if title == "The file" {
        format!("`{name}`")
    } else {
        format!("{}.{name}`", title.trim_end_matches('`'))
    };
    match shape {
        Shape::Keys(record) => table(&path, record, seen, out),
        Shape::List(inner) => below(title, &format!("{name}[]"), inner, seen, out),
        Shape::Names(inner) => below(title, &format!("{name}.NAME"), inner, seen, out),
        Shape::Either(shapes) => {
            for one in *shapes {
                below(title, name, one, seen, out);
            }
        }
        Shape::Any | Shape::One(_) | Shape::Words(_) | Shape::Nothing => {}
    }
}

fn takes(shape: &Shape) -> String {
    match shape {
        Shape::Any => "anything".to_owned(),
        Shape::Nothing => "nothing".to_owned(),
        Shape::One(form) => form.expects().to_owned(),
        Shape::Words(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Shape::List(inner) => format!("a list of: {}", takes(inner)),
        Shape::Names(inner) => format!("names, each with: {}", takes(inner)),
        Shape::Keys(_) => "keys, see below".to_owned(),
        Shape::Either(shapes) => {
            let each: Vec<String> = shapes.iter().map(takes).collect();
            each.join("; or ")
        }
    }
}
