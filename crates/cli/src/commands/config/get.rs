//! `tend config get`: the value of one key, for people and scripts.

use clap::Args;
use tend_api::messages::ConfigReport;
use tend_api::{ApiError, Call, Class, ConfigQuery, EXIT_OK};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::harmless;
use crate::target::StackOption;

/// Print the value of a key that is in force
///
/// Prints the value of a key that is in force, as the text of a variable, and nothing else. Of a secret its name and version are printed,
/// never the value.
///
/// Example: tend config get features.qr_rotation.default_ttl
#[derive(Debug, Args)]
pub(super) struct Get {
    /// The key, or its variable
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Get {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let (report, text) = asked(context, &self.stack, self.key.clone()).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        match report.keys.first().and_then(|key| key.value.as_ref()) {
            Some(value) => {
                context.line(&harmless(value))?;
                Ok(EXIT_OK)
            }
            None => {
                let error = ApiError::new(Class::NotFound, text::none(&self.key));
                Err(Error::Role(error.hint(text::next(&self.key))))
            }
        }
    }
}

/// Asks for one key.
pub(super) async fn asked(
    context: &mut Context<'_>,
    stack: &StackOption,
    key: String,
) -> Result<(ConfigReport, String)> {
    let client = context.client().await?;
    let stack = stack.before_it_is_up(context, &client).await?;
    let key = Some(key);
    let call = Call::Config(ConfigQuery { stack, key });
    Ok(client.json_with_text::<ConfigReport>(&call).await?)
}

mod text {
    pub(super) fn none(key: &str) -> String {
        format!("`{key}` has no value")
    }
    pub(super) fn next(key: &str) -> String {
        format!("`tend config set {key}=VALUE` gives it one; `tend config why {key}` says what it takes")
    }
}
