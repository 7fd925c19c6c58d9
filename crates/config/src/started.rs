//! What the replicas of each service are started with because of a revision: what the controller has to know of it.
//!
//! Invariant: no secret is among it (test `no_secret_is_started_with`): those of the store are granted by name and version, of others there
//! is a mark.

use std::collections::BTreeMap;

use tend_core::configuration::{Configuration, StartedWith};
use tend_core::model::{DeliveryForm, Grant, SecretDelivery};

use crate::ask::{Ask, Asked, Taker};
use crate::error::Error;
use crate::render::{Given, environment, given, variable};
use crate::revision::Revision;
use crate::schema::Schema;
use crate::set::Entry;
use crate::value::{Held, SecretVersion};

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
    let mut services = BTreeMap::new();
    for taker in takers {
        let Ok(service) = taker.service.parse() else {
            continue;
        };
        let mut with = StartedWith::default();
        match taker.delivery {
            DeliveryForm::Environment => {
                let given: BTreeMap<String, Given> = given(&plain(revision), &taker.keys, &BTreeMap::new())?;
                let variables = environment(schema, &given)?.into_iter();
                with.variables = variables
                    .map(|(name, value)| (name, value.expose().to_owned()))
                    .collect();
            }
            DeliveryForm::File { .. } | DeliveryForm::Watch => {
                let rolls = asks.get(&taker.service).is_some_and(|ask| ask.asked == Asked::Rolling);
                let last = before.of(&service).and_then(|with| with.variables.get(STARTED_FOR));
                let number = if rolls {
                    Some(revision.number.to_string())
                } else {
                    last.cloned()
                };
                with.variables
                    .extend(number.map(|number| (STARTED_FOR.to_owned(), number)));
            }
        }
        // A file is written anew when a secret in it is another; everybody else has it from its start.
        if !matches!(taker.delivery, DeliveryForm::File { .. }) {
            for (key, secret) in revision.secrets().filter(|(key, _)| taker.keys.covers(key, true)) {
                let variable = variable(schema, key);
                match &secret.version {
                    SecretVersion::Stored(version) => with.secrets.push(Grant {
                        also: None,
                        secret: secret.name.clone(),
                        version: *version,
                        delivery: SecretDelivery::Environment(variable),
                    }),
                    SecretVersion::Outside(mark) => {
                        with.outside.insert(variable, mark.clone());
                    }
                }
            }
        }
        if !with.is_empty() {
            services.insert(service, with);
        }
    }
    Ok(Configuration {
        revision: revision.number,
        services,
        last: 0,
    })
}

/// Returns what everybody may see of a revision.
fn plain(revision: &Revision) -> BTreeMap<String, Entry> {
    let entries = revision.entries.iter();
    let plain = entries.filter(|(_, entry)| matches!(entry.held, Held::Value(_)));
    plain.map(|(key, entry)| (key.clone(), entry.clone())).collect()
}
