//! `tend secret generate`: has the daemon make a random value.

use clap::Args;
use tend_api::{SecretChange, SecretFormat};

use super::{Notes, name};
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Make a random value and store it; nobody sees it
///
/// Makes a random value and stores it, as `tend secret set` stores one. `tend secret rotate` makes the next one alike.
///
/// Example: tend secret generate jwt_key --format hex
#[derive(Debug, Args)]
pub(super) struct Generate {
    /// Its name
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Random bytes, 16 to 1024
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    bytes: u32,
    /// As which text: base64, hex or alphanumeric
    #[arg(long, value_name = "FORMAT", default_value = "base64", value_parser = format)]
    format: SecretFormat,
    #[command(flatten)]
    notes: Notes,
    #[command(flatten)]
    stack: StackOption,
}

fn format(text: &str) -> std::result::Result<SecretFormat, String> {
    match text {
        "base64" => Ok(SecretFormat::Base64),
        "hex" => Ok(SecretFormat::Hex),
        "alphanumeric" => Ok(SecretFormat::Alphanumeric),
        _ => Err("write base64, hex or alphanumeric".to_owned()),
    }
}

impl Generate {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let change = SecretChange::Generate {
            name: self.name,
            bytes: self.bytes,
            format: self.format,
            notes: self.notes.into(),
        };
        super::change(context, &self.stack, change).await
    }
}
