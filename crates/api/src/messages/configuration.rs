//! Configuration: every key with its value, where that stands and who holds it; revisions, and what they changed. Never a secret's value.

use serde::{Deserialize, Serialize};
use tend_base::Wall;
use tend_core::model::StackName;

/// The configuration of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// Of which stack.
    pub stack: StackName,
    /// The environment it is made for.
    pub environment: String,
    /// The revision in force; none before the first was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<ConfigRevision>,
    /// Every key of the schema, by name.
    pub keys: Vec<ConfigKey>,
    /// Who is given configuration, by replica.
    pub replicas: Vec<ConfigReplica>,
    /// Whether every replica that is given configuration holds what is in force.
    #[serde(default)]
    pub liveness: ConfigLiveness,
    /// Those that do not hold it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What is wrong with what lies in files, rows and variables now: none of it is taken until it is mended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<ConfigViolation>,
    /// What may not be as meant in what is in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ConfigViolation>,
    /// Something was read that is taken when the deployment under way is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_deployment: bool,
    /// The table cannot be read; what was last known of it stays in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<ConfigAway>,
}

/// Whether the revision in force is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigLiveness {
    /// Every replica that should holds it.
    Live,
    /// Some do not hold it yet, and have time.
    Going,
    /// Some do not hold it although they should, or say that they do not take it.
    Late,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

/// One key, as the schema declares it and as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigKey {
    /// Its name.
    pub key: String,
    /// Its value in force, as the text of a variable; of a secret a mask. None when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<ConfigPlace>,
    /// What layers say that do not count, the highest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beneath: Vec<ConfigLayer>,
    /// The value is a secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// It must have a value in this environment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Its variable.
    pub variable: String,
    /// What it takes, in words.
    pub takes: String,
    /// What a number of it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What a change asks for as the schema has it: `live`, `signal`, `rolling` or `refuse`.
    pub reload: String,
    /// What a change asks of each service that is given it, in the way the service takes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<ConfigAsk>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The value that each replica holds that is given this key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<ConfigHeld>,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPlace {
    /// `default`, `file`, `dotenv`, `process`, `secret`, `table` or `set`.
    pub layer: String,
    /// The file with its line, the variable, the secret or the row.
    pub place: String,
    /// Who wrote it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// When, where that is known; as it is told there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// What one layer says of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigLayer {
    /// Its value; none where it is unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where it stands.
    pub place: ConfigPlace,
}

/// What one replica holds of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigHeld {
    /// Which replica: `STACK/SERVICE/SLOT`.
    pub replica: String,
    /// The revision it holds, as was observed; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The value of that revision; none where it has none, or the revision is kept no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// It is known to hold another value than the one in force.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drift: bool,
}

/// What one replica holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReplica {
    /// Which: `STACK/SERVICE/SLOT`.
    pub replica: String,
    /// How it is given its configuration: `environment`, `file` or `watch`.
    pub delivery: String,
    /// The revision it holds, as was observed; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// It is being replaced by one that is started with what is in force.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_replaced: bool,
    /// Why it does not take the revision in force, by its own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The keys of which it is known to hold another value than the one in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
}

/// A table that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigAway {
    /// Its name.
    pub table: String,
    /// Since when.
    pub since: Wall,
    /// Why.
    pub why: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigViolation {
    /// `error` or `warning`.
    pub severity: String,
    /// The key it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Where: a file with line and column, a row, a variable.
    pub place: String,
    /// What to write instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// All of it as it is shown to a person, with the line it stands in; of a line that may hold a secret only the name.
    pub text: String,
}

/// A revision: a set of values that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRevision {
    /// Its number, from 1.
    pub number: u64,
    /// When it was taken.
    pub taken_at: Wall,
    /// Who made it so: a person, a file, a row's author.
    pub taken_by: String,
    /// The revision whose values it took again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<u64>,
    /// It is the one in force.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_force: bool,
    /// It is taken back then unless somebody confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_until: Option<Wall>,
}

/// The revisions of a stack's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigHistory {
    /// Of which stack.
    pub stack: StackName,
    /// Those that are kept, the newest first.
    pub items: Vec<ConfigHistoryItem>,
}

/// A revision with what it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigHistoryItem {
    /// The revision.
    #[serde(flatten)]
    pub revision: ConfigRevision,
    /// What it changed; of the oldest that is kept, all it holds.
    pub changes: Vec<ConfigDifference>,
}

/// One key that two sets hold otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDifference {
    /// The key.
    pub key: String,
    /// What the first holds; of a secret a mask with its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What the second holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Where that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<ConfigPlace>,
}

/// What two revisions hold otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDiff {
    /// Of which stack.
    pub stack: StackName,
    /// The earlier; none where the later is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ConfigRevision>,
    /// The later.
    pub to: ConfigRevision,
    /// Where they differ, by key.
    pub changes: Vec<ConfigDifference>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChanged {
    /// Of which stack.
    pub stack: StackName,
    /// The revision in force now; none before the first was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<ConfigRevision>,
    /// That revision was made by this change; otherwise it held all of it already.
    pub taken: bool,
    /// What changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ConfigDifference>,
    /// What that asks of each service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<ConfigAsk>,
}

/// What a change asks of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigAsk {
    /// Which service.
    pub service: String,
    /// `nothing`, `live`, `signal`, `rolling`, or `refused` while it runs.
    pub asked: String,
    /// The keys that change for it; none where one key is asked about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}
