//! What is done for a deployment beside starting and stopping replicas. Knows how, never whether.

use std::sync::Arc;

use tend_core::deployment::{Act, Outcome};
use tend_core::model::StackName;

use super::Performer;

/// Performs an act and returns its evidence.
pub(super) async fn perform(performer: &Arc<Performer>, stack: &StackName, deployment: u64, act: &Act) -> Outcome {
    let _ = (performer, stack, deployment);
    Err(format!("this version cannot {act}"))
}
