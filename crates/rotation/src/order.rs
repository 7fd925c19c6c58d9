//! What is rotated and how: the class of a rotation and its patience. Knows no step.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use tend_base::Backoff;

/// Who judges whether a value is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verifier {
    /// Somebody outside, who can accept two at a time: the provider of an API key.
    Issuer,
    /// The holders themselves, who judge what others of them signed: tokens, cookies, webhooks.
    Holders,
}

/// How a secret is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "class")]
pub enum Class {
    /// Two values are valid for a while.
    TokenOverlap {
        /// Who judges.
        verifier: Verifier,
    },
    /// Two users of a database, each with its password; the one that is not in use gets the next.
    DatabaseTwoUsers,
    /// A key by which data lie encrypted: the old one reads until nothing is left under it.
    ReEncrypt,
    /// A value that only its holder knows: it takes effect with the holder's restart.
    RestartOnly,
}

/// How long what may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patience {
    /// A phase that takes longer is held, and says so; it still goes on by itself when it can.
    pub deadline: Duration,
    /// An answer that did not come by then is taken as lost, and the step is asked for again.
    pub answer_within: Duration,
    /// From one look at the holders to the next.
    pub look_every: Duration,
    /// For so long nobody must have been seen with a version before it is made invalid: pools connect again.
    pub quiet: Duration,
    /// With [`Verifier::Holders`]: what was signed by the old version may be shown for so long.
    pub overlap: Duration,
    /// The first pause after a failure; the next ones double, up to `retry_max`.
    pub retry_first: Duration,
    /// No pause after a failure is longer.
    pub retry_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10 * 60),
            answer_within: Duration::from_secs(5 * 60),
            look_every: Duration::from_secs(1),
            quiet: Duration::from_secs(10),
            overlap: Duration::from_secs(24 * 60 * 60),
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
        }
    }
}

impl Patience {
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let backoff = Backoff {
            first: self.retry_first,
            max: self.retry_max,
        };
        backoff.delay(failures, u64::from(failures))
    }
}

/// A rotation as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Name of the secret.
    pub secret: String,
    /// The version that is in use.
    pub old: u64,
    /// The version that shall be.
    pub new: u64,
    /// How.
    #[serde(flatten)]
    pub class: Class,
    /// How long what may take.
    pub patience: Patience,
    /// Whether the issuer can be made to accept the old version again after it was revoked: a user of a database can, most API keys cannot.
    pub old_can_return: bool,
}
