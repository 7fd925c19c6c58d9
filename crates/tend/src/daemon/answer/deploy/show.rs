//! Releases and deployments as messages. Decides nothing.

use std::collections::BTreeSet;

use tend_api::messages::{
    ArtifactReport, AttemptReport, Definition, DeploymentReport, MigrationReport, ReleaseList, ReleaseReport,
    ReleaseRole, ReleaseSummary,
};
use tend_core::deployment::{Deployment, Ended, Purpose, Releases};
use tend_core::model::{Release, StackName};

use super::processes;

/// Digits of a git revision or a digest that are shown.
const SHORT: usize = 12;

/// Returns all releases of a stack.
pub(super) fn list(stack: &StackName, releases: &Releases) -> ReleaseList {
    ReleaseList {
        stack: stack.clone(),
        releases: releases
            .kept
            .values()
            .map(|release| summary(releases, release))
            .collect(),
        deployment: releases.deployment.as_ref().map(deployment),
        history: releases.history.iter().map(attempt).collect(),
    }
}

/// Returns all of one release but the values of its environment.
pub(super) fn report(stack: &StackName, releases: &Releases, release: &Release) -> ReleaseReport {
    ReleaseReport {
        stack: stack.clone(),
        summary: summary(releases, release),
        configuration: release.configuration.clone(),
        artifacts: release
            .artifacts
            .iter()
            .map(|(service, artifact)| {
                let report = ArtifactReport {
                    digest: artifact.digest.clone(),
                    path: artifact.path.clone(),
                    revision: artifact.revision.clone(),
                };
                (service.clone(), report)
            })
            .collect(),
        secrets: release.secrets.clone(),
        migrations: release
            .schema
            .migrations
            .iter()
            .map(|migration| MigrationReport {
                name: migration.name.clone(),
                class: migration.class.text().to_owned(),
            })
            .collect(),
        services: release
            .stack
            .services
            .iter()
            .map(|(name, service)| (name.clone(), Definition::from(service)))
            .collect(),
    }
}

fn summary(releases: &Releases, release: &Release) -> ReleaseSummary {
    let number = Some(release.number);
    let target = releases.deployment.as_ref().map(|deployment| deployment.target);
    let role = if releases.running == number {
        ReleaseRole::Running
    } else if target == number {
        ReleaseRole::Target
    } else if releases.back == number {
        ReleaseRole::Back
    } else {
        ReleaseRole::Kept
    };
    let revisions: BTreeSet<&str> = release
        .artifacts
        .values()
        .filter_map(|artifact| artifact.revision.as_deref())
        .collect();
    let revisions: Vec<String> = revisions.into_iter().map(short).collect();
    let in_place = in_place(release);
    let note = format!("{} in place: what is in the folder is not kept by tend", run(&in_place));
    ReleaseSummary {
        number: release.number,
        role,
        made_at: release.made_at,
        made_by: release.made_by.to_string(),
        revision: revisions.join(" "),
        promoted_from: release.promoted_from.clone(),
        notes: if in_place.is_empty() { Vec::new() } else { vec![note] },
    }
}

/// Returns the services of a release that were not built.
pub(super) fn in_place(release: &Release) -> Vec<&str> {
    processes(&release.stack)
        .filter(|(service, _)| !release.artifacts.contains_key(&service.name))
        .map(|(service, _)| service.name.as_str())
        .collect()
}

/// Returns names with `runs` or `run` behind them.
pub(super) fn run(names: &[&str]) -> String {
    format!("{} run{}", names.join(", "), if names.len() == 1 { "s" } else { "" })
}

/// Says what a deployment of a release did not replace.
pub(super) fn warnings(release: &Release) -> Vec<String> {
    let in_place = in_place(release);
    let warning = format!(
        "{} in place: no release holds that code, and what ran of it was replaced only where its definition changed",
        run(&in_place)
    );
    if in_place.is_empty() { Vec::new() } else { vec![warning] }
}

/// Returns the first digits of a revision or digest, and whether the files were changed since.
pub(super) fn short(text: &str) -> String {
    let (digits, rest) = text.split_once('-').map_or((text, ""), |(digits, rest)| (digits, rest));
    let digits = digits.get(..SHORT).unwrap_or(digits);
    match rest {
        "" => digits.to_owned(),
        rest => format!("{digits}-{rest}"),
    }
}

/// Returns the deployment under way as it is told.
pub(crate) fn deployment(deployment: &Deployment) -> DeploymentReport {
    DeploymentReport {
        number: deployment.number,
        purpose: purpose(deployment.purpose).to_owned(),
        target: deployment.target,
        from: deployment.from,
        phase: deployment.phase.text().to_owned(),
        by: deployment.by.to_string(),
        reason: deployment.reason.clone(),
        begun: deployment.begun,
        confirm_until: deployment.confirm_until,
        why: deployment.why.clone(),
    }
}

fn attempt(ended: &Ended) -> AttemptReport {
    AttemptReport {
        number: ended.number,
        purpose: purpose(ended.purpose).to_owned(),
        target: ended.target,
        from: ended.from,
        result: ended.result.text().to_owned(),
        why: ended.why.clone(),
        by: ended.by.to_string(),
        ended: ended.ended,
        took_ms: ended.ended.0.saturating_sub(ended.begun.0),
    }
}

pub(super) fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Deploy => "deploy",
        Purpose::Rollback => "rollback",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_revision_is_shortened_and_stays_dirty() {
        assert_eq!(super::short("4f2a9c1d5e6b7a8c9d0e"), "4f2a9c1d5e6b");
        assert_eq!(super::short("4f2a9c1d5e6b7a8c9d0e-dirty"), "4f2a9c1d5e6b-dirty");
        assert_eq!(super::short("4f2"), "4f2");
    }
}
