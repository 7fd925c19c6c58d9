//! The chapters `metrics` and `alerts`, and `metrics` of a service, written out long.

use super::{entry, for_items, long_list, make_absolute, path_at, with};
use crate::error::Findings;
use crate::yaml::{Kind, Map, Node, Value};

/// Means of a receiver whose short form is its address.
const BY_ADDRESS: [&str; 5] = ["webhook", "dingtalk", "feishu", "wecom", "slack"];

/// Writes out the chapter `metrics`.
pub(super) fn metrics(chapter: &mut Node, findings: &Findings) {
    let Value::Map(chapter) = &mut chapter.value else {
        return;
    };
    path_at(chapter, "config", findings);
    with(chapter, "retention", |node| long(node, "time"));
    reference_at(chapter, "prometheus", findings);
    with(chapter, "remote_write", |targets| {
        for_items(targets, |target| references(target, &["url", "bearer"], findings));
    });
    with(chapter, "collect", |collect| {
        if let Value::Map(collect) = &mut collect.value {
            for kind in ["postgres", "mysql", "redis"] {
                with(collect, kind, |servers| {
                    for_items(servers, |server| references(server, &["url"], findings));
                });
            }
        }
    });
}

/// Writes out the chapter `alerts`.
pub(super) fn alerts(chapter: &mut Node, findings: &Findings) {
    let Value::Map(chapter) = &mut chapter.value else {
        return;
    };
    with(chapter, "rules", |rules| {
        long_list(rules);
        for_items(rules, |pattern| make_absolute(pattern, findings));
    });
    path_at(chapter, "alertmanager", findings);
    with(chapter, "smtp", |smtp| references(smtp, &["password"], findings));
    with(chapter, "heartbeat", |heartbeat| {
        references(heartbeat, &["url"], findings);
        if let Value::Map(heartbeat) = &mut heartbeat.value {
            with(heartbeat, "watchdog", long_list);
        }
    });
    with(chapter, "receivers", |receivers| {
        for_items(receivers, |receiver| {
            if let Value::Map(receiver) = &mut receiver.value {
                long_receiver(receiver, findings);
            }
        });
    });
}

fn long_receiver(receiver: &mut Map, findings: &Findings) {
    for key in ["severity", "mail"] {
        with(receiver, key, long_list);
    }
    for means in BY_ADDRESS {
        with(receiver, means, |node| {
            long(node, "url");
            references(node, &["url", "bearer", "sign_key"], findings);
            if let Value::Map(node) = &mut node.value {
                with(node, "at_mobiles", long_list);
            }
        });
    }
    with(receiver, "telegram", |node| references(node, &["bot_token"], findings));
    with(receiver, "pagerduty", |node| {
        long(node, "routing_key");
        references(node, &["routing_key"], findings);
    });
}

/// Writes out `metrics` of a service: `true` is a mapping with nothing in it, a number the port.
pub(super) fn service(service: &mut Map) {
    with(service, "metrics", |node| {
        let is_number = node
            .as_scalar()
            .is_some_and(|scalar| scalar.text.parse::<u16>().is_ok());
        if is_number {
            long(node, "port");
        } else if node.as_bool() == Some(true) {
            node.value = Value::Map(Map::default());
        }
    });
}

/// A single value as a mapping with one key.
fn long(node: &mut Node, key: &str) {
    if let Value::Scalar(scalar) = &node.value
        && scalar.kind != Kind::Null
    {
        let only = Node::new(node.place, Value::Scalar(scalar.clone()));
        node.value = Value::Map(Map(vec![entry(key, node.place, only)]));
    }
}

/// The paths of files that hold what stands at these keys.
fn references(node: &mut Node, keys: &[&str], findings: &Findings) {
    if let Value::Map(map) = &mut node.value {
        for key in keys {
            reference_at(map, key, findings);
        }
    }
}

fn reference_at(map: &mut Map, key: &str, findings: &Findings) {
    with(map, key, |node| {
        if let Value::Map(reference) = &mut node.value {
            path_at(reference, "file", findings);
        }
    });
}
