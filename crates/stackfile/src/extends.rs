//! Services that add to other services.
//!
//! Source: the Compose specification, `extends`; what is merged is everything but `extends` itself, and relative paths of the
//! other file start from its own folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::load::{Session, Setting};
use crate::merge::merge_service;
use crate::source;
use crate::yaml::{Node, Value};

/// Resolves all `extends` of a document.
pub(crate) fn resolve(session: &mut Session<'_>, mut document: Node, path: &Path, setting: &Setting) -> Node {
    let names: Vec<String> = document
        .get("services")
        .map(|services| services.entries().iter().map(|entry| entry.key.clone()).collect())
        .unwrap_or_default();
    let original = document.clone();
    let mut trail = Trail::default();
    for name in names {
        let is_extended = original.at(&["services", &name, "extends"]).is_some();
        if !is_extended {
            continue;
        }
        trail.chain.clear();
        let resolved = service(session, &original, path, setting, &name, &mut trail);
        let Some(resolved) = resolved else {
            continue;
        };
        if let Value::Map(top) = &mut document.value
            && let Some(at) = top.position("services")
            && let Value::Map(services) = &mut top.0[at].value.value
            && let Some(at) = services.position(&name)
        {
            services.0[at].value = resolved;
        }
    }
    document
}

/// One `extends` on the way: the file and the service.
type Step = (PathBuf, String);

/// How many services may extend each other in a row.
const DEPTH_MAX: usize = 64;

/// The way that is being followed, and the circles found on earlier ones.
#[derive(Default)]
struct Trail {
    chain: Vec<Step>,
    circled: Vec<Step>,
    /// Other files, read once for all services that extend one of theirs; nothing for one that cannot be used.
    others: HashMap<PathBuf, Option<Node>>,
    /// What the services grew by so far.
    weight: usize,
}

/// Bytes of text plus 16 for each node that `extends` may add to one file.
const WEIGHT_MAX: usize = 16 << 20;

fn service(
    session: &mut Session<'_>,
    document: &Node,
    path: &Path,
    setting: &Setting,
    name: &str,
    trail: &mut Trail,
) -> Option<Node> {
    let mut node = document.at(&["services", name])?.clone();
    let Value::Map(map) = &mut node.value else {
        return Some(node);
    };
    let Some(extends) = map.remove("extends").map(|entry| entry.value) else {
        return Some(node);
    };
    // Without `service` it stays as it is, and is told to need one.
    let wanted = extends.get("service")?;
    let base_name = wanted.as_text()?.to_owned();
    if trail
        .chain
        .iter()
        .any(|(file, service)| file == path && service == name)
    {
        // Each service of a circle leads into it; it is told once.
        if !trail
            .circled
            .iter()
            .any(|(file, service)| file == path && service == name)
        {
            let way: Vec<&str> = trail.chain.iter().map(|(_, service)| service.as_str()).collect();
            session
                .findings
                .error(
                    wanted.place,
                    format!("services extend each other in a circle: {} → {name}", way.join(" → ")),
                )
                .help("put what they share into a service that extends none");
            trail.circled.extend(trail.chain.iter().cloned());
        }
        return None;
    }
    if trail.chain.len() == DEPTH_MAX {
        session
            .findings
            .error(
                wanted.place,
                format!("more than {DEPTH_MAX} services extend each other in a row"),
            )
            .help("extend the one that has what you need");
        return None;
    }
    trail.chain.push((path.to_path_buf(), name.to_owned()));
    let base = match extends.get("file").and_then(|file| Some((file, file.as_text()?))) {
        None => base_of(session, document, path, setting, &base_name, wanted, trail),
        Some((file, text)) => {
            let other_path = source::resolve(&session.findings, file.place, text);
            let other_setting = Setting {
                directory: other_path.parent().unwrap_or(Path::new("/")).to_path_buf(),
                variables: setting.variables.clone(),
            };
            let other = match trail.others.get(&other_path) {
                Some(known) => known.clone(),
                None => {
                    let read = session.document(&other_path, &other_setting, Some(file.place));
                    trail.others.insert(other_path.clone(), read.clone());
                    read
                }
            }?;
            base_of(session, &other, &other_path, &other_setting, &base_name, wanted, trail)
        }
    };
    trail.chain.pop();
    let base = base?;
    trail.weight += base.weight();
    if trail.weight > WEIGHT_MAX {
        session
            .findings
            .error(wanted.place, "what services extend adds up to more than 16 MiB")
            .help("let fewer services extend each other");
        return None;
    }
    Some(merge_service(base, node, &mut session.findings))
}

fn base_of(
    session: &mut Session<'_>,
    document: &Node,
    path: &Path,
    setting: &Setting,
    name: &str,
    wanted: &Node,
    trail: &mut Trail,
) -> Option<Node> {
    let services = document.get("services").map_or(&[][..], Node::entries);
    if !services.iter().any(|entry| entry.key == name) {
        let near = session
            .findings
            .nearest(name, services.iter().map(|entry| entry.key.as_str()));
        session
            .findings
            .error(
                wanted.place,
                format!("there is no service `{name}` to extend in `{}`", path.display()),
            )
            .help_if(near.map(crate::schema::did_you_mean));
        return None;
    }
    service(session, document, path, setting, name, trail)
}
