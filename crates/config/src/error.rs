//! What can go wrong with revisions and with rendering; what is wrong with values is a [`crate::Report`].

/// What was attempted and could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A revision that is not kept was to be taken again.
    #[error("there is no revision {number} to go back to")]
    NoRevision {
        /// The one asked for.
        number: u64,
        /// The oldest that is kept.
        oldest: Option<u64>,
    },
    /// The revision in force was to be taken again.
    #[error("revision {number} holds what is in force already")]
    SameRevision {
        /// The one asked for.
        number: u64,
    },
    /// A revision was confirmed that nobody waits for.
    #[error("nothing waits for a confirmation of revision {number}")]
    NothingToConfirm {
        /// The one that was confirmed.
        number: u64,
        /// The one that waits, if one does.
        waiting: Option<u64>,
    },
    /// The value of a secret was not handed in for a service that is to have it.
    #[error("the value of `{key}` is not at hand")]
    NoSecret {
        /// The key.
        key: String,
    },
    /// A value cannot be given in this form.
    #[error("`{key}` cannot be written as {format}: {why}")]
    NotWritable {
        /// The key.
        key: String,
        /// The form.
        format: &'static str,
        /// Why.
        why: &'static str,
    },
}

impl Error {
    /// Says what to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoRevision {
                oldest: Some(oldest), ..
            } => {
                format!("`tend config history` shows those that are kept, from {oldest} on")
            }
            Self::NoRevision { oldest: None, .. } => "no revision was taken yet".to_owned(),
            Self::SameRevision { .. } => "`tend config history` shows what changed when".to_owned(),
            Self::NothingToConfirm {
                waiting: Some(waiting), ..
            } => format!("revision {waiting} waits: `tend config confirm {waiting}`"),
            Self::NothingToConfirm { waiting: None, .. } => "it is confirmed already, or was taken back".to_owned(),
            Self::NoSecret { key } => {
                format!("`tend secret list` shows what is stored; `tend config why {key}` where it should come from")
            }
            Self::NotWritable { .. } => "let the service take it as environment, or change the value".to_owned(),
        }
    }
}
