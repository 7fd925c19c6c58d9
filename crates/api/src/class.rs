//! What an error means to a program: its class, and the one place that maps a class to HTTP status, exit code and colour.

use serde::{Deserialize, Serialize};

/// The exit code of a command that did what it was asked.
pub const EXIT_OK: u8 = 0;

/// The exit code of a command that was understood and begun, and whose outcome is not what was asked: a service that did not become ready.
pub const EXIT_FAILED: u8 = 1;

/// The exit code of a deployment that was refused by its own checks: nothing was changed.
pub const EXIT_REFUSED: u8 = 10;

/// The exit code of a deployment that failed and was undone: the release before runs.
pub const EXIT_UNDONE: u8 = 11;

/// The exit code of a deployment that failed and is held half-way: a person decides.
pub const EXIT_HELD: u8 = 12;

/// The exit code of an audit that found secrets where they should not be.
pub const EXIT_FOUND: u8 = 13;

/// Whose turn it is after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The request itself is wrong: the caller has to write it differently.
    Usage,
    /// The stack file, or a setting, is wrong: its author has to change it.
    Config,
    /// What was named does not exist.
    NotFound,
    /// It does not go together with what is there: a name taken, a change under way.
    Conflict,
    /// Something needed is not there at the moment; trying later may work.
    Unavailable,
    /// The caller may not do this.
    Denied,
    /// A defect of tend. Also what a class this version does not know is read as.
    #[serde(other)]
    Bug,
}

/// How an error's first word is shown on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Something to correct.
    Yellow,
    /// Something failed.
    Red,
    /// Something that should not be possible.
    Magenta,
}

impl Class {
    /// Every class, in the order of the reference page.
    pub const ALL: [Class; 7] = [
        Class::Usage,
        Class::Config,
        Class::NotFound,
        Class::Conflict,
        Class::Unavailable,
        Class::Denied,
        Class::Bug,
    ];

    /// Returns the status of an HTTP answer of this class.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Class::Usage => 400,
            Class::Config => 422,
            Class::NotFound => 404,
            Class::Conflict => 409,
            Class::Unavailable => 503,
            Class::Denied => 403,
            Class::Bug => 500,
        }
    }

    /// Returns the exit code of a command that ended this way; 70 is `EX_SOFTWARE` of `sysexits.h`.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Usage => 2,
            Class::Config => 3,
            Class::NotFound => 4,
            Class::Conflict => 5,
            Class::Unavailable => 6,
            Class::Denied => 7,
            Class::Bug => 70,
        }
    }

    /// Returns the colour of the word `error`.
    #[must_use]
    pub fn colour(self) -> Colour {
        match self {
            Class::Usage | Class::Config | Class::NotFound => Colour::Yellow,
            Class::Conflict | Class::Unavailable | Class::Denied => Colour::Red,
            Class::Bug => Colour::Magenta,
        }
    }

    /// Returns the word used in messages and on the reference page.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Usage => "usage",
            Class::Config => "config",
            Class::NotFound => "not_found",
            Class::Conflict => "conflict",
            Class::Unavailable => "unavailable",
            Class::Denied => "denied",
            Class::Bug => "bug",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_class_has_its_own_status_and_exit_code() {
        let statuses: BTreeSet<_> = Class::ALL.iter().map(|class| class.http_status()).collect();
        let codes: BTreeSet<_> = Class::ALL.iter().map(|class| class.exit_code()).collect();
        assert_eq!((statuses.len(), codes.len()), (7, 7));
        for code in [EXIT_OK, EXIT_FAILED, EXIT_REFUSED, EXIT_UNDONE, EXIT_HELD, EXIT_FOUND] {
            assert!(!codes.contains(&code), "{code}");
        }
    }

    #[test]
    fn a_class_is_written_as_its_word_and_an_unknown_one_is_a_bug() {
        for class in Class::ALL {
            let text = serde_json::to_string(&class).unwrap();
            assert_eq!(text, format!("\"{}\"", class.as_str()));
            assert_eq!(serde_json::from_str::<Class>(&text).unwrap(), class);
        }
        assert_eq!(serde_json::from_str::<Class>("\"teapot\"").unwrap(), Class::Bug);
    }
}
