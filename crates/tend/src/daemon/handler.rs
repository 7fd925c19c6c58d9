//! Answers the calls of the API. Knows what a call means and who may make it; how things are done is elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tend_api::messages::{
    Accepted, DaemonReport, EdgeMetrics, PlanReport, PlannedStep, ServiceDescription, StackList, StackMetrics,
    VersionReport,
};
use tend_api::{Access, ApiError, Apply, Call, Caller, Class, Door, Handler, PlanBody, Reply, Target, Upgrade};
use tend_base::{Clock, SystemClock};
use tend_core::controller::Input;
use tend_core::door::DoorChange;
use tend_core::journal::{Principal, Via};
use tend_core::model::{Release, Replicas, ServiceId, ServiceName, Stack, StackName, Workload};
use tend_core::plan::{Plan, Step, Undo};
use tend_core::world::World;
use tokio::sync::mpsc;

use super::answer::deploy::{self, Builds, Deploys};
use super::answer::progress::{self, Until};
use super::answer::{configuration as config, environment, events, logs, money, secrets, status};
use super::hub::Hub;
use super::identity;
use super::{
    Ending, Shared, audit, certificates, configuration, edge_link, monitor, named_files, own_metrics, rotation,
};

/// How long the edge may take to serve what was asked of its routes.
const EDGE_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether it does.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Why the door of a service is not changed.
enum Behind {
    NoService,
    Stack,
}

/// Answers calls.
pub(crate) struct Calls {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hub: Hub,
    /// What is built for deployments at the moment.
    pub(crate) builds: Arc<Builds>,
    /// Renewals that people ask for.
    pub(crate) certificate_asks: mpsc::Sender<certificates::Ask>,
    /// Questions about configurations, and changes of them.
    pub(crate) configuration: mpsc::Sender<configuration::Ask>,
    /// Tells the daemon to end, and how.
    pub(crate) end: mpsc::Sender<Ending>,
}

impl Handler for Calls {
    async fn handle(&self, caller: Caller, call: Call) -> Reply {
        match self.answer(caller, call).await {
            Ok(reply) => reply,
            Err(error) => Reply::Refused(error),
        }
    }
}

impl Calls {
    async fn answer(&self, caller: Caller, call: Call) -> Result<Reply, ApiError> {
        self.check_access(caller, &call).await?;
        let by = || principal(caller);
        match call {
            Call::Version => Ok(Reply::json(&VersionReport {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                build: self.shared.build.clone(),
                protocol: tend_api::PROTOCOL_VERSION,
            })),
            Call::Daemon => Ok(Reply::json(&self.report().await)),
            Call::Stacks => {
                let stacks = self.hub.ask(|controller, now| {
                    let world = controller.world();
                    world
                        .stacks
                        .keys()
                        .filter_map(|name| status::summary(world, name, now))
                        .collect()
                });
                Ok(Reply::json(&StackList { stacks: stacks.await }))
            }
            Call::StackStatus(name) => {
                self.shared.look();
                let wanted = name.clone();
                let status = self
                    .hub
                    .ask(move |controller, now| status::stack_status(controller.world(), &wanted, now));
                let mut status = status.await.ok_or_else(|| no_stack(&name))?;
                let certificates = certificates::of_stack(&self.hub, &self.shared.certificates, &name).await;
                let late = certificates::warnings(&certificates, SystemClock.now().wall);
                status.warnings.extend(late);
                status.certificates = certificates;
                status.warnings.extend(progress::missing_pages(&self.hub, &name).await);
                status
                    .warnings
                    .extend(money::warnings(&self.shared, name.as_str()).await);
                status
                    .warnings
                    .extend(super::secrets::warnings(&self.shared, name.as_str()).await);
                status.warnings.extend(self.shared.deliveries.lines(&name));
                status.warnings.extend(self.shared.rotations.lines(&name));
                Ok(Reply::json(&status))
            }
            Call::Describe(service) => self.describe(service).await,
            Call::Plan(body) => self.plan(*body, by()).await,
            Call::Apply(apply) => self.apply(*apply, caller).await,
            Call::Remove(name) => {
                self.known(&name).await?;
                self.durable(Input::Remove {
                    stack: name.clone(),
                    by: by(),
                })
                .await?;
                Ok(Reply::Lines(progress::tell(self.hub.clone(), name, Until::Gone)))
            }
            Call::Restart(target) => {
                for service in self.services_in_order(&target).await? {
                    self.durable(Input::Restart {
                        service,
                        slot: target.slot,
                        by: by(),
                    })
                    .await?;
                }
                Ok(self.tell(target.stack))
            }
            Call::Stop(target) => self.stop(target, true, caller).await,
            Call::Start(target) => self.stop(target, false, caller).await,
            Call::Scale(scale) => {
                let target = Target {
                    stack: scale.service.stack.clone(),
                    service: Some(scale.service.service),
                    slot: None,
                };
                // The number is what a deployment counts by.
                self.deploys().free(&target.stack).await?;
                for service in self.services(&target).await? {
                    let replicas = match scale.replicas {
                        Replicas::Count(count) => count,
                        Replicas::Max => self.shared.cores,
                    };
                    self.durable(Input::Scale {
                        service,
                        replicas,
                        by: by(),
                    })
                    .await?;
                }
                Ok(self.tell(target.stack))
            }
            Call::Door(door) => self.door(door, by()).await,
            Call::Ban(ask) => self.ban(ask, by()).await,
            Call::Unban(ask) => self.unban(ask, by()).await,
            Call::Bans => Ok(Reply::json(&self.bans().await)),
            Call::EdgeMetrics => self.edge_metrics().await,
            Call::StackMetrics(stack) => {
                self.known(&stack).await?;
                let text = own_metrics::of_stack(&self.shared, &self.hub, &self.configuration, &stack).await;
                Ok(Reply::json(&StackMetrics { text }))
            }
            Call::AskMonitor(ask) => {
                self.known(&ask.stack).await?;
                Ok(Reply::json(&monitor::ask(&self.shared, ask, &by().to_string()).await?))
            }
            Call::Money(query) => Ok(Reply::json(&money::list(&self.shared, query).await?)),
            Call::Resolve(resolve) => Ok(Reply::json(&money::resolve(&self.shared, resolve, by()).await?)),
            Call::DropCallback(callback) => Ok(Reply::json(&money::drop_callback(&self.shared, callback, by()).await?)),
            Call::Spool => Ok(Reply::json(&money::spool(&self.shared).await?)),
            Call::Deploy(deploy) => self.deploys().deploy(deploy, by()).await,
            Call::FollowDeployment(stack) => self.deploys().follow(stack).await,
            Call::Decide(decide) => self.deploys().decide(decide, by()).await,
            Call::Releases(stack) => self.deploys().releases(stack).await,
            Call::Release(query) => self.deploys().release(query).await,
            Call::Rollback(rollback) => self.deploys().rollback(rollback, by()).await,
            Call::RollbackCheck(query) => self.deploys().rollback_check(query).await,
            Call::Promote(promote) => self.deploys().promote(promote, by()).await,
            Call::Certificates => Ok(Reply::json(
                &certificates::list(&self.hub, &self.shared.certificates).await,
            )),
            Call::RenewCertificates(renew) => {
                self.known(&renew.stack).await?;
                let lines = certificates::ask(&self.hub, &self.certificate_asks, renew, by()).await?;
                Ok(Reply::Lines(lines))
            }
            Call::Secrets(stack) => secrets::list(&self.shared, &self.hub, stack, &by()).await,
            Call::ChangeSecrets(change) => secrets::change(&self.shared, &self.hub, change, by()).await,
            Call::RevealSecret(reveal) => secrets::reveal(&self.shared, reveal, by()).await,
            Call::RotateSecret(rotate) => {
                let stack = rotate.stack.clone();
                if rotate.abort {
                    return rotation::abort(&self.shared, &self.hub, rotate, by()).await;
                }
                let class = secrets::class_of(&self.shared, &stack, &rotate.name).await?;
                if class != tend_secrets::Class::RestartOnly {
                    return rotation::begin(&self.shared, &self.hub, rotate, class, by()).await;
                }
                match secrets::rotate(&self.shared, &self.hub, rotate, by()).await? {
                    true => Ok(self.tell(stack)),
                    false => Ok(secrets::finished()),
                }
            }
            Call::AddRecoveryKey(add) => secrets::add_key(&self.shared, add, by()).await,
            Call::Config(query) => config::look(&self.configuration, query).await,
            Call::ConfigHistory(query) => config::history(&self.configuration, query).await,
            Call::ConfigDiff(query) => config::diff(&self.configuration, query).await,
            Call::ChangeConfig(change) => config::change(&self.configuration, change, by()).await,
            Call::ConfirmConfig(confirm) => config::confirm(&self.configuration, confirm, by()).await,
            Call::Events(query) => events::events(&self.shared, query).await,
            Call::Logs(query) => logs::logs(&self.shared, &self.hub, query).await,
            Call::AuditLogs(stack) => audit::audit(&self.shared, &self.hub, stack, caller, by()).await,
            Call::Environment(query) => environment::environment(&self.shared, &self.hub, query, caller).await,
            Call::RunFinished(report) => environment::run_finished(&self.shared, &self.hub, report, caller).await,
            Call::Shutdown => {
                let idle = self.hub.ask(|controller, _| controller.world().stacks.is_empty());
                let message = if idle.await {
                    "the daemon ends, and the edge with it: no stack is up"
                } else {
                    "the daemon ends; replicas and edge go on, and are adopted when it is started again"
                };
                let _ = self.end.try_send(Ending::Stop);
                Ok(Reply::json(&Accepted {
                    message: message.to_owned(),
                }))
            }
            Call::Upgrade(Upgrade { program }) => self.upgrade(program),
        }
    }

    /// Refuses a caller who has not the right the call needs.
    async fn check_access(&self, caller: Caller, call: &Call) -> Result<(), ApiError> {
        let stacks: Vec<StackName> = match call {
            Call::Apply(apply) => vec![apply.stack.name.clone()],
            Call::Plan(body) => vec![body.stack.name.clone()],
            Call::Deploy(deploy) => vec![deploy.stack.name.clone()],
            Call::Remove(name) => vec![name.clone()],
            Call::Restart(target) | Call::Stop(target) | Call::Start(target) => vec![target.stack.clone()],
            Call::Scale(scale) => vec![scale.service.stack.clone()],
            Call::Door(door) => vec![door.stack.clone()],
            Call::Decide(decide) => vec![decide.stack.clone()],
            Call::RenewCertificates(renew) => vec![renew.stack.clone()],
            Call::Rollback(rollback) => vec![rollback.stack.clone()],
            // Whoever has the code of one run in the other has to own both.
            Call::Promote(promote) => vec![promote.from.clone(), promote.to.clone()],
            Call::AuditLogs(stack) => stack.iter().cloned().collect(),
            Call::Environment(query) => vec![query.target.stack.clone()],
            Call::RunFinished(report) => vec![report.query.target.stack.clone()],
            Call::Secrets(stack) => vec![stack.clone()],
            Call::AskMonitor(ask) => vec![ask.stack.clone()],
            Call::ChangeSecrets(change) => vec![change.stack.clone()],
            Call::RevealSecret(reveal) => vec![reveal.stack.clone()],
            Call::RotateSecret(rotate) => vec![rotate.stack.clone()],
            Call::Config(query) => vec![query.stack.clone()],
            Call::ConfigHistory(query) => vec![query.stack.clone()],
            Call::ConfigDiff(query) => vec![query.stack.clone()],
            Call::ChangeConfig(change) => vec![change.stack.clone()],
            Call::ConfirmConfig(confirm) => vec![confirm.stack.clone()],
            _ => Vec::new(),
        };
        let denied = |what: &str| {
            ApiError::new(Class::Denied, format!("user {} may not do this: {what}", caller.uid))
                .hint("call as that user, or as root")
        };
        let asked = match call {
            Call::Apply(apply) => Some(&apply.stack),
            Call::Deploy(deploy) => Some(&*deploy.stack),
            _ => None,
        };
        if let Some(other) = asked.and_then(|stack| identity::runs_as_another(stack, caller)) {
            return Err(denied(&other));
        }
        match call.name().endpoint().access {
            Access::Read => Ok(()),
            Access::Daemon if caller.is_user_or_root(self.shared.uid) => Ok(()),
            Access::Daemon => Err(denied(&format!("the daemon is that of user {}", self.shared.uid))),
            Access::Change | Access::Secrets => {
                // A new stack belongs to the owner of its file: nobody may have his file run as somebody else.
                let new = match call {
                    Call::Apply(apply) => Some((apply.stack.name.clone(), apply.stack.source.owner_uid)),
                    Call::Deploy(deploy) => Some((deploy.stack.name.clone(), deploy.stack.source.owner_uid)),
                    _ => None,
                };
                let known = self.hub.ask(move |controller, _| {
                    let known = &controller.world().stacks;
                    let owner = |name: &StackName| known.get(name).map(|wanted| wanted.stack.source.owner_uid);
                    let owned = stacks
                        .into_iter()
                        .filter_map(|name| Some((name.clone(), owner(&name)?)));
                    owned.collect::<Vec<_>>()
                });
                match known
                    .await
                    .into_iter()
                    .chain(new)
                    .find(|(_, owner)| !caller.is_user_or_root(*owner))
                {
                    Some((name, owner)) => Err(denied(&format!("the stack {name} belongs to user {owner}"))),
                    None => Ok(()),
                }
            }
        }
    }

    /// Closes or pauses routes, and answers once the edge serves them so.
    async fn door(&self, door: Door, by: Principal) -> Result<Reply, ApiError> {
        let Door { stack, service, change } = door;
        self.known(&stack).await?;
        let asked = (stack.clone(), service.clone(), change.clone());
        let behind = self.hub.ask(move |controller, _| {
            let (stack, service, change) = asked;
            let wanted = controller.world().stacks.get(&stack)?;
            let service = service?;
            if !wanted.stack.services.contains_key(&service) && wanted.stack.edge.routes_to(&service).next().is_none() {
                return Some(Behind::NoService);
            }
            let whole = &wanted.doors.stack;
            let closed = match change {
                DoorChange::Open => whole.maintenance.is_some(),
                DoorChange::Resume => whole.pause.is_some(),
                DoorChange::Close(_) | DoorChange::Pause(_) => false,
            };
            closed.then_some(Behind::Stack)
        });
        match behind.await {
            Some(Behind::NoService) => return Err(no_stack(&stack).hint("`tend status` lists the services")),
            Some(Behind::Stack) => {
                return Err(ApiError::new(
                    Class::Conflict,
                    format!("that holds for all of {stack}, and cannot be ended for one service"),
                )
                .hint("end it for the whole stack, then begin it for the services that are to stay"));
            }
            None => {}
        }
        self.durable(Input::Door {
            stack: stack.clone(),
            service: service.clone(),
            change: change.clone(),
            by,
        })
        .await?;
        let name = service.map_or_else(|| stack.to_string(), |service| format!("{stack}/{service}"));
        if self.edge_serves().await {
            let message = format!("{name}: {change}; the edge serves it so");
            return Ok(Reply::json(&Accepted { message }));
        }
        Err(ApiError::new(
            Class::Unavailable,
            format!("{name}: {change}, and is written down; the edge does not serve it so yet"),
        )
        .hint("`tend info` says how the edge is; it takes this over as soon as it can"))
    }

    /// Waits until the edge serves all it was told; returns whether it does in time. At once where there is none and none is needed.
    pub(crate) async fn edge_serves(&self) -> bool {
        let begun = SystemClock.now().mono;
        loop {
            let asked = self.hub.ask(|controller, _| {
                let world = controller.world();
                (
                    edge_link::serves_all(world),
                    world.stacks.is_empty() && !world.edge.connected,
                )
            });
            let (serves, needless) = asked.await;
            if serves || needless || SystemClock.now().mono.since(begun) > EDGE_WAIT {
                return serves;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Returns what the edge counts.
    async fn edge_metrics(&self) -> Result<Reply, ApiError> {
        match edge_link::metrics(&self.shared).await {
            Ok(text) => Ok(Reply::json(&EdgeMetrics { text })),
            Err(why) => {
                let idle = self.hub.ask(|controller, _| controller.world().stacks.is_empty());
                let (message, hint) = if idle.await {
                    ("no edge runs: no stack is up", "`tend up` starts one")
                } else {
                    (
                        "the edge did not say what it counts",
                        "`tend info` says how the edge is; try again",
                    )
                };
                Err(ApiError::new(Class::Unavailable, message).detail(why).hint(hint))
            }
        }
    }

    pub(crate) async fn durable(&self, input: Input) -> Result<(), ApiError> {
        self.hub.input_durable(input).await.map_err(|why| {
            ApiError::new(
                Class::Unavailable,
                format!("it was not written down, so it was not accepted: {why}"),
            )
            .hint("free some space where tend keeps its state (`tend info` names the folder), then try again")
        })
    }

    fn tell(&self, stack: StackName) -> Reply {
        Reply::Lines(progress::tell(self.hub.clone(), stack, Until::AsWanted))
    }

    async fn known(&self, name: &StackName) -> Result<(), ApiError> {
        let wanted = name.clone();
        let known = self
            .hub
            .ask(move |controller, _| controller.world().stacks.contains_key(&wanted))
            .await;
        if known { Ok(()) } else { Err(no_stack(name)) }
    }

    /// Returns the services a target means.
    async fn services(&self, target: &Target) -> Result<Vec<ServiceId>, ApiError> {
        let wanted = target.clone();
        self.hub
            .ask(move |controller, _| services(controller.world(), &wanted))
            .await
    }

    /// Returns the services a call is about, each after those it depends on: they are to be restarted in this order.
    async fn services_in_order(&self, target: &Target) -> Result<Vec<ServiceId>, ApiError> {
        let mut services = self.services(target).await?;
        let name = target.stack.clone();
        let order = self.hub.ask(move |controller, _| {
            let stack = controller.world().stack_wanted(&name);
            let order = stack.map(|stack| stack.dependencies_first().into_iter().cloned().collect::<Vec<_>>());
            order.unwrap_or_default()
        });
        let order = order.await;
        services.sort_by_key(|service| order.iter().position(|name| *name == service.service));
        Ok(services)
    }

    async fn stop(&self, target: Target, stopped: bool, caller: Caller) -> Result<Reply, ApiError> {
        if target.slot.is_some() {
            return Err(ApiError::new(
                Class::Usage,
                format!("{target} is one replica, and stop and start take a service"),
            )
            .hint("use `tend scale` to run fewer replicas, or `tend restart` to restart this one"));
        }
        for service in self.services(&target).await? {
            self.durable(Input::Stop {
                service,
                stopped,
                by: principal(caller),
            })
            .await?;
        }
        Ok(self.tell(target.stack))
    }

    fn deploys(&self) -> Deploys {
        Deploys {
            shared: Arc::clone(&self.shared),
            hub: self.hub.clone(),
            builds: Arc::clone(&self.builds),
            configuration: self.configuration.clone(),
        }
    }

    /// Returns the release that runs of a stack.
    async fn running(&self, stack: &StackName) -> Option<Release> {
        let stack = stack.clone();
        let running = self.hub.ask(move |controller, _| {
            let releases = controller.world().releases.get(&stack)?;
            releases.kept.get(&releases.running?).cloned()
        });
        running.await
    }

    async fn plan(&self, body: PlanBody, by: Principal) -> Result<Reply, ApiError> {
        let PlanBody { mut stack, deploy } = body;
        if deploy || self.running(&stack.name).await.is_some() {
            return deploy::plan(&self.deploys(), stack, by).await;
        }
        let mut warnings = Vec::new();
        match super::secrets::resolve(&self.shared, &stack, &by).await {
            Ok(current) => {
                stack.give_secrets(&current);
            }
            Err(missing) => warnings.push(missing.message),
        }
        let report = self.hub.ask(move |controller, now| {
            let name = stack.name.clone();
            for service in stack.containers() {
                let Workload::Container { image } = &service.workload else {
                    continue;
                };
                warnings.push(format!(
                    "{} is a container ({image}) and needs an engine: it is not started",
                    service.name
                ));
            }
            let plan = controller.rehearse(
                &name,
                Input::Apply {
                    stack: Box::new(stack),
                    by,
                },
                now,
            );
            PlanReport {
                stack: name,
                steps: planned(plan),
                warnings,
                release: None,
                from: None,
            }
        });
        Ok(Reply::json(&report.await))
    }

    async fn apply(&self, apply: Apply, caller: Caller) -> Result<Reply, ApiError> {
        let Apply {
            mut stack,
            wait,
            in_place,
        } = apply;
        self.deploys().free(&stack.name).await?;
        if let Some(running) = self.running(&stack.name).await.filter(|_| !in_place) {
            if running.file != stack {
                let (name, number) = (&stack.name, running.number);
                return Err(ApiError::new(
                    Class::Conflict,
                    format!("{name} runs release {number}, and its file says something else by now"),
                )
                .hint(
                    "`tend deploy` makes a release of what the file says and runs it; `tend up --in-place` leaves the releases",
                ));
            }
            // What runs is what the file says, built: the file itself would run it in place.
            stack = running.stack;
        }
        super::vault::fill(&self.shared, &self.hub, &stack, &principal(caller)).await?;
        let current = super::secrets::resolve(&self.shared, &stack, &principal(caller)).await?;
        stack.give_secrets(&current);
        super::secrets::learn(&self.shared, &stack);
        // Before anything is accepted: every certificate must be one that can be shown, every address ours to listen on.
        let (looked, uid) = (stack.clone(), self.shared.uid);
        named_files::looked_at(move || named_files::check_certificates(&looked, uid)).await?;
        let addresses = stack
            .edge
            .listeners
            .iter()
            .map(|listener| listener.address)
            .collect::<Vec<_>>();
        let name = stack.name.clone();
        self.shared.listeners.bind_all(&addresses).map_err(|error| {
            ApiError::new(
                Class::Conflict,
                format!("the stack {name} cannot be brought up: {error}"),
            )
            .hint(
                error
                    .hint()
                    .unwrap_or_else(|| "choose another address under `edge: listen:`".to_owned()),
            )
        })?;
        edge_link::avoid_taken_ports(&self.shared, &self.hub, stack.services.len()).await;
        // Where its services take a configuration that is new, both go into force at once: a service that is given it in another way than
        // before has to be started anew once, and not for each of the two.
        let is_new = configuration::before(&self.configuration, &stack, &principal(caller)).await?;
        let (of, wanted) = (name.clone(), stack.clone());
        let applied = self.hub.ask(move |controller, _| {
            let now = controller.world().stacks.get(&of);
            now.is_some_and(|now| now.stack == wanted && !now.removing)
        });
        if !(is_new && applied.await) {
            let input = Input::Apply {
                stack: Box::new(stack),
                by: principal(caller),
            };
            self.durable(input).await?;
        }
        if wait {
            return Ok(self.tell(name));
        }
        let finished = tend_api::messages::Finished {
            ok: true,
            ..Default::default()
        };
        let (sender, lines) = tend_api::lines(1);
        let _ = sender.try_send(&tend_api::messages::ProgressLine::Finished(finished));
        Ok(Reply::Lines(lines))
    }

    async fn describe(&self, id: ServiceId) -> Result<Reply, ApiError> {
        let wanted_id = id.clone();
        let description = self.hub.ask(move |controller, now| {
            let world = controller.world();
            let wanted = world
                .stacks
                .get(&wanted_id.stack)
                .ok_or_else(|| no_stack(&wanted_id.stack))?;
            let service = wanted.stack.services.get(&wanted_id.service);
            let service = service.ok_or_else(|| no_service(&wanted.stack, &wanted_id.service))?;
            Ok(ServiceDescription {
                stack: wanted_id.stack.clone(),
                status: status::service_status(world, wanted, &wanted_id, now),
                definition: service.into(),
                recent: Vec::new(),
            })
        });
        let mut description: ServiceDescription = description.await?;
        description.recent = events::recent(&self.shared, &id).await;
        Ok(Reply::json(&description))
    }

    async fn report(&self) -> DaemonReport {
        let shared = Arc::clone(&self.shared);
        let edge_pid = shared.edge_pid();
        self.hub
            .ask(move |controller, now| {
                let world = controller.world();
                DaemonReport {
                    pid: std::process::id(),
                    uid: shared.uid,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    build: shared.build.clone(),
                    state: shared.paths.state.clone(),
                    run: shared.paths.run.clone(),
                    uptime_seconds: now.mono.since(shared.started).as_secs(),
                    memory_bytes: shared.memory_of(std::process::id()),
                    edge: status::edge(world, edge_pid, edge_pid.and_then(|pid| shared.memory_of(pid))),
                    limits: shared.limits.clone(),
                    stacks: u32::try_from(world.stacks.len()).unwrap_or(u32::MAX),
                    replicas: u32::try_from(
                        world
                            .replicas
                            .values()
                            .filter(|replica| replica.pid().is_some())
                            .count(),
                    )
                    .unwrap_or(u32::MAX),
                }
            })
            .await
    }

    fn upgrade(&self, program: PathBuf) -> Result<Reply, ApiError> {
        let copy = super::program::keep_copy(&program, &self.shared.paths.state).map_err(|error| {
            ApiError::from_error(Class::Usage, &error).hint("name a tend program built for this machine")
        })?;
        let message = format!("the daemon goes on as {}; no replica is restarted", copy.display());
        let _ = self.end.try_send(Ending::GoOnAs(copy));
        Ok(Reply::json(&Accepted { message }))
    }
}

pub(crate) fn principal(caller: Caller) -> Principal {
    let name = tend_linux::user_of_uid(caller.uid).ok().and_then(|user| user.name);
    let name = name.unwrap_or_else(|| format!("uid {}", caller.uid));
    Principal::Person {
        uid: Some(caller.uid),
        name,
        via: Via::Socket,
    }
}

fn services(world: &World, target: &Target) -> Result<Vec<ServiceId>, ApiError> {
    let wanted = world.stacks.get(&target.stack).ok_or_else(|| no_stack(&target.stack))?;
    let id = |service: &ServiceName| ServiceId {
        stack: target.stack.clone(),
        service: service.clone(),
    };
    let Some(name) = &target.service else {
        return Ok(wanted.stack.services.keys().map(id).collect());
    };
    let service = wanted
        .stack
        .services
        .get(name)
        .ok_or_else(|| no_service(&wanted.stack, name))?;
    if let Workload::Container { .. } = service.workload {
        return Err(ApiError::new(
            Class::Unavailable,
            format!("{target} is a container, and no engine is driven yet"),
        )
        .hint("this version of tend runs processes; give the service a `command:` without `image:` to run it as one"));
    }
    let slots = world.replicas_wanted(&id(name));
    match target.slot {
        Some(slot) if slot > slots => Err(ApiError::new(
            Class::NotFound,
            format!("{target} does not exist: {name} has {slots} replicas"),
        )),
        _ => Ok(vec![id(name)]),
    }
}

/// Returns the steps of a plan as messages; none when nothing is changed by them.
pub(crate) fn planned(plan: Plan) -> Vec<PlannedStep> {
    // To look whether it answers is no change: alone it is no plan.
    let changes = plan.steps.iter().any(|planned| planned.undo != Undo::NotNeeded);
    let steps = plan.steps.into_iter().filter(|_| changes).map(|planned| {
        let (action, subject, detail) = in_columns(&planned.step);
        let undo = match planned.undo {
            Undo::By(how) => Some(how),
            Undo::NotNeeded => None,
            Undo::None(why) => Some(format!("none: {why}")),
        };
        PlannedStep {
            subject,
            action,
            detail,
            undo,
        }
    });
    steps.collect()
}

/// Returns a step as three columns: what is done, to what, and how. Together they are the step's own words.
fn in_columns(step: &Step) -> (String, String, String) {
    let subject = match step {
        Step::Prepare { service, .. } | Step::Verify { service, .. } => service.to_string(),
        Step::Start { replica, .. }
        | Step::Probe { replica, .. }
        | Step::Quiesce { replica, .. }
        | Step::Signal { replica, .. }
        | Step::Kill { replica, .. }
        | Step::ReplaceShim { replica, .. } => replica.to_string(),
        Step::StartEdge | Step::Publish { .. } => "edge".to_owned(),
        Step::Act { stack, .. } => stack.to_string(),
    };
    let text = step.to_string();
    let (action, rest) = text.split_once(' ').unwrap_or((&text, ""));
    let detail = match step {
        Step::StartEdge => "",
        _ => rest.strip_prefix(&subject).unwrap_or(rest),
    };
    let detail = detail.trim_start_matches([' ', ':']).to_owned();
    (action.to_owned(), subject, detail)
}

/// Says that there is no such stack.
pub(crate) fn no_stack(name: &StackName) -> ApiError {
    ApiError::new(Class::NotFound, format!("there is no stack `{name}` on this daemon"))
        .hint("`tend ls` lists the stacks; `tend up FOLDER` brings one up")
}

/// Says that there is no such service.
pub(crate) fn no_service(stack: &Stack, name: &ServiceName) -> ApiError {
    let known: Vec<&str> = stack.services.keys().map(ServiceName::as_str).collect();
    ApiError::new(
        Class::NotFound,
        format!("the stack {} has no service `{name}`", stack.name),
    )
    .hint(format!("its services are {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_in_columns() {
        let shim = Step::ReplaceShim {
            replica: "mps/api/2".parse().unwrap(),
            incarnation: 1,
        };
        let own = |text: &str| text.to_owned();
        assert_eq!(in_columns(&shim), (own("give"), own("mps/api/2"), own("a new shim")));
        assert_eq!(in_columns(&Step::StartEdge), (own("start"), own("edge"), String::new()));
    }
}
