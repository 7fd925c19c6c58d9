//! `tend shutdown`: ends the daemon and sees that it ended.

use std::time::Duration;

use clap::Args;
use tend_api::{EXIT_FAILED, EXIT_OK};

use crate::context::Context;
use crate::error::Result;

/// End the daemon; replicas and edge go on
///
/// Ends the daemon. Replicas and edge go on without it, and the next daemon adopts them; nothing is restarted meanwhile. With no
/// stack up the edge ends too.
#[derive(Debug, Args)]
pub(crate) struct Shutdown {}

/// The daemon has this long to write what it has to write.
const PATIENCE: Duration = Duration::from_secs(15);

impl Shutdown {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let before = client.daemon().await?;
        // With no stack left nobody needs the edge, and the daemon lets it end too.
        let edge = before.edge.pid.filter(|_| before.stacks == 0);
        client.shutdown().await?;
        let deadline = context.now().mono + PATIENCE;
        loop {
            match client.daemon().await {
                // It closes its socket before it has written everything, so silence alone is not the end.
                Err(error) if error.is_transient() && has_ended(before.pid) => {
                    if before.stacks > 0 {
                        context.line(&text::ended(before.pid))?;
                        return Ok(EXIT_OK);
                    }
                    if edge.is_none_or(has_ended) {
                        context.line(&text::all_ended(before.pid, edge.is_some()))?;
                        return Ok(EXIT_OK);
                    }
                }
                // Another one is there already: systemd is quick.
                Ok(now) if now.pid != before.pid => {
                    context.line(&text::replaced(before.pid, now.pid))?;
                    return Ok(EXIT_OK);
                }
                Ok(_) => {}
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
            if context.now().mono >= deadline {
                if let Some(edge) = edge.filter(|_| has_ended(before.pid)) {
                    context.line(&text::edge_goes_on(before.pid, edge))?;
                    return Ok(EXIT_OK);
                }
                context.note(&text::still_there(before.pid, PATIENCE.as_secs()))?;
                return Ok(EXIT_FAILED);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Returns whether the process is gone, or a zombie that only waits for its parent to notice.
fn has_ended(pid: u32) -> bool {
    // The state stands behind the program's name, which is in parentheses and may hold any character (proc_pid_stat(5)).
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| {
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, Some('Z' | 'X'))
    })
}

mod text {
    pub(super) fn ended(pid: u32) -> String {
        format!("the daemon (pid {pid}) has ended; replicas and edge go on")
    }
    pub(super) fn all_ended(pid: u32, edge: bool) -> String {
        let and_edge = if edge { ", and the edge with it" } else { "" };
        format!("the daemon (pid {pid}) has ended{and_edge}: no stack was up")
    }
    pub(super) fn edge_goes_on(pid: u32, edge: u32) -> String {
        format!(
            "the daemon (pid {pid}) has ended; the edge (pid {edge}) still finishes requests, though no stack was up"
        )
    }
    pub(super) fn replaced(old: u32, new: u32) -> String {
        format!("the daemon (pid {old}) has ended, and something started another one (pid {new})")
    }
    pub(super) fn still_there(pid: u32, seconds: u64) -> String {
        format!("the daemon (pid {pid}) is still there after {seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_ended_when_it_is_gone_or_a_zombie() {
        assert!(!has_ended(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        // Not waited for yet, so it stays as a zombie once it ended.
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !has_ended(child.id()) {
            assert!(std::time::Instant::now() < deadline, "`true` does not end");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(has_ended(child.id()));
    }
}
