//! What a run starts from: stacks, how their processes behave, which faults befall them. Made from the seed alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use tend_core::model::{
    Condition, Dependency, DependencyCondition, DeployPolicy, Edge, Listener, Logs, Port, Probe, ProbeAction, Process,
    Quiesce, Replicas, Resources, RestartPolicy, Route, RoutePolicy, Schedule, Service, ServiceId, ServiceName, Stack,
    StackName, StackSource, Stop, Strategy, Update, WhenBehind, Workload,
};

use crate::random::Random;

/// What can go wrong, beside what people ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A replica ends by itself, by a signal, or for want of memory.
    ReplicaExits,
    /// A replica does not answer for a while.
    ReplicaHangs,
    /// A replica uses ever more memory.
    ReplicaLeaks,
    /// A replica answers now well and now badly.
    ProbeFlaps,
    /// Starts fail for a while.
    StartsFail,
    /// A port is taken by somebody else for a while.
    PortTaken,
    /// The daemon is killed at any moment.
    DaemonKilled,
    /// The daemon is killed right after one of the next steps was performed.
    DaemonKilledAfterStep,
    /// A shim is killed.
    ShimKilled,
    /// The edge is killed.
    EdgeKilled,
    /// The edge cannot be told of snapshots, shims cannot be replaced, kills fail, for a while.
    ActsFail,
    /// The time of day jumps.
    ClockJumps,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 12] = [
        Fault::ReplicaExits,
        Fault::ReplicaHangs,
        Fault::ReplicaLeaks,
        Fault::ProbeFlaps,
        Fault::StartsFail,
        Fault::PortTaken,
        Fault::DaemonKilled,
        Fault::DaemonKilledAfterStep,
        Fault::ShimKilled,
        Fault::EdgeKilled,
        Fault::ActsFail,
        Fault::ClockJumps,
    ];
}

/// How the processes of one service behave.
#[derive(Clone, Debug)]
pub struct Profile {
    /// From its start to the first good answer.
    pub warm_up_ms: Range<u64>,
    /// From the stop signal to its end.
    pub stop_ms: Range<u64>,
    /// So many of a thousand processes do not heed the stop signal.
    pub ignores_stop: u64,
    /// It ends by itself after this time: a job.
    pub job_ms: Option<Range<u64>>,
    /// So many of a thousand processes end badly soon after their start, while faults are on.
    pub crashes_early: u64,
    /// How long one thing in flight takes once no new work is taken, milliseconds; none when that never ends.
    pub work_ms: Option<Range<u64>>,
    /// So many of a thousand prepare commands fail, while faults are on.
    pub prepare_fails: u64,
}

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chapter {
    /// Stacks come, change and go.
    Supervise,
    /// The same, and releases are deployed and taken back.
    Deploy,
    /// The same, and configuration changes.
    Config,
    /// Something else: alerts come and go, and receivers are told.
    Alert,
}

impl Chapter {
    /// All of them, with their names on the command line.
    pub const ALL: [(&'static str, Self); 4] = [
        ("supervise", Self::Supervise),
        ("deploy", Self::Deploy),
        ("config", Self::Config),
        ("alert", Self::Alert),
    ];

    /// Returns whether releases are deployed in it.
    pub(crate) fn deploys(self) -> bool {
        self != Self::Supervise
    }
}

/// What a run starts from.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is about.
    pub chapter: Chapter,
    /// What people apply.
    pub stacks: Vec<Stack>,
    /// How the processes behave.
    pub profiles: BTreeMap<ServiceId, Profile>,
    /// What goes wrong.
    pub faults: BTreeSet<Fault>,
    /// From one fault to the next, milliseconds.
    pub fault_ms: Range<u64>,
    /// From one wish to the next, milliseconds.
    pub wish_ms: Range<u64>,
    /// So many of a thousand wishes change the configuration, in the chapter about it.
    pub configure_chance: u64,
    /// How long faults and wishes go on.
    pub trouble: Duration,
    /// How long after a transaction was handed in it is durable, milliseconds.
    pub durable_ms: Range<u64>,
}

/// Processors of the machine of every run.
pub(crate) const CORES: u32 = 2;

/// Ports that may be given out: few, so that they run short at times.
pub(crate) const PORTS: Range<u16> = 20_000..20_040;

/// Memory of a replica that does not leak, bytes.
pub(crate) const MEMORY: u64 = 50 << 20;

/// The limit of services that have one, bytes.
pub(crate) const MEMORY_MAX: u64 = 100 << 20;

impl Scenario {
    /// Makes the scenario of a seed.
    pub fn new(chapter: Chapter, random: &mut Random) -> Self {
        let mut profiles = BTreeMap::new();
        let mut stacks: Vec<Stack> = (0..random.number(1..3))
            .map(|number| stack(random, number, &mut profiles))
            .collect();
        if chapter.deploys() {
            for service in stacks.iter_mut().flat_map(|stack| stack.services.values_mut()) {
                service.update = crate::deploys::update(random);
                service.rollback = Update {
                    parallelism: 0,
                    ..service.update
                };
            }
        }
        if chapter == Chapter::Config {
            crate::keeper::forms(random, &mut stacks);
        }
        // One run in eight knows only wishes: what must hold without faults is not to be excused by them.
        let faults = if random.chance(125) {
            BTreeSet::new()
        } else {
            let often = *random.pick(&[150, 400, 800]);
            Fault::ALL.into_iter().filter(|_| random.chance(often)).collect()
        };
        Self {
            chapter,
            stacks,
            profiles,
            faults,
            fault_ms: random.pick(&[50..800, 200..4000, 1000..15_000]).clone(),
            wish_ms: random.pick(&[100..3000, 1000..15_000, 5000..30_000]).clone(),
            configure_chance: 500,
            trouble: random.millis(20_000..90_000),
            durable_ms: random.pick(&[0..1, 0..6, 1..40]).clone(),
        }
    }
}

fn stack(random: &mut Random, number: u64, profiles: &mut BTreeMap<ServiceId, Profile>) -> Stack {
    let name: StackName = format!("s{number}").parse().expect("a stack name");
    let mut services: BTreeMap<ServiceName, Service> = BTreeMap::new();
    let mut edge = Edge::default();
    for letter in ["a", "b", "c", "d"]
        .into_iter()
        .take(usize::try_from(random.number(1..5)).expect("few"))
    {
        let job = random.chance(200);
        let fixed = (31_000 + 100 * number) as u16 + u16::from(letter.as_bytes()[0]);
        let mut service = service(random, letter.parse().expect("a service name"), job, fixed);
        for earlier in services.values().filter(|_| random.chance(350)).collect::<Vec<_>>() {
            service.depends_on.push(dependency(random, earlier));
        }
        if service.port != Port::None && random.chance(600) {
            let port = 8000 + 10 * number as u16;
            let listener = format!("127.0.0.1:{port}").parse().expect("an address");
            edge.listeners = vec![Listener::plain(listener)];
            edge.routes.push(Route {
                listeners: Vec::new(),
                host: None,
                path_prefix: format!("/{letter}"),
                service: Some(service.name.clone()),
                policy: RoutePolicy::default(),
            });
        }
        let id = ServiceId {
            stack: name.clone(),
            service: service.name.clone(),
        };
        profiles.insert(id, profile(random, job));
        services.insert(service.name.clone(), service);
    }
    Stack {
        name,
        source: StackSource {
            files: vec!["/s/stack.yml".into()],
            directory: "/s".into(),
            owner_uid: 1000,
            owner_gid: 1000,
        },
        services,
        edge,
        deploy: DeployPolicy::default(),
        config: None,
        vault: None,
        metrics: None,
        alerts: None,
        rotations: Default::default(),
    }
}

fn dependency(random: &mut Random, on: &Service) -> Dependency {
    let is_job = on.restart.condition != Condition::Always;
    let condition = match (is_job, random.chance(500)) {
        (true, true) => DependencyCondition::CompletedSuccessfully,
        (false, true) => DependencyCondition::Healthy,
        (_, false) => DependencyCondition::Started,
    };
    Dependency {
        service: on.name.clone(),
        condition,
        restart: false,
        required: random.chance(800),
    }
}

fn service(random: &mut Random, name: ServiceName, job: bool, fixed: u16) -> Service {
    let port = match random.number(0..6) {
        _ if job => Port::None,
        0 => Port::None,
        1 => Port::Fixed(fixed),
        2 => Port::Descriptor(3),
        _ => Port::Variable("PORT".to_owned()),
    };
    let single = matches!(port, Port::Fixed(_)) || job;
    let replicas = match random.number(0..6) {
        _ if single => Replicas::Count(1),
        0 => Replicas::Max,
        count => Replicas::Count(count.min(4) as u32),
    };
    let first = random.millis(50..1000);
    let quiesce = (port != Port::None && random.chance(300)).then(|| Quiesce {
        path: "/quiesce".to_owned(),
        in_flight_path: "/in-flight".to_owned(),
        in_flight_metric: None,
        deadline: random.millis(1000..8000),
    });
    Service {
        name,
        workload: Workload::Process(Process {
            command: vec!["serve".to_owned()],
            directory: "/s".into(),
            environment: BTreeMap::from([("VERSION".to_owned(), "1".to_owned())]),
            user: None,
            prepare: random.chance(200).then(|| vec!["build".to_owned()]),
            open_files_max: None,
            artifact: Vec::new(),
            artifact_digest: None,
        }),
        replicas,
        depends_on: Vec::new(),
        restart: RestartPolicy {
            condition: match job {
                true => *random.pick(&[Condition::Never, Condition::OnFailure]),
                false => Condition::Always,
            },
            delay: *random.pick(&[Duration::ZERO, first, first, first]),
            delay_max: first + random.millis(0..8000),
            max_attempts: random.number(0..6) as u32,
            window: random.millis(0..4000),
        },
        restart_schedule: (!job && random.chance(150)).then(|| Schedule::Every(random.millis(8000..40_000))),
        liveness: random.chance(500).then(|| probe(random)),
        readiness: (!job && random.chance(700)).then(|| probe(random)),
        start_period: random.millis(0..2000),
        resources: Resources {
            memory_max: random.chance(500).then_some(MEMORY_MAX),
            ..Resources::default()
        },
        stop: Stop {
            signal: 15,
            grace_period: random.millis(200..4000),
            drain: Duration::from_secs(10),
        },
        logs: Logs {
            file_bytes_max: 1 << 20,
            files_max: 2,
            when_behind: WhenBehind::Drop,
        },
        port,
        update: Update::default(),
        rollback: Update::default(),
        strategy: Strategy::default(),
        smoke: Vec::new(),
        quiesce,
        secrets: Vec::new(),
        config: None,
        metrics: None,
    }
}

fn probe(random: &mut Random) -> Probe {
    Probe {
        action: ProbeAction::Tcp { port: None },
        interval: random.millis(300..4000),
        timeout: random.millis(100..1500),
        retries: random.number(1..4) as u32,
        start_period: random.millis(0..3000),
        start_interval: random.millis(50..500),
    }
}

fn profile(random: &mut Random, job: bool) -> Profile {
    Profile {
        warm_up_ms: random.pick(&[1..20, 20..400, 300..2500]).clone(),
        stop_ms: random.pick(&[1..10, 10..1000, 1000..6000]).clone(),
        ignores_stop: *random.pick(&[0, 0, 100, 1000]),
        job_ms: job.then(|| random.pick(&[1..50, 500..3000]).clone()),
        crashes_early: *random.pick(&[0, 0, 200, 900]),
        prepare_fails: *random.pick(&[0, 300]),
        work_ms: random
            .pick(&[Some(1..50), Some(100..2000), Some(1000..8000), None])
            .clone(),
    }
}
