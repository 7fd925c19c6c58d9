//! What follows from the facts alone.

use std::collections::BTreeMap;

use tend_base::Mono;
use tend_core::model::{DeployPolicy, Edge, ReplicaId, Stack, StackSource};
use tend_core::observed::{Phase, Replica};
use tend_core::world::{Wanted, World};

fn world() -> World {
    let stack = Stack {
        name: "s".parse().unwrap(),
        source: StackSource {
            files: Vec::new(),
            directory: "/".into(),
            owner_uid: 0,
            owner_gid: 0,
        },
        services: BTreeMap::new(),
        edge: Edge::default(),
        deploy: DeployPolicy::default(),
        config: None,
        vault: None,
        metrics: None,
        alerts: None,
        rotations: Default::default(),
    };
    let mut world = World {
        ports: 20_000..20_004,
        ..World::default()
    };
    let wanted = Wanted {
        stack,
        revision: 1,
        adjustments: BTreeMap::new(),
        removing: false,
        doors: Default::default(),
    };
    world.stacks.insert("s".parse().unwrap(), wanted);
    world
}

#[test]
fn the_edge_is_never_pointed_at_a_replica_that_is_not_ready() {
    let (pid, since) = (7, Mono(0));
    let stopping = |signalled| Phase::Stopping {
        pid,
        since,
        signalled,
        killed: false,
    };
    // Phase, ready, and what the edge is told: nothing, to send requests, or to send no more.
    let cases = [
        (Phase::Absent, true, None),
        (Phase::Starting, true, None),
        (Phase::Running { pid, since }, false, None),
        (Phase::Running { pid, since }, true, Some(false)),
        (stopping(None), false, None),
        (stopping(None), true, Some(true)),
        (stopping(Some(since)), true, None),
        (Phase::Ended { at: since }, true, None),
    ];
    for (phase, ready, told) in cases {
        let mut world = world();
        let id: ReplicaId = "s/a/1".parse().unwrap();
        let ready_since = ready.then_some(since);
        let replica = Replica {
            phase: phase.clone(),
            ready_since,
            port: Some(20_000),
            incarnation: 3,
            ..Replica::default()
        };
        world.replicas.insert(id.clone(), replica.clone());
        let endpoints: Vec<_> = world.endpoints().into_values().flatten().collect();
        assert_eq!(
            endpoints.first().map(|endpoint| endpoint.draining),
            told,
            "{phase:?}, ready: {ready}"
        );
        // Without a port nobody can be sent there, and nothing is sent to what belongs to no stack.
        world.replicas.insert(
            id.clone(),
            Replica {
                port: None,
                ..replica.clone()
            },
        );
        assert!(world.endpoints().is_empty());
        world.replicas.insert(id, replica);
        world.stacks.clear();
        assert!(world.endpoints().is_empty());
    }
}

#[test]
fn a_port_once_taken_by_somebody_else_is_given_last() {
    let mut world = world();
    world.ports_avoided.insert(20_000);
    world.replicas.insert(
        "s/a/1".parse().unwrap(),
        Replica {
            port: Some(20_002),
            ..Replica::default()
        },
    );
    assert_eq!(world.free_ports().collect::<Vec<_>>(), [20_001, 20_003, 20_000]);
}
