//! The nouns: a stack has services, a service has replicas; each says what is wanted of it.
//!
//! A [`Stack`] is fully resolved: variables replaced, files merged, defaults filled in. It knows nothing of the file format it was
//! written in, and it is the same whether the replicas are processes or containers.

mod fingerprint;
mod name;
mod probe;
mod release;
mod route;
mod service;
mod stack;
mod update;

pub use name::{NameError, ReplicaId, ServiceId, ServiceName, StackName};
pub use probe::{Probe, ProbeAction};
pub use release::{Artifact, Migration, MigrationClass, Release, Schema};
pub use route::{Edge, Listener, Route};
pub use service::{
    Condition, Dependency, DependencyCondition, Logs, Port, Process, Replicas, Resources, RestartPolicy, Schedule,
    Service, Stop, WhenBehind, Workload,
};
pub use stack::{Stack, StackSource};
pub use update::{
    Allow, AllowPlace, Canary, Database, DeployPolicy, FailureAction, Migrate, Order, Quiesce, Smoke, Strategy, Update,
};
