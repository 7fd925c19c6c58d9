//! `tend plan`: the steps `up` or `deploy` would take, each with its undo.

use clap::Args;
use tend_api::messages::PlanReport;
use tend_api::{Call, EXIT_OK, PlanBody};
use tend_core::model::Stack;

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone};
use crate::stack_file::StackFileArguments;

/// Show what `up` or `deploy` would do
///
/// Shows the steps `up` would take now, each with what undoes it; for a stack that runs a release those of `deploy`. Changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    file: StackFileArguments,
    /// Show what `deploy` would do, also where the stack runs in place so far
    #[arg(long)]
    deploy: bool,
    #[command(flatten)]
    json: JsonOption,
}

impl Plan {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let stack = self.file.load(context)?.stack;
        show(context, stack, self.deploy, self.json).await
    }
}

/// Shows the steps from what runs to what the stack says.
pub(super) async fn show(context: &mut Context<'_>, stack: Stack, deploy: bool, json: JsonOption) -> Result<u8> {
    let client = context.client_of_a_started_daemon().await?;
    let call = Call::Plan(Box::new(PlanBody { stack, deploy }));
    let (plan, text) = client.json_with_text::<PlanReport>(&call).await?;
    if json.json {
        context.line(&text)?;
        return Ok(EXIT_OK);
    }
    let paint = context.paint();
    for warning in &plan.warnings {
        context.line(&format!("{} {warning}", paint.paint(Tone::Uneasy, text::WARNING)))?;
    }
    if plan.steps.is_empty() {
        context.line(&text::nothing(&plan))?;
        return Ok(EXIT_OK);
    }
    if let Some(release) = plan.release {
        context.line(&paint.paint(Tone::Strong, &text::deployment(release, plan.from)))?;
    }
    let mut table = Table::new(&text::HEADINGS);
    for (index, step) in plan.steps.iter().enumerate() {
        let undo = match &step.undo {
            Some(undo) => Cell::new(undo).tone(Tone::Faint),
            None => Cell::new(text::NO_UNDO).tone(Tone::Uneasy),
        };
        table.row(vec![
            Cell::new((index + 1).to_string()).right(),
            Cell::new(&step.action).tone(Tone::Strong),
            Cell::new(&step.subject),
            Cell::new(&step.detail),
            undo,
        ]);
    }
    for line in table.lines(paint) {
        context.line_later(&line)?;
    }
    Ok(EXIT_OK)
}

mod text {
    use super::PlanReport;

    pub(super) const HEADINGS: [&str; 5] = [">STEP", "DO", "TO", "HOW", "UNDO"];
    pub(super) const WARNING: &str = "warning:";
    pub(super) const NO_UNDO: &str = "none";

    pub(super) fn nothing(plan: &PlanReport) -> String {
        match plan.from {
            Some(release) => format!(
                "{} is as its file says, by release {release}: nothing to do",
                plan.stack
            ),
            None => format!("{} is as its file says: nothing to do", plan.stack),
        }
    }
    pub(super) fn deployment(release: u64, from: Option<u64>) -> String {
        match from {
            Some(from) => format!("deploy release {release} in the place of release {from}:"),
            None => format!("deploy release {release} in the place of what runs:"),
        }
    }
}
