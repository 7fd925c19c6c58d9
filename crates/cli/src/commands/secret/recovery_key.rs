//! `tend secret recovery-key`: a key that is kept off this machine and opens everything, should the machine be lost.

use clap::Args;
use tend_api::{AddRecoveryKey, EXIT_OK};

use crate::context::Context;
use crate::error::Result;

/// Make a key to be kept off this machine, which opens all secrets
///
/// Makes a key that opens all secrets of this machine, prints it once and keeps only its public half. Write it down, or put it into a
/// safe; with it `age -d -i KEY FILE` opens the files below `secrets/stacks` of the state folder anywhere.
///
/// Example: tend secret recovery-key > /media/usb/tend-recovery.key
#[derive(Debug, Args)]
pub(super) struct RecoveryKey {
    /// Take the public half of a key that is there already, such as `age-keygen` made elsewhere
    #[arg(long, value_name = "AGE1…")]
    public: Option<String>,
}

impl RecoveryKey {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client_of_a_started_daemon().await?;
        let report = client.add_recovery_key(AddRecoveryKey { public: self.public }).await?;
        match &report.key {
            Some(key) => {
                context.write(key.expose())?;
                context.note(text::ONCE)?;
            }
            None => context.line(&text::taken(&report.public))?,
        }
        Ok(EXIT_OK)
    }
}

mod text {
    pub(super) const ONCE: &str = "this key is kept nowhere else and is not shown again: store it off this machine";

    pub(super) fn taken(public: &str) -> String {
        format!("all secrets open with {public} too")
    }
}
