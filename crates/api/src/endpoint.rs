//! The closed list of calls: method, path and what each answers. The router, the client and the reference page are made from it.

use crate::Access;

/// Names each call; one entry of [`ENDPOINTS`] each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallName {
    /// See [`ENDPOINTS`] for each.
    Version,
    /// The daemon on itself.
    Daemon,
    /// All stacks.
    Stacks,
    /// One stack.
    StackStatus,
    /// One service.
    Describe,
    /// What applying would do.
    Plan,
    /// Bring a stack up, or change it.
    Apply,
    /// Bring a stack down.
    Remove,
    /// Restart replicas.
    Restart,
    /// Stop replicas.
    Stop,
    /// Start stopped replicas.
    Start,
    /// Change a number of replicas.
    Scale,
    /// Run a new release.
    Deploy,
    /// How a deployment goes on.
    FollowDeployment,
    /// A word to a deployment.
    Decide,
    /// All releases.
    Releases,
    /// One release.
    Release,
    /// Run an earlier release.
    Rollback,
    /// Whether that can be done.
    RollbackCheck,
    /// Run what another stack runs.
    Promote,
    /// All certificates.
    Certificates,
    /// Get certificates now.
    RenewCertificates,
    /// Close routes, or let requests wait.
    Door,
    /// Ban addresses.
    Ban,
    /// Let addresses in again.
    Unban,
    /// Who is banned.
    Bans,
    /// What the edge counts.
    EdgeMetrics,
    /// What the daemon knows of a stack, as figures.
    StackMetrics,
    /// Metrics, rules and alerts.
    AskMonitor,
    /// Idempotency keys.
    Money,
    /// End a doubt.
    Resolve,
    /// Callbacks that wait.
    Spool,
    /// Secrets without their values.
    Secrets,
    /// Change secrets.
    ChangeSecrets,
    /// The value of a secret.
    RevealSecret,
    /// Rotate a secret.
    RotateSecret,
    /// Another key for all secrets.
    AddRecoveryKey,
    /// Remove a refused callback.
    DropCallback,
    /// Configuration.
    Config,
    /// Its revisions.
    ConfigHistory,
    /// Two of them compared.
    ConfigDiff,
    /// Change configuration.
    ChangeConfig,
    /// Keep a change of it.
    ConfirmConfig,
    /// The journal.
    Events,
    /// Output of replicas.
    Logs,
    /// Whether secrets stand in what is stored.
    AuditLogs,
    /// What a process of a service is given.
    Environment,
    /// A one-off command has ended.
    RunFinished,
    /// End the daemon, not the replicas.
    Shutdown,
    /// Go on as a newer binary.
    Upgrade,
}

/// What a successful call answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One JSON value of this type.
    Json(&'static str),
    /// Lines of JSON, each of this type, until the work is done or the caller leaves.
    Lines(&'static str),
}

/// One call as it is seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which call.
    pub name: CallName,
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Path with `{stack}`, `{service}`, `{release}` and `{secret}` standing for names and numbers.
    pub path: &'static str,
    /// Query parameters it knows, separated by spaces.
    pub query: &'static str,
    /// Type of the JSON body, when it has one.
    pub body: Option<&'static str>,
    /// What it answers.
    pub answer: Answer,
    /// The right it needs.
    pub access: Access,
    /// One sentence for the reference page.
    pub summary: &'static str,
}

const fn get(
    name: CallName,
    path: &'static str,
    query: &'static str,
    answer: Answer,
    summary: &'static str,
) -> Endpoint {
    Endpoint {
        name,
        method: "GET",
        path,
        query,
        body: None,
        answer,
        access: Access::Read,
        summary,
    }
}

const fn post(
    name: CallName,
    path: &'static str,
    body: Option<&'static str>,
    answer: Answer,
    access: Access,
    summary: &'static str,
) -> Endpoint {
    Endpoint {
        name,
        method: "POST",
        path,
        query: "",
        body,
        answer,
        access,
        summary,
    }
}

/// Every call, in the order of the reference page.
///
/// Invariant: each [`CallName`] stands here once, and no two entries share method and path (test `the_list_of_calls_is_closed`).
pub const ENDPOINTS: [Endpoint; 50] = [
    get(
        CallName::Version,
        "/v1/version",
        "",
        Answer::Json("VersionReport"),
        "Which tend answers, and which version of the protocol it speaks.",
    ),
    get(
        CallName::Daemon,
        "/v1/daemon",
        "",
        Answer::Json("DaemonReport"),
        "The daemon on itself: process, folders, memory, the edge, and which limits this machine can enforce.",
    ),
    get(
        CallName::Stacks,
        "/v1/stacks",
        "",
        Answer::Json("StackList"),
        "All stacks, one short entry each.",
    ),
    get(
        CallName::StackStatus,
        "/v1/stacks/{stack}",
        "",
        Answer::Json("StackStatus"),
        "One stack with its services and replicas.",
    ),
    get(
        CallName::Describe,
        "/v1/stacks/{stack}/services/{service}",
        "",
        Answer::Json("ServiceDescription"),
        "One service: its state, how it is defined, and its latest events. Values of its environment are not shown.",
    ),
    post(
        CallName::Plan,
        "/v1/plans",
        Some("Stack"),
        Answer::Json("PlanReport"),
        Access::Change,
        "The steps that applying this stack would take, each with its undo. Changes nothing.",
    ),
    post(
        CallName::Apply,
        "/v1/stacks",
        Some("Apply"),
        Answer::Lines("ProgressLine"),
        Access::Change,
        "Brings a stack to what its file asks for; the last line says how it ended. The work goes on when the caller leaves.",
    ),
    Endpoint {
        name: CallName::Remove,
        method: "DELETE",
        path: "/v1/stacks/{stack}",
        query: "",
        body: None,
        answer: Answer::Lines("ProgressLine"),
        access: Access::Change,
        summary: "Stops all replicas of a stack, takes its routes from the edge and forgets it.",
    },
    post(
        CallName::Restart,
        "/v1/stacks/{stack}/restart",
        Some("Target"),
        Answer::Lines("ProgressLine"),
        Access::Change,
        "Restarts a stack, a service or a replica; of a service one replica after the other.",
    ),
    post(
        CallName::Stop,
        "/v1/stacks/{stack}/stop",
        Some("Target"),
        Answer::Lines("ProgressLine"),
        Access::Change,
        "Stops a stack, a service or a replica and keeps it stopped until it is started.",
    ),
    post(
        CallName::Start,
        "/v1/stacks/{stack}/start",
        Some("Target"),
        Answer::Lines("ProgressLine"),
        Access::Change,
        "Starts what was stopped.",
    ),
    post(
        CallName::Scale,
        "/v1/stacks/{stack}/services/{service}/scale",
        Some("Scale"),
        Answer::Lines("ProgressLine"),
        Access::Change,
        "Changes how many replicas a service has, until the stack is applied again.",
    ),
    post(
        CallName::Deploy,
        "/v1/deployments",
        Some("Deploy"),
        Answer::Lines("ProgressLine"),
        Access::Change,
        "Builds a release of what the file says and runs it in the place of the one that runs; the last line says how it ended. \
         The deployment goes on when the caller leaves.",
    ),
    get(
        CallName::FollowDeployment,
        "/v1/stacks/{stack}/deployment",
        "",
        Answer::Lines("ProgressLine"),
        "How the deployment under way goes on, or how the last one ended.",
    ),
    post(
        CallName::Decide,
        "/v1/stacks/{stack}/deployment",
        Some("Decide"),
        Answer::Json("Accepted"),
        Access::Change,
        "Says `approve`, `reject`, `abort` or `confirm` to the deployment under way.",
    ),
    get(
        CallName::Releases,
        "/v1/stacks/{stack}/releases",
        "",
        Answer::Json("ReleaseList"),
        "The releases that are kept, the deployment under way, and those that ended lately.",
    ),
    get(
        CallName::Release,
        "/v1/stacks/{stack}/releases/{release}",
        "",
        Answer::Json("ReleaseReport"),
        "One release: what it was built from, and how its services are defined. Values of their environment are not shown.",
    ),
    post(
        CallName::Rollback,
        "/v1/stacks/{stack}/rollback",
        Some("Rollback"),
        Answer::Lines("ProgressLine"),
        Access::Change,
        "Runs an earlier release again, the one before when none is named. Data is not touched.",
    ),
    get(
        CallName::RollbackCheck,
        "/v1/stacks/{stack}/rollback",
        "to",
        Answer::Json("RollbackReport"),
        "Whether an earlier release can be run again, and what speaks against it.",
    ),
    post(
        CallName::Promote,
        "/v1/stacks/{stack}/promote",
        Some("Promote"),
        Answer::Lines("ProgressLine"),
        Access::Change,
        "Runs in this stack what was built for the running release of another, with this stack's own configuration.",
    ),
    post(
        CallName::Door,
        "/v1/stacks/{stack}/door",
        Some("Door"),
        Answer::Json("Accepted"),
        Access::Change,
        "Closes the routes of a stack or service for maintenance (`close`, `open`) or lets their requests wait (`pause`, `resume`). \
         Answered once the edge serves it so.",
    ),
    post(
        CallName::Ban,
        "/v1/bans",
        Some("BanAsk"),
        Answer::Json("Accepted"),
        Access::Daemon,
        "Bans addresses and ranges at the edge, for a time or for ever; what holds longer stays. Answered once the edge enforces it.",
    ),
    post(
        CallName::Unban,
        "/v1/bans/end",
        Some("UnbanAsk"),
        Answer::Json("Accepted"),
        Access::Daemon,
        "Lets addresses and ranges in again, as they were banned. Answered once the edge does.",
    ),
    get(
        CallName::Bans,
        "/v1/bans",
        "",
        Answer::Json("BanList"),
        "Who is banned: since when, until when, by whom and why.",
    ),
    get(
        CallName::EdgeMetrics,
        "/v1/edge/metrics",
        "",
        Answer::Json("EdgeMetrics"),
        "What the running edge counts, as Prometheus reads it.",
    ),
    Endpoint {
        access: Access::Secrets,
        ..get(
            CallName::StackMetrics,
            "/v1/stacks/{stack}/metrics",
            "",
            Answer::Json("StackMetrics"),
            "What the daemon knows of a stack, as Prometheus reads it: configuration, ages of secrets, certificates, replicas. Never a value.",
        )
    },
    post(
        CallName::AskMonitor,
        "/v1/stacks/{stack}/monitor",
        Some("MonitorAsk"),
        Answer::Json("MonitorAnswer"),
        Access::Secrets,
        "Asks the monitor on behalf of a stack, as Prometheus' and Alertmanager's APIs are asked: queries, targets, rules, alerts, silences. \
         Answered with the status and the body that these give.",
    ),
    Endpoint {
        access: Access::Daemon,
        ..get(
            CallName::Money,
            "/v1/money",
            "key all",
            Answer::Json("MoneyList"),
            "Idempotency keys of requests that move money: those in doubt, one by its name, or the latest.",
        )
    },
    post(
        CallName::Resolve,
        "/v1/money/resolve",
        Some("Resolve"),
        Answer::Json("Accepted"),
        Access::Daemon,
        "Says what became of a request that is in doubt: the answer it is given from now on, or that it did not happen.",
    ),
    Endpoint {
        access: Access::Daemon,
        ..get(
            CallName::Spool,
            "/v1/money/spool",
            "",
            Answer::Json("SpoolReport"),
            "Callbacks that wait for their service, by route, and those it refused.",
        )
    },
    post(
        CallName::DropCallback,
        "/v1/money/spool/drop",
        Some("DropCallback"),
        Answer::Json("Accepted"),
        Access::Daemon,
        "Removes a callback that its service refused; who did, and why, is in the journal.",
    ),
    get(
        CallName::Certificates,
        "/v1/certificates",
        "",
        Answer::Json("CertificateList"),
        "All certificates: for which hosts, from whom, until when, and what the last try to renew came to.",
    ),
    post(
        CallName::RenewCertificates,
        "/v1/stacks/{stack}/certificates/renew",
        Some("RenewCertificates"),
        Answer::Lines("ProgressLine"),
        Access::Change,
        "Gets certificates of a stack now, all or the one for a host; with `dry_run` only tries out whether they would be got. \
         The last line says how it ended. The work goes on when the caller leaves.",
    ),
    Endpoint {
        access: Access::Secrets,
        ..get(
            CallName::Secrets,
            "/v1/stacks/{stack}/secrets",
            "",
            Answer::Json("SecretList"),
            "The secrets of a stack: names, versions, ages, and which replicas hold which version. Never a value.",
        )
    },
    post(
        CallName::ChangeSecrets,
        "/v1/stacks/{stack}/secrets",
        Some("SecretChange"),
        Answer::Json("SecretChanged"),
        Access::Secrets,
        "Stores, makes, imports, retires or destroys secrets of a stack, which need not be up. They belong to the stack's owner; before \
         there is one, to who stored the first.",
    ),
    post(
        CallName::RevealSecret,
        "/v1/stacks/{stack}/secrets/{secret}/reveal",
        Some("RevealSecret"),
        Answer::Json("SecretValue"),
        Access::Secrets,
        "The value of a secret. Who asked is kept in the journal.",
    ),
    post(
        CallName::RotateSecret,
        "/v1/stacks/{stack}/secrets/{secret}/rotate",
        Some("RotateSecret"),
        Answer::Lines("ProgressLine"),
        Access::Secrets,
        "Makes the staged version of a secret the current one, a new one where tend makes its values, and replaces every replica that \
         holds another, above its service's floor; by the class of the secret, with a time in which both are valid. With `abort` a \
         rotation under way is taken back. The last line says how it ended. The work goes on when the caller leaves.",
    ),
    post(
        CallName::AddRecoveryKey,
        "/v1/secrets/recovery-key",
        Some("AddRecoveryKey"),
        Answer::Json("RecoveryKeyReport"),
        Access::Daemon,
        "Makes a key to be kept off this machine, or takes the public half of one; all secrets open with it from then on.",
    ),
    Endpoint {
        access: Access::Secrets,
        ..get(
            CallName::Config,
            "/v1/stacks/{stack}/config",
            "key",
            Answer::Json("ConfigReport"),
            "Every key of a stack's configuration, or one: its value, where that stands, what lies beneath, and what each replica holds; and \
             what is wrong with what is not taken. Never a secret's value.",
        )
    },
    Endpoint {
        access: Access::Secrets,
        ..get(
            CallName::ConfigHistory,
            "/v1/stacks/{stack}/config/history",
            "limit",
            Answer::Json("ConfigHistory"),
            "The revisions that are kept, newest first: who, when, what changed. Secrets are masked.",
        )
    },
    Endpoint {
        access: Access::Secrets,
        ..get(
            CallName::ConfigDiff,
            "/v1/stacks/{stack}/config/diff",
            "from to",
            Answer::Json("ConfigDiff"),
            "What two revisions hold otherwise; the one in force and the one before it when none is named.",
        )
    },
    post(
        CallName::ChangeConfig,
        "/v1/stacks/{stack}/config",
        Some("ConfigChange"),
        Answer::Json("ConfigChanged"),
        Access::Change,
        "Sets, unsets or clears keys, sets a preset, or goes back to a revision; as a whole, or refused with everything that is wrong. With \
         `confirm_ms` it is taken back after that time unless it is confirmed. Answered once it is in force and durable.",
    ),
    post(
        CallName::ConfirmConfig,
        "/v1/stacks/{stack}/config/confirm",
        Some("ConfirmConfig"),
        Answer::Json("Accepted"),
        Access::Change,
        "Keeps a change that is taken back otherwise.",
    ),
    get(
        CallName::Events,
        "/v1/events",
        "stack service slot kind since until story_of principal after before limit newest_first tail follow",
        Answer::Lines("Event"),
        "The journal, oldest first; with `follow` new events as they are written.",
    ),
    get(
        CallName::Logs,
        "/v1/logs",
        "stack service slot since tail stream follow",
        Answer::Lines("LogLine"),
        "Output of replicas, oldest first; with `follow` new lines as they are written.",
    ),
    Endpoint {
        access: Access::Secrets,
        ..get(
            CallName::AuditLogs,
            "/v1/logs/audit",
            "stack",
            Answer::Lines("AuditLine"),
            "Looks through what tend stored for every secret value it knows, of one stack or of all that are the caller's. The daemon's \
             user and root have everything looked through, others the files of their stacks. Never a value.",
        )
    },
    post(
        CallName::Environment,
        "/v1/environment",
        Some("EnvironmentQuery"),
        Answer::Json("EnvironmentReport"),
        Access::Secrets,
        "The environment, folder, user and cgroup that a process of this service is given, for `tend run` and `tend exec`.",
    ),
    post(
        CallName::RunFinished,
        "/v1/runs/finished",
        Some("RunReport"),
        Answer::Json("Accepted"),
        Access::Secrets,
        "Puts into the journal how a command of `tend run` or `tend exec` ended, which only its caller sees.",
    ),
    post(
        CallName::Shutdown,
        "/v1/shutdown",
        None,
        Answer::Json("Accepted"),
        Access::Daemon,
        "Ends the daemon. Replicas and edge go on; the next daemon adopts them.",
    ),
    post(
        CallName::Upgrade,
        "/v1/upgrade",
        Some("Upgrade"),
        Answer::Json("Accepted"),
        Access::Daemon,
        "The daemon goes on as the program named, in the same process; replicas and edge go on.",
    ),
];

impl CallName {
    /// Returns the entry of this call.
    #[must_use]
    pub fn endpoint(self) -> &'static Endpoint {
        ENDPOINTS
            .iter()
            .find(|endpoint| endpoint.name == self)
            .expect("invariant: each CallName stands in ENDPOINTS (test the_list_of_calls_is_closed)")
    }
}

impl Endpoint {
    /// Returns the names in the path's `{}` places when `path` is one of this endpoint's.
    pub(crate) fn matches<'path>(&self, path: &'path str) -> Option<Vec<&'path str>> {
        let mut names = Vec::new();
        let mut given = path.split('/');
        for wanted in self.path.split('/') {
            let part = given.next()?;
            if wanted.starts_with('{') {
                names.push(part);
            } else if wanted != part {
                return None;
            }
        }
        given.next().is_none().then_some(names)
    }

    /// Returns the path with `names` in the `{}` places.
    pub(crate) fn path_for(&self, names: &[&str]) -> String {
        let mut names = names.iter();
        let parts: Vec<&str> = self
            .path
            .split('/')
            .map(|part| {
                if part.starts_with('{') {
                    *names.next().expect("as many names as places")
                } else {
                    part
                }
            })
            .collect();
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written() {
        let endpoint = CallName::Scale.endpoint();
        let path = endpoint.path_for(&["mps", "api"]);
        assert_eq!(path, "/v1/stacks/mps/services/api/scale");
        assert_eq!(endpoint.matches(&path), Some(vec!["mps", "api"]));
        for other in ["/v1/stacks/mps/services/api", "/v1/stacks/mps/services/api/scale/", "/"] {
            assert_eq!(endpoint.matches(other), None, "{other}");
        }
    }
}
