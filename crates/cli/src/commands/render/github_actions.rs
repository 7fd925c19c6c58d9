//! `tend render github-actions`: a workflow of GitHub Actions that calls tend.

use clap::Args;

use super::Pipeline;
use crate::context::Context;
use crate::error::Result;

/// Print a workflow of GitHub Actions that tests, builds and deploys the stack
///
/// Prints a workflow of GitHub Actions that tests, builds and deploys the stack: it calls `tend check`, `plan`, `deploy` and `rollback` on the machines and
/// ends as they end. The same stack file and options give the same text, and no secret is in it.
///
/// Example: tend render github-actions --staging deploy@staging --production deploy@live -o .github/workflows/mps.yml
#[derive(Debug, Args)]
pub(crate) struct GithubActions {
    #[command(flatten)]
    pipeline: Pipeline,
}

impl GithubActions {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        self.pipeline.render(context, tend_render::github_actions)
    }
}
