//! Deploys in the simulator: who wants one, what its acts come to, how a bad release behaves, and what must hold meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tend_base::Wall;
use tend_core::controller::{DeployWish, Input, Word};
use tend_core::deployment::{Act, Deployment, Ending, Exposure, Phase, Purpose, Stage};
use tend_core::journal::{Entry, Kind, Principal};
use tend_core::model::{
    FailureAction, MigrationClass, Order, Port, Release, ReplicaId, Service, ServiceId, Stack, StackName, Update,
    Workload,
};
use tend_core::observed::{Endpoints, Exit, StopReason};
use tend_core::plan::Step;
use tend_core::world::World;

use crate::invariants::{Context, Violation};
use crate::monitor;
use crate::random::Random;
use crate::run::{Event, Simulation};

/// What is wrong with a release of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It cannot be started.
    Start,
    /// It never becomes ready.
    Ready,
    /// It ends soon after it became ready.
    Crash,
    /// It ends an hour later.
    CrashLater,
    /// It uses ever more memory.
    Leak,
    /// It answers the smoke questions badly.
    Smoke,
    /// Its shim attests something else than was deployed.
    Attest,
}

const FLAWS: [Flaw; 7] = [
    Flaw::Start,
    Flaw::Ready,
    Flaw::Crash,
    Flaw::CrashLater,
    Flaw::Leak,
    Flaw::Smoke,
    Flaw::Attest,
];

/// What is known of the releases of a run.
#[derive(Debug, Default)]
pub(crate) struct Deploys {
    /// By the fingerprint of the definition that has it.
    pub(crate) flaws: BTreeMap<u64, Flaw>,
    /// Counts what was ever deployed, so that no two are alike.
    version: u64,
}

type Rule = Result<(), Violation>;

/// A bad deploy and the way back both take their time: what was wanted last may only now begin.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(900);

/// How the services of a scenario are updated.
pub(crate) fn update(random: &mut Random) -> Update {
    Update {
        parallelism: random.number(0..4) as u32,
        delay: random.millis(0..2000),
        order: *random.pick(&[Order::StartFirst, Order::StartFirst, Order::StopFirst]),
        failure_action: *random.pick(&[
            FailureAction::Rollback,
            FailureAction::Rollback,
            FailureAction::Rollback,
            FailureAction::Pause,
            FailureAction::Continue,
        ]),
        monitor: random.millis(0..5000),
        max_failure_ratio: *random.pick(&[0.0, 0.0, 0.5]),
        consecutive: random.number(1..4) as u32,
        ready_within: random.millis(5000..40_000),
    }
}

impl Simulation {
    /// What somebody wants of the releases of a stack.
    pub(crate) fn deploy_wish(&mut self, name: &StackName, by: Principal) -> Option<Input> {
        let world = self.world()?;
        let wanted = world.stacks.get(name).filter(|wanted| !wanted.removing)?.stack.clone();
        let releases = world.releases.get(name).cloned().unwrap_or_default();
        if let Some(deployment) = &releases.deployment {
            let word = match (deployment.phase, self.random.number(0..4)) {
                (Phase::Approval | Phase::Held, 0..=2) => Word::Approve,
                (Phase::Confirming, 0 | 1) => Word::Confirm,
                (_, 3) => Word::Abort,
                _ => return None,
            };
            return Some(Input::Decide {
                stack: name.clone(),
                deployment: deployment.number,
                word,
                by,
                why: "because".to_owned(),
            });
        }
        let confirm = self.random.chance(200).then(|| self.random.millis(500..20_000));
        if !releases.kept.is_empty() && self.random.chance(250) {
            let kept: Vec<u64> = releases.kept.keys().copied().collect();
            return Some(Input::Deploy(Box::new(DeployWish {
                stack: name.clone(),
                baseline: None,
                release: None,
                target: *self.random.pick(&kept),
                purpose: Purpose::Rollback,
                confirm,
                by,
                reason: None,
            })));
        }
        let mut number = releases.last;
        let baseline = releases.running.is_none().then(|| {
            number += 1;
            release(number, &wanted, &by)
        });
        let next = self.changed(&wanted);
        number += 1;
        Some(Input::Deploy(Box::new(DeployWish {
            stack: name.clone(),
            baseline,
            release: Some(release(number, &next, &by)),
            target: number,
            purpose: Purpose::Deploy,
            confirm,
            by,
            reason: None,
        })))
    }

    /// Returns the stack as somebody changed it: other code, at times with a flaw, another number of replicas, a service more or less.
    fn changed(&mut self, stack: &Stack) -> Stack {
        let mut next = stack.clone();
        let (count, flawed) = (next.services.len(), self.random.chance(350));
        for _ in 0..self.random.number(1..3) {
            let which = self.random.number(0..count as u64) as usize;
            self.deploys.version += 1;
            let version = self.deploys.version;
            let replicas = self.random.chance(150).then(|| self.random.number(1..4) as u32);
            let Some(service) = next.services.values_mut().nth(which) else {
                continue;
            };
            if let Workload::Process(process) = &mut service.workload {
                process.prepare = None;
                process.environment.insert("RELEASE".to_owned(), version.to_string());
            }
            if let (Some(count), tend_core::model::Replicas::Count(had)) = (replicas, service.replicas)
                && had > 1
            {
                service.replicas = tend_core::model::Replicas::Count(count);
            }
            let fingerprint = service.fingerprint();
            if flawed {
                let flaw = match *self.random.pick(&FLAWS) {
                    // Where nobody asks, nobody can see it.
                    Flaw::Ready if service.readiness.is_none() => Flaw::Crash,
                    flaw => flaw,
                };
                self.deploys.flaws.insert(fingerprint, flaw);
            }
        }
        self.random_service(&mut next);
        next.deploy.approval = self.random.chance(150);
        next.deploy.databases = match self.random.chance(500) {
            true => vec![tend_core::model::Database::Sqlite("/s/data.db".into())],
            false => Vec::new(),
        };
        next.deploy.migrate = next
            .services
            .keys()
            .next()
            .filter(|_| self.random.chance(400))
            .map(|service| tend_core::model::Migrate {
                service: service.clone(),
                command: vec!["migrate".to_owned()],
                timeout: Duration::from_secs(20),
                files: None,
            });
        next.deploy.notify = self.random.chance(300).then(|| vec!["notify".to_owned()]);
        next
    }

    /// At times a release brings a service along, and a later one has it no more.
    fn random_service(&mut self, stack: &mut Stack) {
        let name: tend_core::model::ServiceName = "z".parse().expect("a service name");
        if self.random.chance(850) {
            return;
        }
        if stack.services.remove(&name).is_some() {
            stack.edge.routes.retain(|route| route.service.as_ref() != Some(&name));
            return;
        }
        let like = stack
            .services
            .values()
            .find(|service| !matches!(service.port, Port::Fixed(_)) && service.restart_schedule.is_none());
        let Some(like) = like.cloned() else { return };
        let id = |service: &Service| ServiceId {
            stack: stack.name.clone(),
            service: service.name.clone(),
        };
        let profile = self.scenario.profiles[&id(&like)].clone();
        let service = Service {
            name: name.clone(),
            depends_on: Vec::new(),
            ..like
        };
        self.scenario.profiles.insert(id(&service), profile);
        stack.services.insert(name, service);
    }

    /// Performs an act: it takes its time, at times it fails or hangs until its own limit.
    pub(crate) fn act(&mut self, stack: StackName, deployment: u64, act: Act) {
        let hangs = self.trouble && self.random.chance(30);
        let fails = self.trouble && self.random.chance(40);
        let delay = if hangs {
            Duration::from_secs(20)
        } else {
            self.random.millis(1..800)
        };
        let result = match &act {
            Act::Prune => Ok(json!({ "releases": self.prunable(&stack) })),
            _ if hangs => Err("it did not end within 20s".to_owned()),
            _ if fails => Err("disk full".to_owned()),
            Act::Smoke(service) | Act::SmokePublic(service) => {
                let id = ServiceId {
                    stack: stack.clone(),
                    service: service.clone(),
                };
                self.smoke(&id)
            }
            Act::Attest(replica, incarnation) => {
                let process = self.host.processes.get(incarnation);
                let flaw = process.and_then(|process| self.deploys.flaws.get(&process.fingerprint));
                match (process, flaw) {
                    (None, _) => Err(format!("{replica} has ended")),
                    (_, Some(Flaw::Attest)) => Err("it runs another file".to_owned()),
                    _ => Ok(json!({ "incarnation": incarnation })),
                }
            }
            _ => Ok(Value::Null),
        };
        self.tell(
            delay,
            Input::Acted {
                stack,
                deployment,
                act,
                result,
            },
        );
    }

    fn smoke(&self, id: &ServiceId) -> Result<Value, String> {
        let served = self.edge.endpoints.get(id).into_iter().flatten();
        let target: Vec<_> = served.filter(|endpoint| !endpoint.draining).collect();
        if !self.edge.alive || target.is_empty() {
            return Err("502 Bad Gateway".to_owned());
        }
        let bad = target.iter().find(|endpoint| {
            let process = self.host.processes.get(&endpoint.incarnation);
            process.is_none_or(|process| self.deploys.flaws.get(&process.fingerprint) == Some(&Flaw::Smoke))
        });
        match bad {
            Some(bad) => Err(format!("{} answered 500", bad.replica)),
            None => Ok(Value::Null),
        }
    }

    fn prunable(&self, stack: &StackName) -> Vec<u64> {
        let Some(releases) = self.world().and_then(|world| world.releases.get(stack)) else {
            return Vec::new();
        };
        let needed = releases.needed();
        let mut old: Vec<u64> = releases
            .kept
            .keys()
            .copied()
            .filter(|number| !needed.contains(number))
            .collect();
        old.truncate(old.len().saturating_sub(2));
        old
    }

    /// A process of a flawed release shows it.
    pub(crate) fn show_flaw(&mut self, incarnation: u64, fingerprint: u64) {
        let after = match self.deploys.flaws.get(&fingerprint) {
            Some(Flaw::Crash) => self.random.millis(500..6000),
            Some(Flaw::CrashLater) => Duration::from_secs(3600),
            Some(Flaw::Ready) => {
                if let Some(process) = self.host.processes.get_mut(&incarnation) {
                    process.warm_at = tend_base::Mono(u64::MAX);
                }
                return;
            }
            Some(Flaw::Leak) => {
                if let Some(process) = self.host.processes.get_mut(&incarnation) {
                    process.leak = 20 << 20;
                }
                return;
            }
            _ => return,
        };
        self.after(after, Event::Ends(incarnation, Exit::Exited(3)));
    }

    /// When there is peace, people take back what nobody can run, and say what they were asked.
    pub(crate) fn last_words(&mut self) -> Option<Input> {
        let world = self.world()?;
        let asked = world.releases.iter().find_map(|(name, releases)| {
            let deployment = releases.deployment.as_ref()?;
            let waits = matches!(deployment.phase, Phase::Held | Phase::Approval) && deployment.abort.is_none();
            waits.then(|| (name.clone(), deployment.number))
        });
        let (stack, deployment) = asked?;
        Some(Input::Decide {
            stack,
            deployment,
            word: Word::Abort,
            by: Principal::Rule {
                name: "peace".to_owned(),
            },
            why: "we go home".to_owned(),
        })
    }
}

fn release(number: u64, stack: &Stack, by: &Principal) -> Release {
    Release {
        number,
        file: stack.clone(),
        stack: stack.clone(),
        artifacts: BTreeMap::new(),
        configuration: number.to_string(),
        secrets: BTreeMap::new(),
        schema: tend_core::model::Schema {
            migrations: vec![tend_core::model::Migration {
                name: number.to_string(),
                class: MigrationClass::Expand,
            }],
        },
        made_at: Wall(0),
        made_by: by.clone(),
        promoted_from: None,
    }
}

/// Checks a step that may have to do with a deployment.
pub(crate) fn step(step: &Step, context: &Context<'_>) -> Rule {
    match step {
        Step::Publish { endpoints, .. } => no_client_meets_a_replica_that_did_not_prove_itself(endpoints, context),
        _ => Ok(()),
    }
}

/// The edge is told to send clients to a replica of a target only after it was smoke-tested and its shim attested what it runs.
fn no_client_meets_a_replica_that_did_not_prove_itself(endpoints: &Endpoints, context: &Context<'_>) -> Rule {
    let world = context.world;
    let open = endpoints
        .values()
        .flatten()
        .filter(|endpoint| !endpoint.draining && !endpoint.candidate);
    for endpoint in open {
        let id = &endpoint.replica;
        let (Some(deployment), Some(replica)) = (world.deployment(&id.stack), world.replicas.get(id)) else {
            continue;
        };
        let before = world
            .stacks
            .get(&id.stack)
            .and_then(|wanted| wanted.stack.services.get(&id.service));
        let is_new = before.is_none();
        if is_new || deployment.purpose == Purpose::Rollback || !world.runs_target(id, replica) {
            continue;
        }
        let Some(lane) = deployment.lanes.get(&id.service) else {
            continue;
        };
        let proven = deployment
            .acts
            .get(&Act::Smoke(id.service.clone()))
            .is_some_and(Result::is_ok);
        // Going back, the target still serves what it served until enough old ones are there.
        if lane.exposure == Exposure::Before || (!proven && deployment.phase == Phase::Rolling) {
            let what = format!("{id} ({}) is given clients in {:?}", endpoint.incarnation, lane.stage);
            return Err(Violation::new(
                "no_client_meets_a_replica_that_did_not_prove_itself",
                what,
            ));
        }
    }
    Ok(())
}

/// Checks what was written: how a deployment takes replicas out, and that one that is committed has its evidence.
pub(crate) fn entries(entries: &[Entry], world: &World) -> Rule {
    let committed = json!(Phase::Finishing(Ending::Committed));
    for entry in entries {
        match entry.kind {
            Kind::ReplicaStopping if monitor::reason_of(entry) == Some(StopReason::Changed) => {
                if let Some(leaving) = monitor::replica_of(entry) {
                    serving_replicas_never_fall_below_the_floor(&leaving, world)?;
                }
            }
            Kind::DeployPhase if entry.data["phase"] == committed => {
                let Some(stack) = &entry.subject.stack else { continue };
                let Some(deployment) = world.deployment(stack) else {
                    continue;
                };
                what_is_committed_was_seen(world, stack, deployment)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// When a deployment begins to take out a replica that serves, as many others serve as its floor says.
///
/// It is asked at the beginning and not when the replica is told to go: one that drains serves nobody new, so that keeping it when
/// others fail in the meantime would not help.
fn serving_replicas_never_fall_below_the_floor(leaving: &ReplicaId, world: &World) -> Rule {
    let service = leaving.service_id();
    let (Some(lane), Some(facts)) = (world.lane(&service), world.replicas.get(leaving)) else {
        return Ok(());
    };
    let rolls = world
        .deployment(&service.stack)
        .is_some_and(|deployment| deployment.phase == Phase::Rolling);
    let stopped = world.replicas_wanted(&service) == 0;
    if stopped || !rolls || facts.ready_since.is_none() || !world.serves(leaving, facts) {
        return Ok(());
    }
    let others = world.replicas_of(&service).filter(|(id, replica)| {
        *id != leaving && world.is_wanted(id) && world.serves(id, replica) && (replica.is_ready() || replica.completed)
    });
    let others = others.count();
    if others < lane.floor as usize {
        let what = format!("{leaving} goes while {others} serve, and the floor is {}", lane.floor);
        return Err(Violation::new("serving_replicas_never_fall_below_the_floor", what));
    }
    Ok(())
}

fn what_is_committed_was_seen(world: &World, stack: &StackName, deployment: &Deployment) -> Rule {
    let violation = |what: String| Err(Violation::new("what_is_committed_was_seen", what));
    let routed: BTreeSet<_> = world
        .stack_wanted(stack)
        .map(|stack| {
            stack
                .edge
                .routes
                .iter()
                .filter_map(|route| route.service.clone())
                .collect()
        })
        .unwrap_or_default();
    for (id, replica) in world.replicas.iter().filter(|(id, _)| id.stack == *stack) {
        let Some(lane) = deployment.lanes.get(&id.service) else {
            continue;
        };
        if replica.pid().is_none() {
            continue;
        }
        if !world.runs_target(id, replica) {
            return violation(format!("{id} is of the release before"));
        }
        let attest = Act::Attest(id.clone(), replica.incarnation);
        let attested = deployment.acts.get(&attest).is_some_and(Result::is_ok);
        if !attested && world.is_wanted(id) {
            return violation(format!("nobody attested what runs as {id} ({})", replica.incarnation));
        }
        if lane.stage != Stage::Done {
            return violation(format!("{} is at {:?}", id.service, lane.stage));
        }
        let asked = deployment.acts.get(&Act::SmokePublic(id.service.clone()));
        let wanted = world.replicas_wanted(&id.service_id()) > 0;
        if wanted && routed.contains(&id.service) && !asked.is_some_and(Result::is_ok) {
            return violation(format!("nobody asked {} as a client", id.service));
        }
    }
    Ok(())
}

/// When nothing goes wrong any more, no deployment is left under way.
pub(crate) fn a_deployment_ends(context: &Context<'_>) -> Rule {
    for (stack, releases) in &context.world.releases {
        if let Some(deployment) = &releases.deployment {
            let what = format!(
                "{stack}: deployment {} is still {}: {:?}, {:?}",
                deployment.number,
                deployment.phase.text(),
                deployment.why,
                deployment.lanes
            );
            return Err(Violation::new("a_deployment_ends", what));
        }
    }
    Ok(())
}
