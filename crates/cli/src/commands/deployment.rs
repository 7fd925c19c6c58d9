//! What the commands about deployments share: options, following one to its end, and what is said of how it ended.

use std::time::Duration;

use clap::Args;
use tend_api::messages::{DeployOutcome, Deployed, Finished, ProgressLine};
use tend_api::{Client, Decide, DecideWord, EXIT_FAILED, EXIT_HELD, EXIT_OK, EXIT_REFUSED, EXIT_UNDONE, LineReader};
use tend_core::model::StackName;

use crate::commands::{INTERRUPTED, show_finished};
use crate::context::Context;
use crate::error::Result;
use crate::output::{Ending, Tone, follow};

/// Options of every command that begins a deployment.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DeploymentOptions {
    /// Undo it by itself unless `tend confirm` is given within this time after it settled, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = tend_base::parse_duration)]
    confirm: Option<Duration>,
    /// What it is for; kept in the journal
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

impl DeploymentOptions {
    /// Returns the time to confirm in as the calls carry it.
    pub(super) fn confirm_ms(&self) -> Option<u64> {
        self.confirm.map(tend_api::confirm_ms)
    }
}

/// Follows a deployment to its end, shows how it ended, and returns the exit code that tells.
pub(super) async fn follow_deployment(
    context: &mut Context<'_>,
    reader: LineReader<ProgressLine>,
    json: bool,
    stack: &StackName,
) -> Result<u8> {
    let followed = follow(context, reader, json).await;
    if followed.as_ref().is_err_and(|error| !error.is_closed_output()) {
        // The telling ended, and not the deployment: to try again would be wrong.
        context.note(&text::cut(stack.as_str()))?;
    }
    match followed? {
        Ending::Left => {
            context.note(&text::left(stack.as_str()))?;
            Ok(INTERRUPTED)
        }
        Ending::Finished(finished) => {
            if !json {
                let (summary, failure) = text::ended(stack.as_str(), finished.deploy.as_ref());
                show_finished(context, &finished, &summary, &failure)?;
            }
            Ok(exit_code(&finished))
        }
    }
}

fn exit_code(finished: &Finished) -> u8 {
    match finished.deploy.as_ref().map(|deployed| deployed.outcome) {
        _ if finished.ok => EXIT_OK,
        Some(DeployOutcome::Refused) => EXIT_REFUSED,
        Some(DeployOutcome::Undone) => EXIT_UNDONE,
        Some(DeployOutcome::Held) => EXIT_HELD,
        Some(DeployOutcome::Committed | DeployOutcome::Unchanged) | None => EXIT_FAILED,
    }
}

/// Says a word to the deployment under way and shows that it was taken.
pub(super) async fn decide(
    context: &mut Context<'_>,
    client: &Client,
    stack: &StackName,
    word: DecideWord,
    why: &str,
) -> Result<u8> {
    let accepted = client
        .decide(Decide {
            stack: stack.clone(),
            word,
            why: why.to_owned(),
        })
        .await?;
    let paint = context.paint();
    context.line(&paint.paint(Tone::Good, &accepted.message))?;
    Ok(EXIT_OK)
}

mod text {
    use super::{DeployOutcome, Deployed};

    pub(super) fn left(stack: &str) -> String {
        format!(
            "left; the deployment goes on: `tend deploy {stack} --follow` shows it again, `tend deploy {stack} --abort` ends it"
        )
    }

    pub(super) fn cut(stack: &str) -> String {
        format!("the deployment is finished or undone when the daemon is back: `tend deploy {stack} --follow` tells")
    }

    /// What is said when it went well, and what heads the error when it did not.
    pub(super) fn ended(stack: &str, deployed: Option<&Deployed>) -> (String, String) {
        let Some(Deployed {
            outcome,
            release,
            running,
        }) = deployed
        else {
            return (
                format!("{stack} has no deployment under way"),
                format!("how the deployment of {stack} ended is not known"),
            );
        };
        let now = match running {
            Some(running) => format!("release {running} runs"),
            None => "it runs in place".to_owned(),
        };
        let failure = match outcome {
            DeployOutcome::Undone => format!("release {release} of {stack} failed and was undone: {now}"),
            DeployOutcome::Held => format!("release {release} of {stack} is held half-way: a person has to decide"),
            _ => format!("release {release} of {stack} was refused, nothing was changed: {now}"),
        };
        let summary = match outcome {
            DeployOutcome::Unchanged => format!("release {release} of {stack} runs already: nothing to do"),
            _ => format!("release {release} of {stack} runs"),
        };
        (summary, failure)
    }
}
