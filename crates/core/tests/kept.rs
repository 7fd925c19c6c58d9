//! What is kept for the next daemon, and what that one does with it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tend_base::{Mono, Now, Wall};
use tend_core::configuration::{Beside, Configuration, ConfigureWish, StartedWith};
use tend_core::controller::{Chapter, Controller, Decision, DeployWish, DocumentKind, Input, Reaction, restore};
use tend_core::deployment::Purpose;
use tend_core::journal::{Kind, Principal};
use tend_core::model::{Quiesce, Release, ReplicaId, StackName};
use tend_core::observed::{Exit, Phase, StopReason};
use tend_core::plan::Step;
use tend_core::world::World;

const PORTS: Range<u16> = 20_000..20_010;

/// Wants the edge, always: something to see whether anything is decided.
struct Eager;

impl Chapter for Eager {
    fn decide(&self, _: &World, _: Now) -> Decision {
        Decision {
            steps: vec![Step::StartEdge],
            ..Decision::default()
        }
    }
}

fn now() -> Now {
    Now {
        mono: Mono(5_000_000_000),
        wall: Wall(1_795_265_075_000),
    }
}

fn controller(documents: Vec<(&str, &str, serde_json::Value)>) -> Controller<Arc<[Box<dyn Chapter>]>> {
    let documents = documents
        .into_iter()
        .map(|(kind, id, value)| (kind.to_owned(), id.to_owned(), value));
    let world = restore(2, PORTS, documents).unwrap();
    let chapters: Vec<Box<dyn Chapter>> = vec![Box::new(Eager)];
    Controller::new(
        world,
        Arc::from(chapters),
        Principal::Daemon {
            pid: 2,
            build: "test".to_owned(),
        },
    )
}

fn adopted(incarnation: u64) -> Input {
    Input::Adopted {
        replica: id(),
        incarnation,
        pid: 7,
        since: Mono(1),
        port: Some(20_001),
        fingerprint: 1,
        quiesce: None,
        shim_alive: true,
    }
}

fn id() -> ReplicaId {
    "s/a/1".parse().unwrap()
}

#[test]
fn nothing_is_decided_before_the_host_was_looked_at() {
    let mut controller = controller(Vec::new());
    assert_eq!(controller.handle(Input::Tick, now()).steps, []);
    assert_eq!(controller.handle(Input::EdgeConnected { serving: 0 }, now()).steps, []);
    assert_eq!(controller.handle(Input::Surveyed, now()).steps, [Step::StartEdge]);
}

#[test]
fn an_adopted_replica_is_as_it_was_kept() {
    let up = json!({ "incarnation": 4, "up": true, "ready": true, "was_ready": true });
    let mut ready = controller(vec![("replica", "s/a/1", up)]);
    ready.handle(adopted(4), now());
    assert!(
        ready.world().replicas[&id()].is_ready(),
        "it serves on until a probe says otherwise"
    );

    let told = json!({ "incarnation": 4, "up": true, "was_ready": true, "stopping": "restart", "signalled": true });
    let mut stopping = controller(vec![("replica", "s/a/1", told)]);
    stopping.handle(adopted(4), now());
    let replica = &stopping.world().replicas[&id()];
    assert!(matches!(
        replica.phase,
        Phase::Stopping {
            signalled: Some(_),
            killed: false,
            ..
        }
    ));
    assert_eq!(replica.stop_reason, Some(StopReason::Restart));

    let old = json!({ "incarnation": 3, "up": true, "ready": true, "was_ready": true, "stopping": "restart" });
    let mut newer = controller(vec![("replica", "s/a/1", old)]);
    newer.handle(adopted(4), now());
    let replica = &newer.world().replicas[&id()];
    assert!(
        matches!(replica.phase, Phase::Running { .. }),
        "what was kept was of the life before"
    );
    assert!(!replica.is_ready());
    assert_eq!(newer.world().incarnation_last, 4);
}

#[test]
fn an_end_is_told_once() {
    let up = json!({ "incarnation": 4, "up": true });
    let exit = || Input::Exited {
        replica: id(),
        incarnation: 4,
        exit: Exit::Exited(1),
        lived: None,
        last_lines: Vec::new(),
    };
    let cards = |controller: &mut Controller<_>, input| {
        let entries: Vec<_> = Controller::<Arc<[Box<dyn Chapter>]>>::handle(controller, input, now()).entries;
        entries.iter().filter(|entry| entry.kind == Kind::ReplicaExited).count()
    };
    let mut told = controller(vec![("stack", "s", stack()), ("replica", "s/a/1", up.clone())]);
    assert_eq!(cards(&mut told, exit()), 1);
    assert_eq!(cards(&mut told, exit()), 0);
    assert_eq!(cards(&mut told, Input::Surveyed), 0);
    assert_eq!(cards(&mut told, exit()), 0);

    let mut lost = controller(vec![("stack", "s", stack()), ("replica", "s/a/1", up)]);
    assert_eq!(
        cards(&mut lost, Input::Surveyed),
        1,
        "of what was up and is not found nobody knows how it ended"
    );
}

#[test]
fn a_life_that_a_later_one_followed_unseen_has_ended_too() {
    let up = json!({ "incarnation": 3, "up": true });
    let mut controller = controller(vec![("stack", "s", stack()), ("replica", "s/a/1", up)]);
    let told = controller.handle(adopted(4), now()).entries;
    let ended: Vec<_> = told
        .iter()
        .filter(|entry| entry.kind == Kind::ReplicaExited)
        .map(|entry| entry.subject.incarnation)
        .collect();
    assert_eq!(ended, [Some(3)]);
    let replica = &controller.world().replicas[&id()];
    assert_eq!(replica.incarnation, 4);
    assert!(matches!(replica.phase, Phase::Running { .. }), "{:?}", replica.phase);
}

#[test]
fn of_a_life_that_ended_it_is_known_what_it_ran() {
    let mut first = controller(vec![("stack", "s", stack())]);
    first.handle(adopted(4), now());
    let exited = Input::Exited {
        replica: id(),
        incarnation: 4,
        exit: Exit::Exited(0),
        lived: None,
        last_lines: Vec::new(),
    };
    let reaction = first.handle(exited, now());
    let kept = reaction.documents.into_iter().find(|document| document.id == "s/a/1");
    let next = controller(vec![("replica", "s/a/1", kept.unwrap().value.unwrap())]);
    assert_eq!(next.world().replicas[&id()].fingerprint, 1);
}

#[test]
fn how_a_life_nobody_wrote_down_is_emptied_is_told_by_what_is_found() {
    let how = |path: &str| Quiesce {
        path: path.to_owned(),
        in_flight_path: "/in-flight".to_owned(),
        in_flight_metric: None,
        deadline: Duration::from_secs(5),
    };
    let found = |quiesce: Option<Quiesce>| match adopted(4) {
        Input::Adopted {
            replica,
            incarnation,
            pid,
            since,
            port,
            fingerprint,
            shim_alive,
            ..
        } => Input::Adopted {
            replica,
            incarnation,
            pid,
            since,
            port,
            fingerprint,
            quiesce,
            shim_alive,
        },
        other => other,
    };
    let kept = json!({ "incarnation": 4, "up": true, "quiesce": how("/kept") });
    let before = json!({ "incarnation": 3, "up": true, "quiesce": how("/before") });
    for (document, told, then) in [
        (None, Some("/found"), Some("/found")),
        (None, None, None),
        (Some(before.clone()), Some("/found"), Some("/found")),
        // A shim of an earlier version does not tell.
        (Some(before), None, Some("/before")),
        // What was written down of this very life may be newer: the file may change in nothing but that.
        (Some(kept), Some("/found"), Some("/kept")),
    ] {
        let documents = document.map(|document| ("replica", "s/a/1", document));
        let mut controller = controller(documents.into_iter().collect());
        controller.handle(found(told.map(how)), now());
        let quiesce = &controller.world().replicas[&id()].quiesce;
        assert_eq!(*quiesce, then.map(how), "told {told:?}");
    }
}

#[test]
fn a_document_of_another_version_is_read_or_named() {
    let kept = |kind: &str, id: &str, value| restore(1, PORTS, [(kind.to_owned(), id.to_owned(), value)]);
    let world = kept("replica", "s/a/1", json!({ "incarnation": 7, "colour": "blue" })).unwrap();
    assert_eq!((world.replicas[&id()].incarnation, world.incarnation_last), (7, 7));
    assert!(kept("galaxy", "x", json!({})).is_ok());
    let error = kept("replica", "s/a/1", json!({ "incarnation": "seven" })).unwrap_err();
    assert!(error.contains("the kept replica `s/a/1` cannot be read"), "{error}");
    assert!(kept("replica", "nobody", json!({})).is_err());
    assert!(kept("stack", "s", json!({})).is_err());
    assert_eq!(
        kept("machine", "machine", json!({ "incarnation_last": 9 }))
            .unwrap()
            .incarnation_last,
        9
    );
}

fn stack() -> serde_json::Value {
    json!({
        "stack": {
            "name": "s",
            "source": { "files": [], "directory": "/", "owner_uid": 0, "owner_gid": 0 },
            "services": {},
            "edge": { "listeners": [], "routes": [] },
        },
        "revision": 1,
        "adjustments": {},
        "removing": false,
    })
}

#[test]
fn a_revision_is_kept_whole_and_one_that_comes_late_is_not_taken() {
    let mut controller = controller(vec![("stack", "s", stack())]);
    let wish = |revision: u64, limit: u64, forgotten: Vec<u64>| {
        let with = StartedWith {
            variables: BTreeMap::from([("LIMIT".to_owned(), limit.to_string())]),
            ..StartedWith::default()
        };
        Input::Configure(Box::new(ConfigureWish {
            stack: "s".parse().unwrap(),
            configuration: Configuration {
                revision,
                services: BTreeMap::from([("a".parse().unwrap(), with)]),
                last: 0,
            },
            record: json!({ "whole": revision, "limit": limit }),
            changes: json!([{ "key": "limit", "to": revision }]),
            forgotten,
            beside: Beside::Nothing,
            by: Principal::Daemon {
                pid: 2,
                build: "test".to_owned(),
            },
        }))
    };
    let kept = |reaction: Reaction| -> Vec<(String, String, Value)> {
        let documents = reaction.documents.into_iter();
        let documents = documents.filter(|document| document.kind != DocumentKind::Stack);
        documents
            .map(|document| {
                let value = document.value.unwrap_or(Value::Null);
                (document.kind.as_str().to_owned(), document.id, value)
            })
            .collect()
    };
    let first = controller.handle(wish(1, 1, Vec::new()), now());
    let taken = first.entries.iter().find(|entry| entry.kind == Kind::ConfigTaken);
    let taken = &taken.expect("it is in the journal").data;
    assert_eq!(
        *taken,
        json!({ "revision": 1, "changes": [{ "key": "limit", "to": 1 }], "restarts": ["a"] })
    );
    let first = kept(first);
    let second = controller.handle(wish(1, 2, Vec::new()), now());
    assert_eq!(
        (second.entries, second.documents),
        (Vec::new(), Vec::new()),
        "somebody was quicker"
    );
    // The same once more is what was taken with another record: it was confirmed.
    let confirmed = controller.handle(wish(1, 1, Vec::new()), now());
    assert_eq!(confirmed.entries[0].kind, Kind::ConfigConfirmed);
    assert_eq!(confirmed.documents.len(), 1, "{:?}", confirmed.documents);
    let second = kept(controller.handle(wish(2, 2, vec![1]), now()));
    assert!(
        second.contains(&("revision".to_owned(), "s/1".to_owned(), Value::Null)),
        "{second:?}"
    );
    assert!(second.contains(&(
        "revision".to_owned(),
        "s/2".to_owned(),
        json!({ "whole": 2, "limit": 2 })
    )));

    let world = restore(2, PORTS, first).unwrap();
    let found = &world.configurations[&"s".parse().unwrap()];
    assert_eq!(found.revision, 1);
    let with = found.of(&"a".parse().unwrap()).unwrap();
    assert_eq!(with.variables["LIMIT"], "1");
}

#[test]
fn a_definition_that_comes_with_a_revision_is_in_force_with_it_and_stays_when_that_is_late() {
    let mut controller = controller(vec![("stack", "s", stack())]);
    let name: StackName = "s".parse().unwrap();
    let before = controller.world().stacks[&name].stack.clone();
    let mut after = before.clone();
    after.source.directory = "/elsewhere".into();
    let wish = |revision: u64| {
        Input::Configure(Box::new(ConfigureWish {
            stack: "s".parse().unwrap(),
            configuration: Configuration {
                revision,
                services: BTreeMap::new(),
                last: 0,
            },
            record: json!({}),
            changes: json!([]),
            forgotten: Vec::new(),
            beside: Beside::Definition(Box::new(after.clone())),
            by: Principal::Daemon {
                pid: 2,
                build: "test".to_owned(),
            },
        }))
    };
    let kinds = |reaction: &Reaction| {
        reaction
            .entries
            .iter()
            .map(|entry| entry.kind.clone())
            .collect::<Vec<_>>()
    };
    let late = controller.handle(wish(2), now());
    assert!(kinds(&late).is_empty(), "it is not the next one");
    assert_eq!(controller.world().stacks[&name].stack, before);
    // Both in one reaction, and so in one transaction: no replica is started between them.
    let taken = controller.handle(wish(1), now());
    assert_eq!(kinds(&taken), [Kind::ConfigTaken, Kind::StackApplied]);
    assert_eq!(controller.world().stacks[&name].stack, after);
    let kept = taken.documents.iter().map(|document| document.kind);
    assert!(kept.filter(|kind| *kind == DocumentKind::Stack).count() == 1);
}

#[test]
fn a_deployment_and_its_revision_are_taken_together_and_undone_together() {
    let configured = |limit: &str| {
        let with = StartedWith {
            variables: BTreeMap::from([("LIMIT".to_owned(), limit.to_owned())]),
            ..StartedWith::default()
        };
        BTreeMap::from([("a".parse().unwrap(), with)])
    };
    let before = json!(Configuration {
        revision: 1,
        services: configured("1"),
        last: 0,
    });
    let mut controller = controller(vec![("stack", "s", stack()), ("configuration", "s", before)]);
    let name: StackName = "s".parse().unwrap();
    let by = || Principal::Daemon {
        pid: 2,
        build: "test".to_owned(),
    };
    let wanted = controller.world().stacks[&name].stack.clone();
    let release = |number: u64| Release {
        number,
        configuration: String::new(),
        secrets: BTreeMap::new(),
        file: wanted.clone(),
        stack: wanted.clone(),
        artifacts: BTreeMap::new(),
        schema: Default::default(),
        made_at: now().wall,
        made_by: by(),
        promoted_from: None,
    };
    let wish = |number: u64| {
        Input::Configure(Box::new(ConfigureWish {
            stack: "s".parse().unwrap(),
            configuration: Configuration {
                revision: 2,
                services: configured("2"),
                last: 0,
            },
            record: json!({ "whole": 2 }),
            changes: json!([]),
            forgotten: Vec::new(),
            beside: Beside::Deployment(Box::new(DeployWish {
                stack: "s".parse().unwrap(),
                baseline: None,
                release: Some(release(number)),
                target: number,
                purpose: Purpose::Deploy,
                confirm: None,
                by: by(),
                reason: None,
            })),
            by: by(),
        }))
    };
    let refused = controller.handle(wish(7), now());
    assert_eq!(
        (refused.entries, refused.documents),
        (Vec::new(), Vec::new()),
        "what is refused of the one refuses the other"
    );
    let taken = controller.handle(wish(1), now());
    let kinds: Vec<_> = taken.entries.iter().map(|entry| entry.kind.clone()).collect();
    assert_eq!(kinds[..3], [Kind::ConfigTaken, Kind::ReleaseMade, Kind::DeployStarted]);
    let limit = |configuration: Option<&Configuration>| {
        let with = configuration.and_then(|configuration| configuration.of(&"a".parse().unwrap()));
        with.map(|with| with.variables["LIMIT"].clone())
    };
    let world = controller.world();
    assert_eq!(limit(world.configurations.get(&name)).as_deref(), Some("1"));
    assert_eq!(limit(world.configuration_of_target(&name)).as_deref(), Some("2"));

    // Taken down, it is undone; that one is committed is seen end to end.
    let ended = controller.handle(
        Input::Remove {
            stack: name.clone(),
            by: by(),
        },
        now(),
    );
    let forgotten = ended
        .documents
        .iter()
        .find(|document| document.kind == DocumentKind::Revision);
    assert!(forgotten.is_some_and(|document| document.id == "s/2" && document.value.is_none()));
    let in_force = &controller.world().configurations[&name];
    assert_eq!(
        (in_force.revision, in_force.next()),
        (1, 3),
        "its number is not given again"
    );
}
