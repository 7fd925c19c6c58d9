//! `tend status`: a stack's services and replicas, one line each.

use clap::Args;
use tend_api::messages::{CertificateState, ReplicaStatus, ServiceState, ServiceStatus, StackStatus, WorkloadKind};
use tend_api::{Call, EXIT_OK};
use tend_base::format_bytes;

use crate::arguments::JsonOption;
use crate::commands::releases;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Cell, Paint, Table, Tone};
use crate::target::StackArgument;
use crate::when::age;

/// Show a stack's services and replicas
///
/// Shows a stack's services and replicas. Without a stack's name, and with none of this folder, shows all stacks.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    json: JsonOption,
}

impl Status {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let names = match self.stack.name(context, &client).await {
            Ok(name) => vec![name],
            Err(Error::WhichStack { names }) if !self.stack.is_given() => names,
            Err(error) => return Err(error),
        };
        for (index, name) in names.into_iter().enumerate() {
            let (status, text) = client.json_with_text::<StackStatus>(&Call::StackStatus(name)).await?;
            if self.json.json {
                context.line(&text)?;
                continue;
            }
            if index > 0 {
                context.line("")?;
            }
            for line in lines(&status, context.paint()) {
                context.line_later(&line)?;
            }
        }
        Ok(EXIT_OK)
    }
}

/// Returns a stack as it is shown: a line on itself, where to reach it, the table, what is not as asked.
pub(super) fn lines(status: &StackStatus, paint: Paint) -> Vec<String> {
    let mut lines = vec![format!(
        "{}   {}   {}",
        paint.paint(Tone::Strong, status.name.as_str()),
        paint.paint(status.state.into(), status.state.as_str()),
        paint.paint(
            Tone::Faint,
            &text::origin(&status.file.display().to_string(), status.revision, status.release)
        ),
    )];
    if let Some(deployment) = &status.deployment {
        lines.push(format!("  {}", releases::under_way(deployment, paint)));
    }
    for listener in status.listeners.iter().filter(|listener| !listener.bound) {
        let label = paint.paint(Tone::Bad, &text::not_bound(&listener.address.to_string()));
        lines.push(format!("{label}  {}", listener.why));
    }
    for service in &status.services {
        for url in &service.urls {
            lines.push(format!("  {url}  {}", paint.paint(Tone::Faint, service.name.as_str())));
        }
    }
    for certificate in &status.certificates {
        let tone = certificate.state.into();
        let days = paint.paint(tone, &text::days(certificate.state, certificate.days_left));
        let whose = match certificate.files.first().filter(|_| certificate.names.is_empty()) {
            Some(chain) => chain.display().to_string(),
            None => certificate.names.join(", "),
        };
        lines.push(format!(
            "  {} {whose}  {days}",
            paint.paint(Tone::Faint, text::CERTIFICATE)
        ));
    }
    lines.push(String::new());
    lines.extend(table(status).lines(paint));
    for warning in &status.warnings {
        lines.push(format!("{} {warning}", paint.paint(Tone::Uneasy, text::WARNING)));
    }
    lines
}

/// Returns the table of services, each followed by its replicas.
pub(super) fn table(status: &StackStatus) -> Table {
    let mut table = Table::new(&text::HEADINGS);
    for service in &status.services {
        table.row(service_row(service));
        // A container has no process of ours to tell about.
        if service.workload == WorkloadKind::Process {
            for replica in &service.replicas {
                table.row(replica_row(replica));
            }
        }
    }
    table
}

/// Returns the table of one service's replicas.
pub(super) fn replicas(service: &ServiceStatus) -> Table {
    let mut table = Table::new(&text::HEADINGS);
    table.row(service_row(service));
    for replica in &service.replicas {
        table.row(replica_row(replica));
    }
    table
}

fn service_row(service: &ServiceStatus) -> Vec<Cell> {
    // With one replica the sum says nothing new; with none known there is none.
    let several = service.replicas.len() > 1;
    let memory = service.replicas.iter().filter_map(|it| it.memory_bytes);
    let memory = memory.reduce(|a, b| a + b).filter(|_| several);
    let cpu = service.replicas.iter().filter_map(|it| it.cpu_percent);
    let cpu = cpu.reduce(|a, b| a + b).filter(|_| several);
    let ready = match service.state {
        ServiceState::Completed => String::new(),
        _ => format!("{}/{}", service.ready_replicas, service.wanted_replicas),
    };
    vec![
        Cell::new(service.name.as_str()).tone(Tone::Strong),
        Cell::new(service.state.as_str()).tone(service.state),
        Cell::new(ready).right(),
        Cell::new(""),
        Cell::new(""),
        Cell::new(""),
        Cell::new(""),
        Cell::new(""),
        Cell::new(memory.map_or_else(String::new, format_bytes)).right(),
        Cell::new(cpu.map_or_else(String::new, percent)).right(),
        Cell::new(service.why.clone()),
    ]
}

fn replica_row(replica: &ReplicaStatus) -> Vec<Cell> {
    let number = |number: Option<u64>| Cell::new(number.map_or_else(String::new, |number| number.to_string())).right();
    let mut note = replica.why.clone();
    if let Some(exit) = &replica.last_exit {
        if !note.is_empty() {
            note.push_str("; ");
        }
        note.push_str(&text::last_exit(exit));
    }
    vec![
        Cell::new(format!("  {}", replica.id.slot)),
        Cell::new(replica.state.as_str()).tone(replica.state),
        Cell::new(""),
        number(replica.release),
        number(replica.pid.map(u64::from)),
        number(replica.port.map(u64::from)),
        Cell::new(replica.uptime_seconds.map_or_else(String::new, age)).right(),
        number(Some(replica.restarts)),
        Cell::new(replica.memory_bytes.map_or_else(String::new, format_bytes)).right(),
        Cell::new(replica.cpu_percent.map_or_else(String::new, percent)).right(),
        Cell::new(note),
    ]
}

fn percent(percent: f64) -> String {
    format!("{percent:.1}%")
}

mod text {
    use super::CertificateState;

    pub(super) const CERTIFICATE: &str = "certificate";
    pub(super) const HEADINGS: [&str; 11] = [
        "SERVICE",
        "STATE",
        ">READY",
        ">RELEASE",
        ">PID",
        ">PORT",
        ">UP",
        ">RESTARTS",
        ">MEMORY",
        ">CPU",
        "NOTE",
    ];
    pub(super) const WARNING: &str = "warning:";

    pub(super) fn origin(file: &str, revision: u64, release: Option<u64>) -> String {
        match release {
            Some(release) => format!("{file}, revision {revision}, release {release}"),
            None => format!("{file}, revision {revision}"),
        }
    }
    /// How long clients take a certificate.
    pub(super) fn days(state: CertificateState, left: Option<i64>) -> String {
        match (state, left) {
            (CertificateState::Missing, _) | (_, None) => "there is none".to_owned(),
            (CertificateState::Expired, _) => "expired".to_owned(),
            (_, Some(0)) => "less than a day left".to_owned(),
            (_, Some(1)) => "1 day left".to_owned(),
            (_, Some(days)) => format!("{days} days left"),
        }
    }
    pub(super) fn not_bound(address: &str) -> String {
        format!("  {address} not open")
    }
    pub(super) fn last_exit(exit: &str) -> String {
        format!("last: {exit}")
    }
}
