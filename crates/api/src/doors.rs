//! Calls about the routes of stacks: maintenance and pauses; and about money that is in doubt.

use serde::{Deserialize, Serialize};
use tend_core::door::DoorChange;
use tend_core::model::{ServiceName, StackName};

/// What is asked of the routes of a stack, or of those to one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Which stack.
    pub stack: StackName,
    /// Only the routes to this service.
    pub service: Option<ServiceName>,
    /// What.
    pub change: DoorChange,
}

/// Body of [`crate::Call::Door`]; the stack stands in the path.
#[derive(Serialize, Deserialize)]
pub(crate) struct DoorBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<ServiceName>,
    #[serde(flatten)]
    pub(crate) change: DoorChange,
}

/// Which idempotency keys are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoneyQuery {
    /// The one of this name: as the client wrote it, or its id.
    pub key: Option<String>,
    /// The latest, and not only those in doubt.
    pub all: bool,
}

/// What a person says of a request that is in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// As the client wrote it, or its id.
    pub key: String,
    /// It was carried out, and this is its answer from now on; absent when it was not, and the key is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened: Option<Happened>,
}

/// A refused callback that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCallback {
    /// Its id, or the first digits of it.
    pub id: String,
    /// Why, for the journal.
    pub why: String,
}

/// The answer to a request of which a person knows that it was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Its status, 200 to 599.
    pub status: u16,
    /// Of its body.
    pub content_type: String,
    /// As clients are to get it.
    pub body: String,
}
