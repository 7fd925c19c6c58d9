//! Whether an earlier release can be run again: gathers what is known, and has `tend-migration` judge it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tend_api::ApiError;
use tend_api::messages::RollbackReport;
use tend_core::journal::{Event, Filter, Kind, KindPattern};
use tend_core::model::{Release, StackName};
use tend_migration::{Applied, Verdict};

use super::{Known, processes, show};
use crate::daemon::Shared;
use crate::daemon::answer::events;

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

/// Returns whether `target` can be run in the place of what runs, with all that was looked at.
pub(super) fn report(known: &Known, stack: &StackName, target: &Release, held: &BTreeSet<String>) -> RollbackReport {
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
        // No secret has been retired: tend keeps none yet.
        match tend_migration::rollback(running, target, &Applied::Only(applied), &Default::default()) {
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
