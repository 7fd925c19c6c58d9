//! `tend render jenkins`: a Jenkinsfile that calls tend.

use clap::Args;

use super::Pipeline;
use crate::context::Context;
use crate::error::Result;

/// Print a Jenkinsfile that tests, builds and deploys the stack
///
/// Prints a Jenkinsfile that tests, builds and deploys the stack: it calls `tend check`, `plan`, `deploy` and `rollback` on the machines and
/// ends as they end. The same stack file and options give the same text, and no secret is in it.
///
/// Example: tend render jenkins --staging deploy@staging --production deploy@live -o Jenkinsfile
#[derive(Debug, Args)]
pub(crate) struct Jenkins {
    #[command(flatten)]
    pipeline: Pipeline,
}

impl Jenkins {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        self.pipeline.render(context, tend_render::jenkins)
    }
}
