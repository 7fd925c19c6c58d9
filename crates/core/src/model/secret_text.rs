//! A text that may hold a secret, such as the address of a chat's robot: as it was written, or where it is. Knows no store and no file.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A text that may hold a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretText {
    /// As it stands in the stack file, its variables replaced; never printed.
    Written(String),
    /// In this file, which is read each time it is needed; blanks around it are no part of it.
    File(PathBuf),
    /// It is this secret of tend's store.
    Secret(String),
}

impl SecretText {
    /// Returns the name of the secret that it is.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Secret(name) => Some(name),
            Self::Written(_) | Self::File(_) => None,
        }
    }
}

/// Shows where it is, and nothing of what was written.
impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(_) => f.write_str("Written(***)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Secret(name) => f.debug_tuple("Secret").field(name).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SecretText;

    #[test]
    fn what_was_written_is_not_printed() {
        let written = SecretText::Written("https://hooks.example/planted".to_owned());
        assert_eq!(format!("{written:?}"), "Written(***)");
        let kept = SecretText::Secret("hook".to_owned());
        assert_eq!((written.secret(), kept.secret()), (None, Some("hook")));
    }
}
