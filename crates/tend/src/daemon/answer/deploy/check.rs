//! Whether an earlier release can be run again: gathers what is known, and has `tend-migration` judge it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tend_api::ApiError;
use tend_api::messages::RollbackReport;
use tend_core::journal::{Event, Filter, Kind, KindPattern};
use tend_core::model::{Release, StackName};
use tend_migration::{Applied, Verdict};

use super::{Known, processes, show};
use crate::daemon::Shared;
use crate::daemon::answer::events;
use crate::daemon::secrets;

/// Acts that are looked through for the last migration; each deployment has about ten.
const ACTS_MAX: usize = 200;

/// Returns the migrations that the last migration of a stack held back, by file name.
pub(super) async fn held_migrations(shared: &Arc<Shared>, stack: &StackName) -> Result<BTreeSet<String>, ApiError> {
    let filter = Filter {
        stack: Some(stack.clone()),
        kinds: vec![KindPattern::from(Kind::DeployActed.as_str())],
        limit: Some(ACTS_MAX),
        newest_first: true,
        ..Filter::default()
    };
    let acts = events::read(shared, filter).await?;
    Ok(acts.iter().find_map(held_by).unwrap_or_default())
}

/// Returns what a migration held back; none when the event tells of something else.
fn held_by(event: &Event) -> Option<BTreeSet<String>> {
    let done = event.data["act"] == "migrate" && event.data["outcome"] == "done";
    done.then(|| serde_json::from_value(event.data["evidence"]["held"].clone()).unwrap_or_default())
}

/// What is known of the versions of a stack's secrets.
#[derive(Default)]
pub(super) struct Versions {
    /// The one that is given to replicas.
    current: BTreeMap<String, u64>,
    /// The highest that may not be used any more.
    retired: BTreeMap<String, u64>,
}

/// Returns what is known of the versions of a stack's secrets; nothing for releases that have none.
pub(super) async fn versions(shared: &Arc<Shared>, stack: &StackName, target: &Release) -> Result<Versions, ApiError> {
    if target.secrets.is_empty() {
        return Ok(Versions::default());
    }
    let stack = stack.to_string();
    secrets::blocking(shared, move |shared| {
        let book = shared.secrets.book(&stack).map_err(|error| secrets::refused(&error))?;
        Ok(book.map_or_else(Versions::default, |book| Versions {
            current: book.current_versions(),
            retired: book.retired_versions(),
        }))
    })
    .await
}

/// Returns whether `target` can be run in the place of what runs, with all that was looked at.
pub(super) fn report(
    known: &Known,
    stack: &StackName,
    target: &Release,
    held: &BTreeSet<String>,
    secrets: &Versions,
) -> RollbackReport {
    let mut reasons = Vec::new();
    let mut notes = Vec::new();
    for (service, artifact) in &target.artifacts {
        if artifact.path.is_dir() {
            notes.push(format!(
                "the artifact {} of {service} is kept",
                show::short(&artifact.digest)
            ));
        } else {
            reasons.push(format!(
                "the artifact of {service} is gone: `{}`",
                artifact.path.display()
            ));
        }
    }
    for (service, process) in processes(&target.stack) {
        if target.artifacts.contains_key(&service.name) {
            continue;
        }
        if process.directory.is_dir() {
            notes.push(format!(
                "{} runs in place: what is in `{}` now is what will run",
                service.name,
                process.directory.display()
            ));
        } else {
            reasons.push(format!(
                "{} runs in place, and its folder `{}` is gone",
                service.name,
                process.directory.display()
            ));
        }
    }
    if let Some(running) = known.running() {
        let names = running.schema.migrations.iter().map(|migration| migration.name.clone());
        let applied: BTreeSet<String> = names.filter(|name| !held.contains(name)).collect();
        let count = applied.len();
        // The code goes back, the secrets do not: what runs now is what runs with the versions that are current.
        let running = Release {
            secrets: secrets.current.clone(),
            ..running.clone()
        };
        let verdict = tend_migration::rollback(&running, target, &Applied::Only(applied), &secrets.retired);
        for (name, version) in &target.secrets {
            if let Some(now) = secrets.current.get(name).filter(|now| *now != version) {
                notes.push(format!(
                    "secret {name} stays at version {now}; release {} was made with {version}",
                    target.number
                ));
            }
        }
        match verdict {
            Verdict::Safe if count > 0 => notes.push(format!(
                "release {} can live with the {count} migrations that the database has",
                target.number
            )),
            Verdict::Safe => notes.push("no migration is known that stands in the way".to_owned()),
            Verdict::Refused(why) => reasons.extend(why.iter().map(ToString::to_string)),
        }
    } else {
        notes.push("what runs is no release: which migrations the database has is not known".to_owned());
    }
    RollbackReport {
        stack: stack.clone(),
        from: known.releases.running.unwrap_or(0),
        to: target.number,
        safe: reasons.is_empty(),
        reasons,
        notes,
    }
}
