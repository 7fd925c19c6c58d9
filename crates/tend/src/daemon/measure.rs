//! Looking at what replicas use: where the kernel does not hold a memory limit, and while somebody looks at the figures.
//!
//! Costs nothing otherwise: with neither, no process is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tend_api::messages::Enforcement;
use tend_core::controller::Input;
use tend_core::model::ReplicaId;

use super::hub::Hub;
use super::shared::Shared;

/// A leak of 100 MB a second is caught within 500 MB; one look at a replica costs about 0.2 ms.
const EVERY: Duration = Duration::from_secs(2);

/// Somebody who looked this long ago still looks.
const LOOKING: Duration = Duration::from_secs(15);

struct Measured {
    replica: ReplicaId,
    incarnation: u64,
    pid: i32,
    memory_max: Option<u64>,
}

/// Starts looking.
pub(crate) fn start(shared: Arc<Shared>, hub: Hub) {
    tokio::spawn(async move {
        let mut before: BTreeMap<(ReplicaId, u64), (tend_base::Mono, Duration)> = BTreeMap::new();
        loop {
            tokio::time::sleep(EVERY).await;
            let now = super::now().mono;
            let looked = now.since(shared.looked_at()) < LOOKING && shared.looked_at().0 > 0;
            let polled = shared.limits.memory == Enforcement::Measured;
            let wanted = hub.ask(move |controller, _| {
                let world = controller.world();
                let replicas = world.replicas.iter().filter_map(|(id, replica)| {
                    let memory_max = world.definition(id).and_then(|service| service.resources.memory_max);
                    Some(Measured {
                        replica: id.clone(),
                        incarnation: replica.incarnation,
                        pid: i32::try_from(replica.pid()?).ok()?,
                        memory_max: memory_max.filter(|_| polled),
                    })
                });
                replicas
                    .filter(|measured| looked || measured.memory_max.is_some())
                    .collect::<Vec<_>>()
            });
            let wanted = wanted.await;
            before.retain(|(id, incarnation), _| {
                wanted
                    .iter()
                    .any(|measured| measured.replica == *id && measured.incarnation == *incarnation)
            });
            for measured in wanted {
                let Ok(tree) = tend_linux::process_tree(measured.pid) else {
                    continue;
                };
                // Resident size is never below the proportional one and much cheaper to read.
                let mut memory = tend_linux::memory_rss(&tree);
                if looked || measured.memory_max.is_some_and(|max| memory > max) {
                    memory = tend_linux::memory_pss(&tree);
                }
                let cpu = tend_linux::cpu_time(&tree);
                let key = (measured.replica.clone(), measured.incarnation);
                let permille = before.insert(key, (now, cpu)).map_or(0, |(then, earlier)| {
                    let passed = now.since(then).as_secs_f64().max(0.001);
                    (cpu.saturating_sub(earlier).as_secs_f64() / passed * 1000.0) as u32
                });
                let Measured {
                    replica, incarnation, ..
                } = measured;
                hub.input(Input::Measured {
                    replica,
                    incarnation,
                    memory,
                    cpu_permille: permille,
                })
                .await;
            }
        }
    });
}
