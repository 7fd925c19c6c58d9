//! How a replica is started: its command and environment with everything filled in that is known only now.

use tend_core::model::{Port, ReplicaId, Service, ServiceId, Workload};
use tend_core::plan::Launch;
use tend_core::world::World;

/// The address replicas and the edge's inner listeners listen on.
pub const LOOPBACK: &str = "127.0.0.1";

/// Returns how a replica is started, listening on `port`; none when it is not wanted or no process.
#[must_use]
pub fn launch(world: &World, replica: &ReplicaId, port: Option<u16>) -> Option<Launch> {
    let stack = world.stack_of(replica)?;
    let service = stack.services.get(&replica.service)?;
    let Workload::Process(process) = &service.workload else {
        return None;
    };
    let slot = replica.slot;
    let fill = |text: &str| fill_in(text, world, stack, service, slot);
    // What the file says of one service stands above what configuration says for all; values of the latter are taken as they are.
    let configuration = world.configuration_of(replica);
    let configured = configuration.and_then(|configuration| configuration.of(&service.name));
    let mut environment = configured.map(|with| with.variables.clone()).unwrap_or_default();
    environment.extend(
        process
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), fill(value))),
    );
    environment.insert("TEND_STACK".to_owned(), stack.name.to_string());
    environment.insert("TEND_SERVICE".to_owned(), service.name.to_string());
    environment.insert("TEND_SLOT".to_owned(), slot.to_string());
    environment.insert("TEND_REPLICA".to_owned(), replica.to_string());
    if let Some(release) = world.release_of(replica) {
        environment.insert("TEND_RELEASE".to_owned(), release.to_string());
    }
    for other in stack.services.values() {
        if let Some(url) = url(
            world,
            &ServiceId {
                stack: stack.name.clone(),
                service: other.name.clone(),
            },
        ) {
            environment.insert(format!("TEND_{}_URL", variable_part(other.name.as_str())), url);
        }
    }
    if let (Port::Variable(name), Some(port)) = (&service.port, port) {
        environment.insert(name.clone(), port.to_string());
    }
    Some(Launch {
        command: process.command.iter().map(|word| fill(word)).collect(),
        directory: process.directory.clone(),
        environment,
        user: process.user.clone(),
        owner: (stack.source.owner_uid, stack.source.owner_gid),
        port,
        port_form: service.port.clone(),
        resources: service.resources,
        logs: service.logs,
        open_files_max: process.open_files_max,
        fingerprint: world.fingerprint_for(replica, service),
        quiesce: service.quiesce.clone(),
        secrets: service
            .secrets
            .iter()
            .chain(configured.into_iter().flat_map(|with| &with.secrets))
            .cloned()
            .collect(),
        is_configured: service.config.is_some(),
        configuration: configuration.map_or(0, |configuration| configuration.revision),
        outside: configured.map(|with| with.outside.clone()).unwrap_or_default(),
    })
}

/// Returns the stable address of a service, at which the edge answers for whichever replica is ready.
fn url(world: &World, id: &ServiceId) -> Option<String> {
    let port = world.services.get(id)?.loopback_port?;
    Some(format!("http://{LOOPBACK}:{port}"))
}

/// Replaces the templates of Compose and ours that stand for what is known only at the start.
fn fill_in(text: &str, world: &World, stack: &tend_core::model::Stack, service: &Service, slot: u32) -> String {
    if !text.contains("{{") && !text.contains("${service.") {
        return text.to_owned();
    }
    let mut filled = text
        .replace("{{.Task.Slot}}", &slot.to_string())
        .replace("{{.Service.Name}}", service.name.as_str())
        .replace("{{.Task.Name}}", &format!("{}.{}.{slot}", stack.name, service.name));
    for other in stack.services.values() {
        let id = ServiceId {
            stack: stack.name.clone(),
            service: other.name.clone(),
        };
        if let Some(url) = url(world, &id) {
            filled = filled.replace(&format!("${{service.{}.url}}", other.name), &url);
        }
    }
    filled
}

/// Returns a service's name as part of a variable's name: `user-api` gives `USER_API`.
fn variable_part(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::state::tests::service;

    #[test]
    fn a_fingerprint_that_is_kept_means_the_same_to_a_later_version() {
        let mut service = service("api");
        assert_eq!(service.fingerprint(), 16_551_197_406_977_183_525);
        service.port = Port::Variable("PORT".to_owned());
        service.resources.memory_max = Some(64 << 20);
        service.resources.cpus_max = Some(0.5);
        if let Workload::Process(process) = &mut service.workload {
            process.environment.insert("MODE".to_owned(), "test".to_owned());
            process.prepare = Some(vec!["make".to_owned()]);
            process.user = Some("shop".to_owned());
        }
        assert_eq!(service.fingerprint(), 12_869_880_616_899_713_103);
    }
}
