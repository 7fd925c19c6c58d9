//! Which services take part, by profile.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Place;
use crate::yaml::{Node, Value};

/// Returns the profiles asked for; `*` is all.
pub(crate) fn active(given: &[String], variables: &BTreeMap<String, String>) -> BTreeSet<String> {
    let listed = variables
        .get("COMPOSE_PROFILES")
        .map(String::as_str)
        .unwrap_or_default();
    given
        .iter()
        .map(String::as_str)
        .chain(listed.split(','))
        .map(str::trim)
        .filter(|profile| !profile.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Takes the services out that no active profile names, and returns them with the place of their `profiles`.
pub(crate) fn choose(tree: &mut Node, active: &BTreeSet<String>) -> BTreeMap<String, Place> {
    let mut disabled = BTreeMap::new();
    if let Value::Map(top) = &mut tree.value
        && let Some(at) = top.position("services")
        && let Value::Map(services) = &mut top.0[at].value.value
    {
        services.0.retain(|entry| {
            let Some(profiles) = entry.value.get("profiles") else {
                return true;
            };
            let taken = profiles.items().is_empty()
                || active.contains("*")
                || profiles
                    .items()
                    .iter()
                    .filter_map(Node::as_text)
                    .any(|profile| active.contains(profile));
            if !taken {
                disabled.insert(entry.key.clone(), profiles.place);
            }
            taken
        });
        for service in &mut services.0 {
            drop_optional(&mut service.value, &disabled);
        }
    }
    disabled
}

/// Takes out what a service would wait for if it were there, and is not.
fn drop_optional(service: &mut Node, disabled: &BTreeMap<String, Place>) {
    if let Value::Map(keys) = &mut service.value
        && let Some(at) = keys.position("depends_on")
        && let Value::Map(dependencies) = &mut keys.0[at].value.value
    {
        dependencies.0.retain(|on| {
            let optional = on.value.get("required").and_then(Node::as_bool) == Some(false);
            !(optional && disabled.contains_key(&on.key))
        });
    }
}
