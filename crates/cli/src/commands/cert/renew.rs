//! `tend cert renew`: asks the daemon to get certificates now, or to try it out, and follows it to its end.

use clap::Args;
use tend_api::messages::ProgressLine;
use tend_api::{Call, RenewCertificates};

use crate::arguments::JsonOption;
use crate::commands::follow_to_the_end;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Get certificates now, before they are due
///
/// Gets certificates now, before they are due: all of a stack, or the one for a host. Done when a client was shown the new one. What
/// is there is served on until then, and kept when it fails. The authority's limits hold.
///
/// Example: tend cert renew pay.example.com --dry-run
#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// Only the certificate for this host
    #[arg(value_name = "HOST")]
    host: Option<String>,
    #[command(flatten)]
    stack: StackOption,
    /// Only try out whether it would be issued; at the authority's staging server where it has one
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonOption,
}

impl Renew {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.target(context, &client, None).await?.stack;
        let what = self.host.clone().unwrap_or_else(|| stack.to_string());
        let (summary, failure) = match self.dry_run {
            true => (text::would(&what), text::would_not(&what)),
            false => (text::done(&what), text::not_done(&what)),
        };
        let call = Call::RenewCertificates(RenewCertificates {
            stack,
            host: self.host,
            dry_run: self.dry_run,
        });
        let reader = client.lines::<ProgressLine>(&call).await?;
        follow_to_the_end(context, reader, self.json.json, &summary, &failure).await
    }
}

mod text {
    pub(super) fn done(what: &str) -> String {
        format!("{what} has new certificates")
    }
    pub(super) fn not_done(what: &str) -> String {
        format!("{what} has not got all new certificates; those before are served on")
    }
    pub(super) fn would(what: &str) -> String {
        format!("{what} would get new certificates")
    }
    pub(super) fn would_not(what: &str) -> String {
        format!("{what} would not get all new certificates")
    }
}
