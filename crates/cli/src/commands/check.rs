//! `tend check`: whether a stack file can be used, without a daemon.

use clap::{Args, ValueEnum};
use tend_api::EXIT_OK;
use tend_core::model::{Stack, Workload};

use crate::context::Context;
use crate::error::Result;
use crate::output::Tone;
use crate::stack_file::StackFileArguments;

/// Check a stack file
///
/// Checks a stack file and shows everything that is wrong with it at once, each at its place. Needs no daemon, changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    file: StackFileArguments,
    /// Print the files merged into one: variables replaced, short forms written out
    #[arg(long, value_name = "FORMAT")]
    print: Option<Format>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// As YAML that reads back as the same stack
    Yaml,
    /// As JSON
    Json,
}

impl Check {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let loaded = self.file.load(context)?;
        match self.print {
            Some(Format::Yaml) => context.write(&loaded.document.to_yaml())?,
            Some(Format::Json) => {
                let json = serde_json::to_string_pretty(&loaded.document.to_json());
                context.line(&json.unwrap_or_default())?;
            }
            None => {
                let paint = context.paint();
                context.line(&paint.paint(Tone::Good, &text::fine(&loaded.stack)))?;
                for service in loaded.stack.containers() {
                    if let Workload::Container { image } = &service.workload {
                        let note = text::needs_engine(service.name.as_str(), image);
                        context.line(&format!("  {}", paint.paint(Tone::Uneasy, &note)))?;
                    }
                }
            }
        }
        Ok(EXIT_OK)
    }
}

mod text {
    use super::Stack;

    fn counted(count: usize, one: &str, many: &str) -> String {
        match count {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        }
    }
    pub(super) fn fine(stack: &Stack) -> String {
        format!(
            "{} is fine: {}, {}",
            stack.name,
            counted(stack.services.len(), "service", "services"),
            counted(stack.edge.routes.len(), "route", "routes"),
        )
    }
    pub(super) fn needs_engine(service: &str, image: &str) -> String {
        format!("{service} needs a container engine ({image}): it is reported and not started")
    }
}
