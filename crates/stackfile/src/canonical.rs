//! Every short form written out long, and paths made absolute, so that files can be merged and read in one way only.
//!
//! Source: the Compose specification's short and long syntaxes. Shapes were checked before; whatever did not fit is left alone.

mod monitor;

use crate::error::Findings;
use crate::lower::is_process;
use crate::schema::{parse_port_spec, parse_volume_spec};
use crate::source::{Place, resolve};
use crate::yaml::{Entry, Kind, Map, Node, Tag, Value};

/// Writes out all short forms of a document.
pub(crate) fn canonicalise(file: &mut Node, findings: &Findings) {
    let Value::Map(top) = &mut file.value else {
        return;
    };
    for section in ["networks", "volumes"] {
        each(top, section, |resource| names_at(resource, "labels"));
    }
    for section in ["secrets", "configs"] {
        each(top, section, |resource| {
            names_at(resource, "labels");
            path_at(resource, "file", findings);
        });
    }
    with(top, "edge", |edge| {
        if let Value::Map(edge) = &mut edge.value {
            with(edge, "listen", long_list);
            edge_paths(edge, findings);
        }
    });
    with(top, "deploy", |deploy| {
        if let Value::Map(deploy) = &mut deploy.value {
            with(deploy, "databases", |databases| {
                for_items(databases, |database| {
                    if let Value::Map(database) = &mut database.value {
                        path_at(database, "sqlite", findings);
                    }
                });
            });
        }
    });
    with(top, "config", |config| {
        if let Value::Map(config) = &mut config.value {
            path_at(config, "schema", findings);
            for key in ["files", "dotenv"] {
                with(config, key, |files| {
                    long_list(files);
                    for_items(files, |file| make_absolute(file, findings));
                });
            }
        }
    });
    with(top, "vault", |vault| {
        if let Value::Map(vault) = &mut vault.value {
            path_at(vault, "ca", findings);
            with(vault, "auth", |auth| vault_paths(auth, findings));
        }
    });
    with(top, "metrics", |metrics| monitor::metrics(metrics, findings));
    with(top, "alerts", |alerts| monitor::alerts(alerts, findings));
    each(top, "services", |service| canonicalise_service(service, findings));
}

/// The files of credentials, below `token` and `approle`.
fn vault_paths(auth: &mut Node, findings: &Findings) {
    let Value::Map(auth) = &mut auth.value else {
        return;
    };
    let file = |credential: &mut Node| {
        if let Value::Map(credential) = &mut credential.value {
            path_at(credential, "file", findings);
        }
    };
    with(auth, "token", file);
    with(auth, "approle", |role| {
        if let Value::Map(role) = &mut role.value {
            with(role, "role_id", file);
            with(role, "secret_id", file);
        }
    });
}

/// The files that the chapter `edge` names.
fn edge_paths(edge: &mut Map, findings: &Findings) {
    with(edge, "tls", |tls| {
        if let Value::Map(tls) = &mut tls.value {
            with(tls, "certificates", |certificates| {
                for_items(certificates, |certificate| {
                    if let Value::Map(certificate) = &mut certificate.value {
                        path_at(certificate, "chain", findings);
                        path_at(certificate, "key", findings);
                    }
                });
            });
            for (block, key) in [("acme", "root"), ("clients", "roots")] {
                with(tls, block, |block| {
                    if let Value::Map(block) = &mut block.value {
                        path_at(block, key, findings);
                    }
                });
            }
        }
    });
    each(edge, "upstreams", |upstream| {
        with(upstream, "tls", |tls| {
            if let Value::Map(tls) = &mut tls.value {
                path_at(tls, "roots", findings);
            }
        });
    });
    with(edge, "defaults", |defaults| rule_paths(defaults, findings));
    with(edge, "routes", |routes| {
        for_items(routes, |route| rule_paths(route, findings))
    });
}

fn rule_paths(rules: &mut Node, findings: &Findings) {
    let Value::Map(rules) = &mut rules.value else {
        return;
    };
    path_at(rules, "files", findings);
    with(rules, "files", |files| {
        if let Value::Map(files) = &mut files.value {
            path_at(files, "root", findings);
        }
    });
    with(rules, "error_pages", |pages| {
        for_items(pages, |page| {
            if let Value::Map(page) = &mut page.value {
                path_at(page, "file", findings);
            }
        });
    });
}

/// Writes out the folder each process runs in: of the merged file, nothing tells any more which file a service came from.
pub(crate) fn write_directories(file: &mut Node, findings: &Findings) {
    let Value::Map(top) = &mut file.value else {
        return;
    };
    let Some(at) = top.position("services") else {
        return;
    };
    let Value::Map(services) = &mut top.0[at].value.value else {
        return;
    };
    for service in &mut services.0 {
        if !is_process(&service.value) {
            continue;
        }
        let place = service.value.place;
        let Value::Map(keys) = &mut service.value.value else {
            continue;
        };
        match keys.position("working_dir") {
            Some(at) if !keys.0[at].value.is_null() => {
                make_absolute(&mut keys.0[at].value, findings);
            }
            _ => {
                let directory = resolve(findings, place, ".");
                let directory = Node::text(place, directory.to_string_lossy());
                keys.set(entry("working_dir", place, directory));
            }
        }
    }
}

fn each(top: &mut Map, section: &str, mut change: impl FnMut(&mut Map)) {
    if let Some(at) = top.position(section)
        && let Value::Map(resources) = &mut top.0[at].value.value
    {
        for entry in &mut resources.0 {
            if let Value::Map(map) = &mut entry.value.value {
                change(map);
            }
        }
    }
}

fn canonicalise_service(service: &mut Map, findings: &Findings) {
    with(service, "build", |node| {
        if let Some(context) = node.as_text() {
            let context = entry("context", node.place, Node::text(node.place, context));
            node.value = Value::Map(Map(vec![context]));
        }
        if let Value::Map(build) = &mut node.value {
            with(build, "context", |node| {
                if !is_remote(node) {
                    make_absolute(node, findings);
                }
            });
            for key in ["args", "labels", "additional_contexts"] {
                names_at(build, key);
            }
            with(build, "secrets", long_grants);
        }
    });
    for key in ["environment", "labels", "annotations", "sysctls"] {
        names_at(service, key);
    }
    with(service, "deploy", |node| {
        if let Value::Map(deploy) = &mut node.value {
            names_at(deploy, "labels");
        }
    });
    for key in ["dns", "dns_search", "tmpfs", "label_file", "artifact"] {
        with(service, key, long_list);
    }
    with(service, "smoke", |node| {
        long_list(node);
        for_items(node, |item| {
            if let Value::Scalar(path) = &item.value {
                let path = Node::new(item.place, Value::Scalar(path.clone()));
                item.value = Value::Map(Map(vec![entry("http", item.place, path)]));
            }
        });
    });
    with(service, "env_file", |node| {
        long_list(node);
        for_items(node, |item| {
            if let Some(text) = item.as_text() {
                let path = entry("path", item.place, Node::text(item.place, text));
                item.value = Value::Map(Map(vec![path]));
            }
            if let Value::Map(map) = &mut item.value {
                path_at(map, "path", findings);
            }
        });
    });
    with(service, "extends", |node| {
        if let Some(text) = node.as_text() {
            let name = entry("service", node.place, Node::text(node.place, text));
            node.value = Value::Map(Map(vec![name]));
        }
    });
    with(service, "depends_on", |node| {
        list_to_map(node, |place| {
            let started = Node::text(place, "service_started");
            Node::new(place, Value::Map(Map(vec![entry("condition", place, started)])))
        });
    });
    with(service, "networks", |node| list_to_map(node, Node::null));
    with(service, "models", |node| list_to_map(node, Node::null));
    with(service, "extra_hosts", long_hosts);
    with(service, "secrets", long_grants);
    with(service, "configs", long_grants);
    with(service, "ports", long_ports);
    monitor::service(service);
    with(service, "volumes", |node| {
        for_items(node, |item| long_volume(item, findings));
    });
}

fn with(map: &mut Map, key: &str, change: impl FnOnce(&mut Node)) {
    if let Some(at) = map.position(key) {
        let node = &mut map.0[at].value;
        if node.tag != Some(Tag::Reset) && !node.is_null() {
            change(node);
        }
    }
}

fn for_items(node: &mut Node, change: impl FnMut(&mut Node)) {
    if let Value::List(items) = &mut node.value {
        items.iter_mut().for_each(change);
    }
}

fn entry(key: &str, place: Place, value: Node) -> Entry {
    Entry {
        key: key.to_owned(),
        place,
        value,
    }
}

/// `[A=1, B]` as `{A: 1, B: }`.
fn names_at(map: &mut Map, key: &str) {
    with(map, key, |node| {
        if let Value::List(items) = &node.value {
            let mut names = Map::default();
            for item in items {
                let Some(scalar) = item.as_scalar() else {
                    continue;
                };
                let (name, value) = match scalar.text.split_once('=') {
                    Some((name, value)) => {
                        let mut value = Node::text(item.place, value);
                        if let (Value::Scalar(inner), Some(written)) = (&mut value.value, &scalar.written) {
                            let written = written.split_once('=').map_or(written.as_str(), |w| w.1);
                            inner.written = Some(written.to_owned());
                        }
                        (name, value)
                    }
                    None => (scalar.text.as_str(), Node::null(item.place)),
                };
                // Of two equal names the later counts.
                names.set(entry(name, item.place, value));
            }
            node.value = Value::Map(names);
        }
    });
}

fn list_to_map(node: &mut Node, value: impl Fn(Place) -> Node) {
    if let Value::List(items) = &node.value {
        let mut names = Map::default();
        for item in items {
            if let Some(name) = item.as_text() {
                names.set(entry(name, item.place, value(item.place)));
            }
        }
        node.value = Value::Map(names);
    }
}

fn long_list(node: &mut Node) {
    if let Value::Scalar(scalar) = &node.value {
        let mut only = Node::new(node.place, Value::Scalar(scalar.clone()));
        only.tag = None;
        node.value = Value::List(vec![only]);
    }
}

/// `{host: ip}` as `host=ip`, which may repeat a host.
fn long_hosts(node: &mut Node) {
    if let Value::Map(map) = &node.value {
        let mut items = Vec::new();
        for host in &map.0 {
            let one = |address: &Node| {
                address
                    .as_text()
                    .map(|text| Node::text(address.place, format!("{}={text}", host.key)))
            };
            items.extend(one(&host.value));
            items.extend(host.value.items().iter().filter_map(one));
        }
        node.value = Value::List(items);
    } else {
        for_items(node, |item| {
            if let Value::Scalar(scalar) = &mut item.value
                && !scalar.text.contains('=')
                && let Some((host, address)) = scalar.text.split_once(':')
            {
                scalar.text = format!("{host}={address}");
            }
        });
    }
}

fn long_grants(node: &mut Node) {
    for_items(node, |item| {
        if let Some(name) = item.as_text() {
            let source = entry("source", item.place, Node::text(item.place, name));
            item.value = Value::Map(Map(vec![source]));
        }
    });
}

fn long_ports(node: &mut Node) {
    let Value::List(items) = &mut node.value else {
        return;
    };
    let mut long = Vec::new();
    for item in items.drain(..) {
        let place = item.place;
        let Some(spec) = item.as_text().and_then(|text| parse_port_spec(text).ok()) else {
            long.push(item);
            continue;
        };
        let text = |key: &str, text: String| entry(key, place, Node::text(place, text));
        for offset in 0..=spec.target.1 - spec.target.0 {
            let mut map = Map::default();
            if let Some(ip) = spec.host_ip {
                map.0.push(text("host_ip", ip.to_string()));
            }
            let target = (spec.target.0 + offset).to_string();
            map.0
                .push(entry("target", place, Node::scalar(place, target, Kind::Integer)));
            if let Some((first, last)) = spec.published {
                // One port of the service and a range outside: the engine takes one that is free.
                let published = if spec.target.0 == spec.target.1 && first != last {
                    format!("{first}-{last}")
                } else {
                    (first + offset).to_string()
                };
                map.0.push(text("published", published));
            }
            map.0.push(text("protocol", spec.protocol.clone()));
            long.push(Node::new(place, Value::Map(map)));
        }
    }
    *items = long;
}

fn long_volume(node: &mut Node, findings: &Findings) {
    let place = node.place;
    let Some((source, target, mode)) = node.as_text().and_then(|text| parse_volume_spec(text).ok()) else {
        if let Value::Map(map) = &mut node.value
            && map.get("type").and_then(Node::as_text) == Some("bind")
        {
            path_at(map, "source", findings);
        }
        return;
    };
    let text = |key: &str, text: &str| entry(key, place, Node::text(place, text));
    let is_path = source.is_some_and(|source| source.starts_with(['.', '/', '~']));
    let mut map = Map(vec![text("type", if is_path { "bind" } else { "volume" })]);
    if let Some(source) = source {
        map.0.push(text("source", source));
    }
    map.0.push(text("target", target));
    if mode.is_some_and(|mode| mode.split(',').any(|mode| mode == "ro")) {
        let read_only = Node::scalar(place, "true", Kind::Bool);
        map.0.push(entry("read_only", place, read_only));
    }
    if is_path {
        path_at(&mut map, "source", findings);
    }
    node.value = Value::Map(map);
}

fn path_at(map: &mut Map, key: &str, findings: &Findings) {
    with(map, key, |node| make_absolute(node, findings));
}

/// A path that starts with `~` stays: whose home it is, is known only when it is used.
fn make_absolute(node: &mut Node, findings: &Findings) {
    let place = node.place;
    if let Value::Scalar(scalar) = &mut node.value
        && !scalar.text.starts_with('~')
        && !scalar.text.is_empty()
    {
        scalar.text = resolve(findings, place, &scalar.text).to_string_lossy().into_owned();
    }
}

/// A build's folder may be a repository.
fn is_remote(node: &Node) -> bool {
    node.as_text()
        .is_some_and(|text| text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/"))
}
