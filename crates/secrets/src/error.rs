//! What can go wrong with the store and with what is asked of it, for a person. No variant holds a value.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::State;

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A file of the store could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the store could not be written; it holds what it held before.
    #[error("could not write `{path}`")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner can read a key.
    #[error("the key `{path}` has mode {mode:04o}, so others can read it")]
    KeyOpen {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key belongs to somebody else.
    #[error("the key `{path}` belongs to user {owner}, and tend runs as user {own}")]
    KeyOwner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who reads it.
        own: u32,
    },
    /// There are secrets and no key for them.
    #[error("the key `{path}` is gone, and secrets that were encrypted for it are there")]
    KeyGone {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file holds no age key.
    #[error("`{path}` holds no key in the age format")]
    KeyFormat {
        /// Which.
        path: PathBuf,
    },
    /// The key is protected and nobody gave the passphrase.
    #[error("the key `{path}` is protected by a passphrase, and none was given")]
    NoPassphrase {
        /// Which.
        path: PathBuf,
    },
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the key `{path}`")]
    Passphrase {
        /// Which.
        path: PathBuf,
    },
    /// The file is encrypted for other keys.
    #[error("`{path}` was encrypted for other keys than `{key}`")]
    WrongKey {
        /// The file.
        path: PathBuf,
        /// The key that was tried.
        key: PathBuf,
    },
    /// The file is not as it was written.
    #[error("`{path}` is damaged: it is not what tend wrote there")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What showed it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file is of a newer tend.
    #[error("`{path}` was written by a newer tend (format {format})")]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The file could not be encrypted.
    #[error("`{path}` could not be encrypted")]
    Encrypt {
        /// Which was to be written.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something is not what was sealed under its name with the state's key.
    #[error("`{name}` does not open with the key of the state")]
    NotSealed {
        /// What it is called.
        name: String,
    },
    /// No public key.
    #[error("`{text}` is no public key of age")]
    Recipient {
        /// What was given; a public key is no secret.
        text: String,
    },
    /// The kernel gave no random bytes.
    #[error("the kernel gave no random bytes")]
    Random {
        /// Why.
        source: io::Error,
    },
    /// A name that cannot be one.
    #[error("`{name}` cannot be the name of a secret")]
    Name {
        /// The name.
        name: String,
    },
    /// A value that cannot be one.
    #[error("the value for `{name}` {why}")]
    Value {
        /// For which secret.
        name: String,
        /// What is wrong with it, without the value.
        why: &'static str,
    },
    /// There is no such secret.
    #[error("there is no secret `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// There is no such version.
    #[error("secret `{name}` has no version {version}")]
    NoVersion {
        /// The secret.
        name: String,
        /// The version.
        version: u64,
    },
    /// The version may not be used so.
    #[error("version {version} of secret `{name}` is {}", state.text())]
    NotUsable {
        /// The secret.
        name: String,
        /// The version.
        version: u64,
        /// What it is.
        state: State,
    },
    /// There is nothing to rotate to.
    #[error("secret `{name}` has no staged version to rotate to")]
    NothingStaged {
        /// The secret.
        name: String,
    },
}

impl SecretsError {
    /// Returns whether it is about what was asked and not about the store.
    #[must_use]
    pub fn is_of_the_caller(&self) -> bool {
        matches!(
            self,
            Self::Name { .. }
                | Self::Value { .. }
                | Self::Unknown { .. }
                | Self::NoVersion { .. }
                | Self::NotUsable { .. }
                | Self::NothingStaged { .. }
                | Self::Recipient { .. }
        )
    }

    /// Returns the error and all its causes as one sentence.
    #[must_use]
    pub fn with_causes(&self) -> String {
        tend_base::without_os_numbers(&tend_base::with_causes(self))
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } | Self::Write { .. } => {
                "look at the owner, the mode and the free space of that folder".to_owned()
            }
            Self::KeyOpen { path, .. } => format!(
                "`chmod 600 {}`; if somebody may have read it, rotate the secrets: what they were can be known",
                path.display()
            ),
            Self::KeyOwner { path, own, .. } => format!("`chown {own} {}` as root", path.display()),
            Self::KeyGone { path } => format!(
                "put it back from a backup, or write the recovery key there with mode 0600: `install -m 600 recovery.key {}`",
                path.display()
            ),
            Self::KeyFormat { .. } => {
                "it has one line that begins with AGE-SECRET-KEY-1; put it back from a backup".to_owned()
            }
            Self::NoPassphrase { .. } => {
                "start the daemon with TEND_SECRETS_PASSPHRASE_FILE, or as a systemd unit with the credential \
                 `tend-secrets-passphrase`"
                    .to_owned()
            }
            Self::Passphrase { .. } => "is it the passphrase of this machine? nothing was changed".to_owned(),
            Self::WrongKey { key, .. } => format!(
                "was the state restored without its key? put that one, or the recovery key, at `{}`",
                key.display()
            ),
            Self::Damaged { path, .. } => format!(
                "put it back from a backup; `age -d -i KEY {}` says whether age can read it",
                path.display()
            ),
            Self::NotSealed { .. } => {
                "put `tend.db` and `secrets/state.age` back from one and the same backup".to_owned()
            }
            Self::Newer { .. } => "run the newer tend again".to_owned(),
            Self::Encrypt { .. } | Self::Random { .. } => "nothing was changed; try again".to_owned(),
            Self::Recipient { .. } => {
                "a public key begins with age1; `age-keygen -y KEY` prints that of a key".to_owned()
            }
            Self::Name { .. } => {
                "letters, digits, `_`, `-` and `.`, beginning with a letter or digit; at most 64".to_owned()
            }
            Self::Value { .. } => {
                "give a text of at most 64 KiB; encode other bytes first, as with `base64`".to_owned()
            }
            Self::Unknown { name } => format!("`tend secret list` names them; `tend secret set {name}` makes it"),
            Self::NoVersion { name, .. } => format!("`tend secret list {name}` names the versions"),
            Self::NotUsable { state, .. } => match state {
                State::Current => {
                    "give the secret another version first: `tend secret set`, then `tend secret rotate`".to_owned()
                }
                State::Staged => "`tend secret rotate` makes it current".to_owned(),
                State::Overlap => {
                    "it is being rotated: wait for its end, or take it back with `tend secret rotate NAME --abort`"
                        .to_owned()
                }
                State::Retired | State::Destroyed => "it is never used again: give the secret a new version".to_owned(),
            },
            Self::NothingStaged { name } => {
                format!("give it the new value first: `tend secret set {name}`, or `tend secret generate {name}`")
            }
        }
    }
}
