//! What can be wrong with a rule.

use crate::rule::Action;

/// Why a rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A word that is no action.
    #[error("there is no relabel action `{word}`")]
    UnknownAction {
        /// What was written.
        word: String,
    },
    /// A pattern that cannot be compiled.
    #[error("could not read the regular expression `{pattern}`")]
    Pattern {
        /// What was written.
        pattern: String,
        /// Where and why.
        source: Box<regex::Error>,
    },
    /// `hashmod` without a number to divide by.
    #[error("the relabel action hashmod needs a `modulus` above 0")]
    NoModulus,
    /// An action that sets a label, without its name.
    #[error("the relabel action {action} needs `target_label`")]
    NoTarget {
        /// The action.
        action: Action,
    },
    /// A name that no label can have.
    #[error("`{target}` cannot be the `target_label` of the relabel action {action}")]
    Target {
        /// The action.
        action: Action,
        /// What was written.
        target: String,
    },
    /// `labelmap` to what is no name.
    #[error("`{replacement}` cannot be the `replacement` of the relabel action labelmap")]
    Replacement {
        /// What was written.
        replacement: String,
    },
    /// A field that the action does not look at.
    #[error("the relabel action {action} does not use `{field}`")]
    Unused {
        /// The action.
        action: Action,
        /// The field.
        field: &'static str,
    },
}

impl Error {
    /// Returns what to write instead.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownAction { .. } => {
                "write replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase or uppercase"
            }
            Self::Pattern { .. } => {
                "the whole value must match; a backslash is written twice within double quotes of YAML"
            }
            Self::NoModulus => "write `modulus: N`, the number of parts to divide into",
            Self::NoTarget { .. } | Self::Target { .. } => {
                "write `target_label:` with letters, digits and _, not beginning with a digit"
            }
            Self::Replacement { .. } => "write a label name, with $1 for what the first parentheses of `regex` matched",
            Self::Unused { .. } => "remove the field",
        }
    }
}
