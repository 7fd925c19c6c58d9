//! One service as it is defined and as it is, for `tend describe`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tend_base::{format_bytes, format_duration};
use tend_core::model::{
    Condition, DependencyCondition, Port, Probe, ProbeAction, Replicas, Schedule, Service, StackName, WhenBehind,
    Workload,
};

use super::ServiceStatus;

/// One service as it is defined and as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceDescription {
    /// Of which stack.
    pub stack: StackName,
    /// How it is.
    pub status: ServiceStatus,
    /// How it is defined.
    pub definition: Definition,
    /// The latest events about it, oldest first, each in one line.
    #[serde(default)]
    pub recent: Vec<String>,
}

/// How a service is defined, in words. Environment values may be secret and are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Program and arguments; empty for a container.
    #[serde(default)]
    pub command: Vec<String>,
    /// The container's image.
    #[serde(default)]
    pub image: Option<String>,
    /// Working folder.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// User it runs as; the stack file's owner when absent.
    #[serde(default)]
    pub user: Option<String>,
    /// What is run once before the first start.
    #[serde(default)]
    pub prepare: Option<Vec<String>>,
    /// Names of environment variables, without values.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Such as `3` or `one per core`.
    pub replicas: String,
    /// Such as `db is ready`.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Such as `on failure; 4s to 1m between tries`.
    pub restart: String,
    /// Such as `every 12h`.
    #[serde(default)]
    pub restart_schedule: Option<String>,
    /// Such as `GET /health every 30s, 3s to answer, 3 retries`.
    #[serde(default)]
    pub liveness: Option<String>,
    /// As `liveness`.
    #[serde(default)]
    pub readiness: Option<String>,
    /// Such as `memory 512 MB`.
    #[serde(default)]
    pub limits: Vec<String>,
    /// Such as `signal 15, then SIGKILL after 10s`.
    pub stop: String,
    /// Such as `10 files of 10 MB each, dropping when behind`.
    pub logs: String,
    /// Such as `in PORT`.
    pub port: String,
}

impl From<&Service> for Definition {
    fn from(service: &Service) -> Self {
        let (process, image) = match &service.workload {
            Workload::Process(process) => (Some(process), None),
            Workload::Container { image } => (None, Some(image.clone())),
        };
        let resources = &service.resources;
        let mut limits = Vec::new();
        if let Some(bytes) = resources.memory_max {
            limits.push(format!("memory {}", format_bytes(bytes)));
        }
        if let Some(cpus) = resources.cpus_max {
            limits.push(format!("processors {cpus}"));
        }
        if let Some(pids) = resources.pids_max {
            limits.push(format!("processes {pids}"));
        }
        if let Some(bytes) = resources.memory_reserved {
            limits.push(format!("memory reserved {}", format_bytes(bytes)));
        }
        if let Some(cpus) = resources.cpus_reserved {
            limits.push(format!("processors reserved {cpus}"));
        }
        if let Some(files) = process.and_then(|process| process.open_files_max) {
            limits.push(format!("open files {files}"));
        }
        Self {
            command: process.map_or_else(Vec::new, |process| process.command.clone()),
            image,
            directory: process.map(|process| process.directory.clone()),
            user: process.and_then(|process| process.user.clone()),
            prepare: process.and_then(|process| process.prepare.clone()),
            environment: process.map_or_else(Vec::new, |process| process.environment.keys().cloned().collect()),
            replicas: match service.replicas {
                Replicas::Count(count) => count.to_string(),
                Replicas::Max => "one per core".to_owned(),
            },
            depends_on: service
                .depends_on
                .iter()
                .map(|dependency| {
                    let condition = match dependency.condition {
                        DependencyCondition::Started => "is started",
                        DependencyCondition::Healthy => "is ready",
                        DependencyCondition::CompletedSuccessfully => "has completed",
                    };
                    let optional = if dependency.required { "" } else { ", if it is there" };
                    format!("{} {condition}{optional}", dependency.service)
                })
                .collect(),
            restart: {
                let restart = &service.restart;
                let between = format!(
                    "{} to {} between tries, failing after {} in a row",
                    format_duration(restart.delay),
                    format_duration(restart.delay_max),
                    restart.max_attempts
                );
                match restart.condition {
                    Condition::Always => format!("always; {between}"),
                    Condition::OnFailure => format!("on failure; {between}"),
                    Condition::Never => "never".to_owned(),
                }
            },
            restart_schedule: service.restart_schedule.as_ref().map(|schedule| match schedule {
                Schedule::Every(every) => format!("every {}", format_duration(*every)),
            }),
            liveness: service.liveness.as_ref().map(probe),
            readiness: service.readiness.as_ref().map(probe),
            limits,
            stop: format!(
                "signal {}, then SIGKILL after {}",
                service.stop.signal,
                format_duration(service.stop.grace_period)
            ),
            logs: format!(
                "{} files of {} each, {} when behind",
                service.logs.files_max,
                format_bytes(service.logs.file_bytes_max),
                match service.logs.when_behind {
                    WhenBehind::Drop => "dropping",
                    WhenBehind::Block => "blocking",
                }
            ),
            port: match &service.port {
                Port::None => "none".to_owned(),
                Port::Variable(name) => format!("in {name}"),
                Port::Descriptor(number) => format!("file descriptor {number}"),
                Port::Fixed(port) => format!("always {port}"),
            },
        }
    }
}

fn probe(probe: &Probe) -> String {
    let at = |port: Option<u16>| port.map_or_else(String::new, |port| format!(" at port {port}"));
    let action = match &probe.action {
        ProbeAction::Http { path, port } => format!("GET {path}{}", at(*port)),
        ProbeAction::Tcp { port } => format!("connect{}", at(*port)),
        ProbeAction::Command { command } => format!("run `{}`", command.join(" ")),
    };
    format!(
        "{action} every {}, {} to answer, {} retries, {} start period",
        format_duration(probe.interval),
        format_duration(probe.timeout),
        probe.retries,
        format_duration(probe.start_period)
    )
}
