//! `tend edge metrics`: what the edge counts, for people and for whoever scrapes it.

use clap::Args;
use tend_api::messages::EdgeMetrics;
use tend_api::{Call, EXIT_OK};

use crate::context::Context;
use crate::error::Result;

/// Print what the edge counts, as Prometheus reads it
///
/// Prints what the running edge counts, as Prometheus reads it (text form 0.0.4): requests by route, method and status with their times, tries
/// by replica, connections. Counters begin at 0 with each process of the edge.
///
/// Example: tend edge metrics | grep ^http_requests_total
#[derive(Debug, Args)]
pub(super) struct Metrics {}

impl Metrics {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let (metrics, _) = client.json_with_text::<EdgeMetrics>(&Call::EdgeMetrics).await?;
        context.write(&metrics.text)?;
        Ok(EXIT_OK)
    }
}
