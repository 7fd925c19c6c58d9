//! `tend secret rotate`: makes the staged version the current one, and follows until no replica holds another.

use clap::Args;
use tend_api::RotateSecret;

use super::name;
use crate::arguments::JsonOption;
use crate::commands::follow_to_the_end;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Make the staged version of a secret the current one, and replace who holds another
///
/// Makes the staged version of a secret the current one; where tend makes its values and none is staged, makes one. Then replaces the
/// replicas that hold another, one at a time, above the floor of their service, and ends when that was seen. The version before is
/// retired, and given to nobody again.
///
/// A secret of another class than restart-only has a time in which both versions are valid, and the old one is made invalid when nobody
/// was seen to hold it. Until then --abort takes it back. Whoever stops looking stops nothing: `tend status` says where it stands.
///
/// Example: tend secret rotate db_password
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Its name
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Take back the rotation that is under way: the old version is in use again, and the new one is thrown away
    #[arg(long)]
    abort: bool,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Rotate {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.before_it_is_up(context, &client).await?;
        let (summary, failure) = match self.abort {
            true => (text::back(&self.name), text::not_back(&self.name)),
            false => (text::done(&self.name), text::not_done(&self.name)),
        };
        let rotate = RotateSecret {
            stack,
            name: self.name,
            abort: self.abort,
        };
        let reader = client.rotate_secret(rotate).await?;
        follow_to_the_end(context, reader, self.json.json, &summary, &failure).await
    }
}

mod text {
    pub(super) fn back(name: &str) -> String {
        format!("the rotation of {name} is taken back")
    }
    pub(super) fn not_back(name: &str) -> String {
        format!("the rotation of {name} was not taken back")
    }
    pub(super) fn done(name: &str) -> String {
        format!("{name} is rotated: no replica holds another version")
    }
    pub(super) fn not_done(name: &str) -> String {
        format!("{name} is rotated, but not every replica that needs it is as it should be")
    }
}
