//! Finding out what the controller would do, by letting it do it to a host on which everything succeeds at once.
//!
//! A plan made this way cannot differ from what is done later, because the same decisions make both.

use std::time::Duration;

use tend_base::{Mono, Now};

use super::{Chapter, Controller, Input};
use crate::model::StackName;
use crate::observed::{Exit, Phase};
use crate::plan::{Plan, PlannedStep, QuiesceTurn, Step, StepKey};

/// More inputs than this and the rehearsal is stopped: no stack needs so many, so the chapters would not come to rest.
const INPUTS_MAX: usize = 100_000;

/// How far ahead the rehearsal looks: long enough for start periods, too short for scheduled restarts.
const HORIZON: Duration = Duration::from_secs(300);

impl<C: AsRef<[Box<dyn Chapter>]> + Clone> Controller<C> {
    /// Returns the steps that would follow `input` for `stack`, if every step succeeded and every probe passed.
    ///
    /// The controller itself is not changed.
    #[must_use]
    pub fn rehearse(&self, stack: &StackName, input: Input, now: Now) -> Plan {
        let mut rehearsal = self.clone();
        let mut steps = Vec::new();
        let mut time = now;
        let mut inputs = self.unfinished();
        inputs.push(input);
        let mut wake_at = None;
        for _ in 0..INPUTS_MAX {
            let input = if inputs.is_empty() {
                match wake_at.take().filter(|at: &Mono| at.since(now.mono) <= HORIZON) {
                    Some(at) => {
                        time.mono = time.mono.max(at);
                        Input::Tick
                    }
                    None => break,
                }
            } else {
                inputs.remove(0)
            };
            let settled = inputs.is_empty() && matches!(input, Input::Tick) && rehearsal.is_settled(stack);
            let reaction = rehearsal.handle(input, time);
            wake_at = reaction.wake_at;
            for step in reaction.steps {
                inputs.extend(rehearsal.ideal_outcome(&step));
                if step.is_recorded() {
                    let undo = step.undo();
                    steps.push(PlannedStep { step, undo });
                }
            }
            if settled && inputs.is_empty() {
                break;
            }
        }
        Plan {
            stack: stack.clone(),
            steps,
        }
    }

    /// Returns whether nothing is left to be done for a stack but to go on as it is.
    fn is_settled(&self, stack: &StackName) -> bool {
        let world = &self.world;
        let Some(wanted) = world.stacks.get(stack) else {
            return true;
        };
        wanted.stack.services.keys().all(|service| {
            let id = crate::model::ServiceId {
                stack: stack.clone(),
                service: service.clone(),
            };
            let wanted = world.replicas_wanted(&id) as usize;
            let mut replicas = world
                .replicas_of(&id)
                .filter(|(_, replica)| replica.is_up() || replica.completed);
            let good = replicas
                .by_ref()
                .filter(|(id, r)| world.is_wanted(id) && (r.is_ready() || r.completed))
                .count();
            good == wanted
                && world
                    .replicas_of(&id)
                    .all(|(id, replica)| world.is_wanted(id) || !replica.is_up())
        })
    }

    /// Returns the outcomes of what is under way, as if it succeeded: the rehearsal performs nothing, so nobody else will report them.
    fn unfinished(&self) -> Vec<Input> {
        let world = &self.world;
        let mut inputs = Vec::new();
        for key in &self.in_flight {
            match key {
                StepKey::Prepare(service) => inputs.push(Input::Prepared {
                    service: service.clone(),
                    // Of which definition is not known here; it is prepared once more in the rehearsal, and in truth perhaps not.
                    fingerprint: 0,
                    result: Ok(()),
                }),
                StepKey::Probe(id, kind) => inputs.push(Input::Probed {
                    replica: id.clone(),
                    incarnation: world.replicas.get(id).map_or(0, |replica| replica.incarnation),
                    kind: *kind,
                    result: Ok(()),
                }),
                StepKey::Quiesce(id) => inputs.push(Input::Quiesced {
                    replica: id.clone(),
                    incarnation: world.replicas.get(id).map_or(0, |replica| replica.incarnation),
                    turn: QuiesceTurn::Ask,
                    result: Ok(0),
                }),
                StepKey::Act(stack, act) => inputs.push(Input::Acted {
                    stack: stack.clone(),
                    deployment: world.deployment(stack).map_or(0, |deployment| deployment.number),
                    act: act.clone(),
                    result: Ok(serde_json::Value::Null),
                }),
                StepKey::ReplaceShim(id) => inputs.push(Input::ShimReplaced {
                    replica: id.clone(),
                    incarnation: world.replicas.get(id).map_or(0, |replica| replica.incarnation),
                    result: Ok(()),
                }),
                StepKey::Publish => inputs.extend([
                    Input::Published {
                        generation: world.edge.generation,
                        result: Ok(()),
                    },
                    Input::EdgeServing {
                        generation: world.edge.generation,
                    },
                ]),
                StepKey::StartEdge => inputs.push(Input::EdgeConnected { serving: 0 }),
                StepKey::Verify(service) => inputs.push(Input::Verified {
                    service: service.clone(),
                    revision: world.stacks.get(&service.stack).map_or(0, |wanted| wanted.revision),
                    result: Err("it was not waited for".to_owned()),
                }),
                // Told from the replicas below, which also covers those signalled long ago that have not ended yet.
                StepKey::Start(_) | StepKey::Signal(_) | StepKey::Kill(_) => {}
            }
        }
        for (id, replica) in &world.replicas {
            let (id, incarnation) = (id.clone(), replica.incarnation);
            match replica.phase {
                Phase::Starting => inputs.push(Input::Started {
                    replica: id,
                    incarnation,
                    result: Ok(0),
                }),
                Phase::Stopping { signalled: Some(_), .. } => inputs.extend([
                    Input::Signalled {
                        replica: id.clone(),
                        incarnation,
                        result: Ok(()),
                    },
                    Input::Killed {
                        replica: id.clone(),
                        incarnation,
                        result: Ok(()),
                    },
                    Input::Exited {
                        replica: id,
                        incarnation,
                        exit: Exit::Exited(0),
                        lived: None,
                        last_lines: Vec::new(),
                    },
                ]),
                _ => {}
            }
        }
        inputs
    }

    fn ideal_outcome(&self, step: &Step) -> Vec<Input> {
        match step.clone() {
            Step::Prepare { service, launch } => {
                vec![Input::Prepared {
                    service,
                    fingerprint: launch.fingerprint,
                    result: Ok(()),
                }]
            }
            Step::Start {
                replica, incarnation, ..
            } => {
                let once = self
                    .world
                    .definition(&replica)
                    .is_some_and(crate::model::Service::is_job);
                let mut inputs = vec![Input::Started {
                    replica: replica.clone(),
                    incarnation,
                    result: Ok(0),
                }];
                if once {
                    inputs.push(Input::Exited {
                        replica,
                        incarnation,
                        exit: Exit::Exited(0),
                        lived: None,
                        last_lines: Vec::new(),
                    });
                }
                inputs
            }
            Step::Probe {
                replica,
                incarnation,
                kind,
                ..
            } => {
                vec![Input::Probed {
                    replica,
                    incarnation,
                    kind,
                    result: Ok(()),
                }]
            }
            Step::Quiesce {
                replica,
                incarnation,
                turn,
                ..
            } => vec![Input::Quiesced {
                replica,
                incarnation,
                turn,
                result: Ok(0),
            }],
            Step::Signal {
                replica, incarnation, ..
            } => vec![
                Input::Signalled {
                    replica: replica.clone(),
                    incarnation,
                    result: Ok(()),
                },
                Input::Exited {
                    replica,
                    incarnation,
                    exit: Exit::Exited(0),
                    lived: None,
                    last_lines: Vec::new(),
                },
            ],
            Step::Kill {
                replica, incarnation, ..
            } => vec![
                Input::Killed {
                    replica: replica.clone(),
                    incarnation,
                    result: Ok(()),
                },
                Input::Exited {
                    replica,
                    incarnation,
                    exit: Exit::Exited(0),
                    lived: None,
                    last_lines: Vec::new(),
                },
            ],
            Step::ReplaceShim { replica, incarnation } => {
                vec![Input::ShimReplaced {
                    replica,
                    incarnation,
                    result: Ok(()),
                }]
            }
            Step::Act { stack, deployment, act } => vec![Input::Acted {
                stack,
                deployment,
                act,
                result: Ok(serde_json::Value::Null),
            }],
            Step::StartEdge => vec![Input::EdgeConnected { serving: 0 }],
            Step::Publish { generation, endpoints } => {
                let mut inputs = vec![
                    Input::Published {
                        generation,
                        result: Ok(()),
                    },
                    Input::EdgeServing { generation },
                ];
                let draining = endpoints.into_values().flatten().filter(|endpoint| endpoint.draining);
                inputs.extend(draining.map(|endpoint| Input::InFlight {
                    replica: endpoint.replica,
                    count: 0,
                }));
                inputs
            }
            Step::Verify { service, revision, .. } => {
                let answered = self.world.replicas_of(&service).find(|(_, replica)| replica.is_ready());
                let result = answered
                    .map(|(id, _)| id.clone())
                    .ok_or_else(|| "no replica is ready".to_owned());
                vec![Input::Verified {
                    service,
                    revision,
                    result,
                }]
            }
        }
    }
}
