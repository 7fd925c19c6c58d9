//! The shape of each answer. Readers ignore fields they do not know; writers never take a field away within a protocol version.

mod audit;
mod ban;
mod certificate;
mod configuration;
mod daemon;
mod description;
mod environment;
mod log_line;
mod money;
mod monitor;
mod plan;
mod progress;
mod release;
mod secret;
mod status;

pub use audit::{AuditClass, AuditFinding, AuditLine, AuditProgress, AuditReport};
pub use ban::{BanList, BanStatus};
pub use certificate::{CertificateList, CertificateSource, CertificateState, CertificateStatus};
pub use configuration::{
    ConfigAsk, ConfigAway, ConfigChanged, ConfigDiff, ConfigDifference, ConfigHeld, ConfigHistory, ConfigHistoryItem,
    ConfigKey, ConfigLayer, ConfigLiveness, ConfigPlace, ConfigReplica, ConfigReport, ConfigRevision, ConfigViolation,
};
pub use daemon::{
    Accepted, DaemonReport, EdgeMetrics, EdgeReport, EdgeState, Enforcement, LimitsReport, StackMetrics, VersionReport,
};
pub use description::{Definition, ServiceDescription};
pub use environment::EnvironmentReport;
pub use log_line::{LogLine, LogSource};
pub use money::{MoneyKey, MoneyList, RefusedCallback, SpoolReport, SpoolRoute};
pub use monitor::MonitorAnswer;
pub use plan::{PlanReport, PlannedStep};
pub use progress::{DeployOutcome, Deployed, Finished, Progress, ProgressLine, Stage, StageState};
pub use release::{
    ArtifactReport, AttemptReport, DeploymentReport, MigrationReport, ReleaseList, ReleaseReport, ReleaseRole,
    ReleaseSummary, RollbackReport,
};
pub use secret::{
    RecoveryKeyReport, SecretChanged, SecretList, SecretReport, SecretSource, SecretValue, SecretVersion,
};
pub use status::{
    ListenerStatus, ReplicaState, ReplicaStatus, RouteStatus, ServiceState, ServiceStatus, StackList, StackStatus,
    StackSummary, WorkloadKind,
};
