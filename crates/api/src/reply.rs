//! What the daemon answers: one value, lines, or a refusal.

use serde::{Deserialize, Serialize};

use crate::{Class, Lines};

/// The daemon's answer to one call.
#[derive(Debug)]
pub enum Reply {
    /// One value, as JSON text; [`Reply::json`] makes it of a message.
    Json(Vec<u8>),
    /// Lines that come as they come.
    Lines(Lines),
    /// No.
    Refused(ApiError),
}

impl Reply {
    /// Answers with a message.
    ///
    /// A message that cannot be written as JSON (a map with keys that are no text) is a bug and answered as one.
    pub fn json<T: Serialize>(message: &T) -> Self {
        match serde_json::to_vec(message) {
            Ok(text) => Reply::Json(text),
            Err(error) => Reply::Refused(ApiError::new(
                Class::Bug,
                format!("an answer could not be written as JSON: {error}"),
            )),
        }
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        Reply::Refused(error)
    }
}

/// A refusal as it travels: for a program its class, for a person the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What it means to a program.
    pub class: Class,
    /// What went wrong, on what. One sentence without full stop.
    pub message: String,
    /// What to do next; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Why, from the outermost cause to the innermost, or all places that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl ApiError {
    /// Refuses without hint and details.
    #[must_use]
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hint: String::new(),
            details: Vec::new(),
        }
    }

    /// Refuses with the text of an error and, as details, of all its causes.
    #[must_use]
    pub fn from_error(class: Class, error: &dyn std::error::Error) -> Self {
        let mut refused = Self::new(class, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            refused.details.push(error.to_string());
            cause = error.source();
        }
        refused
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Adds one line of why.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_brings_all_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not open `x`")]
        struct Outer(#[source] std::io::Error);
        let outer = Outer(std::io::Error::other("the disk is full"));
        let refused = ApiError::from_error(Class::Unavailable, &outer).hint("free some space");
        assert_eq!(refused.message, "could not open `x`");
        assert_eq!(refused.details, ["the disk is full"]);
        assert_eq!(refused.hint, "free some space");
    }
}
