//! What cannot work as written, said before the start (R3): templates that name no service, addresses that name none, one port of
//! the machine for several replicas.

use std::collections::BTreeMap;

use tend_core::model::{Port, Service, ServiceName, Workload};

use super::is_process;
use crate::error::Findings;
use crate::interpolate::TEMPLATE;
use crate::load::Setting;
use crate::schema::did_you_mean;
use crate::source::Place;
use crate::yaml::{Entry, Node, Value};

/// Looks through all services.
pub(super) fn give(tree: &Node, services: &BTreeMap<ServiceName, Service>, setting: &Setting, findings: &mut Findings) {
    let entries = tree.get("services").map_or(&[][..], Node::entries);
    for entry in entries {
        let process = is_process(&entry.value);
        for key in ["command", "entrypoint", "prepare", "environment"] {
            if let Some(value) = entry.value.get(key) {
                for_scalars(value, &mut |text, place| {
                    check_template(text, place, services, findings);
                });
            }
        }
        check_env_files(entry, services, findings);
        for variable in entry.value.get("environment").map_or(&[][..], Node::entries) {
            if let Some(text) = variable.value.as_text() {
                check_host(entry, text, variable.value.place, process, entries, findings);
            }
        }
        if process {
            check_waiting(entry, entries, findings);
        }
        check_port_variable(entry, services, setting, findings);
        if !process {
            check_published(entry, findings);
        }
    }
    check_taken_twice(entries, findings);
}

fn for_scalars(node: &Node, visit: &mut impl FnMut(&str, Place)) {
    match &node.value {
        Value::Scalar(scalar) => visit(&scalar.text, node.place),
        Value::List(items) => items.iter().for_each(|item| for_scalars(item, visit)),
        Value::Map(map) => map.0.iter().for_each(|entry| for_scalars(&entry.value, visit)),
    }
}

/// Templates in values that came from files; the file is named, not the line, since values are not shown.
fn check_env_files(entry: &Entry, services: &BTreeMap<ServiceName, Service>, findings: &mut Findings) {
    let service = services.iter().find(|(name, _)| name.as_str() == entry.key);
    let (Some((_, service)), Some(files)) = (service, entry.value.get("env_file")) else {
        return;
    };
    let Workload::Process(process) = &service.workload else {
        return;
    };
    let own = entry.value.get("environment").and_then(Node::as_map);
    for (name, value) in &process.environment {
        if own.is_none_or(|own| own.get(name).is_none()) {
            check_template(value, files.place, services, findings);
        }
    }
}

/// A process that waits for a container waits for what is not started.
fn check_waiting(entry: &Entry, entries: &[Entry], findings: &mut Findings) {
    for on in entry.value.get("depends_on").map_or(&[][..], Node::entries) {
        let is_container = entries
            .iter()
            .any(|other| other.key == on.key && !is_process(&other.value));
        let required = on.value.get("required").and_then(Node::as_bool) != Some(false);
        if is_container && required {
            findings
                .warning(
                    on.place,
                    format!(
                        "`{}` waits for `{}`, which is a container and is not started in this version of tend",
                        entry.key, on.key
                    ),
                )
                .help("start it by other means and write `required: false`, or run it as a process");
        }
    }
}

/// `${service.NAME.url}` must name a service that listens.
fn check_template(text: &str, place: Place, services: &BTreeMap<ServiceName, Service>, findings: &mut Findings) {
    for (at, _) in text.match_indices(TEMPLATE) {
        let whole = text[at..].find('}').map_or(&text[at..], |end| &text[at..=at + end]);
        let place = findings.sources.narrow(place, whole);
        let name = whole.strip_prefix(TEMPLATE).and_then(|rest| rest.strip_suffix(".url}"));
        let Some(name) = name else {
            findings
                .error(place, format!("`{whole}` stands for nothing"))
                .help("write `${service.NAME.url}`, NAME being a service of this stack");
            continue;
        };
        let found = services.iter().find(|(known, _)| known.as_str() == name);
        match found {
            None => {
                let near = findings.nearest(name, services.keys().map(ServiceName::as_str));
                findings
                    .error(place, format!("`{whole}` names no service of this stack"))
                    .help_if(near.map(|near| did_you_mean(&format!("${{service.{near}.url}}"))));
            }
            Some((_, service)) => {
                let process = matches!(service.workload, Workload::Process(_));
                if process && service.port == Port::None {
                    findings
                        .error(place, format!("`{name}` does not listen, so it has no address"))
                        .help(format!("say how `{name}` learns its port: `port: PORT`"));
                }
            }
        }
    }
    if let Some(at) = text.find("{{") {
        let whole = text[at..].find("}}").map(|end| &text[at..at + end + 2]);
        let inner = whole.map(|whole| whole.trim_start_matches("{{").trim_end_matches("}}").trim());
        if let (Some(whole), Some(inner)) = (whole, inner)
            && [".Task.", ".Service.", ".Node."]
                .iter()
                .any(|start| inner.starts_with(start))
            && !matches!(inner, ".Task.Slot" | ".Service.Name")
        {
            let place = findings.sources.narrow(place, whole);
            findings
                .warning(place, format!("`{whole}` is passed on as it is"))
                .help("tend fills in `{{.Task.Slot}}` and `{{.Service.Name}}`");
        }
    }
}

/// The host of an address in a variable is a service, or a name with a dot, or this machine; anything else will not be found.
fn check_host(entry: &Entry, text: &str, place: Place, process: bool, services: &[Entry], findings: &mut Findings) {
    let Some(host) = url_host(text) else {
        return;
    };
    if host == "localhost" || host.contains('.') || host.is_empty() {
        return;
    }
    let place = findings.sources.narrow(place, host);
    let is_known = services
        .iter()
        .any(|other| other.key == host || other_names(&other.value).any(|name| name == host));
    if !is_known {
        let extra = entry.value.get("extra_hosts").map_or(&[][..], Node::items);
        if extra
            .iter()
            .filter_map(Node::as_text)
            .any(|text| text.split('=').next() == Some(host))
        {
            return;
        }
        let near = services
            .iter()
            .map(|other| other.key.as_str())
            .find(|name| name.contains(host) || host.contains(name))
            .or_else(|| findings.nearest(host, services.iter().map(|other| other.key.as_str())));
        findings
            .warning(
                place,
                format!(
                    "`{}` is to reach the host `{host}`, which is no service of this stack",
                    entry.key
                ),
            )
            .help(match near {
                Some(near) => format!("did you mean the service `{near}`?"),
                None => "if it is a machine outside, write its full name or its address".to_owned(),
            });
    } else if process {
        findings
            .warning(
                place,
                format!(
                    "`{}` is a process, and `{host}` is a name in the network of containers",
                    entry.key
                ),
            )
            .help(format!(
                "write `${{service.{host}.url}}` for its address on this machine"
            ));
    }
}

fn other_names(service: &Node) -> impl Iterator<Item = &str> {
    let named = ["container_name", "hostname"]
        .into_iter()
        .filter_map(|key| service.get(key)?.as_text());
    let aliases = service
        .get("networks")
        .map_or(&[][..], Node::entries)
        .iter()
        .flat_map(|network| network.value.get("aliases").map_or(&[][..], Node::items))
        .filter_map(Node::as_text);
    named.chain(aliases)
}

/// Returns the host of `scheme://[user[:password]@]host[:port][/…]`.
fn url_host(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme || scheme == "file" || scheme == "unix" || scheme.starts_with("sqlite") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // Several hosts, as databases take them, addresses in brackets and `+` for any are not looked into.
    let name = host.split(':').next().unwrap_or(host);
    let is_name = !host.contains(',') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    is_name.then_some(name)
}

/// The variable of the port is set by tend, whatever the file says.
fn check_port_variable(
    entry: &Entry,
    services: &BTreeMap<ServiceName, Service>,
    setting: &Setting,
    findings: &mut Findings,
) {
    let service = services.iter().find(|(name, _)| name.as_str() == entry.key);
    let Some((
        _,
        Service {
            port: Port::Variable(variable),
            ..
        },
    )) = service
    else {
        return;
    };
    let written = entry
        .value
        .get("environment")
        .and_then(|map| map.as_map()?.entry(variable));
    if let Some(written) = written
        && (!written.value.is_null() || setting.variables.contains_key(variable))
    {
        findings
            .warning(
                written.place,
                format!(
                    "`{variable}` is set by tend: each replica of `{}` gets a port of its own",
                    entry.key
                ),
            )
            .help("delete the line; or, for one replica at a port of your choice, write `port: 3000` on the service");
    }
}

/// A container's port of the machine can be had once.
fn check_published(entry: &Entry, findings: &mut Findings) {
    let replicas = ["replicas", "scale"]
        .into_iter()
        .find_map(|key| entry.value.get(key))
        .or_else(|| entry.value.at(&["deploy", "replicas"]));
    let several = replicas
        .and_then(Node::as_text)
        .is_some_and(|text| text == "max" || text.parse::<u32>().is_ok_and(|count| count > 1));
    if !several {
        return;
    }
    for port in entry.value.get("ports").map_or(&[][..], Node::items) {
        if let Some(published) = port.get("published").and_then(Node::as_text)
            && !published.contains('-')
        {
            findings
                .warning(
                    port.place,
                    format!(
                        "port {published} of the machine can go to one of the replicas of `{}` only",
                        entry.key
                    ),
                )
                .help("publish it on one service in front of them, or leave the first number out");
        }
    }
    if let Some(name) = entry.value.get("container_name") {
        findings
            .error(
                name.place,
                format!("the replicas of `{}` cannot all have one `container_name`", entry.key),
            )
            .help("delete `container_name`");
    }
}

/// Two services cannot publish the same port.
fn check_taken_twice(entries: &[Entry], findings: &mut Findings) {
    let mut taken: Vec<(&str, &str, &str, &str, Place)> = Vec::new();
    for entry in entries {
        for port in entry.value.get("ports").map_or(&[][..], Node::items) {
            let text = |key: &str| port.get(key).and_then(Node::as_text);
            let Some(published) = text("published").filter(|published| !published.contains('-')) else {
                continue;
            };
            let any = |ip: &str| matches!(ip, "0.0.0.0" | "::" | "");
            let ip = text("host_ip").unwrap_or_default();
            let protocol = text("protocol").unwrap_or("tcp");
            let other = taken.iter().find(|(other_ip, other, other_protocol, _, _)| {
                *other == published && *other_protocol == protocol && (*other_ip == ip || any(other_ip) || any(ip))
            });
            if let Some((_, _, _, first, place)) = other {
                // Two processes were told by the edge.
                let both_processes =
                    is_process(&entry.value) && entries.iter().any(|one| one.key == **first && is_process(&one.value));
                if !both_processes {
                    let (first, place) = ((*first).to_owned(), *place);
                    findings
                        .warning(
                            port.place,
                            format!(
                                "port {published} of the machine is published by `{}` and by `{first}`",
                                entry.key
                            ),
                        )
                        .also(place, "taken here")
                        .help("only one of them will start; choose another port");
                }
            }
            taken.push((ip, published, protocol, &entry.key, port.place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::url_host;

    #[test]
    fn the_host_of_an_address_is_found() {
        for (text, host) in [
            ("mongodb://mongo:27017/db", Some("mongo")),
            ("postgres://u:p@db/x", Some("db")),
            ("http://api?x=1", Some("api")),
            ("redis://redis:6379", Some("redis")),
            ("kafka://a:1,b:2", None),
            ("sqlite://x.db", None),
            ("unix:///run/x", None),
            ("just text", None),
            ("a b://c", None),
            ("http://+:80", None),
            ("http://[::1]:80", None),
        ] {
            assert_eq!(url_host(text), host, "{text}");
        }
    }
}
