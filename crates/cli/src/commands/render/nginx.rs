//! `tend render nginx`: an `nginx.conf` from the chapter `edge`.

use std::net::SocketAddr;

use clap::Args;
use tend_api::EXIT_OK;
use tend_core::model::{Port, ServiceName, Stack};

use crate::context::Context;
use crate::error::Result;
use crate::stack_file::StackFileArguments;

/// Print an nginx.conf that serves what the edge of the stack serves
///
/// Prints an nginx.conf that serves what the edge of the stack serves, for the day when somebody wants to leave, or to look at both. What
/// nginx cannot do stands in it as a comment. Replicas that learn their port from tend have no fixed address: a comment asks for it.
///
/// Example: tend render nginx stacks/mps
#[derive(Debug, Args)]
pub(crate) struct Nginx {
    #[command(flatten)]
    file: StackFileArguments,
}

impl Nginx {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let stack = self.file.load(context)?.stack;
        let text = tend_nginx::render(&stack, &|service| addresses(&stack, service));
        context.write(&text)?;
        Ok(EXIT_OK)
    }
}

/// Returns where a service listens, where the stack file says it.
fn addresses(stack: &Stack, service: &ServiceName) -> Vec<SocketAddr> {
    match stack.services.get(service).map(|service| &service.port) {
        Some(Port::Fixed(port)) => vec![SocketAddr::from(([127, 0, 0, 1], *port))],
        _ => Vec::new(),
    }
}
