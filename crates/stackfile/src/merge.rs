//! What several files say of one thing, put together.
//!
//! Source: the Compose specification, "Merge and override". Mappings are joined key by key, lists are appended, except for the
//! commands, which are replaced, and lists whose items have an identity ([`identity`]), where the later item stands in the
//! earlier one's place. `!reset` removes and `!override` replaces.

use crate::error::Findings;
use crate::yaml::{Map, Node, Tag, Value};

/// Lays `over` on `base`; both are canonical.
pub(crate) fn merge(base: Node, over: Node, findings: &mut Findings) -> Node {
    let mut path = Vec::new();
    merge_at(base, over, &mut path, findings)
}

/// Lays one service on another, for `extends`.
pub(crate) fn merge_service(base: Node, over: Node, findings: &mut Findings) -> Node {
    let mut path = vec!["services".to_owned(), String::new()];
    merge_at(base, over, &mut path, findings)
}

fn merge_at(base: Node, mut over: Node, path: &mut Vec<String>, findings: &mut Findings) -> Node {
    if over.tag.take() == Some(Tag::Override) {
        return over;
    }
    if over.is_null() {
        // Nothing said is nothing changed, but a variable without a value is a statement: take it from outside.
        return if in_names(path) { over } else { base };
    }
    if base.is_null() || replaced(path) {
        return over;
    }
    match (base.value, over.value) {
        (Value::Map(first), Value::Map(second)) => {
            let other_driver = path.len() == 3
                && path[2] == "logging"
                && matches!(
                    (first.get("driver").and_then(Node::as_text), second.get("driver").and_then(Node::as_text)),
                    (Some(first), Some(second)) if first != second
                );
            if other_driver {
                return Node::new(over.place, Value::Map(second));
            }
            let map = merge_maps(first, second, path, findings);
            Node::new(base.place, Value::Map(map))
        }
        (Value::List(mut first), Value::List(second)) => {
            first.extend(second);
            let mut list = Node::new(base.place, Value::List(first));
            unify(&mut list, path);
            list
        }
        (Value::Scalar(_), value @ Value::Scalar(_)) => Node::new(over.place, value),
        // A number or a pair of them; a switch or a name.
        (_, value) if is_ulimit(path) || path.last().is_some_and(|key| key == "external") => {
            Node::new(over.place, value)
        }
        (_, value) => {
            findings
                .error(
                    over.place,
                    format!("`{}` has another form here than in the file before", path.join(".")),
                )
                .also(base.place, "as this")
                .help("write it in the same form, or replace the other with `!override`");
            Node::new(over.place, value)
        }
    }
}

fn merge_maps(mut base: Map, over: Map, path: &mut Vec<String>, findings: &mut Findings) -> Map {
    for mut entry in over.0 {
        if entry.value.tag == Some(Tag::Reset) {
            base.remove(&entry.key);
            continue;
        }
        match base.position(&entry.key) {
            None => {
                entry.value.tag = None;
                base.0.push(entry);
            }
            Some(at) => {
                let place = base.0[at].value.place;
                let first = std::mem::replace(&mut base.0[at].value, Node::null(place));
                path.push(entry.key);
                base.0[at].value = merge_at(first, entry.value, path, findings);
                path.pop();
            }
        }
    }
    base
}

/// Removes what is still marked `!reset` (there was nothing before it) and lets later items of a list stand for earlier ones.
pub(crate) fn settle(node: &mut Node) {
    settle_at(node, &mut Vec::new());
}

fn settle_at(node: &mut Node, path: &mut Vec<String>) {
    node.tag = None;
    match &mut node.value {
        Value::Map(map) => {
            map.0.retain(|entry| entry.value.tag != Some(Tag::Reset));
            for entry in &mut map.0 {
                path.push(entry.key.clone());
                settle_at(&mut entry.value, path);
                path.pop();
            }
        }
        Value::List(items) => {
            items.retain(|item| item.tag != Some(Tag::Reset));
            for item in items {
                path.push("*".to_owned());
                settle_at(item, path);
                path.pop();
            }
            unify(node, path);
        }
        Value::Scalar(_) => {}
    }
}

fn is_ulimit(path: &[String]) -> bool {
    path.len() == 4 && path[2] == "ulimits"
}

/// Values a later file replaces as a whole.
fn replaced(path: &[String]) -> bool {
    if let [chapter, rest @ ..] = path
        && chapter == "deploy"
    {
        return matches!(rest, [key] if key == "notify")
            || matches!(rest, [first, key] if first == "migrate" && key == "command");
    }
    path.first().is_some_and(|top| top == "services")
        && match path.len() {
            3 => matches!(path[2].as_str(), "command" | "entrypoint" | "prepare" | "port"),
            4 => matches!(
                (path[2].as_str(), path[3].as_str()),
                ("healthcheck", "test") | ("readiness" | "liveness", "command")
            ),
            _ => false,
        }
}

/// Mappings of names to values, where nothing is a value too: the environment and the arguments of a build.
fn in_names(path: &[String]) -> bool {
    path.first().is_some_and(|top| top == "services")
        && (path.len() == 4 && path[2] == "environment" || path.len() == 5 && path[3] == "args")
}

fn unify(node: &mut Node, path: &[String]) {
    let Some(name) = path.last().cloned() else {
        return;
    };
    if path.len() != 3 || path[0] != "services" {
        return;
    }
    let Value::List(items) = &mut node.value else {
        return;
    };
    let mut kept: Vec<(Option<String>, Node)> = Vec::new();
    for item in items.drain(..) {
        let identity = identity(&name, &item);
        let earlier = identity
            .as_ref()
            .and_then(|_| kept.iter().position(|(other, _)| *other == identity));
        match earlier {
            Some(at) => kept[at].1 = item,
            None => kept.push((identity, item)),
        }
    }
    *items = kept.into_iter().map(|(_, item)| item).collect();
}

/// Returns what makes an item of a service's list the same as another; nothing when all items of the list count.
fn identity(list: &str, item: &Node) -> Option<String> {
    let text = |key: &str| item.get(key).and_then(Node::as_text).unwrap_or_default();
    match list {
        "ports" => Some(format!(
            "{}:{}:{}/{}",
            text("host_ip"),
            text("published"),
            text("target"),
            text("protocol")
        )),
        "volumes" | "devices" if item.as_map().is_some() => Some(text("target").to_owned()),
        "secrets" | "configs" => Some(match [text("target"), text("environment"), text("fd")] {
            ["", "", ""] => text("source").to_owned(),
            [target, environment, fd] => format!("{target}{environment}{fd}"),
        }),
        "env_file" => Some(text("path").to_owned()),
        "dns" | "dns_opt" | "dns_search" | "expose" | "links" | "profiles" | "tmpfs" | "cap_add" | "cap_drop"
        | "extra_hosts" | "label_file" => item.as_text().map(str::to_owned),
        _ => None,
    }
}
