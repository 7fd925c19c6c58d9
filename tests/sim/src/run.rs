//! One run: a queue of events in virtual time, the daemon that reacts to them, the checks between any two of them.
//!
//! Owns the order of events. What a step does to the host is in `perform`, what goes wrong in `trouble`, what must hold in
//! `invariants`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tend_base::{Mono, Now, Wall};
use tend_core::controller::{Chapter, Controller, Input, restore};
use tend_core::journal::{Entry, Kind, Principal};
use tend_core::observed::{Endpoints, Exit};
use tend_core::plan::Step;
use tend_core::world::World;
use tend_deploy::Deploy;
use tend_supervise::Supervise;

use crate::configure;
use crate::deploys::{self, Deploys};
use crate::host::{FakeEdge, Host, Process};
use crate::invariants::{self, Violation};
use crate::keeper::{Keeper, Keeping, Planted};
use crate::monitor::Monitor;
use crate::random::Random;
use crate::scenario::{self, CORES, PORTS, Scenario};
use crate::store::{Store, Waiting};
use crate::trace::Trace;
use crate::trouble::People;

pub(crate) type Chapters = Arc<[Box<dyn Chapter>]>;

/// After faults and wishes ended, everything must be as wanted within this time: restarts wait 10 s at most, a stop takes 15 s at most,
/// and eight replicas may have to go one after the other.
const SETTLED_WITHIN: Duration = Duration::from_secs(300);

/// From one look at whether everything is as wanted to the next, and how many in a row are enough.
const LOOK_EVERY: Duration = Duration::from_secs(7);
const CALM_LOOKS: u32 = 3;

/// From one measurement of memory to the next.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// More events than this in one run mean that something turns in a circle.
const EVENTS_MAX: u64 = 400_000;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The daemon of this epoch hears of something.
    Deliver(u64, Input),
    /// The daemon of this epoch performs a step.
    Perform(u64, Step),
    /// The daemon of this epoch asked to be woken.
    Wake(u64),
    /// The store has written.
    Durable,
    /// A daemon starts.
    StartDaemon,
    /// A process ends by itself.
    Ends(u64, Exit),
    /// The edge of this life serves a snapshot.
    EdgeApplies(u64, u64, Endpoints),
    /// The edge of this life has come up.
    EdgeUp(u64),
    /// Memory is measured.
    Measure,
    /// Something goes wrong.
    Fault,
    /// Somebody wants something.
    Wish,
    /// From here on nothing goes wrong and nobody wants anything.
    Peace,
    /// Somebody who was not answered asks again.
    Peaceful,
    /// Everything must be as wanted.
    Settled,
    /// The keeper of this epoch does something about configuration.
    Keep(u64, Keeping),
}

/// A living daemon.
pub(crate) struct Daemon {
    pub(crate) controller: Controller<Chapters>,
    wake_at: Option<Mono>,
    /// It is killed when it has performed so many more steps.
    pub(crate) dies_after_steps: Option<u64>,
}

/// Faults that last for a while: until when.
#[derive(Debug, Default)]
pub(crate) struct Spells {
    pub(crate) starts_fail: Mono,
    pub(crate) acts_fail: Mono,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The invariant that was broken, if one was.
    pub violation: Option<Violation>,
    /// The last lines of the trace, or all of them.
    pub trace: Trace,
    /// Events that happened.
    pub events: u64,
    /// Daemons that were started.
    pub daemons: u64,
    /// Times the daemon was killed.
    pub daemons_killed: u64,
}

/// One run.
pub(crate) struct Simulation {
    pub(crate) random: Random,
    pub(crate) scenario: Scenario,
    pub(crate) now: Mono,
    /// Milliseconds between the clocks.
    pub(crate) wall_offset: i64,
    queue: BTreeMap<(Mono, u64), Event>,
    sequence: u64,
    pub(crate) host: Host,
    pub(crate) edge: FakeEdge,
    pub(crate) store: Store,
    pub(crate) daemon: Option<Daemon>,
    /// Counts daemons.
    pub(crate) epoch: u64,
    killed: u64,
    /// Messages of the edge arrive in the order they were sent.
    edge_channel: Mono,
    /// When the daemon that lives now connects to the shim of each life it found, after which it hears of it.
    connects_at: BTreeMap<u64, Mono>,
    pub(crate) people: People,
    pub(crate) deploys: Deploys,
    pub(crate) spells: Spells,
    pub(crate) keeper: Keeper,
    pub(crate) planted: Option<Planted>,
    pub(crate) trouble: bool,
    /// When everything must be as wanted.
    settle_by: Mono,
    /// Looks in a row at which everything was as wanted.
    calm: u32,
    pub(crate) monitor: Monitor,
    pub(crate) trace: Trace,
    violation: Option<Violation>,
}

/// Runs a seed of a chapter; `whole_trace` keeps every line of the trace.
#[must_use]
pub fn run(chapter: scenario::Chapter, seed: u64, whole_trace: bool) -> Outcome {
    if chapter == scenario::Chapter::Alert {
        return crate::alerts::run(seed, whole_trace, crate::alerts::Planted::Nothing);
    }
    run_planted(chapter, seed, whole_trace, None)
}

/// The same with a mistake made on purpose, which a rule has to find.
#[must_use]
pub fn run_planted(chapter: scenario::Chapter, seed: u64, whole_trace: bool, planted: Option<Planted>) -> Outcome {
    let mut random = Random::new(seed);
    let mut scenario = Scenario::new(chapter, &mut random);
    if planted.is_some() {
        // Much is wanted in a short time, so that few seeds find it.
        (scenario.wish_ms, scenario.configure_chance) = (20..400, 900);
    }
    let mut simulation = Simulation {
        people: People::new(&scenario),
        deploys: Deploys::default(),
        random,
        now: Mono(1_000_000_000),
        wall_offset: 1_795_265_075_123,
        queue: BTreeMap::new(),
        sequence: 0,
        host: Host::default(),
        edge: FakeEdge::default(),
        store: Store::default(),
        daemon: None,
        epoch: 0,
        killed: 0,
        edge_channel: Mono(0),
        connects_at: BTreeMap::new(),
        spells: Spells::default(),
        keeper: Keeper::default(),
        planted,
        trouble: true,
        settle_by: Mono(u64::MAX),
        calm: 0,
        monitor: Monitor::default(),
        trace: Trace::new(whole_trace),
        violation: None,
        scenario,
    };
    let faults: Vec<_> = simulation.scenario.faults.iter().collect();
    let line = format!(
        "seed {seed}, trouble for {:?} with {faults:?}",
        simulation.scenario.trouble
    );
    simulation.line(&line);
    let events = simulation.go();
    Outcome {
        violation: simulation.violation,
        trace: simulation.trace,
        events,
        daemons: simulation.epoch,
        daemons_killed: simulation.killed,
    }
}

impl Simulation {
    fn go(&mut self) -> u64 {
        let trouble = self.scenario.trouble;
        self.after(Duration::ZERO, Event::StartDaemon);
        self.after(Duration::from_millis(20), Event::Wish);
        self.after(Duration::from_secs(1), Event::Measure);
        let first = self.random.millis(self.scenario.fault_ms.clone());
        self.after(first, Event::Fault);
        self.after(trouble, Event::Peace);
        let mut events = 0;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            events += 1;
            if events > EVENTS_MAX {
                self.check(Err(Violation::new(
                    "it_comes_to_rest",
                    format!("more than {EVENTS_MAX} events"),
                )));
            }
            self.happen(event);
            if self.calm == CALM_LOOKS || self.violation.is_some() {
                break;
            }
        }
        events
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.trace.line(self.now, text);
    }

    /// Keeps the first violation.
    pub(crate) fn check(&mut self, result: Result<(), Violation>) {
        if let (Err(violation), None) = (result, &self.violation) {
            self.line(&format!("VIOLATION {violation}"));
            self.violation = Some(violation);
        }
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    fn at(&mut self, at: Mono, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    /// Tells the daemon that lives now, unless it dies before the news arrives.
    pub(crate) fn tell(&mut self, delay: Duration, input: Input) {
        if self.daemon.is_some() {
            self.after(delay, Event::Deliver(self.epoch, input));
        }
    }

    /// Tells the daemon on the edge's connection, which keeps the order.
    pub(crate) fn tell_from_edge(&mut self, delay: Duration, input: Input) {
        if self.edge.connected_to == Some(self.epoch) && self.daemon.is_some() {
            self.edge_channel = self.edge_channel.max(self.now + delay);
            self.at(self.edge_channel, Event::Deliver(self.epoch, input));
        }
    }

    /// Tells the daemon of a life on the connection to its shim: not before it looked at that life.
    pub(crate) fn tell_from_shim(&mut self, incarnation: u64, delay: Duration, input: Input) {
        let connects = self.connects_at.get(&incarnation);
        let after = connects.map_or(Duration::ZERO, |at| at.since(self.now));
        self.tell(delay.max(after), input);
    }

    fn time(&self) -> Now {
        let wall = self.wall_offset + i64::try_from(self.now.0 / 1_000_000).unwrap_or(i64::MAX);
        Now {
            mono: self.now,
            wall: Wall(wall.unsigned_abs()),
        }
    }

    pub(crate) fn world(&self) -> Option<&World> {
        self.daemon.as_ref().map(|daemon| daemon.controller.world())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(epoch, input) if epoch == self.epoch => self.handle(input, None),
            Event::Perform(epoch, step) if epoch == self.epoch => self.perform(step),
            Event::Wake(epoch) if epoch == self.epoch => {
                let due = self.daemon.as_ref().and_then(|daemon| daemon.wake_at);
                if due.is_some_and(|due| due <= self.now) {
                    self.handle(Input::Tick, None);
                }
            }
            Event::Keep(epoch, keeping) if epoch == self.epoch && self.daemon.is_some() => {
                self.happens_to_keeper(keeping)
            }
            // Of a daemon that is no more.
            Event::Deliver(..) | Event::Perform(..) | Event::Wake(_) | Event::Keep(..) => {}
            Event::Durable => self.written(),
            Event::StartDaemon => self.start_daemon(),
            Event::Ends(incarnation, exit) => self.process_ends(incarnation, exit),
            Event::EdgeApplies(life, generation, endpoints) => self.edge_applies(life, generation, endpoints),
            Event::EdgeUp(life) => {
                if life == self.edge.life && !self.edge.alive {
                    self.edge.alive = true;
                    self.line("the edge is up");
                    self.connect_edge();
                }
            }
            Event::Measure => {
                self.measure();
                self.after(MEASURE_EVERY, Event::Measure);
            }
            Event::Fault if self.trouble => {
                self.fault();
                let next = self.random.millis(self.scenario.fault_ms.clone());
                self.after(next, Event::Fault);
            }
            Event::Wish if self.trouble => {
                self.wish();
                let next = self.random.millis(self.scenario.wish_ms.clone());
                self.after(next, Event::Wish);
            }
            Event::Fault | Event::Wish => {}
            Event::Peace => {
                self.make_peace();
                self.settle_by = self.now
                    + match self.scenario.chapter {
                        scenario::Chapter::Supervise | scenario::Chapter::Alert => SETTLED_WITHIN,
                        scenario::Chapter::Deploy | scenario::Chapter::Config => deploys::SETTLED_WITHIN,
                    };
                self.after(LOOK_EVERY, Event::Settled);
            }
            Event::Peaceful => self.last_wish(),
            Event::Settled => self.check_settled(),
        }
    }

    /// Everything a daemon does with one input: decide, hand in what is to be kept, send out the steps.
    pub(crate) fn handle(&mut self, input: Input, wish: Option<u64>) {
        let now = self.time();
        let Some(mut daemon) = self.daemon.take() else { return };
        if !matches!(
            input,
            Input::Tick | Input::Measured { .. } | Input::Probed { result: Ok(()), .. }
        ) {
            self.line(&format!("◄ {}", crate::words::input(&input)));
        }
        let waiting = match &input {
            Input::Exited { incarnation, .. } => Some(Waiting::End(*incarnation)),
            _ => wish.map(Waiting::Wish),
        };
        self.monitor.hear(&input, daemon.controller.world(), self.now);
        let is_surveyed = matches!(input, Input::Surveyed);
        let configured = match &input {
            Input::Configure(wish) => Some(wish.stack.clone()),
            _ => None,
        };
        let settles = !matches!(
            input,
            Input::Tick | Input::Measured { .. } | Input::Probed { .. } | Input::Quiesced { .. }
        );
        let reaction = catch_unwind(AssertUnwindSafe(|| daemon.controller.handle(input, now)));
        let reaction = match reaction {
            Ok(reaction) => reaction,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                self.daemon = Some(daemon);
                self.check(Err(Violation::new(
                    "the_controller_never_panics",
                    text.unwrap_or_default(),
                )));
                return;
            }
        };
        let number = self.commit(reaction.documents, reaction.entries.clone(), waiting);
        self.monitor.handed_in(number, self.store.durable);
        self.monitor
            .note_entries(&reaction.entries, daemon.controller.world(), self.now);
        let result = deploys::entries(&reaction.entries, daemon.controller.world());
        self.check(result);
        for entry in &reaction.entries {
            if !matches!(entry.kind, Kind::StepStarted | Kind::StepFinished) {
                self.line(&format!("  ♦ {} {} {}", entry.kind, entry.subject, entry.data));
            }
        }
        let result = invariants::entries(&reaction.entries, &self.context(daemon.controller.world()));
        self.check(result);
        let survey_pending = daemon.controller.world().survey_pending;
        let result = invariants::reaction(&reaction.steps, reaction.wake_at, survey_pending, self.now);
        self.check(result);
        for step in reaction.steps {
            let context = self.context(daemon.controller.world());
            let result = invariants::step(&step, &context).and_then(|()| deploys::step(&step, &context));
            self.check(result);
            if step.is_recorded() {
                self.line(&format!("► {step}{}", crate::words::incarnation(&step)));
            }
            self.monitor.decided(&step, number, self.now);
            let delay = self.random.millis(0..4);
            self.after(delay, Event::Perform(self.epoch, step));
        }
        daemon.wake_at = reaction.wake_at;
        if let Some(at) = daemon.wake_at {
            self.at(at, Event::Wake(self.epoch));
        }
        self.daemon = Some(daemon);
        if is_surveyed && self.scenario.chapter == scenario::Chapter::Config {
            self.take_up();
        }
        if let Some(stack) = configured {
            self.is_configured(&stack);
        }
        if settles {
            self.settle_soon();
        }
    }

    fn commit(
        &mut self,
        documents: Vec<tend_core::controller::Document>,
        entries: Vec<Entry>,
        waiting: Option<Waiting>,
    ) -> u64 {
        let delay = self.random.millis(self.scenario.durable_ms.clone());
        let (number, at) = self.store.commit(documents, entries, waiting, self.now + delay);
        self.at(at, Event::Durable);
        number
    }

    fn written(&mut self) {
        for waiting in self.store.write(self.now) {
            match waiting {
                Waiting::Wish(number) => self.acknowledged(number),
                Waiting::End(incarnation) => {
                    self.host.ends.remove(&incarnation);
                }
            }
        }
    }

    /// Kills the daemon: what it knew and what was not written is gone.
    pub(crate) fn kill_daemon(&mut self, why: &str) {
        if self.daemon.take().is_none() {
            return;
        }
        self.killed += 1;
        let lost = self.store.lose_pending();
        self.line(&format!(
            "† the daemon is killed {why}, {} transactions are lost",
            lost.len()
        ));
        for (_, waiting) in &lost {
            if let Some(Waiting::End(incarnation)) = waiting
                && !self.host.ends.contains_key(incarnation)
            {
                // Without a shim only this daemon saw it, and it dies before it could write that down: nobody can know of it.
                self.host.deaths.retain(|death| death.incarnation != *incarnation);
            }
        }
        let lost: Vec<u64> = lost.into_iter().map(|(number, _)| number).collect();
        self.monitor.daemon_died(&lost);
        self.edge.connected_to = None;
        let back = self.random.pick(&[1..50, 50..1000, 1000..6000]).clone();
        let back = self.random.millis(back);
        self.after(back, Event::StartDaemon);
    }

    /// Starts a daemon: from the documents, and from what it finds on the host.
    fn start_daemon(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        self.epoch += 1;
        let world = match restore(CORES, PORTS, self.store.documents()) {
            Ok(world) => world,
            Err(why) => {
                self.check(Err(Violation::new("what_was_kept_can_be_read", why)));
                return;
            }
        };
        let principal = Principal::Daemon {
            pid: u32::try_from(self.epoch).unwrap_or(u32::MAX),
            build: "sim".to_owned(),
        };
        let chapters: Chapters = Arc::from(vec![Box::new(Supervise) as Box<dyn Chapter>, Box::new(Deploy)]);
        self.line(&format!("* daemon {} starts", self.epoch));
        let started = Entry::new(principal.clone(), Kind::DaemonStarted).with(json!({ "mode": "adopting" }));
        self.commit(Vec::new(), vec![started], None);
        self.daemon = Some(Daemon {
            controller: Controller::new(world, chapters, principal),
            wake_at: None,
            dies_after_steps: None,
        });
        let result = invariants::no_acknowledged_wish_is_lost(&self.people.acknowledged, self.world());
        self.check(result);
        self.monitor.daemon_started(&self.edge, &self.host, &self.store);
        let found: Vec<Input> = self.look_around();
        // Finding things takes time, in which more may happen.
        let mut delay = Duration::ZERO;
        self.connects_at.clear();
        for input in found {
            delay += self.random.millis(0..2);
            if let Input::Adopted { incarnation, .. } = &input {
                self.connects_at.insert(*incarnation, self.now + delay);
            }
            self.tell(delay, input);
        }
        self.tell(delay, Input::Surveyed);
        self.connect_edge();
    }

    /// Returns what runs and what ended, in the order of the incarnations. As with the real daemon, what ended is first said to have
    /// run: its folder tells the same of it as that of one which lives.
    fn look_around(&self) -> Vec<Input> {
        let adopted = |incarnation: u64, process: &Process| Input::Adopted {
            replica: process.replica.clone(),
            incarnation,
            pid: process.pid,
            since: process.started,
            port: process.port,
            fingerprint: process.fingerprint,
            quiesce: process.quiesce.clone(),
            shim_alive: process.shim_alive,
        };
        let mut found: BTreeMap<u64, Vec<Input>> = BTreeMap::new();
        for (incarnation, process) in &self.host.processes {
            found.insert(*incarnation, vec![adopted(*incarnation, process)]);
        }
        for (incarnation, end) in &self.host.ends {
            let exited = Input::Exited {
                replica: end.process.replica.clone(),
                incarnation: *incarnation,
                exit: end.exit.clone(),
                lived: None,
                last_lines: Vec::new(),
            };
            found.insert(*incarnation, vec![adopted(*incarnation, &end.process), exited]);
        }
        found.into_values().flatten().collect()
    }

    /// Lets the edge, if it lives and has not yet, find the daemon.
    pub(crate) fn connect_edge(&mut self) {
        if self.edge.alive && self.daemon.is_some() && self.edge.connected_to != Some(self.epoch) {
            self.edge.connected_to = Some(self.epoch);
            let delay = self.random.millis(1..20);
            self.tell_from_edge(
                delay,
                Input::EdgeConnected {
                    serving: self.edge.generation,
                },
            );
        }
    }

    /// Returns what the rules look at.
    fn context<'a>(&'a self, world: &'a World) -> invariants::Context<'a> {
        invariants::Context {
            world,
            monitor: &self.monitor,
            host: &self.host,
            edge: &self.edge,
            store: &self.store,
            now: self.now,
        }
    }

    fn check_settled(&mut self) {
        let Some(daemon) = self.daemon.take() else {
            self.after(LOOK_EVERY, Event::Settled);
            return;
        };
        let context = self.context(daemon.controller.world());
        let result = invariants::settled(&context, self.time())
            .and_then(|()| deploys::a_deployment_ends(&context))
            .and_then(|()| configure::what_runs_holds_the_revision_in_force(&context))
            .and_then(|()| self.all_agree_after_quiet(&context))
            .and_then(|()| invariants::no_acknowledged_wish_is_lost(&self.people.acknowledged, Some(context.world)));
        self.daemon = Some(daemon);
        match result {
            Ok(()) => self.calm += 1,
            Err(_) if self.now < self.settle_by => self.calm = 0,
            Err(violation) => self.check(Err(violation)),
        }
        self.after(LOOK_EVERY, Event::Settled);
    }

    /// Returns the incarnations that live, for a fault to choose from.
    pub(crate) fn living(&self) -> Vec<u64> {
        self.host
            .processes
            .keys()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}
