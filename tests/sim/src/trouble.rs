//! What goes wrong and what people want: chosen at random while there is trouble, put right when it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use tend_base::Mono;
use tend_core::configuration::Configuration;
use tend_core::controller::Input;
use tend_core::journal::{Principal, Via};
use tend_core::model::{Port, ServiceId, Stack, StackName, Workload};
use tend_core::observed::Exit;

use crate::run::{Event, Simulation};
use crate::scenario::{Chapter, Fault, Scenario};

/// What people asked for, and what they were told was done.
#[derive(Debug, Default)]
pub(crate) struct People {
    /// The stacks as somebody would write them now.
    files: BTreeMap<StackName, Stack>,
    wishes: BTreeMap<u64, Input>,
    last: u64,
    /// The wish that was not answered yet; it is sent again until it is.
    waiting: Option<u64>,
    /// What must be in force, since it was acknowledged and nothing later asked for something else.
    pub(crate) acknowledged: Acknowledged,
}

/// What was acknowledged last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acknowledged {
    /// By stack: is it up? Absent while a wish about it is unanswered.
    pub(crate) up: BTreeMap<StackName, bool>,
    /// By service: how many were asked for, and whether it was stopped or started, since the last application.
    pub(crate) adjusted: BTreeMap<ServiceId, (Option<u32>, Option<bool>)>,
    /// By stack: what was applied.
    pub(crate) applied: BTreeMap<StackName, Stack>,
    /// By stack: its configuration.
    pub(crate) configured: BTreeMap<StackName, Configuration>,
}

impl People {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            files: scenario
                .stacks
                .iter()
                .map(|stack| (stack.name.clone(), stack.clone()))
                .collect(),
            ..Self::default()
        }
    }
}

fn person() -> Principal {
    Principal::Person {
        uid: Some(1000),
        name: "ana".to_owned(),
        via: Via::Socket,
    }
}

/// Gives a service another environment, which is another definition.
fn change(stack: &mut Stack, which: usize, version: u64) {
    let Some(service) = stack.services.values_mut().nth(which) else {
        return;
    };
    if let Workload::Process(process) = &mut service.workload {
        process.environment.insert("VERSION".to_owned(), version.to_string());
    }
}

impl Simulation {
    /// Somebody wants something, or again what was not answered.
    pub(crate) fn wish(&mut self) {
        if self.people.waiting.is_none() {
            let input = self.next_wish();
            self.people.last += 1;
            self.people.wishes.insert(self.people.last, input);
            self.people.waiting = Some(self.people.last);
        }
        self.send_wish();
    }

    fn send_wish(&mut self) {
        let Some(number) = self.people.waiting.filter(|_| self.daemon.is_some()) else {
            return;
        };
        let input = self.people.wishes[&number].clone();
        let about = match &input {
            Input::Apply { stack, .. } => Some(&stack.name),
            Input::Scale { service, .. } => Some(&service.stack),
            _ => None,
        };
        // The door refuses what would change a stack under a deployment.
        if about.is_some_and(|stack| self.world().is_some_and(|world| world.deployment(stack).is_some())) {
            self.people.waiting = None;
            return;
        }
        self.people.acknowledged.unanswered(&input);
        self.handle(input, Some(number));
    }

    fn next_wish(&mut self) -> Input {
        let names: Vec<StackName> = self.people.files.keys().cloned().collect();
        let applied: Vec<StackName> = self
            .world()
            .map(|world| world.stacks.keys().cloned().collect())
            .unwrap_or_default();
        let missing: Vec<_> = names.iter().filter(|name| !applied.contains(name)).cloned().collect();
        let by = person();
        if !missing.is_empty() && self.random.chance(700) {
            let stack = Box::new(self.people.files[self.random.pick(&missing)].clone());
            return Input::Apply { stack, by };
        }
        let name = self.random.pick(&names).clone();
        let services: Vec<_> = self.people.files[&name].services.keys().cloned().collect();
        let service = ServiceId {
            stack: name.clone(),
            service: self.random.pick(&services).clone(),
        };
        if self.scenario.chapter == Chapter::Config
            && self.random.chance(self.scenario.configure_chance)
            && let Some(input) = self.configure_wish(&name, &services, by.clone())
        {
            return input;
        }
        if self.scenario.chapter.deploys()
            && self.random.chance(700)
            && let Some(input) = self.deploy_wish(&name, by.clone())
        {
            return input;
        }
        match self.random.number(0..12) {
            0 => Input::Remove { stack: name, by },
            1 | 2 => {
                let (which, version) = (self.random.number(0..4) as usize, self.random.number(2..1000));
                if let Some(stack) = self.people.files.get_mut(&name) {
                    change(stack, which, version);
                }
                Input::Apply {
                    stack: Box::new(self.people.files[&name].clone()),
                    by,
                }
            }
            3 => Input::Apply {
                stack: Box::new(self.people.files[&name].clone()),
                by,
            },
            4 | 5 => Input::Scale {
                service,
                replicas: self.random.number(0..5) as u32,
                by,
            },
            6 => Input::Stop {
                service,
                stopped: true,
                by,
            },
            7 | 8 => Input::Stop {
                service,
                stopped: false,
                by,
            },
            9 => Input::Restart {
                service,
                slot: Some(self.random.number(1..4) as u32),
                by,
            },
            _ => Input::Restart {
                service,
                slot: None,
                by,
            },
        }
    }

    /// A person hears that a wish is durable.
    pub(crate) fn acknowledged(&mut self, number: u64) {
        if self.people.waiting == Some(number) {
            self.people.waiting = None;
        }
        let input = self.people.wishes[&number].clone();
        self.line(&format!("  ✓ wish {number} is acknowledged"));
        self.people.acknowledged.answered(&input);
        if let Input::Configure(wish) = &input {
            self.was_configured(&wish.stack);
        }
    }

    /// Something goes wrong.
    pub(crate) fn fault(&mut self) {
        let faults: Vec<Fault> = self.scenario.faults.iter().copied().collect();
        if faults.is_empty() {
            return;
        }
        let fault = *self.random.pick(&faults);
        let living = self.living();
        let victim = if living.is_empty() {
            None
        } else {
            Some(*self.random.pick(&living))
        };
        let lasts = self.random.pick(&[100..1000, 1000..12_000]).clone();
        let until = self.now + self.random.millis(lasts);
        match (fault, victim) {
            (Fault::ReplicaExits, Some(victim)) => {
                let exit = self.random.pick(&[
                    Exit::Exited(1),
                    Exit::Exited(0),
                    Exit::Signalled {
                        signal: 11,
                        core_dumped: true,
                    },
                    Exit::OomKilled,
                ]);
                let exit = exit.clone();
                self.process_ends(victim, exit);
            }
            (Fault::ReplicaHangs | Fault::ReplicaLeaks | Fault::ProbeFlaps | Fault::ShimKilled, Some(victim)) => {
                self.hurt(fault, victim, until);
            }
            (Fault::StartsFail, _) => self.spells.starts_fail = until,
            (Fault::ActsFail, _) => self.spells.acts_fail = until,
            (Fault::PortTaken, _) => {
                let given = self.host.processes.values().filter_map(|process| process.port);
                let free = crate::scenario::PORTS.filter(|port| !given.clone().any(|given| given == *port));
                let port = free.take(4).last();
                self.host.taken_ports.extend(port);
                let services = self.scenario.stacks.iter().flat_map(|stack| stack.services.values());
                let fixed: Vec<u16> = services
                    .filter_map(|service| match service.port {
                        Port::Fixed(port) => Some(port),
                        _ => None,
                    })
                    .collect();
                if !fixed.is_empty() {
                    self.host.taken_ports.insert(*self.random.pick(&fixed));
                }
            }
            (Fault::DaemonKilled, _) => self.kill_daemon("by a fault"),
            (Fault::DaemonKilledAfterStep, _) => {
                let steps = self.random.number(1..8);
                if let Some(daemon) = &mut self.daemon {
                    daemon.dies_after_steps.get_or_insert(steps);
                }
            }
            (Fault::EdgeKilled, _) => self.kill_edge(),
            (Fault::ClockJumps, _) => {
                let by = *self
                    .random
                    .pick(&[-86_400_000, -3_600_000, -1500, 1500, 3_600_000, 86_400_000]);
                self.line(&format!("the clock jumps by {by} ms"));
                self.wall_offset += by;
            }
            (_, None) => {}
        }
    }

    fn hurt(&mut self, fault: Fault, victim: u64, until: Mono) {
        let leak = self.random.number(1..30) << 20;
        let Some(process) = self.host.processes.get_mut(&victim) else {
            return;
        };
        let replica = process.replica.clone();
        match fault {
            Fault::ReplicaHangs => process.hung_until = until,
            Fault::ReplicaLeaks => process.leak = leak,
            Fault::ProbeFlaps => process.flaps_until = until,
            _ => process.shim_alive = false,
        }
        self.line(&format!("{fault:?}: {replica} ({victim})"));
        if fault == Fault::ShimKilled {
            let delay = self.random.millis(0..10);
            self.tell_from_shim(
                victim,
                delay,
                Input::ShimLost {
                    replica,
                    incarnation: victim,
                },
            );
        }
    }

    fn kill_edge(&mut self) {
        if !std::mem::take(&mut self.edge.alive) {
            return;
        }
        self.line("† the edge is killed");
        let delay = self.random.millis(0..10);
        self.tell_from_edge(delay, Input::EdgeLost);
        self.edge.connected_to = None;
    }

    /// Puts right what a user would: nothing goes wrong any more, and what was asked for is asked again until it is answered.
    pub(crate) fn make_peace(&mut self) {
        self.line("peace");
        self.trouble = false;
        (self.spells.starts_fail, self.spells.acts_fail) = (Mono(0), Mono(0));
        self.host.taken_ports.clear();
        // A release that nobody can run well would keep the run from ever coming to rest.
        self.deploys.flaws.clear();
        let now = self.now;
        for process in self.host.processes.values_mut() {
            if process.warm_at == Mono(u64::MAX) {
                process.warm_at = now;
            }
            (process.hung_until, process.flaps_until, process.leak) = (Mono(0), Mono(0), 0);
        }
        if let Some(daemon) = &mut self.daemon {
            daemon.dies_after_steps = None;
        } else {
            self.after(Duration::ZERO, Event::StartDaemon);
        }
        self.after(Duration::from_millis(100), Event::Peaceful);
    }

    /// Sends again what was not answered.
    pub(crate) fn last_wish(&mut self) {
        if self.people.waiting.is_some() {
            self.send_wish();
            self.after(Duration::from_millis(100), Event::Peaceful);
        } else if let Some(input) = self.last_words() {
            self.people.last += 1;
            self.people.wishes.insert(self.people.last, input);
            self.people.waiting = Some(self.people.last);
            self.after(Duration::from_millis(100), Event::Peaceful);
        } else if self.scenario.chapter.deploys() {
            self.after(Duration::from_secs(5), Event::Peaceful);
        }
    }
}

impl Acknowledged {
    /// A wish is on its way: what it is about may be either way until it is answered.
    fn unanswered(&mut self, input: &Input) {
        match input {
            Input::Apply { stack, .. } => self.forget(&stack.name),
            Input::Remove { stack, .. } => self.forget(stack),
            // Whatever comes of it, the stack is then as a release has it.
            Input::Deploy(wish) => {
                self.applied.remove(&wish.stack);
            }
            Input::Configure(wish) => {
                self.configured.remove(&wish.stack);
            }
            Input::Scale { service, .. } => self.adjusted.entry(service.clone()).or_default().0 = None,
            Input::Stop { service, .. } => self.adjusted.entry(service.clone()).or_default().1 = None,
            _ => {}
        }
    }

    fn forget(&mut self, stack: &StackName) {
        self.up.remove(stack);
        self.applied.remove(stack);
        self.adjusted.retain(|service, _| service.stack != *stack);
    }

    fn answered(&mut self, input: &Input) {
        match input {
            Input::Apply { stack, .. } => {
                self.up.insert(stack.name.clone(), true);
                self.applied.insert(stack.name.clone(), (**stack).clone());
            }
            Input::Remove { stack, .. } => {
                self.up.insert(stack.clone(), false);
            }
            Input::Configure(wish) => {
                self.configured.insert(wish.stack.clone(), wish.configuration.clone());
            }
            // A wish about a stack that is not up, or was taken down, changes nothing.
            Input::Scale { service, replicas, .. } if self.up.get(&service.stack) == Some(&true) => {
                self.adjusted.entry(service.clone()).or_default().0 = Some(*replicas);
            }
            Input::Stop { service, stopped, .. } if self.up.get(&service.stack) == Some(&true) => {
                self.adjusted.entry(service.clone()).or_default().1 = Some(*stopped);
            }
            _ => {}
        }
    }
}
