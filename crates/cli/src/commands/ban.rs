//! `tend ban`: has the edge let addresses in nowhere.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use tend_api::{BanAsk, EXIT_OK};
use tend_base::parse_duration;
use tend_core::model::Prefix;

use crate::context::Context;
use crate::error::Result;

/// Let addresses in nowhere, for a time or for ever
///
/// Lets addresses and ranges in nowhere: the edge closes their connections, of all stacks, before it says a word to them; where a trusted
/// hop says who the client is, their requests get 403. It ends once the edge enforces it, and holds when daemon and edge are killed.
/// To ban again extends: what holds longer stays as it is. This machine, trusted hops, and whom a stack lets in by address are refused
/// unless --force is said.
///
/// Example: tend ban 203.0.113.7 2001:db8::/32 --for 2h --reason 'guesses passwords'
#[derive(Debug, Args)]
pub(crate) struct Ban {
    /// Addresses, and ranges such as 203.0.113.0/24
    #[arg(value_name = "ADDRESS", required = true)]
    addresses: Vec<Prefix>,
    /// For how long, such as 2h; for ever without it
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasts: Option<Duration>,
    /// Why; kept in the journal and shown by `tend bans`
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Also where it locks out this machine, a trusted hop, or somebody a stack lets in by address
    #[arg(long)]
    force: bool,
}

fn duration(text: &str) -> std::result::Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// Returns from where this person is logged in, which `sshd` leaves in the environment: address, port, and the same of this machine.
fn logged_in_from(connection: Option<&String>) -> Option<IpAddr> {
    connection?.split(' ').next()?.parse().ok()
}

impl Ban {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let ask = BanAsk {
            addresses: self.addresses,
            for_ms: self
                .lasts
                .map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)),
            reason: self.reason,
            force: self.force,
            from: logged_in_from(context.surroundings.environment.get("SSH_CONNECTION")),
        };
        let accepted = client.ban(ask).await?;
        context.line(&accepted.message)?;
        Ok(EXIT_OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_logged_in_by_ssh_says_from_where() {
        let connection = "2001:db8::9 50122 192.0.2.2 22".to_owned();
        assert_eq!(logged_in_from(Some(&connection)), Some("2001:db8::9".parse().unwrap()));
        assert_eq!(logged_in_from(Some(&"UNKNOWN 1 2 3".to_owned())), None);
        assert_eq!(logged_in_from(None), None);
    }
}
