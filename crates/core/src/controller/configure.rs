//! Folding in revisions of the configuration: kept whole, and what they change for replicas.

use std::collections::BTreeSet;

use serde_json::json;
use tend_base::Now;

use super::{Chapter, Controller, Reaction};
use crate::configuration::{Beside, Configuration, ConfigureWish};
use crate::journal::{Entry, Kind};
use crate::model::ServiceName;

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    /// Takes a revision, unless another was quicker or a deployment is under way, whose replicas are counted by what they were started
    /// with: who hands it in asks first, and here it is too late to.
    pub(super) fn configure(&mut self, wish: ConfigureWish, now: Now, reaction: &mut Reaction) {
        let ConfigureWish {
            stack,
            configuration,
            record,
            changes,
            forgotten,
            beside,
            by,
        } = wish;
        let before = self.world.configurations.get(&stack);
        let number = configuration.revision;
        if before == Some(&configuration) {
            // The same revision: nobody has to confirm it any more.
            self.dirty.revisions.insert((stack.clone(), number), Some(record));
            let entry = Entry::new(by, Kind::ConfigConfirmed).on(stack);
            reaction.entries.push(entry.with(json!({ "revision": number })));
            return;
        }
        if self.world.deployment(&stack).is_some() || number != before.map_or(1, Configuration::next) {
            return;
        }
        let of_before = |service: &ServiceName| before.and_then(|before| before.of(service));
        let renewed: BTreeSet<ServiceName> = configuration
            .services
            .keys()
            .chain(before.into_iter().flat_map(|before| before.services.keys()))
            .filter(|service| of_before(service) != configuration.of(service))
            .cloned()
            .collect();
        let beside = match beside {
            Beside::Deployment(deployment) if !self.is_deployable(&deployment) => return,
            beside => beside,
        };
        let revisions = &mut self.dirty.revisions;
        revisions.insert((stack.clone(), number), Some(record));
        revisions.extend(forgotten.into_iter().map(|number| ((stack.clone(), number), None)));
        self.change(&stack, &by, format!("configuration revision {number}"), now);
        let data = json!({ "revision": number, "changes": changes, "restarts": renewed });
        let entry = Entry::new(by.clone(), Kind::ConfigTaken).on(stack.clone()).with(data);
        if let Beside::Deployment(deployment) = beside {
            reaction.entries.push(entry);
            // What runs is left alone: it holds what was in force before until the deployment replaces it.
            self.deploy(*deployment, Some(configuration), now, reaction);
            return;
        }
        // What stood in the way of a start may have been a wrong value.
        for (id, replica) in &mut self.world.replicas {
            if id.stack == stack && renewed.contains(&id.service) {
                replica.begin_anew();
                self.dirty.replicas.insert(id.clone());
            }
        }
        self.world.configurations.insert(stack.clone(), configuration);
        self.dirty.configurations.insert(stack);
        reaction.entries.push(entry);
        if let Beside::Definition(definition) = beside {
            self.apply(*definition, by, now, reaction);
        }
    }
}
