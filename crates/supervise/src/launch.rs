//! How a replica is started: its command and environment with everything filled in that is known only now.

use std::collections::BTreeMap;
use std::io;

use tend_core::model::{Port, Process, ReplicaId, Service, ServiceId, Workload};
use tend_core::plan::Launch;
use tend_core::world::{Wanted, World};

/// The address replicas and the edge's inner listeners listen on.
pub const LOOPBACK: &str = "127.0.0.1";

/// Returns a number that changes when a replica would have to be started anew for the definition to take effect.
///
/// How many replicas there are, when they restart and how they are probed takes effect without.
#[must_use]
pub fn fingerprint(service: &Service) -> u64 {
    let Workload::Process(process) = &service.workload else {
        return 0;
    };
    let mut hash = Fnv::default();
    serde_json::to_writer(&mut hash, &(process, &service.resources, &service.logs, &service.port))
        .expect("invariant: a definition has a JSON form, since the state keeps it in one");
    hash.0
}

/// FNV-1a, 64 bits: what it gives is kept in state and compared by later versions, so it must never depend on the toolchain's hasher.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl io::Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns how replica `slot` of a service is started, listening on `port`.
#[must_use]
pub fn launch(
    world: &World,
    wanted: &Wanted,
    service: &Service,
    process: &Process,
    slot: u32,
    port: Option<u16>,
) -> Launch {
    let stack = &wanted.stack;
    let fill = |text: &str| fill_in(text, world, stack, service, slot);
    let mut environment: BTreeMap<String, String> = process
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), fill(value)))
        .collect();
    let replica = ReplicaId {
        stack: stack.name.clone(),
        service: service.name.clone(),
        slot,
    };
    environment.insert("TEND_STACK".to_owned(), stack.name.to_string());
    environment.insert("TEND_SERVICE".to_owned(), service.name.to_string());
    environment.insert("TEND_SLOT".to_owned(), slot.to_string());
    environment.insert("TEND_REPLICA".to_owned(), replica.to_string());
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
    Launch {
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
        fingerprint: fingerprint(service),
    }
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
