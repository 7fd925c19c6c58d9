//! What must hold, each rule a function named as it is told. Changes nothing.
//!
//! [`step`] is asked before each step goes out, [`settled`] when faults have ended and everything had its time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tend_base::{Mono, Now};
use tend_core::journal::{Entry, Kind, Subject};
use tend_core::model::{DependencyCondition, ReplicaId, Schedule, ServiceId};
use tend_core::observed::{Endpoints, StopReason};
use tend_core::plan::{Launch, Step};
use tend_core::world::World;
use tend_supervise::{GoalState, ReplicaState, goals, replica_state};

use crate::host::{FakeEdge, Host};
use crate::monitor::{Known, Monitor, is_on_purpose, reason_of, replica_of};
use crate::store::Store;
use crate::trouble::Acknowledged;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// By what.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// What the rules look at.
pub(crate) struct Context<'a> {
    pub(crate) world: &'a World,
    pub(crate) monitor: &'a Monitor,
    pub(crate) host: &'a Host,
    pub(crate) edge: &'a FakeEdge,
    pub(crate) store: &'a Store,
    pub(crate) now: Mono,
}

type Rule = Result<(), Violation>;

/// Recorded steps in one second: eight replicas all started, signalled, killed and published make half of it.
const STEPS_IN_SECOND_MAX: u64 = 100;

/// The longest a replica is drained; the supervisor's own figure.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Checks the reaction to one input as a whole.
pub(crate) fn reaction(steps: &[Step], wake_at: Option<Mono>, survey_pending: bool, now: Mono) -> Rule {
    the_daemon_sleeps_until_something_is_due(wake_at, now)?;
    nothing_is_done_before_the_host_was_looked_at(steps, survey_pending)
}

/// Checks one step about to go out.
pub(crate) fn step(step: &Step, context: &Context<'_>) -> Rule {
    a_step_is_not_performed_twice_at_once(step, context)?;
    steps_come_at_a_bounded_rate(context)?;
    match step {
        Step::Start {
            replica,
            incarnation,
            launch,
        } => {
            incarnations_only_grow(*incarnation, context)?;
            ports_are_never_shared(launch, context)?;
            dependencies_are_met_at_the_first_start(replica, context)?;
            what_is_done_is_not_run_again_unasked(replica, launch, context)?;
            restarts_wait_as_the_policy_says(replica, context)
        }
        Step::Signal {
            replica,
            incarnation,
            why,
            ..
        } => {
            a_stop_has_a_true_reason(replica, *incarnation, *why, context)?;
            a_replica_is_drained_before_it_is_told_to_go(replica, *incarnation, context)?;
            what_is_in_flight_is_finished_before_a_stop_on_purpose(replica, *incarnation, *why, context)
        }
        Step::Quiesce {
            replica, incarnation, ..
        } => no_client_meets_a_replica_that_takes_no_new_work(replica, *incarnation, context),
        Step::Kill {
            replica,
            incarnation,
            why,
        } => a_stop_has_a_true_reason(replica, *incarnation, *why, context),
        Step::Publish { endpoints, .. } => {
            the_edge_is_never_pointed_at_a_replica_that_is_not_ready(endpoints, context)?;
            what_served_goes_on_serving_when_the_daemon_comes_back(endpoints, context)
        }
        _ => Ok(()),
    }
}

/// What ended as its policy leaves it, a job that is done, is started again when somebody asks for it or it is defined anew, and not by itself.
fn what_is_done_is_not_run_again_unasked(replica: &ReplicaId, launch: &Launch, context: &Context<'_>) -> Rule {
    let Some(known) = context.monitor.known.get(replica) else {
        return Ok(());
    };
    let same = known.ran == launch.fingerprint;
    let asked = known.restart_wished || context.world.lane(&replica.service_id()).is_some();
    if known.left && known.over && same && !asked {
        let what = format!("{replica} is done ({}) and is started again", known.incarnation);
        return Err(Violation::new("what_is_done_is_not_run_again_unasked", what));
    }
    Ok(())
}

/// Checks what was written: whom the daemon begins to take out of service.
pub(crate) fn entries(entries: &[Entry], context: &Context<'_>) -> Rule {
    for entry in entries.iter().filter(|entry| entry.kind == Kind::ReplicaStopping) {
        if let (Some(replica), Some(why)) = (replica_of(entry), reason_of(entry)) {
            a_stop_on_purpose_takes_at_most_one_replica_out(&replica, why, context)?;
        }
    }
    Ok(())
}

/// Checks the end of a run.
pub(crate) fn settled(context: &Context<'_>, now: Now) -> Rule {
    a_wanted_replica_is_never_silent_for_ever(context, now)?;
    goals_are_met_or_failed(context, now)?;
    what_is_not_wanted_has_no_process(context)?;
    the_edge_serves_exactly_what_is_ready(context)?;
    every_unexpected_exit_has_one_crash_card(context)?;
    every_step_is_finished_or_cut_off(context)
}

/// The daemon never asks to be woken at a moment that is past: it would turn without end.
fn the_daemon_sleeps_until_something_is_due(wake_at: Option<Mono>, now: Mono) -> Rule {
    match wake_at {
        Some(at) if at <= now => Err(Violation::new(
            "the_daemon_sleeps_until_something_is_due",
            format!("it wants to be woken at {at:?}, and it is {now:?}"),
        )),
        _ => Ok(()),
    }
}

/// A daemon that comes back decides nothing before it was told of all that runs; `survey_pending` is as it was after the input.
fn nothing_is_done_before_the_host_was_looked_at(steps: &[Step], survey_pending: bool) -> Rule {
    match steps.first().filter(|_| survey_pending) {
        Some(step) => Err(Violation::new(
            "nothing_is_done_before_the_host_was_looked_at",
            step.to_string(),
        )),
        None => Ok(()),
    }
}

/// No two steps with the same key are performed at once.
fn a_step_is_not_performed_twice_at_once(step: &Step, context: &Context<'_>) -> Rule {
    if context.monitor.performing.contains(&step.key()) {
        return Err(Violation::new(
            "a_step_is_not_performed_twice_at_once",
            step.to_string(),
        ));
    }
    Ok(())
}

/// Nothing is retried without a pause.
fn steps_come_at_a_bounded_rate(context: &Context<'_>) -> Rule {
    let (second, count) = context.monitor.steps_in_second;
    if second == context.now.0 / 1_000_000_000 && count > STEPS_IN_SECOND_MAX {
        return Err(Violation::new(
            "steps_come_at_a_bounded_rate",
            format!("{count} steps within a second"),
        ));
    }
    Ok(())
}

/// A new incarnation has a higher number than any the daemon gave or found, of whatever replica.
fn incarnations_only_grow(incarnation: u64, context: &Context<'_>) -> Rule {
    let last = context.monitor.incarnation_last;
    if incarnation <= last {
        return Err(Violation::new(
            "incarnations_only_grow",
            format!("{incarnation} after {last}"),
        ));
    }
    Ok(())
}

/// A port is given to one replica or service only.
fn ports_are_never_shared(launch: &Launch, context: &Context<'_>) -> Rule {
    let Some(port) = launch.port else { return Ok(()) };
    let listens = context
        .host
        .processes
        .values()
        .find(|process| process.port == Some(port));
    let named = context
        .world
        .services
        .iter()
        .find(|(_, facts)| facts.loopback_port == Some(port));
    let whose = listens
        .map(|process| process.replica.to_string())
        .or(named.map(|(service, _)| service.to_string()));
    match whose {
        Some(whose) => Err(Violation::new(
            "ports_are_never_shared",
            format!("{port} is that of {whose}"),
        )),
        None => Ok(()),
    }
}

/// A replica that was not ready since it is wanted starts only when the conditions of `depends_on` hold.
fn dependencies_are_met_at_the_first_start(replica: &ReplicaId, context: &Context<'_>) -> Rule {
    let (world, monitor, now) = (context.world, context.monitor, context.now);
    if monitor.known.get(replica).is_some_and(|known| known.was_ready) {
        return Ok(());
    }
    let Some(service) = world.definition(replica) else {
        return Ok(());
    };
    for dependency in &service.depends_on {
        let on = ServiceId {
            stack: replica.stack.clone(),
            service: dependency.service.clone(),
        };
        let Some((_, definition)) = world.service(&on) else {
            continue;
        };
        // While its replicas are exchanged, those beside count too.
        if world.lane(&on).is_some() || (world.replicas_wanted(&on) == 0 && !dependency.required) {
            continue;
        }
        let missing = monitor
            .wanted_of(world, &on)
            .find(|(_, known)| match dependency.condition {
                DependencyCondition::Started => known.since.is_none() && !known.left,
                DependencyCondition::Healthy => !known.is_ready(definition, now),
                DependencyCondition::CompletedSuccessfully => !known.succeeded,
            });
        if missing.is_some() || world.replicas_wanted(&on) == 0 {
            let what = format!("{replica} starts, and {on} is not {:?}", dependency.condition);
            return Err(Violation::new("dependencies_are_met_at_the_first_start", what));
        }
    }
    Ok(())
}

/// After repeated failures a replica is never started sooner than its policy allows, jitter taken off.
fn restarts_wait_as_the_policy_says(replica: &ReplicaId, context: &Context<'_>) -> Rule {
    let (Some(service), Some(known)) = (context.world.definition(replica), context.monitor.known.get(replica)) else {
        return Ok(());
    };
    let Some(ended) = known.ended.filter(|_| known.failures >= 1) else {
        return Ok(());
    };
    let policy = &service.restart;
    let at_least = if known.failures > policy.max_attempts {
        policy.delay_max
    } else if known.failures == 1 {
        Duration::ZERO
    } else {
        policy
            .delay
            .saturating_mul(1 << (known.failures - 2).min(20))
            .min(policy.delay_max)
            / 2
    };
    let waited = context.now.since(ended);
    if waited < at_least {
        let what = format!(
            "{replica} waited {waited:?} after {} failures, and must {at_least:?}",
            known.failures
        );
        return Err(Violation::new("restarts_wait_as_the_policy_says", what));
    }
    Ok(())
}

/// What is told to go or killed is so for the reason given; so a daemon that comes back restarts nothing.
fn a_stop_has_a_true_reason(replica: &ReplicaId, incarnation: u64, why: StopReason, context: &Context<'_>) -> Rule {
    let violation = |what: &str| {
        let what = format!("{replica} ({incarnation}) has to go because {}, but {what}", why.text());
        Err(Violation::new("a_stop_has_a_true_reason", what))
    };
    let known = context.monitor.known.get(replica).cloned().unwrap_or_default();
    // Once begun it is carried through, whatever was asked since.
    if known.uncertain || known.told_in.is_some() {
        return Ok(());
    }
    let begun = known.leaving.is_some_and(|(_, at)| at < context.now);
    let Some(service) = context.world.definition(replica) else {
        return Ok(());
    };
    let process = context.host.processes.get(&incarnation);
    match (why, service.liveness.as_ref(), process) {
        // What a deployment has begun is carried through, also when it turns around in the very moment.
        (StopReason::Unwanted, ..)
            if context.world.is_wanted(replica) && !begun && context.world.lane(&replica.service_id()).is_none() =>
        {
            violation("it is wanted")
        }
        (StopReason::Restart, ..) if !known.restart_wished => violation("nobody asked"),
        (StopReason::Changed, _, Some(process))
            if process.fingerprint == context.world.fingerprint_for(replica, service)
                && !begun
                && context.world.lane(&replica.service_id()).is_none() =>
        {
            violation("it did not")
        }
        (StopReason::Scheduled, _, Some(process)) => match service.restart_schedule {
            Some(Schedule::Every(every)) if context.now >= process.started + every => Ok(()),
            _ => violation("it is not"),
        },
        (StopReason::NotLive, None, _) => violation("it has no such probe"),
        (StopReason::NotLive, Some(probe), _) if known.dead < probe.retries => violation("that passed"),
        (StopReason::OverMemory, ..) if service.resources.memory_max.is_none_or(|max| known.memory <= max) => {
            violation("it did not")
        }
        _ => Ok(()),
    }
}

/// A restart on purpose or a changed definition takes at most one ready replica of a service out of service at a time. It is asked when one
/// begins to leave: that others which were not wanted then are wanted again by the time it is told to go does not count against it.
fn a_stop_on_purpose_takes_at_most_one_replica_out(
    replica: &ReplicaId,
    why: StopReason,
    context: &Context<'_>,
) -> Rule {
    let Some(service) = context.world.definition(replica) else {
        return Ok(());
    };
    // One that is not wanted any more does not come back: then its service is meant to be the smaller by it, whatever it began to leave for.
    let comes_back = context.world.is_wanted(replica);
    if !comes_back || !matches!(why, StopReason::Restart | StopReason::Changed | StopReason::Scheduled) {
        return Ok(());
    }
    let id = replica.service_id();
    let deployed = context.monitor.known.get(replica).is_some_and(|known| known.deployed);
    if deployed || context.world.lane(&id).is_some() {
        // A deployment has a floor of its own, also for what it began before its stack was taken down.
        return Ok(());
    }
    if !context
        .monitor
        .known
        .get(replica)
        .is_some_and(|known| known.is_ready(service, context.now) && left_ready(known))
    {
        return Ok(());
    }
    let leaving = context.monitor.wanted_of(context.world, &id).filter(|(other, known)| {
        let on_purpose = known
            .leaving
            .is_some_and(|(reason, _)| is_on_purpose(reason) && reason != StopReason::Unwanted);
        other != replica
            && on_purpose
            && !known.deployed
            && known.since.is_some()
            && known.is_ready(service, context.now)
            && left_ready(known)
    });
    let others: Vec<_> = leaving.map(|(other, _)| other.to_string()).collect();
    if !others.is_empty() {
        let what = format!("{replica} begins to leave while {} leaves too", others.join(", "));
        return Err(Violation::new("a_stop_on_purpose_takes_at_most_one_replica_out", what));
    }
    Ok(())
}

/// Returns whether a replica served when it began to leave; one that was starting may leave at once, and is emptied before it goes.
fn left_ready(known: &Known) -> bool {
    !known.left_unready
        && known
            .leaving
            .is_none_or(|(_, since)| known.ready_since.is_some_and(|ready| ready <= since))
}

/// A replica the edge sends requests to is told to go only after the edge stopped, or had ten seconds to.
fn a_replica_is_drained_before_it_is_told_to_go(replica: &ReplicaId, incarnation: u64, context: &Context<'_>) -> Rule {
    let served = context.edge.endpoints.get(&replica.service_id()).into_iter().flatten();
    let mut served = served.filter(|endpoint| endpoint.incarnation == incarnation && !endpoint.draining);
    if !context.edge.alive || served.next().is_none() || context.world.edge.failed.is_some() {
        return Ok(());
    }
    let known = context.monitor.known.get(replica).cloned().unwrap_or_default();
    let waited = known.leaving.is_some_and(|(_, since)| context.now >= since + DRAIN_MAX);
    // One that does not count as ready is out of the routes as soon as the edge hears of it.
    let ready = context
        .world
        .replicas
        .get(replica)
        .is_some_and(|facts| facts.ready_since.is_some());
    if ready && !waited {
        let what = format!("{replica} ({incarnation}) is told to go while the edge sends it requests");
        return Err(Violation::new("a_replica_is_drained_before_it_is_told_to_go", what));
    }
    Ok(())
}

/// A replica that is to be quiesced is sent its stop signal on purpose when it really has nothing in flight, or has had its deadline.
fn what_is_in_flight_is_finished_before_a_stop_on_purpose(
    replica: &ReplicaId,
    incarnation: u64,
    why: StopReason,
    context: &Context<'_>,
) -> Rule {
    let process = context.host.processes.get(&incarnation);
    let Some((process, quiesce)) =
        process.and_then(|process| process.quiesce.as_ref().map(|quiesce| (process, quiesce)))
    else {
        return Ok(());
    };
    let told = context.monitor.quiesced.get(&incarnation);
    let late = told.is_some_and(|told| context.now >= *told + quiesce.deadline);
    let empty = process.quiesced_at.is_some() && process.in_flight(context.now) == 0;
    if is_on_purpose(why) && !late && !empty {
        let what = format!(
            "{replica} ({incarnation}) is told to go with {} in flight, {}",
            process.in_flight(context.now),
            match told {
                Some(told) => format!("{:?} after it was told to take no new work", context.now.since(*told)),
                None => "and it was never told to take no new work".to_owned(),
            }
        );
        return Err(Violation::new(
            "what_is_in_flight_is_finished_before_a_stop_on_purpose",
            what,
        ));
    }
    Ok(())
}

/// A replica is told to take no new work once the edge sends it none, or had ten seconds to stop.
fn no_client_meets_a_replica_that_takes_no_new_work(
    replica: &ReplicaId,
    incarnation: u64,
    context: &Context<'_>,
) -> Rule {
    a_replica_is_drained_before_it_is_told_to_go(replica, incarnation, context).map_err(|violation| Violation {
        invariant: "no_client_meets_a_replica_that_takes_no_new_work",
        ..violation
    })
}

/// The edge is told only of replicas that run, were ready by all that is known, and were not told to go.
fn the_edge_is_never_pointed_at_a_replica_that_is_not_ready(endpoints: &Endpoints, context: &Context<'_>) -> Rule {
    for endpoint in endpoints.values().flatten().filter(|endpoint| !endpoint.draining) {
        let replica = &endpoint.replica;
        let violation = |what: &str| {
            let what = format!("{replica} ({}) {what}", endpoint.incarnation);
            Err(Violation::new(
                "the_edge_is_never_pointed_at_a_replica_that_is_not_ready",
                what,
            ))
        };
        let Some(known) = context.monitor.known.get(replica) else {
            return violation("is not known");
        };
        let Some(service) = context.world.definition(replica) else {
            if context.world.deployment(&replica.stack).is_some() {
                // A service that a release brought along, and that goes with it in this very moment.
                continue;
            }
            return violation("has no definition");
        };
        if known.incarnation != endpoint.incarnation || known.since.is_none() {
            return violation("does not run");
        }
        if !known.is_ready(service, context.now) {
            return violation("is not ready");
        }
        if known.told_in.is_some_and(|told| told <= context.store.durable) {
            return violation("was told to go");
        }
        let port = context
            .host
            .processes
            .get(&endpoint.incarnation)
            .map(|process| process.port);
        if port.is_some_and(|port| port != Some(endpoint.port)) {
            return violation("listens elsewhere");
        }
    }
    Ok(())
}

/// A replica that served and was written down as ready is not taken out because the daemon was away.
fn what_served_goes_on_serving_when_the_daemon_comes_back(endpoints: &Endpoints, context: &Context<'_>) -> Rule {
    for stays in &context.monitor.must_stay {
        let still = endpoints
            .values()
            .flatten()
            .any(|endpoint| endpoint.incarnation == stays.incarnation);
        let known = context.monitor.known.get(&stays.replica);
        let fell = known.is_none_or(|known| {
            known.unready > 0 || known.dead > 0 || known.since.is_none() || known.leaving.is_some()
        });
        let lives = context.host.processes.contains_key(&stays.incarnation);
        if !still && lives && !fell && context.world.stacks.contains_key(&stays.replica.stack) {
            let what = format!("{} ({}) is dropped", stays.replica, stays.incarnation);
            return Err(Violation::new(
                "what_served_goes_on_serving_when_the_daemon_comes_back",
                what,
            ));
        }
    }
    Ok(())
}

/// What was acknowledged is in force: stacks are up or gone, scaled and stopped as was answered.
pub(crate) fn no_acknowledged_wish_is_lost(acknowledged: &Acknowledged, world: Option<&World>) -> Rule {
    let Some(world) = world else { return Ok(()) };
    let violation = |what: String| Err(Violation::new("no_acknowledged_wish_is_lost", what));
    for (stack, up) in &acknowledged.up {
        let is = world.stacks.get(stack).is_some_and(|wanted| !wanted.removing);
        if is != *up {
            return violation(format!(
                "{stack} is {} after it was answered otherwise",
                if is { "up" } else { "gone" }
            ));
        }
    }
    for (name, stack) in &acknowledged.applied {
        if acknowledged.up.get(name) == Some(&true)
            && world.stacks.get(name).is_some_and(|wanted| wanted.stack != *stack)
        {
            return violation(format!("{name} is not as it was applied"));
        }
    }
    for (stack, configuration) in &acknowledged.configured {
        if world.configurations.get(stack) != Some(configuration) {
            let what = format!("{stack} is not configured by revision {}", configuration.revision);
            return violation(what);
        }
    }
    for (service, (replicas, stopped)) in &acknowledged.adjusted {
        let Some(wanted) = world.stacks.get(&service.stack).filter(|wanted| !wanted.removing) else {
            continue;
        };
        let is = wanted.adjustments.get(&service.service).cloned().unwrap_or_default();
        if replicas.is_some() && is.replicas != *replicas || stopped.is_some_and(|stopped| is.stopped != stopped) {
            return violation(format!(
                "{service} is {is:?}, and answered was {replicas:?}, stopped {stopped:?}"
            ));
        }
    }
    Ok(())
}

/// When nothing goes wrong any more, every wanted replica is ready, or completed, or failed for good with a reason, or waits for
/// one that is.
fn a_wanted_replica_is_never_silent_for_ever(context: &Context<'_>, now: Now) -> Rule {
    let world = context.world;
    for (stack, wanted) in &world.stacks {
        for service in wanted.stack.services.values() {
            let id = ServiceId {
                stack: stack.clone(),
                service: service.name.clone(),
            };
            for (replica, _) in context.monitor.wanted_of(world, &id) {
                let (state, why) = replica_state(world, &replica, now);
                let fine = match state {
                    ReplicaState::Ready => {
                        let process = context.host.process_of(&replica);
                        process.is_some_and(|(_, process)| process.answers(context.now) == Some(true))
                    }
                    ReplicaState::Completed => true,
                    ReplicaState::Failing => why.is_some() && is_final(world, &replica),
                    ReplicaState::Waiting => why.is_some(),
                    // A schedule or a slow start may just be at work.
                    ReplicaState::Starting | ReplicaState::Stopping => service.restart_schedule.is_some(),
                    _ => false,
                };
                if !fine {
                    let what = format!("{replica} is {state}: {why:?}");
                    return Err(Violation::new("a_wanted_replica_is_never_silent_for_ever", what));
                }
            }
        }
    }
    Ok(())
}

/// Returns whether a replica that is failing is so until somebody changes something.
fn is_final(world: &World, replica: &ReplicaId) -> bool {
    let facts = world.replicas.get(replica);
    let prepare = world
        .services
        .get(&replica.service_id())
        .is_some_and(|facts| facts.prepare_failure.is_some());
    prepare
        || facts.is_some_and(|facts| {
            facts.completed || facts.start_failure.as_ref().is_some_and(|failure| failure.permanent)
        })
}

/// When nothing goes wrong any more, `tend up` comes to an end: each service met its goal, failed, or waits for one that did not meet it.
fn goals_are_met_or_failed(context: &Context<'_>, now: Now) -> Rule {
    for (stack, wanted) in &context.world.stacks {
        let goals = goals(context.world, stack, now);
        let unmet: Vec<_> = goals
            .iter()
            .filter(|goal| !matches!(goal.state, GoalState::Met(_)))
            .collect();
        let failed = unmet.iter().any(|goal| matches!(goal.state, GoalState::Failed { .. }));
        let stopped = wanted.stack.services.values().any(|service| {
            let id = ServiceId {
                stack: stack.clone(),
                service: service.name.clone(),
            };
            context.world.replicas_wanted(&id) == 0
        });
        let scheduled = wanted
            .stack
            .services
            .values()
            .any(|service| service.restart_schedule.is_some());
        if !unmet.is_empty() && !failed && !stopped && !scheduled {
            return Err(Violation::new("goals_are_met_or_failed", format!("{unmet:?}")));
        }
    }
    Ok(())
}

/// What was removed, scaled away or stopped leaves no process and, if its stack is gone, nothing on the disk.
fn what_is_not_wanted_has_no_process(context: &Context<'_>) -> Rule {
    let violation = |what: String| Err(Violation::new("what_is_not_wanted_has_no_process", what));
    for (incarnation, process) in &context.host.processes {
        if !context.world.is_wanted(&process.replica) {
            return violation(format!("{} ({incarnation}) still runs", process.replica));
        }
    }
    for (kind, id) in context.store.names() {
        let stack = id.split('/').next().unwrap_or_default().parse();
        // Releases and configuration outlive their stack: it may come back, and then wants a way back.
        let lasts = ["edge", "machine", "release", "releases", "configuration", "revision"].contains(&kind);
        if !lasts && stack.is_ok_and(|stack| !context.world.stacks.contains_key(&stack)) {
            return violation(format!("the {kind} `{id}` is still kept"));
        }
    }
    if let Some(wanted) = context.world.stacks.values().find(|wanted| wanted.removing) {
        return violation(format!("{} is still being removed", wanted.stack.name));
    }
    Ok(())
}

/// When nothing goes wrong any more, the edge sends requests to every ready replica that has a port and to no other.
fn the_edge_serves_exactly_what_is_ready(context: &Context<'_>) -> Rule {
    let world = context.world;
    let ready = world
        .replicas
        .iter()
        .filter(|(_, replica)| replica.is_ready() && replica.port.is_some());
    let ready: Vec<_> = ready.map(|(id, replica)| (id.clone(), replica.incarnation)).collect();
    let needed = !ready.is_empty();
    let served = context
        .edge
        .endpoints
        .values()
        .flatten()
        .filter(|endpoint| !endpoint.draining);
    let mut served: Vec<_> = served
        .map(|endpoint| (endpoint.replica.clone(), endpoint.incarnation))
        .collect();
    served.sort();
    if needed && (!context.edge.alive || served != ready) {
        let what = format!(
            "alive: {}, it serves {served:?}, ready is {ready:?}",
            context.edge.alive
        );
        return Err(Violation::new("the_edge_serves_exactly_what_is_ready", what));
    }
    Ok(())
}

/// Every process that ended without being asked to, or for its own fault, has exactly one crash card in the journal; one that died
/// while it was about to be told to go may be written down as stopped, and one of whose start the daemon did not live to write anything down,
/// and whose end nobody kept, as a start that was interrupted.
fn every_unexpected_exit_has_one_crash_card(context: &Context<'_>) -> Rule {
    let mut written: BTreeMap<(Kind, u64), u32> = BTreeMap::new();
    for entry in &context.store.journal {
        if let Some(incarnation) = entry.subject.incarnation {
            *written.entry((entry.kind.clone(), incarnation)).or_default() += 1;
        }
    }
    for death in &context.host.deaths {
        let count = |kind| written.get(&(kind, death.incarnation)).copied().unwrap_or(0);
        let cards = count(Kind::ReplicaExited);
        let stopped = count(Kind::ReplicaStopping) > 0 && count(Kind::ReplicaStopped) > 0;
        let interrupted = count(Kind::ReplicaStartInterrupted) > 0 && count(Kind::ReplicaStarted) == 0;
        let unexpected = death.asked.is_none_or(|reason| !is_on_purpose(reason));
        if cards > 1 || (unexpected && cards == 0 && !stopped && !interrupted) {
            let what = format!(
                "{} ({}), asked {:?}, has {cards} cards",
                death.replica, death.incarnation, death.asked
            );
            return Err(Violation::new("every_unexpected_exit_has_one_crash_card", what));
        }
    }
    Ok(())
}

/// Every step that was begun was finished, or a later daemon started in between.
fn every_step_is_finished_or_cut_off(context: &Context<'_>) -> Rule {
    let mut open: BTreeMap<String, i64> = BTreeMap::new();
    for entry in &context.store.journal {
        let subject = |subject: &Subject| subject.to_string();
        match entry.kind {
            Kind::DaemonStarted => open.clear(),
            Kind::StepStarted => *open.entry(subject(&entry.subject)).or_default() += 1,
            Kind::StepFinished => *open.entry(subject(&entry.subject)).or_default() -= 1,
            _ => {}
        }
    }
    let performing = context.monitor.performing.len() as i64;
    let unfinished: Vec<_> = open.iter().filter(|(_, count)| **count != 0).collect();
    if unfinished.iter().map(|(_, count)| **count).sum::<i64>() > performing
        || unfinished.iter().any(|(_, count)| **count < 0)
    {
        return Err(Violation::new(
            "every_step_is_finished_or_cut_off",
            format!("{unfinished:?}"),
        ));
    }
    Ok(())
}
