//! `tend config set`: sets keys, above all files and rows.

use std::collections::BTreeMap;

use clap::Args;
use tend_api::ConfigChange;

use super::ChangeOptions;
use crate::context::Context;
use crate::error::Result;

/// Set keys of the configuration, above all files and rows
///
/// Sets keys to values, which are written as in a variable: switches as true or false, lists with commas, durations with their unit. All of
/// them are taken as one revision, or none is, with everything that is wrong. What is set stays set over restarts, until it is set again or
/// cleared.
///
/// A secret is not set here: everybody on the machine can read what is typed. `tend secret set NAME` stores it.
///
/// Example: tend config set features.qr_rotation.default_ttl=10m app.log_level=warn --confirm 10m
#[derive(Debug, Args)]
pub(super) struct Set {
    /// A key, or its variable, and its value
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = pair)]
    pairs: Vec<(String, String)>,
    #[command(flatten)]
    options: ChangeOptions,
}

impl Set {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let keys: BTreeMap<String, Option<String>> =
            self.pairs.into_iter().map(|(key, value)| (key, Some(value))).collect();
        super::change(context, &self.options, ConfigChange::Set(keys)).await
    }
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(text::PAIR.to_owned()),
    }
}

mod text {
    pub(super) const PAIR: &str = "write KEY=VALUE; `tend config unset KEY` takes a value away";
}
