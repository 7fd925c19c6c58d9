//! Configuration in the simulator: revisions that come beside everything else, and what must hold of them.

use std::collections::BTreeMap;

use serde_json::json;
use tend_config::STARTED_FOR;
use tend_core::configuration::{Beside, Configuration, ConfigureWish, StartedWith};
use tend_core::controller::Input;
use tend_core::journal::Principal;
use tend_core::model::{ReplicaId, ServiceName, StackName};

use crate::host::Process;
use crate::invariants::{Context, Violation};
use crate::keeper::is_told;
use crate::random::Random;
use crate::run::Simulation;

type Rule = Result<(), Violation>;

/// The variables a revision gives, each with its number: a process that has two numbers has parts of two revisions.
const VARIABLES: [&str; 3] = ["LIMIT", "PRICE", "TTL"];

/// Revisions kept; those before are forgotten.
const KEPT: u64 = 3;

impl Simulation {
    /// Somebody changes the configuration of a stack, unless that is refused at the door: a deployment is under way.
    pub(crate) fn configure_wish(
        &mut self,
        stack: &StackName,
        services: &[ServiceName],
        by: Principal,
    ) -> Option<Input> {
        let world = self.world()?;
        if world.deployment(stack).is_some() {
            return None;
        }
        let before = world.configurations.get(stack).cloned().unwrap_or_default();
        let revision = before.next();
        let mut configured = before.services;
        let definition = self.scenario.stacks.iter().find(|known| known.name == *stack);
        let told: Vec<bool> = services
            .iter()
            .map(|service| {
                definition
                    .and_then(|stack| stack.services.get(service))
                    .is_some_and(is_told)
            })
            .collect();
        for (service, is_told) in services.iter().zip(told) {
            if is_told {
                // It is told while it runs, but for some keys, for which it is started anew.
                if self.random.chance(200) {
                    let variables = BTreeMap::from([(STARTED_FOR.to_owned(), revision.to_string())]);
                    let with = StartedWith {
                        variables,
                        ..StartedWith::default()
                    };
                    configured.insert(service.clone(), with);
                }
            } else if self.random.chance(500) {
                let with = StartedWith {
                    variables: variables(&mut self.random, revision),
                    ..StartedWith::default()
                };
                configured.insert(service.clone(), with);
            } else if self.random.chance(200) {
                configured.remove(service);
            }
        }
        Some(Input::Configure(Box::new(ConfigureWish {
            stack: stack.clone(),
            configuration: Configuration {
                revision,
                services: configured,
                last: 0,
            },
            record: json!({ "revision": revision }),
            changes: json!([]),
            forgotten: revision.checked_sub(KEPT).into_iter().collect(),
            beside: Beside::Nothing,
            by,
        })))
    }
}

fn variables(random: &mut Random, revision: u64) -> BTreeMap<String, String> {
    let count = random.number(1..VARIABLES.len() as u64 + 1) as usize;
    VARIABLES
        .into_iter()
        .take(count)
        .map(|name| (name.to_owned(), revision.to_string()))
        .collect()
}

/// What a replica is started with by configuration is of one revision.
pub(crate) fn a_replica_holds_one_revision(replica: &ReplicaId, environment: &BTreeMap<String, String>) -> Rule {
    let mut numbers = VARIABLES.into_iter().filter_map(|name| environment.get(name));
    let first = numbers.next();
    if let Some(other) = numbers.find(|number| Some(*number) != first) {
        let what = format!("{replica} is started with parts of revisions {first:?} and {other}");
        return Err(Violation::new("a_replica_holds_one_revision", what));
    }
    Ok(())
}

/// Returns whether a process has the variables that it would be started with now.
pub(crate) fn is_started_with(id: &ReplicaId, process: &Process, in_force: Option<&Configuration>) -> bool {
    let own = process.environment.iter();
    let own = own.filter(|(name, _)| VARIABLES.contains(&name.as_str()) || *name == STARTED_FOR);
    let with = in_force.and_then(|configuration| configuration.of(&id.service));
    own.eq(with.into_iter().flat_map(|with| &with.variables))
}

/// When nothing goes wrong any more, what runs was started with the revision that is in force. A service that is not at full strength is
/// not renewed: that would take away what is left.
pub(crate) fn what_runs_holds_the_revision_in_force(context: &Context<'_>) -> Rule {
    let world = context.world;
    let is_whole = |id: &ReplicaId| {
        let service = id.service_id();
        let mut replicas = world.replicas_of(&service);
        replicas.all(|(id, replica)| !world.is_wanted(id) || replica.is_ready())
    };
    let wanted = world.replicas.iter().filter(|(id, _)| world.is_wanted(id));
    for (id, replica) in wanted.filter(|(id, _)| is_whole(id)) {
        let process = context.host.processes.get(&replica.incarnation);
        let Some((_, process)) = world.definition(id).zip(process) else {
            continue;
        };
        let facts = world.services.get(&id.service_id());
        let prepare_failed = facts.is_some_and(|facts| facts.prepare_failure.is_some());
        if !prepare_failed && !is_started_with(id, process, world.configuration_of(id)) {
            let incarnation = replica.incarnation;
            let what = format!("{id} ({incarnation}) runs with another revision than the one in force");
            return Err(Violation::new("what_runs_holds_the_revision_in_force", what));
        }
    }
    Ok(())
}
