//! Everything the daemon can be asked, and how each request is written as HTTP and read again.
//!
//! Invariant: reading what was written gives the same call, for every call (test `every_call_is_read_as_it_is_written`).

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tend_core::model::{Replicas, ServiceId, ServiceName, Stack, StackName, is_secret_name};
use tend_core::observed::Exit;

use crate::bans::{BanAsk, UnbanAsk};
use crate::certificates::{RenewCertificates, RenewCertificatesBody};
use crate::configuration::{
    ChangeConfig, ChangeConfigBody, ConfigDiffQuery, ConfigHistoryQuery, ConfigQuery, ConfirmConfig, ConfirmConfigBody,
};
use crate::deploys::{
    Decide, DecideBody, Deploy, Promote, PromoteBody, ReleaseQuery, Rollback, RollbackBody, RollbackQuery,
};
use crate::doors::{Door, DoorBody, DropCallback, MoneyQuery, Resolve};
use crate::monitor::MonitorAsk;
use crate::query::{Address, Query};
use crate::reading::{EventsQuery, LogsQuery};
use crate::secrets::{AddRecoveryKey, ChangeSecrets, RevealSecret, RevealSecretBody, RotateSecret, RotateSecretBody};
use crate::{ApiError, CallName, Class, ENDPOINTS};

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Which tend answers.
    Version,
    /// The daemon on itself.
    Daemon,
    /// All stacks.
    Stacks,
    /// One stack.
    StackStatus(StackName),
    /// One service.
    Describe(ServiceId),
    /// What applying the stack would do.
    Plan(Box<PlanBody>),
    /// Bring a stack to what its file asks for.
    Apply(Box<Apply>),
    /// Bring a stack down and forget it.
    Remove(StackName),
    /// Restart.
    Restart(Target),
    /// Stop until started.
    Stop(Target),
    /// Start what was stopped.
    Start(Target),
    /// Change the number of replicas.
    Scale(Scale),
    /// Close routes, let their requests wait, or end either.
    Door(Door),
    /// Ban addresses.
    Ban(BanAsk),
    /// Let addresses in again.
    Unban(UnbanAsk),
    /// Who is banned.
    Bans,
    /// Ask the monitor.
    AskMonitor(MonitorAsk),
    /// What the edge counts.
    EdgeMetrics,
    /// What the daemon knows of a stack, as figures.
    StackMetrics(StackName),
    /// Idempotency keys.
    Money(MoneyQuery),
    /// Say what became of a request that is in doubt.
    Resolve(Resolve),
    /// Callbacks that wait.
    Spool,
    /// Remove a callback that its service refused.
    DropCallback(DropCallback),
    /// Run a new release, made from what the file says.
    Deploy(Deploy),
    /// Tell how the deployment under way goes on.
    FollowDeployment(StackName),
    /// Say something to the deployment under way.
    Decide(Decide),
    /// All releases of a stack.
    Releases(StackName),
    /// One release of a stack.
    Release(ReleaseQuery),
    /// Run an earlier release again.
    Rollback(Rollback),
    /// Whether an earlier release can be run again.
    RollbackCheck(RollbackQuery),
    /// Run in one stack what runs in another.
    Promote(Promote),
    /// All certificates.
    Certificates,
    /// Get certificates now.
    RenewCertificates(RenewCertificates),
    /// The secrets of a stack, without their values.
    Secrets(StackName),
    /// Store, make, retire or destroy secrets.
    ChangeSecrets(ChangeSecrets),
    /// The value of a secret.
    RevealSecret(RevealSecret),
    /// Make the staged version of a secret the current one.
    RotateSecret(RotateSecret),
    /// Have all secrets open with another key too.
    AddRecoveryKey(AddRecoveryKey),
    /// The configuration of a stack.
    Config(ConfigQuery),
    /// Its revisions.
    ConfigHistory(ConfigHistoryQuery),
    /// What two of them hold otherwise.
    ConfigDiff(ConfigDiffQuery),
    /// Change it.
    ChangeConfig(ChangeConfig),
    /// Keep a change that is taken back otherwise.
    ConfirmConfig(ConfirmConfig),
    /// The journal.
    Events(EventsQuery),
    /// Output.
    Logs(LogsQuery),
    /// Whether secrets of a stack, or of all that are the caller's, stand in what is stored.
    AuditLogs(Option<StackName>),
    /// What a process of a service is given.
    Environment(EnvironmentQuery),
    /// A one-off command has ended.
    RunFinished(RunReport),
    /// End the daemon, not the replicas.
    Shutdown,
    /// Go on as this program.
    Upgrade(Upgrade),
}

/// Body of [`Call::Plan`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanBody {
    /// What is wanted.
    pub stack: Stack,
    /// As a deployment of a new release, and not in place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deploy: bool,
}

/// Body of [`Call::Apply`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Apply {
    /// What is wanted.
    pub stack: Stack,
    /// Answer until everything wanted was observed; otherwise until the plan was accepted.
    #[serde(default = "yes")]
    pub wait: bool,
    /// Leave the releases: run the definition in its own folder although the running release says something else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
}

fn yes() -> bool {
    true
}

// A stack holds its services' environment, which may hold secrets: neither is ever formatted.
impl fmt::Debug for PlanBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deploy = if self.deploy { " (deploy)" } else { "" };
        write!(f, "{}{deploy}", self.stack.name)
    }
}

impl fmt::Debug for Apply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_place = if self.in_place { ", in place" } else { "" };
        write!(f, "{} (wait: {}{in_place})", self.stack.name, self.wait)
    }
}

/// What a request is about: a stack, one service of it, or one replica of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The stack. In the path, where the path has it; then the body's is not read.
    pub stack: StackName,
    /// Only this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Only this replica of `service`, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stack)?;
        if let Some(service) = &self.service {
            write!(f, "/{service}")?;
        }
        if let Some(slot) = self.slot {
            write!(f, "/{slot}")?;
        }
        Ok(())
    }
}

impl From<StackName> for Target {
    fn from(stack: StackName) -> Self {
        Self {
            stack,
            service: None,
            slot: None,
        }
    }
}

/// How many replicas a service is to have until its stack is applied again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Which service.
    pub service: ServiceId,
    /// How many.
    pub replicas: Replicas,
}

/// Body of [`Call::Scale`]; the service stands in the path.
#[derive(Serialize, Deserialize)]
struct ScaleBody {
    replicas: Replicas,
}

/// For what a service's environment is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentQuery {
    /// Of which service; with a slot, as that very replica has it, else as a one-off beside the replicas.
    #[serde(flatten)]
    pub target: Target,
    /// Why it is asked; kept in the journal.
    pub purpose: Purpose,
    /// The program that is going to be run, without its arguments, which may be secret; kept in the journal.
    #[serde(default)]
    pub program: String,
}

/// How a one-off command ended, as who ran it saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// What its environment was asked with.
    #[serde(flatten)]
    pub query: EnvironmentQuery,
    /// How it ended; kept in the journal.
    pub ending: RunEnding,
    /// How long it ran, in milliseconds; kept in the journal.
    pub after_ms: u64,
}

/// How a one-off command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnding {
    /// It ran.
    Ended(Exit),
    /// It could not be started; a sentence says so and why.
    NotStarted(String),
}

/// Why a service's environment is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A one-off of its own.
    Run,
    /// Something beside a replica.
    #[serde(other)]
    Exec,
}

/// Which program the daemon goes on as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// Absolute path of the program; the daemon takes a copy of it.
    pub program: std::path::PathBuf,
}

/// A call written as HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCall {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Path and query.
    pub address: String,
    /// JSON, or nothing.
    pub body: Vec<u8>,
}

impl Call {
    /// Returns which call this is.
    #[must_use]
    pub fn name(&self) -> CallName {
        match self {
            Call::Version => CallName::Version,
            Call::Daemon => CallName::Daemon,
            Call::Stacks => CallName::Stacks,
            Call::StackStatus(_) => CallName::StackStatus,
            Call::Describe(_) => CallName::Describe,
            Call::Plan(_) => CallName::Plan,
            Call::Apply(_) => CallName::Apply,
            Call::Remove(_) => CallName::Remove,
            Call::Restart(_) => CallName::Restart,
            Call::Stop(_) => CallName::Stop,
            Call::Start(_) => CallName::Start,
            Call::Scale(_) => CallName::Scale,
            Call::Door(_) => CallName::Door,
            Call::Ban(_) => CallName::Ban,
            Call::Unban(_) => CallName::Unban,
            Call::Bans => CallName::Bans,
            Call::AskMonitor(_) => CallName::AskMonitor,
            Call::EdgeMetrics => CallName::EdgeMetrics,
            Call::StackMetrics(_) => CallName::StackMetrics,
            Call::Money(_) => CallName::Money,
            Call::Resolve(_) => CallName::Resolve,
            Call::Spool => CallName::Spool,
            Call::DropCallback(_) => CallName::DropCallback,
            Call::Deploy(_) => CallName::Deploy,
            Call::FollowDeployment(_) => CallName::FollowDeployment,
            Call::Decide(_) => CallName::Decide,
            Call::Releases(_) => CallName::Releases,
            Call::Release(_) => CallName::Release,
            Call::Rollback(_) => CallName::Rollback,
            Call::RollbackCheck(_) => CallName::RollbackCheck,
            Call::Promote(_) => CallName::Promote,
            Call::Certificates => CallName::Certificates,
            Call::RenewCertificates(_) => CallName::RenewCertificates,
            Call::Secrets(_) => CallName::Secrets,
            Call::ChangeSecrets(_) => CallName::ChangeSecrets,
            Call::RevealSecret(_) => CallName::RevealSecret,
            Call::RotateSecret(_) => CallName::RotateSecret,
            Call::AddRecoveryKey(_) => CallName::AddRecoveryKey,
            Call::Config(_) => CallName::Config,
            Call::ConfigHistory(_) => CallName::ConfigHistory,
            Call::ConfigDiff(_) => CallName::ConfigDiff,
            Call::ChangeConfig(_) => CallName::ChangeConfig,
            Call::ConfirmConfig(_) => CallName::ConfirmConfig,
            Call::Events(_) => CallName::Events,
            Call::Logs(_) => CallName::Logs,
            Call::AuditLogs(_) => CallName::AuditLogs,
            Call::Environment(_) => CallName::Environment,
            Call::RunFinished(_) => CallName::RunFinished,
            Call::Shutdown => CallName::Shutdown,
            Call::Upgrade(_) => CallName::Upgrade,
        }
    }

    /// Writes the call as HTTP.
    #[must_use]
    pub fn encode(&self) -> EncodedCall {
        let endpoint = self.name().endpoint();
        let path = |names: &[&str]| endpoint.path_for(names);
        let (address, body) = match self {
            Call::Version
            | Call::Daemon
            | Call::Stacks
            | Call::Certificates
            | Call::Spool
            | Call::Bans
            | Call::EdgeMetrics
            | Call::Shutdown => (path(&[]), Vec::new()),
            Call::StackStatus(stack)
            | Call::Remove(stack)
            | Call::FollowDeployment(stack)
            | Call::Releases(stack)
            | Call::StackMetrics(stack)
            | Call::Secrets(stack) => (path(&[stack.as_str()]), Vec::new()),
            Call::ChangeSecrets(ChangeSecrets { stack, change }) => (path(&[stack.as_str()]), json(change)),
            Call::RevealSecret(RevealSecret { stack, name, version }) => {
                let body = RevealSecretBody { version: *version };
                (path(&[stack.as_str(), name]), json(&body))
            }
            Call::RotateSecret(RotateSecret { stack, name, abort }) => {
                let body = RotateSecretBody { abort: *abort };
                (path(&[stack.as_str(), name]), json(&body))
            }
            Call::AddRecoveryKey(add) => (path(&[]), json(add)),
            Call::Config(ConfigQuery { stack, key }) => {
                let address = Address::new(path(&[stack.as_str()])).with("key", key.as_ref());
                (address.finish(), Vec::new())
            }
            Call::ConfigHistory(ConfigHistoryQuery { stack, limit }) => {
                let address = Address::new(path(&[stack.as_str()])).with("limit", *limit);
                (address.finish(), Vec::new())
            }
            Call::ConfigDiff(ConfigDiffQuery { stack, from, to }) => {
                let address = Address::new(path(&[stack.as_str()]))
                    .with("from", *from)
                    .with("to", *to);
                (address.finish(), Vec::new())
            }
            Call::ChangeConfig(ChangeConfig {
                stack,
                change,
                confirm_ms,
            }) => {
                let body = ChangeConfigBody {
                    change: change.clone(),
                    confirm_ms: *confirm_ms,
                };
                (path(&[stack.as_str()]), json(&body))
            }
            Call::ConfirmConfig(ConfirmConfig { stack, revision }) => {
                let body = ConfirmConfigBody { revision: *revision };
                (path(&[stack.as_str()]), json(&body))
            }
            Call::Door(Door { stack, service, change }) => {
                let body = DoorBody {
                    service: service.clone(),
                    change: change.clone(),
                };
                (path(&[stack.as_str()]), json(&body))
            }
            Call::Ban(ask) => (path(&[]), json(ask)),
            Call::AskMonitor(ask) => (path(&[ask.stack.as_str()]), json(ask)),
            Call::Unban(ask) => (path(&[]), json(ask)),
            Call::Money(MoneyQuery { key, all }) => {
                let address = Address::new(path(&[]))
                    .with("key", key.as_ref())
                    .with("all", all.then_some(true));
                (address.finish(), Vec::new())
            }
            Call::Resolve(resolve) => (path(&[]), json(resolve)),
            Call::DropCallback(callback) => (path(&[]), json(callback)),
            Call::Deploy(deploy) => (path(&[]), json(deploy)),
            Call::Decide(Decide { stack, word, why }) => {
                let body = DecideBody {
                    word: *word,
                    why: why.clone(),
                };
                (path(&[stack.as_str()]), json(&body))
            }
            Call::Release(ReleaseQuery { stack, number }) => (path(&[stack.as_str(), &number.to_string()]), Vec::new()),
            Call::Rollback(Rollback {
                stack,
                to,
                confirm_ms,
                reason,
            }) => {
                let body = RollbackBody {
                    to: *to,
                    confirm_ms: *confirm_ms,
                    reason: reason.clone(),
                };
                (path(&[stack.as_str()]), json(&body))
            }
            Call::RollbackCheck(RollbackQuery { stack, to }) => {
                let address = Address::new(path(&[stack.as_str()])).with("to", *to);
                (address.finish(), Vec::new())
            }
            Call::Promote(Promote {
                from,
                to,
                confirm_ms,
                reason,
            }) => {
                let body = PromoteBody {
                    from: from.clone(),
                    confirm_ms: *confirm_ms,
                    reason: reason.clone(),
                };
                (path(&[to.as_str()]), json(&body))
            }
            Call::RenewCertificates(RenewCertificates { stack, host, dry_run }) => {
                let body = RenewCertificatesBody {
                    host: host.clone(),
                    dry_run: *dry_run,
                };
                (path(&[stack.as_str()]), json(&body))
            }
            Call::Describe(id) => (path(&[id.stack.as_str(), id.service.as_str()]), Vec::new()),
            Call::Plan(plan) => (path(&[]), json(plan)),
            Call::Apply(apply) => (path(&[]), json(apply)),
            Call::Restart(target) | Call::Stop(target) | Call::Start(target) => {
                (path(&[target.stack.as_str()]), json(target))
            }
            Call::Scale(Scale { service, replicas }) => (
                path(&[service.stack.as_str(), service.service.as_str()]),
                json(&ScaleBody { replicas: *replicas }),
            ),
            Call::Events(query) => (query.address(path(&[])), Vec::new()),
            Call::Logs(query) => (query.address(path(&[])), Vec::new()),
            Call::AuditLogs(stack) => {
                let address = Address::new(path(&[])).with("stack", stack.as_ref());
                (address.finish(), Vec::new())
            }
            Call::Environment(query) => (path(&[]), json(query)),
            Call::RunFinished(report) => (path(&[]), json(report)),
            Call::Upgrade(upgrade) => (path(&[]), json(upgrade)),
        };
        EncodedCall {
            method: endpoint.method,
            address,
            body,
        }
    }

    /// Reads a call from HTTP: method, path, query without `?`, and body.
    ///
    /// # Errors
    /// When there is no such call ([`Class::NotFound`]), or it is not written as that call is ([`Class::Usage`]).
    pub fn decode(method: &str, path: &str, query: &str, body: &[u8]) -> Result<Self, ApiError> {
        let mut other_methods = Vec::new();
        let mut found = None;
        for endpoint in &ENDPOINTS {
            match endpoint.matches(path) {
                Some(names) if endpoint.method == method => {
                    found = Some((endpoint, names));
                    break;
                }
                Some(_) => other_methods.push(endpoint.method),
                None => {}
            }
        }
        let Some((endpoint, names)) = found else {
            return Err(if other_methods.is_empty() {
                ApiError::new(Class::NotFound, format!("there is no `{path}`"))
                    .hint("docs/reference/api.md lists every call; a newer client may know more than this daemon")
            } else {
                ApiError::new(Class::Usage, format!("`{path}` does not take {method}"))
                    .hint(format!("use {}", other_methods.join(" or ")))
            });
        };
        let query = Query::parse(query);
        Ok(match endpoint.name {
            CallName::Version => Call::Version,
            CallName::Daemon => Call::Daemon,
            CallName::Stacks => Call::Stacks,
            CallName::Shutdown => Call::Shutdown,
            CallName::StackStatus => Call::StackStatus(named(&names, 0)?),
            CallName::Remove => Call::Remove(named(&names, 0)?),
            CallName::Describe => Call::Describe(service_id(&names)?),
            CallName::Plan => Call::Plan(Box::new(from_json(body)?)),
            CallName::Apply => Call::Apply(Box::new(from_json(body)?)),
            CallName::Restart => Call::Restart(target(&names, body)?),
            CallName::Stop => Call::Stop(target(&names, body)?),
            CallName::Start => Call::Start(target(&names, body)?),
            CallName::Scale => Call::Scale(Scale {
                service: service_id(&names)?,
                replicas: from_json::<ScaleBody>(body)?.replicas,
            }),
            CallName::Door => {
                let DoorBody { service, change } = from_json(body)?;
                let stack = named(&names, 0)?;
                Call::Door(Door { stack, service, change })
            }
            CallName::Ban => Call::Ban(from_json(body)?),
            CallName::Unban => Call::Unban(from_json(body)?),
            CallName::Bans => Call::Bans,
            CallName::AskMonitor => {
                let mut ask: MonitorAsk = from_json(body)?;
                ask.stack = named(&names, 0)?;
                Call::AskMonitor(ask)
            }
            CallName::EdgeMetrics => Call::EdgeMetrics,
            CallName::StackMetrics => Call::StackMetrics(named(&names, 0)?),
            CallName::Money => Call::Money(MoneyQuery {
                key: query.get("key")?,
                all: query.get("all")?.unwrap_or(false),
            }),
            CallName::Resolve => Call::Resolve(from_json(body)?),
            CallName::Spool => Call::Spool,
            CallName::DropCallback => Call::DropCallback(from_json(body)?),
            CallName::Deploy => Call::Deploy(from_json(body)?),
            CallName::FollowDeployment => Call::FollowDeployment(named(&names, 0)?),
            CallName::Decide => {
                let DecideBody { word, why } = from_json(body)?;
                let stack = named(&names, 0)?;
                Call::Decide(Decide { stack, word, why })
            }
            CallName::Releases => Call::Releases(named(&names, 0)?),
            CallName::Release => Call::Release(ReleaseQuery {
                stack: named(&names, 0)?,
                number: named(&names, 1)?,
            }),
            CallName::Rollback => {
                // No body at all means the release before, so that `curl -X POST …/rollback` is enough.
                let body = if body.is_empty() {
                    RollbackBody::default()
                } else {
                    from_json(body)?
                };
                Call::Rollback(Rollback {
                    stack: named(&names, 0)?,
                    to: body.to,
                    confirm_ms: body.confirm_ms,
                    reason: body.reason,
                })
            }
            CallName::RollbackCheck => Call::RollbackCheck(RollbackQuery {
                stack: named(&names, 0)?,
                to: query.get("to")?,
            }),
            CallName::Promote => {
                let PromoteBody {
                    from,
                    confirm_ms,
                    reason,
                } = from_json(body)?;
                Call::Promote(Promote {
                    from,
                    to: named(&names, 0)?,
                    confirm_ms,
                    reason,
                })
            }
            CallName::Certificates => Call::Certificates,
            CallName::RenewCertificates => {
                // No body at all means all of them, so that `curl -X POST …/renew` is enough.
                let body = if body.is_empty() {
                    RenewCertificatesBody::default()
                } else {
                    from_json(body)?
                };
                Call::RenewCertificates(RenewCertificates {
                    stack: named(&names, 0)?,
                    host: body.host,
                    dry_run: body.dry_run,
                })
            }
            CallName::Secrets => Call::Secrets(named(&names, 0)?),
            CallName::ChangeSecrets => Call::ChangeSecrets(ChangeSecrets {
                stack: named(&names, 0)?,
                change: from_json(body)?,
            }),
            CallName::RevealSecret => {
                let body = if body.is_empty() {
                    RevealSecretBody::default()
                } else {
                    from_json(body)?
                };
                Call::RevealSecret(RevealSecret {
                    stack: named(&names, 0)?,
                    name: secret_name(names[1])?,
                    version: body.version,
                })
            }
            CallName::RotateSecret => {
                let body = if body.is_empty() {
                    RotateSecretBody::default()
                } else {
                    from_json(body)?
                };
                Call::RotateSecret(RotateSecret {
                    stack: named(&names, 0)?,
                    name: secret_name(names[1])?,
                    abort: body.abort,
                })
            }
            CallName::AddRecoveryKey => {
                let add = if body.is_empty() {
                    AddRecoveryKey::default()
                } else {
                    from_json(body)?
                };
                Call::AddRecoveryKey(add)
            }
            CallName::Config => Call::Config(ConfigQuery {
                stack: named(&names, 0)?,
                key: query.get("key")?,
            }),
            CallName::ConfigHistory => Call::ConfigHistory(ConfigHistoryQuery {
                stack: named(&names, 0)?,
                limit: query.get("limit")?,
            }),
            CallName::ConfigDiff => Call::ConfigDiff(ConfigDiffQuery {
                stack: named(&names, 0)?,
                from: query.get("from")?,
                to: query.get("to")?,
            }),
            CallName::ChangeConfig => {
                let ChangeConfigBody { change, confirm_ms } = from_json(body)?;
                let stack = named(&names, 0)?;
                Call::ChangeConfig(ChangeConfig {
                    stack,
                    change,
                    confirm_ms,
                })
            }
            CallName::ConfirmConfig => {
                // No body at all means whichever waits, so that `curl -X POST …/confirm` is enough.
                let body = if body.is_empty() {
                    ConfirmConfigBody::default()
                } else {
                    from_json(body)?
                };
                Call::ConfirmConfig(ConfirmConfig {
                    stack: named(&names, 0)?,
                    revision: body.revision,
                })
            }
            CallName::Events => Call::Events(EventsQuery::from_query(&query)?),
            CallName::Logs => Call::Logs(LogsQuery::from_query(&query)?),
            CallName::AuditLogs => Call::AuditLogs(query.get("stack")?),
            CallName::Environment => Call::Environment(of_a_service(from_json(body)?)?),
            CallName::RunFinished => {
                let report: RunReport = from_json(body)?;
                Call::RunFinished(RunReport {
                    query: of_a_service(report.query)?,
                    ..report
                })
            }
            CallName::Upgrade => Call::Upgrade(from_json(body)?),
        })
    }
}

fn secret_name(text: &str) -> Result<String, ApiError> {
    match is_secret_name(text) {
        true => Ok(text.to_owned()),
        false => Err(ApiError::new(
            Class::Usage,
            format!("`{text}` cannot be the name of a secret"),
        )),
    }
}

fn of_a_service(query: EnvironmentQuery) -> Result<EnvironmentQuery, ApiError> {
    if query.target.service.is_none() {
        return Err(ApiError::new(Class::Usage, "`service` is missing"));
    }
    Ok(EnvironmentQuery {
        target: checked(query.target)?,
        ..query
    })
}

fn json<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).expect("invariant: a body is made of named fields and texts, which JSON can hold")
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::new(Class::Usage, "the body of the request is not understood").detail(error.to_string())
    })
}

fn named<T>(names: &[&str], index: usize) -> Result<T, ApiError>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    names[index]
        .parse()
        .map_err(|error: T::Err| ApiError::new(Class::Usage, error.to_string()))
}

fn service_id(names: &[&str]) -> Result<ServiceId, ApiError> {
    Ok(ServiceId {
        stack: named(names, 0)?,
        service: named(names, 1)?,
    })
}

/// Body of the calls that have the stack in their path.
#[derive(Default, Deserialize)]
struct TargetBody {
    service: Option<ServiceName>,
    slot: Option<u32>,
}

fn target(names: &[&str], body: &[u8]) -> Result<Target, ApiError> {
    // No body at all means the whole stack, so that `curl -X POST …/restart` is enough.
    let body: TargetBody = if body.is_empty() {
        TargetBody::default()
    } else {
        from_json(body)?
    };
    checked(Target {
        stack: named(names, 0)?,
        service: body.service,
        slot: body.slot,
    })
}

pub(crate) fn checked(target: Target) -> Result<Target, ApiError> {
    match (&target.service, target.slot) {
        (None, Some(_)) => Err(ApiError::new(Class::Usage, "`slot` needs `service` beside it")),
        (_, Some(0)) => Err(ApiError::new(Class::Usage, "slots count from 1")),
        _ => Ok(target),
    }
}
