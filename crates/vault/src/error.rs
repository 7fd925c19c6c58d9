//! What can go wrong with a server and with what is asked of it, for a person. No variant holds a value or a token.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tend_base::format_duration;

use crate::KvPath;

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The address cannot be used.
    #[error("`{text}` is no address of Vault: {why}")]
    Address {
        /// What was written, a password hidden.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The name of a namespace cannot be one.
    #[error("`{text}` cannot be a namespace of Vault")]
    Namespace {
        /// What was written.
        text: String,
    },
    /// The path of a secret cannot be one.
    #[error("`{text}` is no path of a secret in a KV engine of version 2")]
    Path {
        /// What was written.
        text: String,
    },
    /// A credential could not be read.
    #[error("the credential `{path}` could not be read")]
    Credential {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of a credential cannot be used.
    #[error("the credential `{path}` {why}")]
    CredentialUnusable {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No authority that signs the connection's certificates is known.
    #[error("no root certificates were found on this machine")]
    NoRoots,
    /// The file of root certificates cannot be used.
    #[error("the root certificates in `{path}` cannot be used")]
    Roots {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server was not reached.
    #[error("Vault at {at} was not reached")]
    Unreachable {
        /// Its address.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// The server did not answer in time.
    #[error("Vault at {at} did not answer within {}", format_duration(*within))]
    Silent {
        /// Its address.
        at: String,
        /// So long was waited.
        within: Duration,
    },
    /// The connection broke, or TLS did not come about.
    #[error("the connection to Vault at {at} broke")]
    Broken {
        /// Its address.
        at: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server is sealed.
    #[error("Vault at {at} is sealed")]
    Sealed {
        /// Its address.
        at: String,
    },
    /// The server waits for another one to be active.
    #[error("Vault at {at} is on standby and did not pass the request on")]
    Standby {
        /// Its address.
        at: String,
        /// Where it says the active one is.
        active: Option<String>,
    },
    /// The server wants to be asked less often.
    #[error("Vault at {at} wants to be asked less often")]
    Throttled {
        /// Its address.
        at: String,
        /// Not before this.
        retry_after: Option<Duration>,
    },
    /// The server failed.
    #[error("Vault at {at} failed to {what}: {status}{}", words(said))]
    Failing {
        /// Its address.
        at: String,
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        said: String,
    },
    /// The token is not known any more, or may not do this: the server does not tell the two apart.
    #[error("Vault at {at} does not let this token {what}{}", words(said))]
    Denied {
        /// Its address.
        at: String,
        /// What was asked.
        what: String,
        /// Its own words.
        said: String,
    },
    /// There is nothing, or the token may not know what is there.
    #[error("Vault at {at} has nothing to {what}{}", words(said))]
    NotThere {
        /// Its address.
        at: String,
        /// What was asked.
        what: String,
        /// Its own words.
        said: String,
    },
    /// Somebody else wrote in between.
    #[error("`{path}` was written by somebody else meanwhile: its version is not {expected} any more")]
    Conflict {
        /// The secret.
        path: KvPath,
        /// The version that was written upon; 0 for none.
        expected: u64,
    },
    /// The server refused.
    #[error("Vault at {at} refused to {what}: {status}{}", words(said))]
    Refused {
        /// Its address.
        at: String,
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        said: String,
    },
    /// What answered is no Vault, or one that is not understood.
    #[error("what {at} answered when asked to {what} is nothing of Vault: {why}")]
    NotVault {
        /// Its address.
        at: String,
        /// What was asked.
        what: String,
        /// What is wrong with it; nothing of the answer itself.
        why: String,
    },
    /// A secret has no such field.
    #[error("`{path}` has no field `{field}`")]
    NoField {
        /// The secret.
        path: KvPath,
        /// The field.
        field: String,
        /// The fields that it has.
        there: Vec<String>,
    },
    /// A field holds no text.
    #[error("the field `{field}` of `{path}` holds {what}, and no text")]
    NotText {
        /// The secret.
        path: KvPath,
        /// The field.
        field: String,
        /// What it holds.
        what: &'static str,
    },
}

/// Returns the server's words as the end of a sentence.
fn words(said: &str) -> String {
    match said {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

/// Of what kind a failure is, for deciding what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answered.
    Away,
    /// Sealed.
    Sealed,
    /// Not the active one.
    Standby,
    /// Asked too often; not before this much later.
    Throttled(Option<Duration>),
    /// It failed by itself.
    Failing,
    /// The token is gone, or may not.
    Denied,
    /// Nothing is there.
    NotThere,
    /// It will not do what was asked, however often.
    Refused,
    /// Something here has to be put right first: a credential, the roots.
    Here,
}

/// A failure as a value: what to decide by, and what to tell a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub trouble: Trouble,
    /// What went wrong, with its causes.
    pub text: String,
    /// What a person can do about it.
    pub hint: String,
}

impl From<&VaultError> for Failure {
    fn from(error: &VaultError) -> Self {
        Self {
            trouble: error.trouble(),
            text: error.with_causes(),
            hint: error.hint(),
        }
    }
}

impl VaultError {
    /// Returns of what kind it is.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. } => Trouble::Away,
            Self::Sealed { .. } => Trouble::Sealed,
            Self::Standby { .. } => Trouble::Standby,
            Self::Throttled { retry_after, .. } => Trouble::Throttled(*retry_after),
            // A proxy whose server is gone answers with pages of its own.
            Self::Failing { .. } | Self::NotVault { .. } => Trouble::Failing,
            Self::Denied { .. } => Trouble::Denied,
            Self::NotThere { .. } => Trouble::NotThere,
            Self::Conflict { .. } | Self::Refused { .. } | Self::NoField { .. } | Self::NotText { .. } => {
                Trouble::Refused
            }
            Self::Address { .. }
            | Self::Namespace { .. }
            | Self::Path { .. }
            | Self::Credential { .. }
            | Self::CredentialUnusable { .. }
            | Self::NoRoots
            | Self::Roots { .. } => Trouble::Here,
        }
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
            Self::Address { .. } => {
                "write https://HOST:PORT; http:// is for 127.0.0.1, ::1 and localhost alone".to_owned()
            }
            Self::Namespace { .. } => "write its path, such as `team` or `team/payments`".to_owned(),
            Self::Path { text } => match text.trim_matches('/').split_once('/') {
                Some((mount, name)) if !mount.is_empty() && !name.is_empty() && !text.contains("/data") => format!(
                    "write it with `data` behind the mount, as policies do: `{mount}/data/{}`",
                    name.trim_end_matches('.')
                ),
                _ => "write MOUNT/data/NAME, such as `kv/data/mps`".to_owned(),
            },
            Self::Credential { path, .. } => format!(
                "is `{}` there, and readable for the user that the daemon runs as?",
                path.display()
            ),
            Self::CredentialUnusable { .. } => {
                "the file holds the token, or the id, and nothing else, and belongs to the stack's owner".to_owned()
            }
            Self::NoRoots => {
                "install the package `ca-certificates`, or name the authority of your Vault under `vault: ca:`".to_owned()
            }
            Self::Roots { .. } => "the file must be readable and hold certificates as PEM".to_owned(),
            Self::Unreachable { at, .. } | Self::Silent { at, .. } => {
                format!("can this machine reach it? `curl {at}/v1/sys/health` shows what is in the way")
            }
            Self::Broken { at, .. } => format!(
                "is it https there, and is the authority of its certificate known here (`vault: ca:`)? `curl {at}/v1/sys/health` \
                 shows more"
            ),
            Self::Sealed { at } => format!(
                "unseal it: `VAULT_ADDR={at} vault operator unseal`; what was read before is used until then"
            ),
            Self::Standby { active, .. } => match active {
                Some(active) => format!("name the active server, or what stands in front of all: it says `{active}`"),
                None => "name the active server, or what stands in front of all".to_owned(),
            },
            Self::Throttled { .. } => {
                "nothing to do: it is asked again later; a longer `vault: every:` asks less often".to_owned()
            }
            Self::Failing { .. } => "its own log says more; it is asked again by itself".to_owned(),
            Self::Denied { .. } => {
                "does a policy of the token allow `read` of exactly this path, `data` included, in this namespace?".to_owned()
            }
            Self::NotThere { .. } => {
                "is the path right (mount, then `data`), is the engine KV version 2, and is it in this namespace?".to_owned()
            }
            Self::Conflict { .. } => "read it again, and decide anew".to_owned(),
            Self::Refused { what, .. } if what.starts_with("log in") => {
                "are role id and secret id those of this role, in this namespace? a secret id has an end of life, and a number of uses"
                    .to_owned()
            }
            Self::Refused { .. } => "its own words say what it wants".to_owned(),
            Self::NotVault { .. } => "is the address right? a proxy in between may answer in its place".to_owned(),
            Self::NoField { there, .. } if there.is_empty() => "it has no fields at all".to_owned(),
            Self::NoField { there, .. } => format!("it has {}", there.join(", ")),
            Self::NotText { .. } => "store it as a text in quotes".to_owned(),
        }
    }
}
