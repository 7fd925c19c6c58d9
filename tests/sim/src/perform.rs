//! Performing steps on the fake host: each is idempotent, takes time, may fail, and reports its outcome to the daemon that asked.

use std::time::Duration;

use tend_base::Mono;
use tend_core::controller::Input;
use tend_core::model::ReplicaId;
use tend_core::observed::{Endpoints, Exit, StartFailure, StopReason};
use tend_core::plan::{Launch, ProbeKind, QuiesceTurn, Step};

use crate::configure;
use crate::deploys::Flaw;
use crate::host::Process;
use crate::invariants::Violation;
use crate::run::{Event, Simulation};
use crate::scenario::Fault;

const SIGKILL: i32 = 9;

/// How long the daemon waits for an answer when it asks what is in flight.
const ANSWER_MAX: Duration = Duration::from_secs(5);

impl Simulation {
    pub(crate) fn perform(&mut self, step: Step) {
        let recorded = step.is_recorded();
        match step {
            Step::Prepare { service, launch } => {
                let fails = self.scenario.profiles[&service].prepare_fails;
                let result = if self.trouble && self.random.chance(fails) {
                    Err("exit code 2".to_owned())
                } else {
                    Ok(())
                };
                let delay = self.random.millis(10..4000);
                let fingerprint = launch.fingerprint;
                self.tell(
                    delay,
                    Input::Prepared {
                        service,
                        fingerprint,
                        result,
                    },
                );
            }
            Step::Start {
                replica,
                incarnation,
                launch,
            } => self.start(replica, incarnation, &launch),
            Step::Probe {
                replica,
                incarnation,
                kind,
                timeout,
                ..
            } => self.probe(replica, incarnation, kind, timeout),
            Step::Quiesce {
                replica,
                incarnation,
                turn,
                ..
            } => self.quiesce(replica, incarnation, turn),
            Step::Signal {
                replica,
                incarnation,
                why,
                ..
            } => {
                self.signal(&replica, incarnation, why);
                let delay = self.random.millis(0..3);
                self.tell(
                    delay,
                    Input::Signalled {
                        replica,
                        incarnation,
                        result: Ok(()),
                    },
                );
            }
            Step::Kill {
                replica,
                incarnation,
                why,
            } => {
                let result = self.act_result("the cgroup could not be written to");
                if result.is_ok() {
                    if let Some(process) = self.host.processes.get_mut(&incarnation) {
                        process.asked.get_or_insert(why);
                    }
                    let exit = Exit::Signalled {
                        signal: SIGKILL,
                        core_dumped: false,
                    };
                    self.process_ends(incarnation, exit);
                }
                let delay = self.random.millis(0..3);
                self.tell(
                    delay,
                    Input::Killed {
                        replica,
                        incarnation,
                        result,
                    },
                );
            }
            Step::ReplaceShim { replica, incarnation } => {
                let result = self.act_result("fork failed");
                if let (Ok(()), Some(process)) = (&result, self.host.processes.get_mut(&incarnation)) {
                    process.shim_alive = true;
                }
                let delay = self.random.millis(0..5);
                self.tell(
                    delay,
                    Input::ShimReplaced {
                        replica,
                        incarnation,
                        result,
                    },
                );
            }
            Step::Act { stack, deployment, act } => self.act(stack, deployment, act),
            Step::StartEdge => self.start_edge(),
            Step::Publish { generation, endpoints } => self.publish(generation, endpoints),
            Step::Verify { service, revision, .. } => {
                let served = self.edge.endpoints.get(&service).into_iter().flatten();
                let answers = served.filter(|endpoint| !endpoint.draining).find(|endpoint| {
                    let process = self.host.processes.get(&endpoint.incarnation);
                    process.is_some_and(|process| process.answers(self.now) == Some(true))
                });
                let result = match answers {
                    Some(endpoint) if self.edge.alive => Ok(endpoint.replica.clone()),
                    _ => Err("502 Bad Gateway".to_owned()),
                };
                let delay = self.random.millis(1..10);
                self.tell(
                    delay,
                    Input::Verified {
                        service,
                        revision,
                        result,
                    },
                );
            }
        }
        if recorded
            && let Some(daemon) = &mut self.daemon
            && let Some(left) = &mut daemon.dies_after_steps
        {
            *left -= 1;
            if *left == 0 {
                self.kill_daemon("right after a step");
            }
        }
    }

    fn act_result(&mut self, why: &str) -> Result<(), String> {
        if self.now < self.spells.acts_fail && self.random.chance(500) {
            return Err(why.to_owned());
        }
        Ok(())
    }

    fn start(&mut self, replica: ReplicaId, incarnation: u64, launch: &Launch) {
        let held = configure::a_replica_holds_one_revision(&replica, &launch.environment);
        self.check(held);
        let Some(holds) = self.give(&replica, incarnation, launch) else {
            // It waits until it is given what it is started for.
            let step = Step::Start {
                replica,
                incarnation,
                launch: Box::new(launch.clone()),
            };
            self.after(Duration::from_millis(1), Event::Perform(self.epoch, step));
            return;
        };
        let delay = self.random.millis(1..60);
        if let Some(failure) = self.start_failure(launch) {
            self.tell(
                delay,
                Input::Started {
                    replica,
                    incarnation,
                    result: Err(failure),
                },
            );
            return;
        }
        let profile = self.scenario.profiles[&replica.service_id()].clone();
        let warm_up = self.random.millis(profile.warm_up_ms.clone());
        let process = Process {
            replica: replica.clone(),
            pid: 0,
            port: launch.port,
            fingerprint: launch.fingerprint,
            environment: launch.environment.clone(),
            started: self.now,
            warm_at: self.now + warm_up,
            hung_until: Mono(0),
            flaps_until: Mono(0),
            ignores_stop: self.random.chance(profile.ignores_stop),
            shim_alive: true,
            memory: 0,
            leak: 0,
            asked: None,
            quiesce: launch.quiesce.clone(),
            work: self.random.number(0..4),
            work_takes: profile.work_ms.clone().map(|takes| self.random.millis(takes)),
            quiesced_at: None,
            holds,
        };
        let pid = match self.host.start(incarnation, process) {
            Ok(pid) => pid,
            Err(what) => {
                self.check(Err(Violation::new(
                    "one_process_for_each_replica_number_and_port",
                    what,
                )));
                return;
            }
        };
        self.show_flaw(incarnation, launch.fingerprint);
        self.begins(&replica, incarnation);
        if let Some(job) = profile.job_ms {
            let fails = self.trouble && self.random.chance(profile.crashes_early / 2);
            let after = self.random.millis(job);
            self.after(after, Event::Ends(incarnation, Exit::Exited(i32::from(fails))));
        } else if self.trouble
            && self.scenario.faults.contains(&Fault::ReplicaExits)
            && self.random.chance(profile.crashes_early)
        {
            let after = self.random.millis(0..1500);
            self.after(after, Event::Ends(incarnation, Exit::Exited(1)));
        }
        self.tell(
            delay,
            Input::Started {
                replica,
                incarnation,
                result: Ok(pid),
            },
        );
    }

    fn start_failure(&mut self, launch: &Launch) -> Option<StartFailure> {
        let taken = launch.port.filter(|port| self.host.taken_ports.contains(port));
        if self.deploys.flaws.get(&launch.fingerprint) == Some(&Flaw::Start) {
            return Some(StartFailure {
                why: "no such file".to_owned(),
                hint: None,
                permanent: true,
                port_taken: false,
            });
        }
        if taken.is_none() && (self.now >= self.spells.starts_fail || self.random.chance(400)) {
            return None;
        }
        Some(StartFailure {
            why: if taken.is_some() {
                "the port is taken"
            } else {
                "cannot execute"
            }
            .to_owned(),
            hint: None,
            permanent: taken.is_none() && self.random.chance(100),
            port_taken: taken.is_some(),
        })
    }

    fn probe(&mut self, replica: ReplicaId, incarnation: u64, kind: ProbeKind, timeout: Duration) {
        let process = self.host.processes.get(&incarnation);
        let (delay, result) = match process.map(|process| process.answers(self.now)) {
            Some(None) => (timeout, Err("timed out".to_owned())),
            Some(Some(true)) => (Duration::from_millis(1), Ok(())),
            // A replica that warms up lives; one that flaps does so in both.
            Some(Some(false))
                if kind == ProbeKind::Liveness && process.is_some_and(|process| self.now < process.warm_at) =>
            {
                (Duration::from_millis(1), Ok(()))
            }
            Some(Some(false)) => (Duration::from_millis(1), Err("status 503".to_owned())),
            None => (Duration::from_micros(200), Err("connection refused".to_owned())),
        };
        self.tell(
            delay,
            Input::Probed {
                replica,
                incarnation,
                kind,
                result,
            },
        );
    }

    fn quiesce(&mut self, replica: ReplicaId, incarnation: u64, turn: QuiesceTurn) {
        let now = self.now;
        let process = self.host.processes.get_mut(&incarnation);
        let (delay, result) = match process {
            None => (Duration::from_micros(200), Err("connection refused".to_owned())),
            Some(process) if process.answers(now).is_none() => (ANSWER_MAX, Err("no answer".to_owned())),
            Some(process) if process.answers(now) == Some(false) => {
                (Duration::from_millis(1), Err("status 503".to_owned()))
            }
            Some(process) => {
                if turn != QuiesceTurn::Ask {
                    process.quiesced_at.get_or_insert(now);
                }
                (Duration::from_millis(1), Ok(process.in_flight(now)))
            }
        };
        self.tell(
            delay,
            Input::Quiesced {
                replica,
                incarnation,
                turn,
                result,
            },
        );
    }

    fn signal(&mut self, replica: &ReplicaId, incarnation: u64, why: StopReason) {
        let stop_ms = self.scenario.profiles[&replica.service_id()].stop_ms.clone();
        let hung = self.now;
        let Some(process) = self.host.processes.get_mut(&incarnation) else {
            return;
        };
        process.asked.get_or_insert(why);
        if !process.ignores_stop && process.hung_until <= hung {
            let delay = self.random.millis(stop_ms);
            self.after(delay, Event::Ends(incarnation, Exit::Exited(0)));
        }
    }

    /// Ends a process, and lets the daemon know.
    pub(crate) fn process_ends(&mut self, incarnation: u64, exit: Exit) {
        // Started by a daemon that was killed before it wrote that down, and with a dead shim, it leaves nothing to be known by.
        let traced = self.daemon.is_some() || self.store.incarnations.contains(&incarnation);
        let Some((process, exit)) = self.host.end(incarnation, exit, traced) else {
            return;
        };
        self.line(&format!("† {} ({incarnation}) {exit}", process.replica));
        let delay = self.random.millis(0..8);
        let last_lines = vec!["last words".to_owned()];
        self.tell_from_shim(
            incarnation,
            delay,
            Input::Exited {
                replica: process.replica,
                incarnation,
                exit,
                lived: None,
                last_lines,
            },
        );
    }

    fn start_edge(&mut self) {
        if self.edge.alive {
            self.connect_edge();
            return;
        }
        let delay = self.random.millis(2..40);
        if let Err(why) = self.act_result("the edge did not start") {
            self.tell(delay, Input::EdgeStartFailed { why });
            return;
        }
        self.edge.life += 1;
        self.after(delay, Event::EdgeUp(self.edge.life));
    }

    fn publish(&mut self, generation: u64, endpoints: Endpoints) {
        let delay = self.random.millis(0..3);
        let result = match self.act_result("disk full") {
            Ok(()) if self.edge.alive && self.edge.connected_to == Some(self.epoch) => {
                let takes = self.random.millis(1..15);
                self.after(takes, Event::EdgeApplies(self.edge.life, generation, endpoints));
                Ok(())
            }
            Ok(()) => Err("the edge is gone".to_owned()),
            Err(why) => Err(why),
        };
        self.tell(delay, Input::Published { generation, result });
    }

    /// The edge serves a snapshot from now on: it says so, and how much is in flight on what is draining.
    pub(crate) fn edge_applies(&mut self, life: u64, generation: u64, endpoints: Endpoints) {
        if !self.edge.alive || self.edge.life != life {
            return;
        }
        if generation < self.edge.generation {
            // Overtaken by a later one, as the real edge would see from its number.
            return;
        }
        let draining: Vec<_> = endpoints
            .values()
            .flatten()
            .filter(|endpoint| endpoint.draining)
            .cloned()
            .collect();
        (self.edge.generation, self.edge.endpoints) = (generation, endpoints);
        self.tell_from_edge(Duration::from_micros(300), Input::EdgeServing { generation });
        for endpoint in draining {
            let count = self.random.number(0..3);
            let replica = endpoint.replica;
            self.tell_from_edge(
                Duration::from_micros(300),
                Input::InFlight {
                    replica: replica.clone(),
                    count,
                },
            );
            if count > 0 {
                let takes = self.random.pick(&[1..100, 100..1500]).clone();
                let takes = self.random.millis(takes);
                self.after(takes, Event::Deliver(self.epoch, Input::InFlight { replica, count: 0 }));
            }
        }
    }

    /// Measures what each process uses.
    pub(crate) fn measure(&mut self) {
        for incarnation in self.living() {
            let Some(process) = self.host.processes.get_mut(&incarnation) else {
                continue;
            };
            process.memory += process.leak;
            let (replica, memory) = (process.replica.clone(), process.memory);
            let input = Input::Measured {
                replica,
                incarnation,
                memory,
                cpu_permille: 5,
            };
            self.tell(Duration::from_millis(1), input);
        }
    }
}
