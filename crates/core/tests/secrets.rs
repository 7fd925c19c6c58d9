//! Which version of a secret a definition names, and what another one means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tend_base::{Mono, Now, Wall};
use tend_core::controller::{Chapter, Controller, DocumentKind, Input};
use tend_core::deployment::Releases;
use tend_core::journal::Principal;
use tend_core::model::{
    Condition, DeployPolicy, Edge, Grant, Issued, Logs, Port, Process, Release, Replicas, Resources, RestartPolicy,
    SecretDelivery, Service, Stack, StackSource, Stop, Strategy, Update, WhenBehind, Workload, is_secret_name,
};
use tend_core::world::{Wanted, World};

fn grant(version: u64, delivery: SecretDelivery) -> Grant {
    Grant {
        secret: "db_password".to_owned(),
        version,
        also: None,
        delivery,
    }
}

fn service(secrets: Vec<Grant>) -> Service {
    Service {
        name: "api".parse().unwrap(),
        workload: Workload::Process(Process {
            command: vec!["./api".to_owned()],
            directory: "/srv".into(),
            environment: BTreeMap::new(),
            user: None,
            prepare: None,
            open_files_max: None,
            artifact: Vec::new(),
            artifact_digest: None,
        }),
        replicas: Replicas::Count(2),
        depends_on: Vec::new(),
        restart: RestartPolicy {
            condition: Condition::Always,
            delay: Duration::from_millis(100),
            delay_max: Duration::from_secs(30),
            max_attempts: 10,
            window: Duration::from_secs(1),
        },
        restart_schedule: None,
        liveness: None,
        readiness: None,
        start_period: Duration::from_secs(1),
        resources: Resources::default(),
        stop: Stop {
            signal: 15,
            grace_period: Duration::from_secs(10),
            drain: Stop::DRAIN,
        },
        logs: Logs {
            file_bytes_max: 1 << 20,
            files_max: 2,
            when_behind: WhenBehind::Drop,
        },
        port: Port::None,
        update: Update::default(),
        rollback: Update::default(),
        strategy: Strategy::default(),
        smoke: Vec::new(),
        quiesce: None,
        secrets,
        config: None,
        metrics: None,
    }
}

fn stack(version: u64) -> Stack {
    Stack {
        name: "mps".parse().unwrap(),
        source: StackSource {
            files: Vec::new(),
            directory: "/srv".into(),
            owner_uid: 0,
            owner_gid: 0,
        },
        services: [(
            "api".parse().unwrap(),
            service(vec![grant(version, SecretDelivery::Environment("DB".to_owned()))]),
        )]
        .into(),
        edge: Edge::default(),
        deploy: DeployPolicy::default(),
        config: Default::default(),
        vault: None,
        metrics: None,
        alerts: None,
        rotations: Default::default(),
    }
}

fn daemon() -> Principal {
    Principal::Daemon {
        pid: 1,
        build: "test".to_owned(),
    }
}

#[test]
fn another_version_is_another_definition_and_so_is_another_way() {
    let of = |version, delivery| service(vec![grant(version, delivery)]).fingerprint();
    let file = || SecretDelivery::File("db".to_owned());
    let all = [
        service(Vec::new()).fingerprint(),
        of(1, file()),
        of(2, file()),
        of(1, SecretDelivery::Environment("db".to_owned())),
        of(1, SecretDelivery::Descriptor(5)),
        of(1, SecretDelivery::Descriptor(6)),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{index}");
    }
    assert_eq!(of(1, file()), all[1]);
}

#[test]
fn an_earlier_release_is_given_the_secrets_of_now() {
    let name: tend_core::model::StackName = "mps".parse().unwrap();
    let release = |number, version| Release {
        number,
        file: stack(0),
        stack: stack(version),
        artifacts: BTreeMap::new(),
        configuration: String::new(),
        secrets: stack(version).secret_versions(),
        schema: Default::default(),
        made_at: Wall(0),
        made_by: daemon(),
        promoted_from: None,
    };
    let releases = Releases {
        running: Some(2),
        back: Some(1),
        kept: [(1, release(1, 1)), (2, release(2, 2))].into(),
        ..Releases::default()
    };
    let wanted = Wanted {
        stack: stack(2),
        revision: 1,
        adjustments: BTreeMap::new(),
        removing: false,
        doors: Default::default(),
    };
    let world = World {
        stacks: [(name.clone(), wanted)].into(),
        releases: [(name.clone(), releases)].into(),
        ..World::default()
    };
    let chapters: Arc<[Box<dyn Chapter>]> = Arc::from(Vec::new());
    let mut controller = Controller::new(world, chapters, daemon());
    let now = Now {
        mono: Mono(1),
        wall: Wall(1),
    };
    let tell = |controller: &mut Controller<Arc<[Box<dyn Chapter>]>>| {
        let input = Input::Secrets {
            stack: name.clone(),
            issued: [("db_password".to_owned(), 3.into()), ("other".to_owned(), 9.into())].into(),
            by: daemon(),
        };
        controller.handle(input, now).documents
    };
    let kept = tell(&mut controller);
    let world = controller.world();
    let three: BTreeMap<String, u64> = [("db_password".to_owned(), 3)].into();
    assert_eq!(world.stacks[&name].stack.secret_versions(), three);
    for release in world.releases[&name].kept.values() {
        assert_eq!(release.stack.secret_versions(), three, "release {}", release.number);
    }
    // What it was made with stays on record.
    assert_eq!(world.release(&name, 1).unwrap().secrets["db_password"], 1);
    let kinds: Vec<DocumentKind> = kept.iter().map(|document| document.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == DocumentKind::Release).count(), 2);
    assert!(kinds.contains(&DocumentKind::Stack));
    // The same once more changes nothing.
    assert_eq!(tell(&mut controller), []);
}

#[test]
fn a_definition_as_in_its_file_names_no_version() {
    assert_eq!(stack(7).as_in_file(), stack(0));
    assert_eq!(stack(7).secrets_named(), ["db_password"].into());
}

#[test]
fn names_of_secrets_are_narrow() {
    for name in ["db_password", "API-KEY.2", "7"] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in ["", "..", ".a", "a/b", "a b", "é"] {
        assert!(!is_secret_name(name), "{name}");
    }
}

#[test]
fn an_earlier_release_is_given_both_versions_of_a_rotation_and_never_the_retired_one() {
    let both = |version, also| {
        let issued = Issued {
            version,
            also: Some(also),
        };
        BTreeMap::from([("db_password".to_owned(), issued)])
    };
    let fingerprint = |stack: &Stack| stack.services.values().next().unwrap().fingerprint();
    let mut old = stack(1);
    let alone = fingerprint(&old);
    assert!(!old.give_secrets(&both(1, 2)).is_empty());
    let first = fingerprint(&old);
    assert!(
        old.give_secrets(&both(1, 2)).is_empty(),
        "the same once more changes nothing"
    );
    assert!(!old.give_secrets(&both(2, 1)).is_empty());
    let second = fingerprint(&old);
    assert!(
        alone != first && first != second && alone != second,
        "each is another start"
    );
    // However it was made, it has what is given now.
    let mut made_in_between = stack(2);
    made_in_between.give_secrets(&both(2, 1));
    let now = BTreeMap::from([("db_password".to_owned(), 2.into())]);
    for release in [&mut old, &mut made_in_between] {
        release.give_secrets(&now);
        assert_eq!(*release, stack(2));
    }
    assert_eq!(old.as_in_file(), stack(0));
}

#[test]
fn the_second_value_has_a_place_beside_the_first() {
    let beside = |delivery: SecretDelivery| delivery.beside().map(|beside| beside.to_string());
    for (delivery, text) in [
        (SecretDelivery::File("jwt".to_owned()), Some("the file `jwt.also`")),
        (
            SecretDelivery::Environment("JWT".to_owned()),
            Some("the variable `JWT_ALSO`"),
        ),
        (SecretDelivery::Descriptor(5), None),
    ] {
        assert_eq!(beside(delivery).as_deref(), text);
    }
}
