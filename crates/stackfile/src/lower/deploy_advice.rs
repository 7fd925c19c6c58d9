//! What of a deploy will not be as its author hopes, said before the first one.

use std::collections::BTreeMap;

use tend_core::model::{Edge, Order, Port, Replicas, Service, ServiceName, Strategy, Update};

use super::is_process_workload;
use crate::error::Findings;
use crate::yaml::{Entry, Node};

/// Looks through the chapter and all services.
pub(super) fn give(tree: &Node, services: &BTreeMap<ServiceName, Service>, edge: &Edge, findings: &mut Findings) {
    if let Some(migrate) = tree.at(&["deploy", "migrate"])
        && tree
            .at(&["deploy", "databases"])
            .is_none_or(|list| list.items().is_empty())
    {
        findings
            .warning(
                migrate.place,
                "a migration changes a database, and none is named to take a restore point of",
            )
            .help("name it beside `migrate`, such as `databases: [{sqlite: data/app.db}]`");
    }
    for entry in tree.get("services").map_or(&[][..], Node::entries) {
        let Some(service) = entry
            .key
            .parse::<ServiceName>()
            .ok()
            .and_then(|name| services.get(&name))
        else {
            continue;
        };
        let is_routed = edge.routes_to(&service.name).next().is_some();
        if is_process_workload(&service.workload) {
            check_unrouted(entry, service, is_routed, findings);
            check_stop_first(entry, service, findings);
        } else {
            check_container(entry, findings);
        }
    }
}

/// A container is not deployed; what Compose knows is kept for the engine, what is ours has nobody to act upon it.
fn check_container(entry: &Entry, findings: &mut Findings) {
    if let Some(strategy) = entry.value.at(&["deploy", "strategy"]) {
        findings
            .warning(
                strategy.place,
                format!("`strategy` has no effect on `{}`, which is a container", entry.key),
            )
            .help("it is for services that run as processes");
    }
}

/// What is judged by requests through the edge needs a route.
fn check_unrouted(entry: &Entry, service: &Service, is_routed: bool, findings: &mut Findings) {
    if is_routed {
        return;
    }
    if let (Strategy::Canary(_), Some(strategy)) = (&service.strategy, entry.value.at(&["deploy", "strategy"])) {
        findings
            .warning(
                strategy.place,
                format!(
                    "no route leads to `{}`, so there are no requests to judge a canary by",
                    entry.key
                ),
            )
            .help("add it to `edge.routes`, or write `strategy: rolling`");
    }
    if let Some(smoke) = entry.value.get("smoke").filter(|_| service.port != Port::None) {
        findings
            .warning(
                smoke.place,
                format!(
                    "no route leads to `{}`, so its smoke tests are not asked as a client would",
                    entry.key
                ),
            )
            .help("add it to `edge.routes` or give it `ports`");
    }
}

/// With all replicas gone at once nobody answers until the new ones are ready.
fn check_stop_first(entry: &Entry, service: &Service, findings: &mut Findings) {
    // A fixed port leaves no choice, and what does not listen has no requests to lose.
    if matches!(service.port, Port::None | Port::Fixed(_)) {
        return;
    }
    let given = |key| entry.value.at(&["deploy", key]);
    let Some(written) = given("update_config").or_else(|| given("rollback_config")) else {
        return;
    };
    let count = match service.replicas {
        Replicas::Count(0) => return,
        Replicas::Count(count) => count,
        // One for each core; of a machine with one the same is true as of any service with one.
        Replicas::Max => 2,
    };
    let takes_all = |update: &Update| update.order == Order::StopFirst && update.portion(count) == count;
    let (when, key) = if takes_all(&service.update) {
        ("while it is updated", "update_config")
    } else if takes_all(&service.rollback) {
        ("while it goes back", "rollback_config")
    } else {
        return;
    };
    let place = given(key).unwrap_or(written).place;
    let all = if count == 1 {
        "its only replica is".to_owned()
    } else {
        "all its replicas are".to_owned()
    };
    let help = match (&service.strategy, key) {
        (Strategy::Canary(_), "update_config") => "write `order: start-first`: a canary is compared with what runs",
        (_, "update_config") => {
            "write `order: start-first` in `update_config`; where it is not said, Compose's is stop-first"
        }
        _ => "write `rollback_config` with `order: start-first`, or with a `parallelism`",
    };
    findings
        .warning(
            place,
            format!("`{}` answers nobody {when}: {all} stopped first", entry.key),
        )
        .help(help);
}
