//! `tend config preset`: sets what belongs together.

use clap::Args;
use tend_api::ConfigChange;

use super::ChangeOptions;
use crate::context::Context;
use crate::error::Result;

/// Set all values of a preset of the schema
///
/// Sets all values of a preset, as one revision. The presets of a schema stand below `presets:`; `tend config docs` shows them.
///
/// Example: tend config preset pool-high
#[derive(Debug, Args)]
pub(super) struct Preset {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    options: ChangeOptions,
}

impl Preset {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        super::change(context, &self.options, ConfigChange::Preset(self.name)).await
    }
}
