//! `tend info`: the daemon on itself.

use clap::Args;
use tend_api::messages::{DaemonReport, EdgeState, Enforcement};
use tend_api::{Call, EXIT_OK};
use tend_base::format_bytes;

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::Tone;
use crate::when::age;

/// Show the daemon: process, folders, memory, edge, limits
///
/// Shows the daemon: its process, folders and memory, the edge, and which limits this machine can enforce.
#[derive(Debug, Args)]
pub(crate) struct Info {
    #[command(flatten)]
    json: JsonOption,
}

impl Info {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let (report, text) = client.json_with_text::<DaemonReport>(&Call::Daemon).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        let paint = context.paint();
        for (label, value) in facts(&report) {
            let label = paint.paint(Tone::Faint, &format!("{label:<10}"));
            context.line_later(&format!("{label}{value}"))?;
        }
        Ok(EXIT_OK)
    }
}

fn facts(report: &DaemonReport) -> Vec<(&'static str, String)> {
    let edge = &report.edge;
    let memory = |bytes: Option<u64>| bytes.map_or_else(String::new, |bytes| format!(", {}", format_bytes(bytes)));
    let pid = |pid: Option<u32>| pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    let limits = &report.limits;
    let mut facts = vec![
        ("tend", format!("{} ({})", report.version, report.build)),
        (
            "daemon",
            format!(
                "{}{}, {} {}",
                text::running_for(&age(report.uptime_seconds), report.uid),
                memory(report.memory_bytes),
                text::PID,
                report.pid
            ),
        ),
        (
            "edge",
            format!(
                "{}{}{}, {}",
                text::edge_state(edge.state),
                pid(edge.pid),
                memory(edge.memory_bytes),
                text::snapshot(edge.snapshot, edge.attested),
            ),
        ),
        ("stacks", text::stacks(report.stacks, report.replicas)),
        ("state", report.state.display().to_string()),
        ("run", report.run.display().to_string()),
        (
            "limits",
            format!(
                "memory {}, processors {}, processes {}",
                text::enforcement(limits.memory),
                text::enforcement(limits.cpus),
                text::enforcement(limits.pids)
            ),
        ),
    ];
    if !limits.why.is_empty() {
        facts.push(("", limits.why.clone()));
    }
    facts
}

mod text {
    use super::{EdgeState, Enforcement};

    pub(super) const PID: &str = "pid";

    pub(super) fn running_for(age: &str, uid: u32) -> String {
        format!("up {age}, as user {uid}")
    }
    pub(super) fn edge_state(state: EdgeState) -> &'static str {
        match state {
            EdgeState::NotNeeded => "not needed by any stack",
            EdgeState::Starting => "starting",
            EdgeState::Running => "running",
            EdgeState::BackingOff => "ended, about to be started again",
            EdgeState::Unknown => "unknown",
        }
    }
    pub(super) fn snapshot(wanted: u64, attested: Option<u64>) -> String {
        match attested {
            Some(served) if served == wanted => format!("serves routes {served}"),
            Some(served) => format!("serves routes {served}, {wanted} wanted"),
            None => format!("has not said yet that it serves routes {wanted}"),
        }
    }
    pub(super) fn stacks(stacks: u32, replicas: u32) -> String {
        format!("{stacks}, with {replicas} replicas running")
    }
    pub(super) fn enforcement(enforcement: Enforcement) -> &'static str {
        match enforcement {
            Enforcement::Cgroup => "by the kernel",
            Enforcement::Measured => "by measuring",
            Enforcement::None => "not enforced",
        }
    }
}
