//! `tend shutdown`: ends the daemon and sees that it ended.

use std::time::Duration;

use clap::Args;
use tend_api::{EXIT_FAILED, EXIT_OK};

use crate::context::Context;
use crate::error::Result;

/// End the daemon; replicas and edge go on
///
/// Ends the daemon. Replicas and edge go on without it, and the next daemon adopts them; nothing is restarted meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Shutdown {}

/// The daemon has this long to write what it has to write.
const PATIENCE: Duration = Duration::from_secs(15);

impl Shutdown {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let before = client.daemon().await?;
        client.shutdown().await?;
        let deadline = context.now().mono + PATIENCE;
        loop {
            match client.daemon().await {
                // Gone, or another one is there already: systemd is quick.
                Err(error) if error.is_transient() => {
                    context.line(&text::ended(before.pid))?;
                    return Ok(EXIT_OK);
                }
                Ok(now) if now.pid != before.pid => {
                    context.line(&text::replaced(before.pid, now.pid))?;
                    return Ok(EXIT_OK);
                }
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            if context.now().mono >= deadline {
                context.note(&text::still_there(before.pid, PATIENCE.as_secs()))?;
                return Ok(EXIT_FAILED);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

mod text {
    pub(super) fn ended(pid: u32) -> String {
        format!("the daemon (pid {pid}) has ended; replicas and edge go on")
    }
    pub(super) fn replaced(old: u32, new: u32) -> String {
        format!("the daemon (pid {old}) has ended, and something started another one (pid {new})")
    }
    pub(super) fn still_there(pid: u32, seconds: u64) -> String {
        format!("the daemon (pid {pid}) is still there after {seconds} s")
    }
}
