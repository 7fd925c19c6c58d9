//! What is asked about the secrets of a stack. Knows the shape of the requests, not what may become of a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tend_base::Exposed;
use tend_core::model::{StackName, Vault};

/// To change the secrets of a stack. The stack need not be up: its secrets come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSecrets {
    /// Which stack.
    pub stack: StackName,
    /// What.
    pub change: SecretChange,
}

/// A change of secrets: the body of [`crate::Call::ChangeSecrets`], whose stack stands in the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretChange {
    /// Store a value: the first of a secret is current, a later one staged.
    Set {
        /// Of which secret.
        name: String,
        /// The value.
        value: Exposed,
        /// What else is to be noted of it.
        #[serde(default)]
        notes: SecretNotes,
    },
    /// Make a random value and store it.
    Generate {
        /// For which secret.
        name: String,
        /// Random bytes, 16 to 1024.
        bytes: u32,
        /// As which text.
        format: SecretFormat,
        /// What else is to be noted of it.
        #[serde(default)]
        notes: SecretNotes,
    },
    /// Store many values, all or none.
    Import {
        /// By name.
        values: BTreeMap<String, Exposed>,
        /// They are current at once, and whoever holds another version is replaced: so are the files and variables that a stack file
        /// names.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        current: bool,
    },
    /// Look which values a Vault does not have yet, and write those there: the first fill. What is there is never another one afterwards.
    FillVault {
        /// Where it is, and which secrets are in it. The stack need not be up.
        vault: Box<Vault>,
        /// Who owns the stack file: of a daemon of root, files with credentials have to be theirs. Only root may name another than itself.
        owner_uid: u32,
        /// Values by name.
        values: BTreeMap<String, Exposed>,
        /// Write, and not only look.
        #[serde(default)]
        write: bool,
    },
    /// Take a version out of use, the current one when none is named.
    Retire {
        /// Of which secret.
        name: String,
        /// Which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
    /// Wipe the value of a retired version, of all of them when none is named.
    Destroy {
        /// Of which secret.
        name: String,
        /// Which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
}

/// What is noted of a secret beside its value; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretNotes {
    /// How it is rotated: `restart-only`, `token-overlap`, `database-two-users` or `re-encrypt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Days after which it should have been rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_days: Option<u32>,
}

/// How random bytes become a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretFormat {
    /// Base64 with padding.
    #[default]
    Base64,
    /// Lower-case hexadecimal.
    Hex,
    /// Letters and digits only.
    Alphanumeric,
}

/// To see the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevealSecret {
    /// Of which stack.
    pub stack: StackName,
    /// Which.
    pub name: String,
    /// Which version; the current one when absent.
    pub version: Option<u64>,
}

/// Body of [`crate::Call::RevealSecret`]; stack and secret stand in the path.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RevealSecretBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
}

/// To make the staged version of a secret the current one, or to take such a rotation back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateSecret {
    /// Of which stack.
    pub stack: StackName,
    /// Which.
    pub name: String,
    /// Takes the rotation that is under way back.
    pub abort: bool,
}

/// Body of [`crate::Call::RotateSecret`]; stack and secret stand in the path.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RotateSecretBody {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) abort: bool,
}

/// To have everything open with another key too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddRecoveryKey {
    /// The public half of a key that is there already; absent to have one made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<String>,
}
