//! What can go wrong before or on the way to the other side, for a person. No variant holds a value of a secret.

use std::io;
use std::path::PathBuf;

use tend_fetch::FetchError;

/// Why something was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// The file of a secret could not be read.
    #[error("`{setting}_file`: `{path}` could not be read")]
    Secret {
        /// The setting whose value it holds.
        setting: String,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of a secret cannot be one.
    #[error("`{setting}_file`: `{path}` {why}")]
    SecretUnusable {
        /// The setting whose value it holds.
        setting: String,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A secret of tend's store has no value.
    #[error("`{setting}_file`: the secret `{name}` has no value")]
    SecretMissing {
        /// The setting whose value it holds.
        setting: String,
        /// Which secret.
        name: String,
    },
    /// The name of the mail server cannot be one.
    #[error("`{smarthost}` is no mail server: write HOST:PORT")]
    Smarthost {
        /// What was written.
        smarthost: String,
    },
    /// The connection to a mail server.
    #[error(transparent)]
    Connection(#[from] FetchError),
    /// The connection to a mail server broke.
    #[error("the connection to {at} broke {during}")]
    Broken {
        /// Host and port.
        at: String,
        /// At what: `at the greeting`.
        during: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What came is no SMTP.
    #[error("what {at} answers is no SMTP")]
    NotSmtp {
        /// Host and port.
        at: String,
    },
    /// The mail server said no.
    #[error("{at} said {said} {during}")]
    Said {
        /// Host and port.
        at: String,
        /// At what: `to the sender`.
        during: &'static str,
        /// Its words, with their number.
        said: String,
        /// It may say otherwise later.
        transient: bool,
    },
    /// It is not done, for a reason that lies in the settings.
    #[error("{at}: {why}")]
    Unwilling {
        /// Host and port.
        at: String,
        /// Why.
        why: String,
    },
}

impl NotifierError {
    /// Returns whether trying again may help without anybody changing anything in the settings.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // A file may be put there, or put right, at any time.
            Self::Secret { .. } | Self::SecretUnusable { .. } | Self::SecretMissing { .. } => true,
            Self::Connection(error) => retried(error),
            Self::Broken { .. } | Self::NotSmtp { .. } => true,
            Self::Said { transient, .. } => *transient,
            Self::Smarthost { .. } | Self::Unwilling { .. } => false,
        }
    }

    /// Returns the error and its causes as one sentence.
    #[must_use]
    pub fn with_causes(&self) -> String {
        tend_base::without_os_numbers(&tend_base::with_causes(self))
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Secret { .. } => "is the file there, and readable for the user that tend runs as?",
            Self::SecretUnusable { .. } => "the file holds the secret, one line, and nothing else",
            Self::SecretMissing { .. } => "`tend secret set NAME` gives it one",
            Self::Smarthost { .. } => "write `smarthost: mail.example.com:587`",
            Self::Connection(error) => error.hint(),
            Self::Broken { .. } => "the log of the mail server may say more",
            Self::NotSmtp { .. } => {
                "is it the right port? 587 begins plain, 465 encrypted (`force_implicit_tls: true` for another port)"
            }
            Self::Said { .. } => "its words say what it wants; its log may say more",
            Self::Unwilling { .. } => "change the setting, or the mail server",
        }
    }
}

/// A file of certificates may be put right at any time, too.
pub(crate) fn retried(error: &FetchError) -> bool {
    error.is_transient() || matches!(error, FetchError::File { .. } | FetchError::NoRoots)
}
