//! `tend rollback`: runs an earlier release again, or tells whether that could be done.

use clap::Args;
use tend_api::messages::RollbackReport;
use tend_api::{Call, EXIT_OK, EXIT_REFUSED, Rollback as Asked, RollbackQuery};

use crate::arguments::JsonOption;
use crate::commands::deployment::{DeploymentOptions, follow_deployment};
use crate::context::Context;
use crate::error::Result;
use crate::output::Tone;
use crate::target::StackArgument;

/// Run an earlier release again
///
/// Runs an earlier release again: straight to full, without canary. Code only: data is not touched, and no secret that was retired
/// comes back. Refused with the reason where the database has been changed so that the earlier code cannot live with it.
///
/// Example: tend rollback --to 11 --reason 'refunds fail'
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    stack: StackArgument,
    /// The release to run; the one before when left out
    #[arg(long, value_name = "RELEASE")]
    to: Option<u64>,
    /// Only tell whether it is safe
    #[arg(long, conflicts_with_all = ["confirm", "reason"])]
    check: bool,
    #[command(flatten)]
    options: DeploymentOptions,
    #[command(flatten)]
    json: JsonOption,
}

impl Rollback {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.name(context, &client).await?;
        if self.check {
            let query = RollbackQuery { stack, to: self.to };
            let call = Call::RollbackCheck(query);
            let (report, text) = client.json_with_text::<RollbackReport>(&call).await?;
            if self.json.json {
                context.line(&text)?;
            } else {
                show(context, &report)?;
            }
            return Ok(if report.safe { EXIT_OK } else { EXIT_REFUSED });
        }
        let reader = client
            .rollback(Asked {
                stack: stack.clone(),
                to: self.to,
                confirm_ms: self.options.confirm_ms(),
                reason: self.options.reason,
            })
            .await?;
        follow_deployment(context, reader, self.json.json, &stack).await
    }
}

fn show(context: &mut Context<'_>, report: &RollbackReport) -> Result<()> {
    let paint = context.paint();
    let (tone, verdict) = match report.safe {
        true => (Tone::Good, text::safe(report)),
        false => (Tone::Bad, text::not_safe(report)),
    };
    context.line(&paint.paint(tone, &verdict))?;
    for reason in &report.reasons {
        context.line(&format!("  {} {reason}", paint.paint(Tone::Bad, text::AGAINST)))?;
    }
    for note in &report.notes {
        context.line(&format!("  {} {note}", paint.paint(Tone::Faint, text::SEEN)))?;
    }
    Ok(())
}

mod text {
    use super::RollbackReport;

    pub(super) const AGAINST: &str = "against:";
    pub(super) const SEEN: &str = "seen:";

    pub(super) fn safe(report: &RollbackReport) -> String {
        format!(
            "{} can go back from release {} to release {}",
            report.stack, report.from, report.to
        )
    }
    pub(super) fn not_safe(report: &RollbackReport) -> String {
        format!(
            "{} cannot go back from release {} to release {}",
            report.stack, report.from, report.to
        )
    }
}
