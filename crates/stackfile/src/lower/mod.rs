//! From the merged tree to the model.
//!
//! Values were checked against the table before: what does not fit any more was noted there and is passed over here. What is
//! noted here is what only the whole shows: keys that contradict each other, and what cannot work as written.

mod advice;
mod alerts;
mod config;
mod deploy_advice;
mod edge;
mod grants;
mod metrics;
mod policy;
mod probe;
mod process;
mod rotation;
mod secret_text;
mod service;
mod update;
mod vault;

use std::collections::BTreeMap;

use tend_core::model::{ServiceName, Stack, StackName, StackSource, Workload};

use crate::input::Owner;
use crate::load::{Session, Setting};
use crate::source::absolute;
use crate::yaml::Node;

/// Makes the model of a merged tree; nothing when something in it is wrong.
pub(crate) fn lower(session: &mut Session<'_>, tree: &Node, name: StackName, setting: &Setting) -> Option<Stack> {
    let mut services = BTreeMap::new();
    let entries = tree.get("services").map_or(&[][..], Node::entries);
    let has_another_form = tree.get("services").is_some_and(|node| node.as_map().is_none());
    if entries.is_empty() && !has_another_form {
        let place = tree
            .as_map()
            .and_then(|map| map.entry("services"))
            .map_or(tree.place, |entry| entry.place);
        session
            .findings
            .error(place, "there is no service to run")
            .help("write below `services:` what runs, each with a `command:` or an `image:`; a service may be waiting for its profile");
    }
    let routed = edge::routed_services(tree);
    let jobs = service::jobs(entries);
    let measured = metrics::Pace::of(tree);
    for entry in entries {
        match entry.key.parse::<ServiceName>() {
            Ok(name) => {
                let role = Role {
                    routed: routed.contains(&entry.key),
                    job: jobs.contains(&entry.key),
                    configured: tree.get("config").is_some(),
                    measured,
                };
                if let Some(mut service) = service::lower(session, entry, name.clone(), role, setting) {
                    service.secrets = grants::lower(session, tree, entry, &service, setting);
                    services.insert(name, service);
                }
            }
            Err(error) => {
                session.findings.error(entry.place, error.to_string());
            }
        }
    }
    let edge = edge::lower(tree, &services, &mut session.findings);
    let deploy = policy::lower(tree, &name, &mut session.findings);
    let config = config::sources(tree, setting, &mut session.findings);
    let vault = vault::lower(session, tree, setting);
    let metrics = metrics::lower(session, tree, &edge, setting);
    let alerts = alerts::lower(session, tree, setting);
    let rotations = rotation::lower(session, tree, &services);
    advice::give(tree, &services, setting, &mut session.findings);
    deploy_advice::give(tree, &services, &edge, &mut session.findings);
    let files: Vec<_> = session
        .input
        .paths
        .iter()
        .map(|path| absolute(&setting.directory, path))
        .collect();
    let owner = match session.input.files.owner(&files[0]) {
        Ok(owner) => owner,
        Err(error) => {
            let place = tree.place.source.whole();
            session.findings.error(
                place,
                format!("the owner of `{}` could not be read: {error}", files[0].display()),
            );
            return None;
        }
    };
    if session.findings.failed() {
        return None;
    }
    let Owner { uid, gid } = owner;
    Some(Stack {
        name,
        source: StackSource {
            files,
            directory: setting.directory.clone(),
            owner_uid: uid,
            owner_gid: gid,
        },
        services,
        edge,
        deploy,
        config,
        vault,
        metrics,
        alerts,
        rotations,
    })
}

/// What the rest of the stack has to do with a service.
#[derive(Clone, Copy)]
struct Role {
    /// A route leads to it.
    routed: bool,
    /// Another service waits for its successful end.
    job: bool,
    /// The stack has a configuration.
    configured: bool,
    /// How often it is asked for metrics unless it says so itself; nothing where the stack measures nothing.
    measured: Option<metrics::Pace>,
}

/// Returns whether a service runs as a process.
pub(crate) fn is_process(service: &Node) -> bool {
    !["image", "build", "provider"]
        .into_iter()
        .any(|key| service.get(key).is_some())
}

/// Returns whether a service of the model runs as a process.
fn is_process_workload(workload: &Workload) -> bool {
    matches!(workload, Workload::Process(_))
}

/// Returns one text, or those of a list.
fn texts(node: Option<&Node>) -> Vec<String> {
    one_or_several(node)
        .iter()
        .filter_map(Node::as_text)
        .map(str::to_owned)
        .collect()
}

/// Returns the items of a list, or what stands there by itself.
fn one_or_several(node: Option<&Node>) -> &[Node] {
    match node.map_or(&[][..], Node::items) {
        [] => node.map_or(&[][..], std::slice::from_ref),
        items => items,
    }
}
