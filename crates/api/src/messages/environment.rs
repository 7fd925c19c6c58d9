//! What a process of a service is given, for `tend run` and `tend exec`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tend_base::Exposed;

/// What a process of a service is given. Formatting it shows no value of the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentReport {
    /// Whole environment, references resolved.
    pub environment: BTreeMap<String, Exposed>,
    /// Absolute working folder.
    pub directory: PathBuf,
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Supplementary groups.
    #[serde(default)]
    pub groups: Vec<u32>,
    /// Folder of the cgroup to join; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
}
