//! What is reported while something is being done, and how it ended.

use serde::{Deserialize, Serialize};
use tend_base::Wall;

/// One line of an answer that reports work: any number of `progress`, then one `finished`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressLine {
    /// A step moved.
    Progress(Progress),
    /// It is over; the last line.
    Finished(Finished),
}

/// A step moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When, in milliseconds since 1970 UTC.
    pub at: Wall,
    /// Which kind of step.
    pub stage: Stage,
    /// What it is about, such as `mps/api/1` or `0.0.0.0:8080`.
    pub subject: String,
    /// How far it is.
    pub state: StageState,
    /// What there is to say; may be empty.
    #[serde(default)]
    pub message: String,
    /// From its begin, in milliseconds; with `done` and `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Make a release: run `prepare`.
    Prepare,
    /// Wait for what the service depends on.
    Depend,
    /// Open a listening socket of the edge.
    Listen,
    /// Take over a replica that was found running.
    Adopt,
    /// Start a replica.
    Start,
    /// A replica passes its readiness, or stays up for its start period.
    Ready,
    /// Point the edge at the replicas.
    Route,
    /// A service answers through the edge.
    Answered,
    /// Let requests in flight end.
    Drain,
    /// Stop a replica.
    Stop,
    /// Forget.
    Remove,
    /// Build the artifact of a service.
    Build,
    /// Look whether a deployment can be done.
    Check,
    /// Take a restore point of the databases.
    Restore,
    /// Wait for a person.
    Wait,
    /// Run the migration command.
    Migrate,
    /// Ask the smoke questions.
    Smoke,
    /// See what a replica really runs.
    Attest,
    /// Replace the replicas of a service.
    Shift,
    /// Go back to the release before.
    Undo,
    /// Tell who wants to know.
    Notify,
    /// Get a certificate.
    Certificate,
    /// Remove what is not kept.
    Prune,
    /// Bring a secret from one version to the next.
    Rotate,
    /// A step this version does not know.
    #[serde(other)]
    Other,
}

impl Stage {
    /// Returns the word shown for the step.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Prepare => "prepare",
            Stage::Depend => "depend",
            Stage::Listen => "listen",
            Stage::Adopt => "adopt",
            Stage::Start => "start",
            Stage::Ready => "ready",
            Stage::Route => "route",
            Stage::Answered => "answered",
            Stage::Drain => "drain",
            Stage::Stop => "stop",
            Stage::Remove => "remove",
            Stage::Build => "build",
            Stage::Check => "check",
            Stage::Restore => "restore",
            Stage::Wait => "wait",
            Stage::Migrate => "migrate",
            Stage::Smoke => "smoke",
            Stage::Attest => "attest",
            Stage::Shift => "shift",
            Stage::Undo => "undo",
            Stage::Notify => "notify",
            Stage::Certificate => "certificate",
            Stage::Prune => "prune",
            Stage::Rotate => "rotate",
            Stage::Other => "step",
        }
    }
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// It begins.
    Begun,
    /// It goes on and there is something to say.
    Waiting,
    /// It is done, and was observed to be.
    Done,
    /// It failed; others may go on.
    Failed,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Whether everything asked for was observed.
    pub ok: bool,
    /// From the request to the end, in milliseconds.
    #[serde(default)]
    pub took_ms: u64,
    /// Why not; empty when `ok`.
    #[serde(default)]
    pub reason: String,
    /// The last lines of output of what failed, oldest first.
    #[serde(default)]
    pub last_lines: Vec<String>,
    /// What to do next; empty when `ok`.
    #[serde(default)]
    pub next_step: String,
    /// Where to reach the stack.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Commands worth trying now.
    #[serde(default)]
    pub try_next: Vec<String>,
    /// What is not as the file asks although nothing failed, such as a service that needs an engine.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What came of a deployment; absent for all other work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<Deployed>,
}

/// What came of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// How it ended.
    pub outcome: DeployOutcome,
    /// The release it was about.
    pub release: u64,
    /// The release that runs now; absent for a stack that runs in place.
    #[serde(default)]
    pub running: Option<u64>,
}

/// How a deployment ended, or why the telling of it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployOutcome {
    /// Every proof was seen: the target runs.
    Committed,
    /// What was asked for runs already; nothing was done.
    Unchanged,
    /// It could not be begun; nothing was changed.
    Refused,
    /// It failed, and what it changed was taken back.
    Undone,
    /// It stopped half-way; a person decides.
    #[serde(other)]
    Held,
}
