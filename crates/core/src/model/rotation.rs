//! What a stack says of the rotation of its secrets. Holds no value, and performs nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ServiceName;

/// How a secret of a stack is rotated, as far as its class leaves that open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationPolicy {
    /// Whose commands these are, and whose replicas are asked; none where nothing is run or asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// What was made with the old version may be shown for so long after nobody uses it any more; a day when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Duration>,
    /// The provider of the value, where one outside judges it; none where the holders judge themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Issuer>,
    /// How it is known that nothing is left under the old key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reencryption: Option<Reencryption>,
}

/// Commands that speak with whoever gave out a value. Each finds it in `TEND_SECRET` and the other version in `TEND_SECRET_OTHER`; each
/// may be run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Makes the value valid beside the other; none where it is so once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<Vec<String>>,
    /// Uses the value once: ends with 0 when it was accepted, with 1 when it was refused, and with anything else when that is not known.
    pub prove: Vec<String>,
    /// Makes the value invalid; none where a person does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke: Option<Vec<String>>,
    /// How long one of them may take.
    pub timeout: Duration,
}

/// Where a replica says how much is not encrypted by the key that it uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reencryption {
    /// A POST to this path tells a replica to encrypt the rest anew; none where it does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<String>,
    /// A GET of this path answers how much is left: a number alone, or a Prometheus sample.
    pub left: String,
    /// The sample to read there; absent when the body is the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
}
