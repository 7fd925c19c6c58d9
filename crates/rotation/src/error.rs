//! Why something asked of a rotation is not done, for a person. Knows no exit codes.

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// It has ended.
    #[error("the rotation of {secret} has ended already")]
    Ended {
        /// Of which secret.
        secret: String,
    },
    /// The old version may be invalid or gone by now and cannot be made valid again.
    #[error("the rotation of {secret} cannot be undone any more: the old version is being made invalid")]
    TooLate {
        /// Of which secret.
        secret: String,
    },
}

impl RotationError {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Ended { .. } | Self::TooLate { .. } => "to have another value, rotate once more",
        }
    }
}
