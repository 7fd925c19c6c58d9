//! `tend pause`: lets the requests of a stack or service wait.

use std::time::Duration;

use clap::Args;
use tend_base::parse_duration;
use tend_core::door::{DoorChange, Pause as Held};

use crate::commands::door::DoorArgument;
use crate::context::Context;

/// Let the requests of a stack or service wait until it is resumed
///
/// Lets the requests of a stack or service wait until it is resumed: for a moment in which it must not be asked anything, such as a
/// switch of its database. Nothing is lost meanwhile, but what waits too long, or is one too many, is answered with 503.
///
/// Example: tend pause mps/api --wait-max 20s
#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    door: DoorArgument,
    /// A request waits at most so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    wait_max: Duration,
    /// So many requests wait at once at each route
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    requests_max: u32,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

impl Pause {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> crate::error::Result<u8> {
        let held = Held {
            wait_max_ms: u64::try_from(self.wait_max.as_millis()).unwrap_or(u64::MAX),
            requests_max: self.requests_max,
        };
        self.door.ask(context, DoorChange::Pause(held)).await
    }
}
