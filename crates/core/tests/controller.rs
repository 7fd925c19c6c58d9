//! The loop itself, with chapters that always want the same thing.

use std::sync::Arc;
use std::time::Duration;

use tend_base::{Mono, Now, Wall};
use tend_core::controller::{Chapter, Controller, Decision, Input};
use tend_core::journal::{Kind, Principal};
use tend_core::model::{ProbeAction, ReplicaId};
use tend_core::observed::{Phase, Replica};
use tend_core::plan::{ProbeKind, Step};
use tend_core::world::World;

type Chapters = Arc<[Box<dyn Chapter>]>;

/// Wants the same steps whatever happened.
struct Stubborn(Vec<Step>);

impl Chapter for Stubborn {
    fn decide(&self, _: &World, _: Now) -> Decision {
        Decision {
            steps: self.0.clone(),
            ..Decision::default()
        }
    }
}

fn id() -> ReplicaId {
    "s/a/1".parse().unwrap()
}

fn probe(incarnation: u64) -> Step {
    Step::Probe {
        replica: id(),
        incarnation,
        kind: ProbeKind::Readiness,
        action: ProbeAction::Tcp { port: None },
        port: None,
        timeout: Duration::from_secs(1),
    }
}

fn controller(world: World, chapters: Vec<Box<dyn Chapter>>) -> Controller<Chapters> {
    Controller::new(
        world,
        Arc::from(chapters),
        Principal::Daemon {
            pid: 1,
            build: "test".to_owned(),
        },
    )
}

fn running(incarnation: u64) -> World {
    let mut world = World::default();
    let phase = Phase::Running { pid: 7, since: Mono(0) };
    world.replicas.insert(
        id(),
        Replica {
            phase,
            incarnation,
            ..Replica::default()
        },
    );
    world
}

fn at(millis: u64) -> Now {
    Now {
        mono: Mono(millis * 1_000_000),
        wall: Wall(1_795_265_075_000 + millis),
    }
}

#[test]
fn a_number_that_the_edge_has_from_a_killed_daemon_is_not_given_again() {
    let connected = |now: Now| {
        let mut one = controller(World::default(), Vec::new());
        one.handle(Input::EdgeConnected { serving: 7 }, now);
        one
    };
    let mut second = connected(at(0));
    // Given out by the daemon before, which was killed before it wrote that down; the edge takes it up only now.
    second.handle(Input::EdgeServing { generation: 9 }, at(1));
    let edge = &second.world().edge;
    assert!(
        edge.generation > 9,
        "what this one says next must not carry that number"
    );
    assert!(edge.serving < edge.generation, "nor be believed to be served");

    // And when this one is killed just as early, the third begins elsewhere.
    let third = connected(at(20));
    let ahead = third.world().edge.generation - edge.generation;
    assert!((10..100).contains(&ahead), "{ahead}");

    let later = edge.generation + 1;
    second.handle(Input::EdgeServing { generation: later }, at(2));
    let edge = &second.world().edge;
    assert_eq!((edge.generation, edge.serving, &edge.published), (later, later, &None));
}

#[test]
fn a_step_is_not_performed_twice_at_once() {
    // Two chapters that want the same, each time they are asked.
    let mut controller = controller(
        running(1),
        vec![Box::new(Stubborn(vec![probe(1)])), Box::new(Stubborn(vec![probe(1)]))],
    );
    assert_eq!(controller.handle(Input::Tick, at(0)).steps, [probe(1)]);
    assert_eq!(controller.handle(Input::Tick, at(1)).steps, []);
    let outcome = |incarnation| Input::Probed {
        replica: id(),
        incarnation,
        kind: ProbeKind::Readiness,
        result: Ok(()),
    };
    assert_eq!(
        controller.handle(outcome(1), at(2)).steps,
        [probe(1)],
        "once the outcome is in it may be asked again"
    );
    assert_eq!(controller.handle(Input::Tick, at(3)).steps, []);
}

#[test]
fn every_step_that_is_recorded_is_written_before_and_after() {
    let step = Step::ReplaceShim {
        replica: id(),
        incarnation: 1,
    };
    let mut controller = controller(running(1), vec![Box::new(Stubborn(vec![step]))]);
    let begun = controller.handle(Input::Tick, at(0)).entries;
    assert_eq!(
        begun.iter().map(|entry| entry.kind.clone()).collect::<Vec<_>>(),
        [Kind::StepStarted]
    );
    let failed = Input::ShimReplaced {
        replica: id(),
        incarnation: 1,
        result: Err("fork failed".to_owned()),
    };
    let ended = controller.handle(failed, at(1)).entries;
    assert_eq!(ended[0].kind, Kind::StepFinished);
    assert_eq!(ended[0].data["outcome"], "failed");
    assert_eq!(ended[0].data["error"], "fork failed");
}

#[test]
fn news_of_an_earlier_life_changes_nothing() {
    let mut controller = controller(running(2), Vec::new());
    let before = controller.world().clone();
    let exit = tend_core::observed::Exit::Exited(1);
    for input in [
        Input::Exited {
            replica: id(),
            incarnation: 1,
            exit,
            lived: None,
            last_lines: Vec::new(),
        },
        Input::Started {
            replica: id(),
            incarnation: 1,
            result: Ok(9),
        },
        Input::ShimLost {
            replica: id(),
            incarnation: 1,
        },
        Input::Measured {
            replica: id(),
            incarnation: 1,
            memory: 9,
            cpu_permille: 9,
        },
        Input::Probed {
            replica: id(),
            incarnation: 1,
            kind: ProbeKind::Liveness,
            result: Err("no".to_owned()),
        },
    ] {
        let reaction = controller.handle(input.clone(), at(0));
        assert_eq!(controller.world().replicas, before.replicas, "{input:?}");
        assert!(reaction.entries.is_empty(), "{input:?}");
    }
}

#[test]
fn a_clock_that_is_slewed_did_not_jump() {
    let mut controller = controller(World::default(), Vec::new());
    let jumps = |controller: &mut Controller<Chapters>, mono: u64, wall: u64| {
        let now = Now {
            mono: Mono(mono * 1_000_000),
            wall: Wall(wall),
        };
        controller
            .handle(Input::Tick, now)
            .entries
            .iter()
            .map(|entry| entry.data["by_ms"].clone())
            .collect::<Vec<_>>()
    };
    assert!(jumps(&mut controller, 0, 1_000_000).is_empty());
    assert!(jumps(&mut controller, 1000, 1_001_900).is_empty());
    assert_eq!(jumps(&mut controller, 2000, 4_602_900), [3_600_000]);
    assert_eq!(jumps(&mut controller, 3000, 3_900), [-4_600_000]);
}
