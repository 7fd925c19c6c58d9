//! What the replicas of each service are started with because of a revision: what the controller has to know of it.
//!
//! Invariant: no secret is among it (test `no_secret_is_started_with`): secrets are granted by name and version.

use std::collections::BTreeMap;

use tend_core::configuration::Configuration;
use tend_core::model::DeliveryForm;

use crate::ask::{Ask, Asked, Taker};
use crate::error::Error;
use crate::render::{Given, environment, given};
use crate::revision::Revision;
use crate::schema::Schema;
use crate::value::Held;

/// Tells a replica that takes its configuration while it runs for which revision it was last started anew: some keys ask for that.
pub const STARTED_FOR: &str = "TEND_CONFIG_REVISION";

/// Returns what the services are started with. `asks` is what the revision asks of those that run; `before` what they are started with
/// now.
///
/// # Errors
/// When a value cannot be a variable.
pub fn started_with(
    schema: &Schema,
    revision: &Revision,
    takers: &[Taker],
    asks: &BTreeMap<String, Ask>,
    before: &Configuration,
) -> Result<Configuration, Error> {
    let mut started = Configuration {
        revision: revision.number,
        environment: BTreeMap::new(),
    };
    // What nobody may see is given by other ways, so its value is not asked for here.
    let plain: BTreeMap<_, _> = revision
        .entries
        .iter()
        .filter(|(_, entry)| matches!(entry.held, Held::Value(_)))
        .map(|(key, entry)| (key.clone(), entry.clone()))
        .collect();
    for taker in takers {
        let Ok(service) = taker.service.parse() else {
            continue;
        };
        let variables: BTreeMap<String, String> = match taker.delivery {
            DeliveryForm::Environment => {
                let given: BTreeMap<String, Given> = given(&plain, &taker.keys, &BTreeMap::new())?;
                let variables = environment(schema, &given)?.into_iter();
                variables
                    .map(|(name, value)| (name, value.expose().to_owned()))
                    .collect()
            }
            DeliveryForm::File { .. } | DeliveryForm::Watch => {
                let rolls = asks.get(&taker.service).is_some_and(|ask| ask.asked == Asked::Rolling);
                let last = before.of(&service).find(|(name, _)| *name == STARTED_FOR);
                let last = last.map(|(_, number)| number.clone());
                let number = if rolls { Some(revision.number.to_string()) } else { last };
                number
                    .map(|number| (STARTED_FOR.to_owned(), number))
                    .into_iter()
                    .collect()
            }
        };
        if !variables.is_empty() {
            started.environment.insert(service, variables);
        }
    }
    Ok(started)
}
