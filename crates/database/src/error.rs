//! What can go wrong with a database, for a person. Knows no journal and no exit codes; no password ever stands in it.

use std::error::Error;
use std::time::Duration;

use tend_base::format_duration;

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address of a database is not understood. It is not shown: a password may stand in it.
    #[error("the address of the database is not understood: {why}")]
    Address {
        /// What about it.
        why: &'static str,
    },
    /// The server was not reached.
    #[error("{at} was not reached")]
    Unreachable {
        /// Which database.
        at: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server refused the user.
    #[error("{at} refused the user `{user}`: {why}")]
    Refused {
        /// Which database.
        at: String,
        /// Who.
        user: String,
        /// In the server's words.
        why: String,
    },
    /// The server did not answer in time.
    #[error("{at} did not answer within {}", format_duration(*within))]
    Silent {
        /// Which database.
        at: String,
        /// So long was waited.
        within: Duration,
    },
    /// The connection broke.
    #[error("the connection to {at} broke")]
    Lost {
        /// Which database.
        at: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no such table.
    #[error("{at} has no table `{table}`")]
    NoTable {
        /// Which database.
        at: String,
        /// Its name.
        table: String,
    },
    /// The table lacks a column.
    #[error("the table `{table}` at {at} has no column `{column}`")]
    NoColumn {
        /// Which database.
        at: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A statement failed.
    #[error("{at} could not {what}: {why}")]
    Statement {
        /// Which database.
        at: String,
        /// What was attempted.
        what: String,
        /// In the server's words.
        why: String,
    },
    /// The certificate of the server cannot be judged.
    #[error("the root certificates to know {at} by cannot be used")]
    Roots {
        /// Which database.
        at: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// This engine has no such thing.
    #[error("{at} has no users")]
    NoUsers {
        /// Which database.
        at: String,
    },
    /// Sessions still use a user that should be locked.
    #[error("{sessions} sessions at {at} still use `{user}`")]
    StillUsed {
        /// Which database.
        at: String,
        /// Who.
        user: String,
        /// How many.
        sessions: u64,
    },
    /// What the rotation of a password stands on is not so.
    #[error("the users at {at} cannot be rotated: {why}")]
    NotReady {
        /// Which database.
        at: String,
        /// The first thing that is not so.
        why: String,
    },
}

impl DatabaseError {
    /// Returns whether the same may succeed later, with nothing changed by anybody here.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Lost { .. } | Self::StillUsed { .. }
        )
    }

    /// Returns the error and all its causes as one sentence.
    #[must_use]
    pub fn with_causes(&self) -> String {
        tend_base::without_os_numbers(&tend_base::with_causes(self))
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Address { .. } => {
                "write postgres://USER:PASSWORD@HOST:PORT/NAME, mysql://USER:PASSWORD@HOST:PORT/NAME or sqlite:PATH, with % signs for @, / and : in the password"
            }
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Lost { .. } => {
                "nothing to do here when the server comes back; the last known values stay in force"
            }
            Self::Refused { .. } => "correct the user or its password; the last known values stay in force",
            Self::NoTable { .. } => "`tend config table install` makes it; or name another under `table:`",
            Self::NoColumn { .. } => "name the column under `columns:`, or add it to the table",
            Self::Statement { .. } => "may this user do it? the server's own words say what it wants",
            Self::Roots { .. } => "name a file of certificates in PEM by `sslrootcert=` in the address",
            Self::NoUsers { .. } => "a file has an owner and a mode; there is no password to rotate",
            Self::StillUsed { .. } => {
                "find them in pg_stat_activity or SHOW PROCESSLIST, and end or restart what opened them"
            }
            Self::NotReady { .. } => "see «Two users of a database» in docs/reference/rotation.md",
        }
    }
}
