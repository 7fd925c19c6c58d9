//! `tend upgrade`: has the daemon go on as another program, and sees that it does.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tend_api::{EXIT_FAILED, EXIT_OK};

use crate::context::Context;
use crate::error::{Error, Result};

/// Have the daemon go on as this program; replicas are not restarted
///
/// Has the daemon go on as this program, or as the one named. Replicas and edge go on meanwhile and are adopted.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// The program to go on as, instead of this one
    #[arg(value_name = "PROGRAM")]
    program: Option<PathBuf>,
}

/// The daemon has this long to start and adopt.
const PATIENCE: Duration = Duration::from_secs(30);

impl Upgrade {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let program = match self.program {
            Some(path) => context
                .surroundings
                .directory
                .join(&path)
                .canonicalize()
                .map_err(|source| Error::Program {
                    program: path.display().to_string(),
                    source,
                })?,
            None => std::env::current_exe().map_err(Error::OwnPath)?,
        };
        let client = context.client().await?;
        let before = client.daemon().await?;
        let asked = context.now().mono;
        client.upgrade(program).await?;
        loop {
            let waited = context.now().mono.since(asked);
            match client.daemon().await {
                // A daemon younger than the request is the new one, whatever it calls itself.
                Ok(now)
                    if now.build != before.build
                        || now.pid != before.pid
                        || now.uptime_seconds < before.uptime_seconds
                        || now.uptime_seconds < waited.as_secs() =>
                {
                    context.line(&text::upgraded(
                        &before.version,
                        &before.build,
                        &now.version,
                        &now.build,
                    ))?;
                    return Ok(EXIT_OK);
                }
                Ok(_) => {}
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
            if waited >= PATIENCE {
                context.note(&text::not_seen(PATIENCE.as_secs()))?;
                return Ok(EXIT_FAILED);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

mod text {
    pub(super) fn upgraded(version: &str, build: &str, new: &str, new_build: &str) -> String {
        format!("the daemon went on as {new} ({new_build}), from {version} ({build}); replicas were adopted")
    }
    pub(super) fn not_seen(seconds: u64) -> String {
        format!("the daemon was not seen as the new program within {seconds} s; `tend info` tells which one it is")
    }
}
