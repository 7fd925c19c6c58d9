//! Configuration that reaches replicas while they run, in the simulator: a keeper around the daemon's own [`Deliveries`], and replicas that
//! read files when they start and at signals, or are told on sockets and answer.
//!
//! What a replica really has is with its process, in [`Holds`]; what the keeper believes of it, in `Deliveries`. The rules compare the two.

use std::collections::BTreeMap;
use std::time::Duration;

use tend_base::Mono;
use tend_config::{
    Deliveries, Liveness, News, STARTED_FOR, Selection, Taker, TakingReplica, Telling, Told, Way, liveness,
};
use tend_core::model::{DeliveryForm, FileFormat, ReplicaId, Service, ServiceId, ServiceName, Stack, StackName};
use tend_core::plan::Launch;

use crate::host::Process;
use crate::invariants::{Context, Violation};
use crate::random::Random;
use crate::run::{Event, Simulation};
use crate::scenario::{Chapter, Fault};

type Rule = Result<(), Violation>;

/// From one look at who holds what to the next, as the daemon's.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A mistake made on purpose, so that a rule is seen to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A revision is given out before it is durable.
    GivenBeforeDurable,
    /// Who is started for a revision is given what is there.
    StartedWithWhatIsThere,
    /// What was said by an earlier life counts for the one that lives.
    WordOfAnEarlierLife,
    /// Who is not ready is sent the signal too.
    SignalledTooEarly,
    /// A daemon that comes back takes everybody for told.
    ForgottenToTell,
    /// Nobody is sent a signal.
    NeverTold,
    /// A revision is told to be live when it was given out.
    LiveUnseen,
    /// What a connection was to be told when it broke is told when the next one is there, though there is something newer.
    OlderIsPublished,
}

/// What a process has of its stack's configuration, and what lies beside it on the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds {
    /// The revision its file has.
    file: Option<u64>,
    /// The revision it read, or was told.
    read: Option<u64>,
    /// What the daemon wrote down that it holds.
    kept: Option<u64>,
}

/// What a service is given: the number stands for the values.
#[derive(Debug)]
pub(crate) struct Part {
    revision: u64,
    way: Way,
}

impl tend_config::Part for Part {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn way(&self) -> Way {
        self.way
    }
}

/// What the daemon that lives keeps; it is gone with it.
#[derive(Default)]
pub(crate) struct Keeper {
    deliveries: Deliveries<Part>,
    told: BTreeMap<StackName, Told>,
    /// The revision that was given out last, and since when.
    given: BTreeMap<StackName, (u64, Mono)>,
    is_to_settle: bool,
}

/// Something of it that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Keeping {
    /// What is in force is given out.
    Deliver(StackName),
    /// A file is written.
    Write(ReplicaId),
    /// The client of this life connects, tells its last word, and is told the newest.
    Connects(u64),
    /// It is told the newest.
    Receives(u64),
    /// It is heard to have taken a revision.
    Acks(ReplicaId, u64, u64),
    /// It is seen who holds what.
    Settle,
    /// The same, now and then.
    Look,
}

/// Gives the services of a scenario ways in which they take configuration.
pub(crate) fn forms(random: &mut Random, stacks: &mut [Stack]) {
    let signalled = |signal| DeliveryForm::File {
        format: FileFormat::Json,
        signal,
    };
    let forms = [
        DeliveryForm::Environment,
        DeliveryForm::Watch,
        DeliveryForm::Watch,
        signalled(Some(1)),
        signalled(Some(1)),
        signalled(None),
    ];
    for service in stacks.iter_mut().flat_map(|stack| stack.services.values_mut()) {
        if !service.is_job() {
            service.config = Some(tend_core::model::Delivery {
                form: random.pick(&forms).clone(),
                keys: Vec::new(),
            });
        }
    }
}

/// Returns whether a service is given configuration while it runs.
pub(crate) fn is_told(service: &Service) -> bool {
    let form = service.config.as_ref().map(|delivery| &delivery.form);
    form.is_some_and(|form| *form != DeliveryForm::Environment)
}

fn way(form: &DeliveryForm) -> Way {
    match form {
        DeliveryForm::Environment => Way::Environment,
        DeliveryForm::Watch => Way::Watch,
        DeliveryForm::File { signal, .. } => Way::File {
            is_signalled: signal.is_some(),
        },
    }
}

/// Returns what a revision gives a service: of two that follow one another a file may be the same.
fn content(way: Way, revision: u64) -> u64 {
    match way {
        Way::File { .. } => revision / 2,
        Way::Environment | Way::Watch => revision,
    }
}

fn takers(stack: &Stack) -> Vec<Taker> {
    let takers = stack.services.values().filter_map(|service| {
        let delivery = service.config.as_ref()?;
        Some(Taker {
            service: service.name.to_string(),
            delivery: delivery.form.clone(),
            keys: Selection(vec!["*".to_owned()]),
        })
    });
    takers.collect()
}

impl Simulation {
    fn keep(&mut self, delay: std::ops::Range<u64>, keeping: Keeping) {
        let delay = self.random.millis(delay);
        self.after(delay, Event::Keep(self.epoch, keeping));
    }

    fn way_of(&self, service: &ServiceId) -> Option<Way> {
        let stack = self.scenario.stacks.iter().find(|stack| stack.name == service.stack)?;
        let delivery = stack.services.get(&service.service)?.config.as_ref()?;
        Some(way(&delivery.form))
    }

    /// A configuration was written down: the keeper hears of it, and gives it out.
    pub(crate) fn was_configured(&mut self, stack: &StackName) {
        if self.daemon.is_some() {
            self.keep(0..20, Keeping::Deliver(stack.clone()));
        }
    }

    /// A configuration was handed in: who is started for it, which may be as soon as it is written down, is to find it.
    pub(crate) fn is_configured(&mut self, stack: &StackName) {
        if self.planted == Some(Planted::GivenBeforeDurable) {
            return self.deliver(stack);
        }
        let configuration = self.world().and_then(|world| world.configurations.get(stack));
        let revision = configuration.map_or(0, |configuration| configuration.revision);
        if self.keeper.given.get(stack).is_none_or(|given| given.0 < revision)
            && let Some(parts) = self.parts(stack, revision)
        {
            // Nobody was started for it yet, so nothing is published.
            self.keeper.deliveries.expect(stack, revision, parts);
        }
    }

    /// Returns what a revision gives the services of a stack.
    fn parts(&self, stack: &StackName, revision: u64) -> Option<BTreeMap<ServiceName, Part>> {
        let definition = self.scenario.stacks.iter().find(|known| known.name == *stack)?;
        let parts = definition.services.values().filter_map(|service| {
            let way = way(&service.config.as_ref()?.form);
            Some((service.name.clone(), Part { revision, way }))
        });
        Some(parts.collect())
    }

    /// A daemon has found what runs: it gives out what is in force, and takes up those that run.
    pub(crate) fn take_up(&mut self) {
        self.keeper = Keeper::default();
        let Some(world) = self.world() else { return };
        let stacks: Vec<StackName> = world.stacks.keys().cloned().collect();
        let up = world.replicas.iter().filter(|(_, replica)| replica.is_up());
        let up: Vec<(ReplicaId, u64)> = up.map(|(id, replica)| (id.clone(), replica.incarnation)).collect();
        for stack in &stacks {
            self.deliver(stack);
        }
        for (replica, incarnation) in up {
            let (Some(way), Some(process)) = (
                self.way_of(&replica.service_id()),
                self.host.processes.get(&incarnation),
            ) else {
                continue;
            };
            let mut kept = process.holds.kept;
            if self.planted == Some(Planted::ForgottenToTell) {
                kept = self.keeper.given.get(&replica.stack).map(|given| given.0);
            }
            self.keeper.deliveries.adopt(&replica, (incarnation, 0), kept);
            if way == Way::Watch {
                self.keep(0..1000, Keeping::Connects(incarnation));
            }
        }
        for stack in &stacks {
            self.write_behind(stack);
        }
        self.keep(1..1000, Keeping::Look);
    }

    /// Gives out what is in force.
    fn deliver(&mut self, stack: &StackName) {
        let revision = self.revision_to_give(stack);
        let Some(parts) = self.parts(stack, revision) else {
            return;
        };
        self.keeper.given.insert(stack.clone(), (revision, self.now));
        for (_, incarnation, _) in self.keeper.deliveries.deliver(stack, parts) {
            self.keep(0..4, Keeping::Receives(incarnation));
        }
        self.write_behind(stack);
        self.settle_soon();
    }

    /// Returns the revision that the keeper knows to be written down.
    fn revision_to_give(&self, stack: &StackName) -> u64 {
        if self.planted == Some(Planted::GivenBeforeDurable) {
            let configuration = self.world().and_then(|world| world.configurations.get(stack));
            return configuration.map_or(0, |configuration| configuration.revision);
        }
        self.durable_revision(stack)
    }

    fn durable_revision(&self, stack: &StackName) -> u64 {
        let kept = self.store.document("configuration", stack.as_str());
        kept.and_then(|kept| kept["revision"].as_u64()).unwrap_or(0)
    }

    fn write_behind(&mut self, stack: &StackName) {
        for replica in self.keeper.deliveries.unwritten(stack) {
            self.keep(0..10, Keeping::Write(replica));
        }
    }

    /// Something changed, and the keeper looks at it in a moment.
    pub(crate) fn settle_soon(&mut self) {
        if self.scenario.chapter == Chapter::Config && !std::mem::replace(&mut self.keeper.is_to_settle, true) {
            self.keep(1..20, Keeping::Settle);
        }
    }

    pub(crate) fn happens_to_keeper(&mut self, keeping: Keeping) {
        match keeping {
            Keeping::Deliver(stack) => self.deliver(&stack),
            Keeping::Write(replica) => self.write_file(&replica),
            Keeping::Connects(incarnation) => {
                let process = self.host.processes.get(&incarnation);
                let said = process.and_then(|process| Some((process.replica.clone(), process.holds.read?)));
                if let Some((replica, read)) = said {
                    self.keep(0..3, Keeping::Acks(replica, incarnation, read));
                }
                self.receive(incarnation);
            }
            Keeping::Receives(incarnation) => self.receive(incarnation),
            Keeping::Acks(replica, mut incarnation, revision) => {
                if self.planted == Some(Planted::WordOfAnEarlierLife) {
                    incarnation = self.keeper.deliveries.incarnation(&replica).unwrap_or(incarnation);
                }
                let held = self.keeper.deliveries.held(&replica, incarnation, revision);
                self.write_down(incarnation, held);
                self.settle_soon();
            }
            Keeping::Settle => {
                self.keeper.is_to_settle = false;
                self.settle();
            }
            Keeping::Look => {
                self.settle();
                self.after(LOOK_EVERY, Event::Keep(self.epoch, Keeping::Look));
            }
        }
    }

    /// Lets the daemon die between two acts, now and then.
    fn dies_between(&mut self) -> bool {
        let dies =
            self.trouble && self.scenario.faults.contains(&Fault::DaemonKilledAfterStep) && self.random.chance(20);
        if dies {
            self.kill_daemon("while it gives out configuration");
        }
        dies
    }

    fn write_down(&mut self, incarnation: u64, held: Option<u64>) {
        if let (Some(process), Some(_)) = (self.host.processes.get_mut(&incarnation), held) {
            process.holds.kept = held;
        }
    }

    /// Gives a life that is about to start what it takes; nothing when that was not given out yet and is to be waited for.
    pub(crate) fn give(&mut self, replica: &ReplicaId, incarnation: u64, launch: &Launch) -> Option<Holds> {
        let mut holds = Holds::default();
        let Some(way) = self.way_of(&replica.service_id()) else {
            return Some(holds);
        };
        if !self.keeper.given.contains_key(&replica.stack) {
            self.deliver(&replica.stack);
        }
        let since = match self.planted {
            Some(Planted::StartedWithWhatIsThere) => 0,
            _ => launch.configuration,
        };
        // The daemon's controller goes on when a wish is durable. Here it goes on at once, so who is started because of it waits.
        if since > self.durable_revision(&replica.stack) && self.planted != Some(Planted::GivenBeforeDurable) {
            return None;
        }
        let revision = self.keeper.deliveries.part_since(replica, since)?.revision;
        self.keeper.deliveries.begin(replica, (incarnation, since));
        match way {
            Way::Environment => holds.kept = self.keeper.deliveries.held(replica, incarnation, revision),
            Way::Watch => {}
            Way::File { .. } => {
                self.keeper.deliveries.written(replica, incarnation, revision, true);
                (holds.file, holds.read) = (Some(revision), Some(revision));
                holds.kept = self.keeper.deliveries.told(replica, incarnation, revision);
                let found = who_is_started_for_a_revision_finds_it(replica, &launch.environment, revision);
                self.check(found);
                let durable = self.nobody_has_what_the_next_daemon_would_not_know(replica, revision);
                self.check(durable);
            }
        }
        Some(holds)
    }

    /// A life that takes configuration has begun.
    pub(crate) fn begins(&mut self, replica: &ReplicaId, incarnation: u64) {
        if self.way_of(&replica.service_id()) == Some(Way::Watch) {
            // Some programs do much else before they ask for their configuration.
            let delay = self.random.pick(&[1..50, 1..200, 500..5000]).clone();
            self.keep(delay, Keeping::Connects(incarnation));
        }
    }

    fn receive(&mut self, incarnation: u64) {
        let Some(process) = self.host.processes.get(&incarnation) else {
            return;
        };
        let (replica, environment) = (process.replica.clone(), process.environment.clone());
        if !self.keeper.deliveries.is_known(&replica, incarnation) {
            return;
        }
        let Some(revision) = self.keeper.deliveries.part(&replica).map(|part| part.revision) else {
            return;
        };
        let durable = self.nobody_has_what_the_next_daemon_would_not_know(&replica, revision);
        self.check(durable);
        let found = who_is_started_for_a_revision_finds_it(&replica, &environment, revision);
        self.check(found);
        self.has(incarnation, revision);
        if self.planted == Some(Planted::OlderIsPublished) && revision > 0 && self.random.chance(50) {
            self.has(incarnation, revision - 1);
        }
        // The connection may break before it is heard; then the word is said again on the next.
        let delay = match self.random.chance(200) {
            true => 50..3000,
            false => 0..10,
        };
        self.keep(delay, Keeping::Acks(replica, incarnation, revision));
    }

    /// A process has a revision from now on.
    fn has(&mut self, incarnation: u64, revision: u64) {
        let Some(process) = self.host.processes.get_mut(&incarnation) else {
            return;
        };
        let before = process.holds.read.replace(revision);
        if before > Some(revision) {
            let what = format!("{} had revision {before:?} and has {revision} now", process.replica);
            self.check(Err(Violation::new("a_replica_never_goes_back", what)));
        }
    }

    fn write_file(&mut self, replica: &ReplicaId) {
        let deliveries = &self.keeper.deliveries;
        let (Some(part), Some(incarnation)) = (deliveries.part(replica), deliveries.incarnation(replica)) else {
            return;
        };
        let (revision, way) = (part.revision, part.way);
        let durable = self.nobody_has_what_the_next_daemon_would_not_know(replica, revision);
        self.check(durable);
        let Some(process) = self.host.processes.get_mut(&incarnation) else {
            return;
        };
        let before = process.holds.file.replace(revision);
        let changed = before.map(|before| content(way, before)) != Some(content(way, revision));
        if way == (Way::File { is_signalled: false }) {
            // It looks by itself.
            self.has(incarnation, revision);
        }
        if self.dies_between() {
            return;
        }
        if !self.keeper.deliveries.written(replica, incarnation, revision, changed) {
            let held = self.keeper.deliveries.told(replica, incarnation, revision);
            self.write_down(incarnation, held);
        }
        self.settle_soon();
    }

    /// Sends the signal; says whether the daemon still lives.
    fn tell_of_file(&mut self, telling: &Telling) -> bool {
        let process = self.host.processes.get(&telling.incarnation);
        // One without a shim is told when it has one again.
        let Some(process) = process.filter(|process| process.shim_alive) else {
            return true;
        };
        let file = process.holds.file;
        let heard = self.nobody_is_signalled_before_it_listens(process);
        self.check(heard);
        if let Some(revision) = file {
            self.has(telling.incarnation, revision);
        }
        if self.dies_between() {
            return false;
        }
        let held = self
            .keeper
            .deliveries
            .told(&telling.replica, telling.incarnation, telling.revision);
        self.write_down(telling.incarnation, held);
        true
    }

    fn known(&self, stack: &StackName) -> Vec<TakingReplica> {
        let definition = self.scenario.stacks.iter().find(|known| known.name == *stack);
        match (self.world(), definition) {
            (Some(world), Some(definition)) => TakingReplica::all(world, stack, &takers(definition)),
            _ => Vec::new(),
        }
    }

    fn settle(&mut self) {
        let stacks: Vec<(StackName, (u64, Mono))> = self
            .keeper
            .given
            .iter()
            .map(|(stack, given)| (stack.clone(), *given))
            .collect();
        for (stack, (revision, since)) in stacks {
            let known = self.known(&stack);
            self.keeper.deliveries.retain(&stack, |id, incarnation| {
                known
                    .iter()
                    .any(|known| known.id == *id && known.incarnation == incarnation && known.is_up)
            });
            for telling in self.keeper.deliveries.untold(&stack) {
                let hears = telling.hears(&known) || self.planted == Some(Planted::SignalledTooEarly);
                let hears = hears && self.planted != Some(Planted::NeverTold);
                if hears && !self.tell_of_file(&telling) {
                    return;
                }
            }
            let holders = self.keeper.deliveries.holders(&known, revision);
            let mut liveness = liveness(revision, since, &holders, self.now);
            if self.planted == Some(Planted::LiveUnseen) {
                liveness = Liveness::Live;
            }
            let told = self.keeper.told.entry(stack.clone()).or_default();
            if told.news(revision, &liveness, &known) == Some(News::Live) {
                self.line(&format!("  ♦ revision {revision} of {stack} is live"));
                let live = self.a_revision_is_live_when_all_have_it(&stack, revision, &known);
                self.check(live);
            }
        }
    }

    /// A revision that is told to be live is what every process that counts really has.
    fn a_revision_is_live_when_all_have_it(&self, stack: &StackName, revision: u64, known: &[TakingReplica]) -> Rule {
        for known in known.iter().filter(|known| known.is_counted && known.is_up) {
            // One that has just ended has nothing.
            let Some(process) = self.host.processes.get(&known.incarnation) else {
                continue;
            };
            let Some(way) = self.way_of(&known.id.service_id()) else {
                continue;
            };
            let has_it = match way {
                Way::Environment => self.world().is_none_or(|world| {
                    let configuration = world.configurations.get(stack);
                    crate::configure::is_started_with(&known.id, process, configuration)
                }),
                Way::Watch | Way::File { .. } => {
                    let read = process.holds.read.map(|read| content(way, read));
                    read >= Some(content(way, revision))
                }
            };
            if !has_it {
                let what = format!(
                    "{} ({}) has {:?} and not {revision}",
                    known.id, known.incarnation, process.holds
                );
                return Err(Violation::new("a_revision_is_live_when_all_have_it", what));
            }
        }
        Ok(())
    }

    /// What a replica has while it runs was durable before it was given out.
    fn nobody_has_what_the_next_daemon_would_not_know(&self, replica: &ReplicaId, revision: u64) -> Rule {
        let durable = self.durable_revision(&replica.stack);
        if revision > durable {
            let what = format!("{replica} is given revision {revision}, and {durable} is durable");
            return Err(Violation::new("nobody_has_what_the_next_daemon_would_not_know", what));
        }
        Ok(())
    }

    /// A signal that is not listened for is the end of most programs.
    fn nobody_is_signalled_before_it_listens(&self, process: &Process) -> Rule {
        let stack = self
            .scenario
            .stacks
            .iter()
            .find(|stack| stack.name == process.replica.stack);
        let service = stack.and_then(|stack| stack.services.get(&process.replica.service));
        let is_probed = service.is_some_and(|service| service.readiness.is_some());
        if is_probed && self.now < process.warm_at {
            let what = format!(
                "{} is signalled at {:?}, and listens from {:?}",
                process.replica, self.now, process.warm_at
            );
            return Err(Violation::new("nobody_is_signalled_before_it_listens", what));
        }
        Ok(())
    }

    /// When nothing goes wrong any more, every replica that serves has what is in force, and the daemon knows that.
    pub(crate) fn all_agree_after_quiet(&self, context: &Context<'_>) -> Rule {
        let ready = context.world.replicas.iter().filter(|(_, replica)| replica.is_ready());
        for (id, replica) in ready.filter(|(id, _)| context.world.is_wanted(id)) {
            let (Some(way), Some(process)) = (
                self.way_of(&id.service_id()),
                self.host.processes.get(&replica.incarnation),
            ) else {
                continue;
            };
            if way == Way::Environment {
                continue;
            }
            let configuration = context.world.configurations.get(&id.stack);
            let revision = configuration.map_or(0, |configuration| configuration.revision);
            let held = self.keeper.deliveries.holding(id, replica.incarnation).0;
            let has = process.holds.read.map(|read| content(way, read));
            if has != Some(content(way, revision)) || held != Some(revision) {
                let what = format!(
                    "{id} ({}) has {:?}, known is {held:?}, and {revision} is in force",
                    replica.incarnation, process.holds
                );
                return Err(Violation::new("all_agree_after_quiet", what));
            }
        }
        Ok(())
    }
}

/// A replica that was started anew for a revision has at least that: its program may read some keys only when it starts.
fn who_is_started_for_a_revision_finds_it(
    replica: &ReplicaId,
    environment: &BTreeMap<String, String>,
    revision: u64,
) -> Rule {
    let started_for = environment.get(STARTED_FOR).and_then(|text| text.parse().ok());
    if started_for > Some(revision) {
        let what = format!("{replica} is started for revision {started_for:?} and finds {revision}");
        return Err(Violation::new("who_is_started_for_a_revision_finds_it", what));
    }
    Ok(())
}
