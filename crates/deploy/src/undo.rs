//! The way back: straight to full, without portions and without canary.
//!
//! Where old replicas still serve in full number, clients go to them at once. Where some were exchanged already, as many old ones as
//! are missing are started beside what runs, and clients go to the old ones as soon as there are enough; if that takes too long,
//! as soon as there is one: the target was found bad, so few good ones are better than many bad.

use std::collections::BTreeSet;
use std::time::Duration;

use tend_core::deployment::{Ending, Exposure, Lane, Phase, Stage};
use tend_core::model::{Order, ServiceName};

use crate::chapter::Case;
use crate::replica::{Proof, Seen, look};
use crate::roll;

/// Longest wait for the full number of old replicas while at least one is ready. Every new request is to be on the release before
/// within ten seconds (issue 3); the rest is for telling the edge.
const FULL_MAX: Duration = Duration::from_secs(8);

/// Turns every service around.
pub(crate) fn begin(case: &mut Case<'_>) {
    let names: Vec<ServiceName> = case.deployment.lanes.keys().cloned().collect();
    for name in names {
        let count = old_count(case, &name);
        let update = roll::update(case, &name);
        let (now, born) = (case.now.mono, case.world.incarnation_last);
        // A job is not run again to take it back: what it did, it did.
        let known = case.last(&name).is_some_and(|old| !old.is_job());
        let lane = case.lane(&name);
        if lane.stage == Stage::Waiting || !known || count == 0 {
            // Never begun, or nothing to go back to: it stays, or goes, as the release before has it.
            *lane = Lane::default();
            continue;
        }
        // All that runs the target stays where it is for now; what is missing of the old ones comes in slots beyond.
        let target: BTreeSet<u32> = (1..=count + lane.surge).filter(|slot| lane.holds(*slot)).collect();
        let missing = target.iter().filter(|slot| **slot <= count).count();
        let missing = u32::try_from(missing).unwrap_or(count);
        let beside = missing > 0 && update.order == Order::StartFirst;
        *lane = Lane {
            surge: lane.surge + if beside { missing } else { 0 },
            slots: target,
            all: false,
            // What runs the target leaves when it serves no more; for all else the rule without a deployment holds.
            floor: count.saturating_sub(1),
            exposure: match lane.exposure {
                Exposure::Before | Exposure::Share(_) => Exposure::Before,
                Exposure::Both | Exposure::Target => Exposure::Both,
            },
            stage: Stage::Shifting,
            since: Some(now),
            good: None,
            failed: BTreeSet::new(),
            born,
            figures: None,
            excused: 0,
        };
    }
}

/// How many replicas the release before has of a service.
fn old_count(case: &Case<'_>, name: &ServiceName) -> u32 {
    if case.last(name).is_none() {
        return 0;
    }
    // In this phase the definition before is the one that is wanted.
    case.world.replicas_wanted_of(&case.id(name), case.before)
}

pub(crate) fn advance(case: &mut Case<'_>) {
    let names: Vec<ServiceName> = case.deployment.lanes.keys().cloned().collect();
    let mut back = true;
    for name in names {
        if case.deployment.lanes[&name].stage == Stage::Waiting {
            back &= !runs_target(case, &name);
        } else {
            back &= advance_one(case, &name);
        }
    }
    if back {
        case.enter(Phase::Finishing(Ending::Undone));
        return;
    }
    // A deployment always ends: what does not come back is looked after by supervision, and said.
    let longest = case
        .before
        .services
        .values()
        .map(|service| service.rollback.ready_within)
        .max();
    let until = case.deployment.since.unwrap_or(case.now.mono) + longest.unwrap_or_default();
    if case.now.mono >= until {
        let why = case.change().why.take().unwrap_or_default();
        case.change().why = Some(format!("{why}; and the release before is not wholly back yet"));
        case.enter(Phase::Finishing(Ending::Undone));
    } else {
        case.wake(until);
    }
}

fn advance_one(case: &mut Case<'_>, name: &ServiceName) -> bool {
    let count = case.world.replicas_wanted(&case.id(name));
    let lane = case.deployment.lanes[name].clone();
    let since = lane.since.unwrap_or(case.now.mono);
    let slots = case.world.slots_wanted(&case.id(name));
    let good: Vec<u32> = (1..=slots)
        .filter(|slot| !lane.holds(*slot) && is_back(case, name, *slot))
        .collect();
    match (lane.stage, lane.exposure) {
        (Stage::Shifting, Exposure::Both) => {
            let patience = since + FULL_MAX;
            // Stop-first has no place for old ones beside: then there is nothing to wait for.
            let could = (1..=slots).filter(|slot| !lane.holds(*slot)).count();
            let enough = good.len() >= could.min(count as usize);
            if enough || (!good.is_empty() && case.now.mono >= patience) {
                case.lane(name).exposure = Exposure::Before;
            } else {
                case.wake(patience);
            }
            false
        }
        (Stage::Shifting, _) => {
            // Clients are on the old ones; what ran the target in a slot of theirs comes back as the old one.
            let lane = case.lane(name);
            lane.slots.retain(|slot| *slot > count);
            lane.stage = Stage::Candidate;
            false
        }
        (Stage::Candidate, _) => {
            let home = (1..=count).all(|slot| good.contains(&slot));
            if home {
                *case.lane(name) = Lane {
                    stage: Stage::Done,
                    exposure: Exposure::Before,
                    ..Lane::default()
                };
            }
            false
        }
        _ => !runs_target(case, name),
    }
}

/// Returns whether a slot runs the release before and is ready.
fn is_back(case: &mut Case<'_>, name: &ServiceName, slot: u32) -> bool {
    let id = case.id(name).replica(slot);
    let lane = case.deployment.lanes[name].clone();
    let Some(service) = case.last(name) else { return true };
    let proof = Proof::from(&service.rollback).ready();
    matches!(look(case.world, &id, service, &lane, proof, case.now.mono), Seen::Good)
}

/// Returns whether a process of the target is still there.
fn runs_target(case: &Case<'_>, name: &ServiceName) -> bool {
    let id = case.id(name);
    let mut replicas = case.world.replicas_of(&id);
    replicas.any(|(id, replica)| replica.is_up() && case.world.runs_target(id, replica))
}
