//! What is asked about certificates, and how it is written. Knows the shape of the request, not what renewing is.

use serde::{Deserialize, Serialize};
use tend_core::model::StackName;

/// To get certificates now, or to try out whether they would be got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewCertificates {
    /// Those of this stack.
    pub stack: StackName,
    /// Only the one for this host.
    pub host: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
}

/// Body of [`crate::Call::RenewCertificates`]; the stack stands in the path.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RenewCertificatesBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
}
