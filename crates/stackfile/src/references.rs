//! Names that must stand for something: networks, volumes, secrets, configs and services that others name.
//!
//! Refuses what Compose refuses, in the merged file.

use std::collections::BTreeMap;

use crate::error::Findings;
use crate::schema::did_you_mean;
use crate::source::Place;
use crate::yaml::{Entry, Node};

/// Checks all references of the merged tree; `disabled` are the services that no active profile names.
pub(crate) fn check(tree: &Node, disabled: &BTreeMap<String, Place>, findings: &mut Findings) {
    let services = entries(tree, "services");
    for service in services {
        check_service(tree, service, disabled, findings);
    }
    for secret in entries(tree, "secrets") {
        let has = |key: &str| secret.value.get(key).is_some();
        if !["file", "environment", "external", "driver", "vault"]
            .into_iter()
            .any(has)
        {
            findings
                .error(secret.place, format!("the secret `{}` comes from nowhere", secret.key))
                .help("say where it is: `file: PATH`, `environment: NAME`, `external: true` or `vault: {path: …, field: …}`");
        }
    }
    for config in entries(tree, "configs") {
        let has = |key: &str| config.value.get(key).is_some();
        if !["file", "environment", "external", "content"].into_iter().any(has) {
            findings
                .error(config.place, format!("the config `{}` comes from nowhere", config.key))
                .help("say where it is: `file: PATH`, `content: …`, `environment: NAME` or `external: true`");
        }
    }
    check_circle(services, findings);
}

fn entries<'a>(tree: &'a Node, section: &str) -> &'a [Entry] {
    tree.get(section).map_or(&[], Node::entries)
}

fn check_service(tree: &Node, service: &Entry, disabled: &BTreeMap<String, Place>, findings: &mut Findings) {
    let name = &service.key;
    let node = &service.value;
    let undefined = |kind: &str, what: &str, section: &str, place: Place, findings: &mut Findings| {
        let known = entries(tree, section);
        if known.iter().any(|entry| entry.key == what) {
            return;
        }
        let near = findings.nearest(what, known.iter().map(|entry| entry.key.as_str()));
        findings
            .error(
                place,
                format!("service `{name}` refers to the undefined {kind} `{what}`"),
            )
            .help(match near {
                Some(near) => did_you_mean(near),
                None => {
                    format!("define it at the top level: `{section}:` with `{what}:` below it")
                }
            });
    };
    for network in node.get("networks").map_or(&[][..], Node::entries) {
        // `default` is there without being defined.
        if network.key != "default" {
            undefined("network", &network.key, "networks", network.place, findings);
        }
    }
    if let (Some(mode), Some(networks)) = (node.get("network_mode"), node.get("networks")) {
        findings
            .error(
                mode.place,
                format!("service `{name}` has both `network_mode` and `networks`"),
            )
            .also(networks.place, "networks here")
            .help("keep one of the two");
    }
    for volume in node.get("volumes").map_or(&[][..], Node::items) {
        let text = |key: &str| volume.get(key).and_then(Node::as_text);
        if let (Some("volume"), Some(source)) = (text("type"), text("source")) {
            undefined("volume", source, "volumes", volume.place, findings);
        }
    }
    for section in ["secrets", "configs"] {
        let kind = &section[..section.len() - 1];
        for grant in node.get(section).map_or(&[][..], Node::items) {
            if let Some(source) = grant.get("source").and_then(Node::as_text) {
                undefined(kind, source, section, grant.place, findings);
            }
        }
    }
    for secret in node.at(&["build", "secrets"]).map_or(&[][..], Node::items) {
        if let Some(source) = secret.get("source").and_then(Node::as_text) {
            undefined("build secret", source, "secrets", secret.place, findings);
        }
    }
    for model in node.get("models").map_or(&[][..], Node::entries) {
        undefined("model", &model.key, "models", model.place, findings);
    }
    for dependency in node.get("depends_on").map_or(&[][..], Node::entries) {
        check_dependency(tree, name, dependency, disabled, findings);
    }
    for key in ["network_mode", "ipc", "pid", "uts"] {
        if let Some(value) = node.get(key)
            && let Some(other) = value.as_text().and_then(|text| text.strip_prefix("service:"))
        {
            undefined("service", other, "services", value.place, findings);
        }
    }
    for link in node.get("links").map_or(&[][..], Node::items) {
        if let Some(other) = link.as_text().and_then(|text| text.split(':').next()) {
            undefined("service", other, "services", link.place, findings);
        }
    }
    for from in node.get("volumes_from").map_or(&[][..], Node::items) {
        if let Some(other) = from.as_text()
            && !other.starts_with("container:")
        {
            let other = other.split(':').next().unwrap_or_default();
            undefined("service", other, "services", from.place, findings);
        }
    }
}

fn check_dependency(
    tree: &Node,
    name: &str,
    dependency: &Entry,
    disabled: &BTreeMap<String, Place>,
    findings: &mut Findings,
) {
    let on = &dependency.key;
    if on == name {
        findings
            .error(dependency.place, format!("service `{name}` depends on itself"))
            .help("delete the line");
        return;
    }
    let services = entries(tree, "services");
    if services.iter().any(|entry| entry.key == *on) {
        return;
    }
    match disabled.get(on) {
        Some(profiles) => {
            findings
                .error(
                    dependency.place,
                    format!("service `{name}` depends on `{on}`, which no active profile names"),
                )
                .also(*profiles, "its profiles")
                .help("activate one of its profiles with `--profile`, or write `required: false`");
        }
        None => {
            let near = findings.nearest(on, services.iter().map(|entry| entry.key.as_str()));
            findings
                .error(
                    dependency.place,
                    format!("service `{name}` depends on the undefined service `{on}`"),
                )
                .help(match near {
                    Some(near) => did_you_mean(near),
                    None => "define it below `services:`, or delete the line".to_owned(),
                });
        }
    }
}

/// Finds services that wait for each other.
fn check_circle(services: &[Entry], findings: &mut Findings) {
    let mut done: Vec<&str> = Vec::new();
    for service in services {
        let mut way = Vec::new();
        if let Some((place, circle)) = walk(services, &service.key, &mut way, &mut done) {
            findings
                .error(place, format!("services wait for each other: {}", circle.join(" → ")))
                .help("one of them has to start without the other");
            return;
        }
    }
}

fn walk<'a>(
    services: &'a [Entry],
    name: &'a str,
    way: &mut Vec<&'a str>,
    done: &mut Vec<&'a str>,
) -> Option<(Place, Vec<&'a str>)> {
    if done.contains(&name) {
        return None;
    }
    way.push(name);
    let service = services.iter().find(|entry| entry.key == name)?;
    for dependency in service.value.get("depends_on").map_or(&[][..], Node::entries) {
        let on = dependency.key.as_str();
        if on == name || !services.iter().any(|entry| entry.key == on) {
            continue;
        }
        if let Some(from) = way.iter().position(|other| *other == on) {
            let mut circle = way[from..].to_vec();
            circle.push(on);
            return Some((dependency.place, circle));
        }
        if let Some(found) = walk(services, on, way, done) {
            return Some(found);
        }
    }
    way.pop();
    done.push(name);
    None
}
