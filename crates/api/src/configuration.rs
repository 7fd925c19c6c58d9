//! What is asked about the configuration of a stack. Knows the shape of the requests, not what a key means or which value wins.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tend_core::model::StackName;

/// To see the configuration of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigQuery {
    /// Of which stack.
    pub stack: StackName,
    /// Only this key, or the key of this variable.
    pub key: Option<String>,
}

/// To see the revisions that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigHistoryQuery {
    /// Of which stack.
    pub stack: StackName,
    /// The newest so many; all that are kept when absent.
    pub limit: Option<u32>,
}

/// To see what two revisions hold otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigDiffQuery {
    /// Of which stack.
    pub stack: StackName,
    /// The earlier; the one before `to` when absent.
    pub from: Option<u64>,
    /// The later; the one in force when absent.
    pub to: Option<u64>,
}

/// To change the configuration of a stack that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeConfig {
    /// Which stack.
    pub stack: StackName,
    /// What.
    pub change: ConfigChange,
    /// Take it back after so many milliseconds unless somebody confirms it.
    pub confirm_ms: Option<u64>,
}

/// A change of a configuration, which is taken as a whole or not at all.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigChange {
    /// Values as they are typed, by key; `null` unsets what lies beneath, and the default answers.
    Set(BTreeMap<String, Option<String>>),
    /// Keys whose set value is taken back: what lies beneath counts again.
    Clear(Vec<String>),
    /// All values of a preset of the schema.
    Preset(String),
    /// What an earlier revision held; secrets stay as they are.
    Back(u64),
}

// What was typed may be a secret, by mistake: it is never formatted.
impl fmt::Debug for ConfigChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(keys) => f.debug_tuple("Set").field(&keys.keys()).finish(),
            Self::Clear(keys) => f.debug_tuple("Clear").field(keys).finish(),
            Self::Preset(name) => f.debug_tuple("Preset").field(name).finish(),
            Self::Back(number) => f.debug_tuple("Back").field(number).finish(),
        }
    }
}

/// Body of [`crate::Call::ChangeConfig`]; the stack stands in the path.
#[derive(Serialize, Deserialize)]
pub(crate) struct ChangeConfigBody {
    #[serde(flatten)]
    pub(crate) change: ConfigChange,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirm_ms: Option<u64>,
}

/// To keep a change that is taken back otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmConfig {
    /// Of which stack.
    pub stack: StackName,
    /// The revision that is confirmed; whichever waits when absent.
    pub revision: Option<u64>,
}

/// Body of [`crate::Call::ConfirmConfig`]; the stack stands in the path.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ConfirmConfigBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<u64>,
}
