//! Which certificates the stacks want. Pure: looks at what is known, at no file.

use std::collections::BTreeMap;

use tend_certificate::Names;
use tend_core::model::{Acme, CertificateFiles, Listener, StackName};
use tend_core::world::World;

use crate::daemon::way::Way;

/// What is wanted of all stacks together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// By the hosts of each: one certificate for one host, so that a host whose proof fails holds up no other.
    pub(crate) by_acme: BTreeMap<Names, WantedByAcme>,
    /// Given in files, in the order of the stacks and of their files.
    pub(crate) given: Vec<WantedGiven>,
    /// The edge serves what it was told last, so that answers to an authority can reach it.
    pub(crate) edge_serves: bool,
}

/// A certificate to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedByAcme {
    pub(crate) stack: StackName,
    pub(crate) acme: Acme,
    /// Where clients are to see it.
    pub(crate) seen_at: Vec<Way>,
}

/// A certificate that somebody else renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedGiven {
    pub(crate) stack: StackName,
    /// The user whose stack it is: nobody may have the edge show a certificate with a key that is not his.
    pub(crate) owner_uid: u32,
    pub(crate) files: CertificateFiles,
}

/// Returns what the stacks want at this moment.
pub(crate) fn wanted(world: &World) -> Wanted {
    let edge = &world.edge;
    let mut wanted = Wanted {
        edge_serves: edge.connected
            && edge.published.is_some()
            && edge.published_revision == world.revisions()
            && edge.serving >= edge.generation,
        ..Wanted::default()
    };
    for (name, of_stack) in &world.stacks {
        if of_stack.removing {
            continue;
        }
        let stack = world.stack_wanted(name).unwrap_or(&of_stack.stack);
        let tls = &stack.edge.tls;
        wanted.given.extend(tls.certificates.iter().map(|files| WantedGiven {
            stack: name.clone(),
            owner_uid: stack.source.owner_uid,
            files: files.clone(),
        }));
        // Nothing is asked of an authority whose terms nobody agreed to.
        let Some(acme) = tls.acme.as_ref().filter(|acme| acme.terms_agreed) else {
            continue;
        };
        let listeners: Vec<&Listener> = stack.edge.listeners.iter().filter(|listener| listener.tls).collect();
        let mut hosts = acme.names.clone();
        if hosts.is_empty() {
            let routes = stack.edge.routes.iter().filter(|route| {
                let at = |listener: &&Listener| route.listeners.contains(&listener.address);
                route.listeners.is_empty() || listeners.iter().any(at)
            });
            // A pattern is no name that an authority would look at.
            hosts.extend(
                routes
                    .filter_map(|route| route.host.clone())
                    .filter(|host| !host.starts_with('*')),
            );
        }
        let seen_at: Vec<Way> = listeners.iter().map(|listener| Way::to(listener)).collect();
        for host in hosts {
            let names: Names = [host].into_iter().collect();
            // Of two stacks that want the same, the first in order has its way.
            wanted.by_acme.entry(names).or_insert_with(|| WantedByAcme {
                stack: name.clone(),
                acme: acme.clone(),
                seen_at: seen_at.clone(),
            });
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn world(stacks: &[(&str, Value)]) -> World {
        let mut world = World::default();
        for (name, edge) in stacks {
            let stack = json!({
                "name": name,
                "source": { "files": ["/s/stack.yml"], "directory": "/s", "owner_uid": 7, "owner_gid": 7 },
                "services": {},
                "edge": edge,
            });
            let wanted = tend_core::world::Wanted {
                stack: serde_json::from_value(stack).unwrap(),
                revision: 1,
                adjustments: Default::default(),
                removing: false,
                doors: Default::default(),
            };
            world.stacks.insert(name.parse().unwrap(), wanted);
        }
        world
    }

    fn edge(acme: Value) -> Value {
        json!({
            "listeners": [
                { "address": "0.0.0.0:80" },
                { "address": "0.0.0.0:443", "tls": true, "proxy_protocol": true },
            ],
            "routes": [
                { "listeners": [], "host": "pay.example.com", "path_prefix": "/", "service": "api" },
                { "listeners": ["0.0.0.0:443"], "host": "api.example.com", "path_prefix": "/", "service": "api" },
                { "listeners": ["0.0.0.0:80"], "host": "plain.example.com", "path_prefix": "/", "service": "api" },
                { "listeners": [], "host": "*.example.com", "path_prefix": "/", "service": "api" },
                { "listeners": [], "host": null, "path_prefix": "/", "service": "api" },
            ],
            "tls": { "acme": acme, "certificates": [{ "chain": "/c.pem", "key": "/k.pem" }] },
        })
    }

    fn acme(names: &[&str], agreed: bool) -> Value {
        json!({
            "email": null, "directory": null, "staging_first": false, "challenge": "http-01",
            "names": names, "terms_agreed": agreed, "root": null,
        })
    }

    fn hosts(wanted: &Wanted) -> Vec<String> {
        wanted.by_acme.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn hosts_of_routes_at_listeners_with_tls_are_wanted_each_by_itself() {
        let found = wanted(&world(&[("a", edge(acme(&[], true)))]));
        assert_eq!(hosts(&found), ["api.example.com", "pay.example.com"]);
        let seen_at = &found.by_acme.values().next().unwrap().seen_at;
        assert_eq!(seen_at.len(), 1);
        assert!(seen_at[0].proxy_protocol && seen_at[0].address.port() == 443);
        assert_eq!(found.given.len(), 1);
        assert_eq!(found.given[0].owner_uid, 7);
        assert!(!found.edge_serves);
    }

    #[test]
    fn named_hosts_stand_for_those_of_routes() {
        let found = wanted(&world(&[("a", edge(acme(&["www.example.com"], true)))]));
        assert_eq!(hosts(&found), ["www.example.com"]);
    }

    #[test]
    fn nothing_is_asked_for_without_agreement_and_nothing_of_a_stack_that_goes() {
        assert_eq!(hosts(&wanted(&world(&[("a", edge(acme(&[], false)))]))), [""; 0]);
        let mut going = world(&[("a", edge(acme(&[], true)))]);
        going.stacks.values_mut().for_each(|of_stack| of_stack.removing = true);
        assert_eq!(wanted(&going), Wanted::default());
    }

    #[test]
    fn of_two_stacks_that_want_one_host_the_first_has_its_way() {
        let found = wanted(&world(&[
            ("b", edge(acme(&[], true))),
            ("a", edge(acme(&["pay.example.com"], true))),
        ]));
        let names: Names = ["pay.example.com"].into_iter().collect();
        assert_eq!(found.by_acme[&names].stack.as_str(), "a");
    }
}
