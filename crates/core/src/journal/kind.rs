//! The closed list of what can happen, with a line for each. Knows nothing of who records what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Writes the enum, its names and the reference table from one list, so that none of them can be forgotten.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What happened. The name is what is kept, shown and filtered by.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum Kind {
            $($(#[doc = $doc])+ $variant,)+
            /// A name this build does not know: written by a newer tend, and kept as it stands.
            Other(String),
        }

        impl Kind {
            /// Every kind this build knows, in the order of the reference page.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)+];

            /// Returns the name, such as `replica.exited`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Kind::$variant => $name,)+
                    Kind::Other(name) => name,
                }
            }

            /// Returns what the kind means and what its particulars are, for the reference page.
            #[must_use]
            pub fn meaning(&self) -> &'static str {
                match self {
                    $(Kind::$variant => concat!($($doc,)+).trim_ascii_start(),)+
                    Kind::Other(_) => "A kind of a newer tend.",
                }
            }
        }

        impl From<&str> for Kind {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Kind::$variant,)+
                    other => Kind::Other(other.to_owned()),
                }
            }
        }
    };
}

kinds! {
    /// The daemon took up its work. Data: version, build, pid, boot_id, mode (`fresh` or `adopting`).
    DaemonStarted = "daemon.started",
    /// The daemon ended on request. Data: reason. Missing before the next `daemon.started` when it was killed.
    DaemonStopped = "daemon.stopped",

    /// A stack file was applied. Data: revision, digest of the resolved stack, plan.
    StackApplied = "stack.applied",
    /// A stack was taken down. Data: plan.
    StackRemoved = "stack.removed",
    /// The wanted number of replicas was changed. Data: from, to.
    ServiceScaled = "service.scaled",
    /// A restart was asked for. Data: reason.
    ServiceRestarted = "service.restarted",
    /// The port at which others reach a service was held by somebody else. Data: from, to, restart (replicas that have the old address), hint.
    ServiceMoved = "service.moved",

    /// A process was started for a replica. Data: pid, port, command.
    ReplicaStarted = "replica.started",
    /// A replica could not be started. Data: error, hint.
    ReplicaStartFailed = "replica.start_failed",
    /// The daemon ended while it started a replica, and the one that came back found nothing of it: it is started again. Data: none.
    ReplicaStartInterrupted = "replica.start_interrupted",
    /// A replica passed its readiness and may be given traffic. Data: after_ms since its start.
    ReplicaReady = "replica.ready",
    /// A replica that was ready is not any more. Data: reason.
    ReplicaUnready = "replica.unready",
    /// A replica ended. Data: the crash card when it was not asked to end, else exit.
    ReplicaExited = "replica.exited",
    /// A replica keeps ending; it is tried again ever more slowly. Data: failures, next_try_ms.
    ReplicaFailing = "replica.failing",
    /// A replica that was failing has been stable again. Data: failures, down_ms.
    ReplicaRecovered = "replica.recovered",
    /// A replica was told to end. Data: reason, signal.
    ReplicaStopping = "replica.stopping",
    /// A replica has nothing in flight by its own word, and is stopped. Data: in_flight, after_ms since it was told to take no new work.
    ReplicaQuiesced = "replica.quiesced",
    /// A replica still has work in flight, or did not say, and is stopped: its deadline is over. Data: in_flight as it last said, error, after_ms.
    ReplicaQuiesceGaveUp = "replica.quiesce_gave_up",
    /// A replica that was told to end has ended, with its whole process tree. Data: exit, after_ms, killed, in_flight where it is quiesced.
    ReplicaStopped = "replica.stopped",
    /// The daemon came back and took over a running replica by evidence. Data: pid, start_time, exe.
    ReplicaAdopted = "replica.adopted",
    /// The shim of a replica is gone while the replica runs on. Data: shim pid.
    ReplicaLostShim = "replica.lost_shim",
    /// A new shim took over a running replica. Data: pid of the old and the new shim.
    ShimReplaced = "shim.replaced",
    /// A replica was over its memory limit. Data: bytes, limit, action.
    ReplicaOverMemory = "replica.over_memory",
    /// A probe failed as often as makes it count. Data: probe, failures, error.
    ReplicaProbeFailed = "replica.probe_failed",
    /// Output of a replica was dropped because disk or reader was behind. Data: bytes.
    LogsDropped = "logs.dropped",

    /// A release was recorded. Data: release, configuration, artifacts, promoted_from.
    ReleaseMade = "release.made",
    /// A release is no longer kept. Data: release, why.
    ReleasePruned = "release.pruned",
    /// A deployment began. Data: deployment, release, from, purpose, reason, configuration (the revision that comes with it), confirm_ms.
    DeployStarted = "deploy.started",
    /// A deployment came to another phase. Data: deployment, phase, why.
    DeployPhase = "deploy.phase",
    /// A service came to another stage of a deployment. Data: deployment, stage, slots, exposure; figures, where those of a canary let it go on.
    DeployStage = "deploy.stage",
    /// An act of a deployment ended. Data: deployment, act, outcome, evidence or error.
    DeployActed = "deploy.acted",
    /// A person said something to a deployment. Data: deployment, word, why.
    DeployDecided = "deploy.decided",
    /// A deployment ended. Data: deployment, release, from, purpose, result, why, after_ms.
    DeployFinished = "deploy.finished",

    /// A plan was made. Data: plan, steps.
    PlanCreated = "plan.created",
    /// A plan ended. Data: plan, outcome, error.
    PlanFinished = "plan.finished",
    /// A step of a plan began. Data: plan, step, what.
    StepStarted = "step.started",
    /// A step of a plan ended. Data: plan, step, outcome, error.
    StepFinished = "step.finished",

    /// An edge process was started. Data: pid.
    EdgeStarted = "edge.started",
    /// The edge process is gone. Data: pid, exit.
    EdgeLost = "edge.lost",
    /// The edge attested that it serves a snapshot. Data: snapshot.
    EdgeServing = "edge.serving",
    /// The edge sends a replica nothing more, by its own observation. Data: reason, detail in words where TLS failed, lasts_ms, counted.
    EdgeEjected = "edge.ejected",
    /// The edge sends a replica traffic again. Data: after_ms.
    EdgeReadmitted = "edge.readmitted",

    /// A certificate was issued for hosts that had none, and the edge serves it. Data: names, authority, issuer, serial, not_after, reason, after_ms, seen (listeners at which a handshake showed it), unseen (why not, by listener).
    CertificateIssued = "certificate.issued",
    /// A certificate was issued in the place of another. Data: as of `certificate.issued`.
    CertificateRenewed = "certificate.renewed",
    /// No certificate was issued, or one that is given in files cannot be served; what was kept before is served on. Data: names, authority or files, error, hint, next_try, kept_until.
    CertificateFailed = "certificate.failed",
    /// A certificate that is given in files was read, and the edge is told. Data: names, files, issuer, serial, not_after.
    CertificateRead = "certificate.read",
    /// It was tried whether a certificate would be issued; nothing was kept. Data: names, authority, error.
    CertificateRehearsed = "certificate.rehearsed",
    /// A certificate expires soon and should have been replaced by now. Data: names, not_after, error of the last try.
    CertificateExpiring = "certificate.expiring",
    /// A certificate has expired, and clients refuse it. Data: names, not_after, error of the last try.
    CertificateExpired = "certificate.expired",

    /// Routes were closed; clients see a page. Data: what (until, message, allow), before.
    MaintenanceBegun = "maintenance.begun",
    /// Routes were opened again. Data: before.
    MaintenanceEnded = "maintenance.ended",
    /// Requests were made to wait. Data: what (wait_max_ms, requests_max), before.
    PauseBegun = "pause.begun",
    /// Requests were let go on. Data: before.
    PauseEnded = "pause.ended",

    /// Addresses were banned: the edge lets them in nowhere. Data: addresses, until, reason, forced, before (of those that were banned already).
    BanBegun = "ban.begun",
    /// Addresses were let in again before their ban ended by itself. Data: addresses, before.
    BanEnded = "ban.ended",

    /// A revision of the configuration was taken. Data: revision, changes (secrets are masked), restarts (services that are started anew).
    ConfigTaken = "config.taken",
    /// Every replica holds the revision in force. Data: revision, replicas, after_ms since it was taken.
    ConfigLive = "config.live",
    /// Replicas do not hold the revision in force although they should. Data: revision, replicas (with what they hold, and why as they say).
    ConfigLate = "config.late",
    /// A change was confirmed and stays. Data: revision.
    ConfigConfirmed = "config.confirmed",
    /// A changed configuration is not taken: what was in force stays. Data: error, details.
    ConfigRefused = "config.refused",
    /// A table of configuration cannot be read: what was last known of it stays in force. Data: table, error.
    ConfigAway = "config.away",
    /// It is read again. Data: table, since.
    ConfigBack = "config.back",

    /// What became of a request that moves money is not known: `tend money resolve` ends that. Data: id, key, method, path, request_id, why, begun_at.
    MoneyInDoubt = "money.in_doubt",
    /// A person said what became of a request that was in doubt. Data: id, key, happened, status.
    MoneyResolved = "money.resolved",
    /// A person removed a callback that its service had refused. Data: id, route, method, target, received_at, tries, refused, why.
    CallbackDropped = "money.callback_dropped",
    /// Requests that move money are refused: what has to be on disk before they are sent cannot be written. Data: why, hint.
    MoneyUnavailable = "money.unavailable",

    /// A value of a secret was stored. Data: name, version, state (`current` or `staged`), how (`set`, `generated`, `imported`, `vault`), origin (where in a Vault).
    SecretStored = "secret.stored",
    /// Values were written to a path of a Vault that did not have them. Data: names, path, fields, version (there).
    SecretFilled = "secret.filled",
    /// A value of a secret was shown to a person. Data: name, version.
    SecretRevealed = "secret.revealed",
    /// Another version of a secret is the one that replicas are given. Data: name, from, to, services (that hold it).
    SecretRotated = "secret.rotated",
    /// A rotation of a secret came to another stage, is held there, or ended. Data: name, from, to, stage, message.
    SecretRotation = "secret.rotation",
    /// A version of a secret is given to nobody any more. Data: name, version.
    SecretRetired = "secret.retired",
    /// The values of retired versions of a secret were wiped. Data: name, versions.
    SecretDestroyed = "secret.destroyed",
    /// Documents of the state that an earlier tend wrote in clear were sealed, and pages where they were cleaned. Data: documents, clean, error.
    StateSealed = "state.sealed",
    /// What is stored was looked through for secrets. Data: clean, files, bytes, rows, values, forms, known, looks_like, unread.
    LogsAudited = "logs.audited",
    /// A key kept off this machine opens all secrets from now on. Data: public (its public half).
    SecretKeyAdded = "secret.key_added",
    /// The secrets cannot be used as they are. Data: error, hint.
    SecretsUnavailable = "secret.unavailable",

    /// The Vault of a stack cannot be asked; what was read is used on. Data: address, condition (`sealed`, `away`, `on standby`, `throttled`, `failing`, `login refused`), error, hint.
    VaultUnavailable = "vault.unavailable",
    /// The Vault of a stack answers again. Data: address, condition (as it was before), since.
    VaultAvailable = "vault.available",

    /// The monitor was started. Data: pid.
    MonitorStarted = "monitor.started",
    /// The monitor could not be started, is gone, or does not measure or tell all that is wanted. Data: error, missing, hint.
    MonitorFailed = "monitor.failed",
    /// Notes of the monitor were lost while nobody heard it. Data: lost.
    MonitorNotesLost = "monitor.notes_lost",
    /// An alert fires. Data: alert, labels, annotations, since, changes (what the journal has of the half hour before).
    AlertFired = "alert.fired",
    /// An alert does not fire any more. Data: alert, labels, after_ms.
    AlertResolved = "alert.resolved",
    /// An alert that began during a deployment is held back: nobody is told before its end settled, or its time is over. Data: alert, labels, held (by, until).
    AlertHeld = "alert.held",
    /// Somebody said something about alerts. Data: word (`acknowledged`, `assigned`, `silenced`, `silence ended`), by, what.
    AlertCare = "alert.care",
    /// A silence ends soon. Data: silence, matchers, ends_at.
    AlertSilenceLapsing = "alert.silence_lapsing",
    /// Receivers were sent a test of an alert. Data: rule, by, told (receivers that took it), failed (those that did not).
    AlertTested = "alert.tested",
    /// A receiver confirmed that it was told of alerts. Data: receiver, means, where, group, alerts, said, attempt.
    NotificationDelivered = "notification.delivered",
    /// A receiver could not be told, for now or for good. Data: receiver, means, where, group, alerts, said, attempt, again.
    NotificationFailed = "notification.failed",
    /// Rules do not fit what is measured, or cannot work: said once after they changed or the monitor was started. Data: rules, findings (severity, file, line, group, rule, what, meant).
    RulesDoubtful = "rules.doubtful",
    /// Somebody who is sent what is measured does not take it. Data: where, said.
    MetricsWriteFailed = "metrics.write_failed",
    /// He takes it again, and is sent what he missed. Data: where, after_ms.
    MetricsWriteBack = "metrics.write_back",
    /// He refused samples, which are not sent again; said every ten minutes at most. Data: where, said, samples (refused so far).
    MetricsWriteRefused = "metrics.write_refused",
    /// He was away for more than two hours: what is older is not sent any more. Data: where, skipped_ms.
    MetricsWriteSkipped = "metrics.write_skipped",
    /// Signs of life go out: the way from a scrape to a receipt is proven, and the other side takes them. Data: where, said.
    HeartbeatSent = "heartbeat.sent",
    /// Signs of life are held back: the way is not proven. Data: link (`rules`, `scrape`, `delivery`), receivers, last.
    HeartbeatStopped = "heartbeat.stopped",
    /// A sign of life was not taken. Data: where, said.
    HeartbeatFailed = "heartbeat.failed",

    /// A one-off command was started in a service's environment. Data: command, purpose, pid of the caller.
    RunStarted = "run.started",
    /// A one-off command ended, as its caller saw it; missing when that was killed. Data: command, purpose, pid of the caller, exit, after_ms.
    RunFinished = "run.finished",

    /// The time of day jumped. Data: by_ms, forward when positive.
    ClockJumped = "clock.jumped",

    /// Older events were removed; a signed checkpoint stands in their place. Data: upto, hash, rows.
    JournalCheckpoint = "journal.checkpoint",
    /// The signed head was put outside this machine's state, in a backup or report. Data: seq, hash, where.
    JournalAnchored = "journal.anchored",
    /// Events that nobody waited for were lost because they could not be written. Data: entries, first_at, last_at, kinds, reason.
    JournalGap = "journal.gap",
    /// The journal was found changed from outside. Data: finding, expected and found seq and hash, anchor.
    JournalDamaged = "journal.damaged",
}

impl Kind {
    /// Returns the reference page of all kinds, as it stands in `docs/reference/events.md`.
    #[must_use]
    pub fn reference_page() -> String {
        let mut page = String::from(
            "# Events\n\nEvery kind of event the journal keeps. `tend events --kind replica.exited` asks for one kind, \
             `--kind 'replica.*'` for a group. A name that is not listed here was written by a newer tend.\n\n\
             This page is generated from `crates/core/src/journal/kind.rs`: run the tests of `tend-core` with `UPDATE=1` \
             after a change there.\n\n| kind | meaning |\n| --- | --- |\n",
        );
        for kind in Kind::ALL {
            page.push_str(&format!("| `{kind}` | {} |\n", kind.meaning()));
        }
        page
    }
}

impl From<String> for Kind {
    fn from(name: String) -> Self {
        Kind::from(name.as_str())
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.as_str().to_owned()
    }
}

impl FromStr for Kind {
    type Err = std::convert::Infallible;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(Kind::from(name))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_dotted_snake_case_and_reads_back() {
        for kind in Kind::ALL {
            let name = kind.as_str();
            let parts: Vec<&str> = name.split('.').collect();
            assert_eq!(parts.len(), 2, "{name}");
            assert!(
                parts
                    .iter()
                    .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
                "{name}"
            );
            assert_eq!(&Kind::from(name), kind);
            assert!(kind.meaning().ends_with('.'), "{name}: {}", kind.meaning());
        }
        let mut names: Vec<&str> = Kind::ALL.iter().map(Kind::as_str).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn an_unknown_name_is_kept() {
        let kind: Kind = serde_json::from_str("\"galaxy.collided\"").unwrap();
        assert_eq!(kind, Kind::Other("galaxy.collided".to_owned()));
        assert_eq!(serde_json::to_string(&kind).unwrap(), "\"galaxy.collided\"");
    }

    #[test]
    fn the_reference_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/events.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, Kind::reference_page()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            Kind::reference_page(),
            "run this test with UPDATE=1 and commit docs/reference/events.md"
        );
    }
}
