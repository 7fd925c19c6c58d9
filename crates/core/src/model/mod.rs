//! The nouns: a stack has services, a service has replicas; each says what is wanted of it.
//!
//! A [`Stack`] is fully resolved: variables replaced, files merged, defaults filled in. It knows nothing of the file format it was
//! written in, and it is the same whether the replicas are processes or containers.

mod alerts;
mod config;
mod edge;
mod fingerprint;
mod grant;
mod metrics;
mod name;
mod probe;
mod release;
mod rotation;
mod secret_text;
mod service;
mod stack;
mod update;
mod vault;

pub use alerts::{Alerts, Heartbeat, Language, Routing, SECRET_FILE};
pub use config::{ConfigSources, ConfigTable, Delivery, DeliveryForm, FileFormat};
pub use edge::{
    AccessLog, Acme, ActiveCheck, Balance, Breaker, CertificateFiles, Challenge, ClientCertificates, Compress, Cors,
    Edge, ErrorPage, Files, HashKey, InFlight, Limit, LimitKey, Listener, LogFormat, Method, Money, Outlier, Prefix,
    PrefixError, Protocol, Rate, Redirect, ResponseHeaders, Retry, RetryMethods, Rewrite, Route, RoutePolicy, Server,
    ServerTls, Spool, Timeouts, Tls, TlsVersion, UploadRate, Upstream,
};
pub use grant::{Grant, Issued, SecretDelivery, is_secret_name};
pub use metrics::{Collect, CollectFrom, Figure, FigureLimits, Metrics, RemoteWrite, Retention, ServiceMetrics, Unit};
pub use name::{NameError, ReplicaId, ServiceId, ServiceName, StackName};
pub use probe::{Probe, ProbeAction};
pub use release::{Artifact, Migration, MigrationClass, Release, Schema};
pub use rotation::{Issuer, Reencryption, RotationPolicy};
pub use secret_text::SecretText;
pub use service::{
    Condition, Dependency, DependencyCondition, Logs, Port, Process, Replicas, Resources, RestartPolicy, Schedule,
    Service, Stop, WhenBehind, Workload,
};
pub use stack::{Stack, StackSource};
pub use update::{
    Allow, AllowPlace, Canary, Database, DeployPolicy, FailureAction, Migrate, Order, Quiesce, Smoke, Strategy, Update,
};
pub use vault::{Vault, VaultCredential, VaultLogin, VaultSecret};
