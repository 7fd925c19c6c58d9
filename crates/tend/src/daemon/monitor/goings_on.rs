//! What goes on around stacks, for the monitor: what the journal has of changes, and deployments. Reads; decides nothing.
//!
//! Invariant: only names leave here, of releases, services and secrets; no value and no free text.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use tend_base::Wall;
use tend_core::journal::{Event, Filter, Kind, KindPattern, Principal};
use tend_core::model::StackName;
use tend_monitor::{Change, Deploying, GoingsOn};
use tend_store::{Reader, Tail};

use super::compose::Wanted;

/// Changes of a stack that are handed over: more than are told with an alert, since those of the minutes after it began are not told.
const CHANGES_MAX: usize = 20;

/// How far a daemon that starts looks back. An alert has what changed in the half hour before it, and may have begun a while ago.
const LOOK_BACK_MS: u64 = 2 * 3600 * 1000;

/// What was read so far.
#[derive(Default)]
pub(super) struct Reading {
    tail: Option<Tail>,
    changes: BTreeMap<StackName, VecDeque<Change>>,
    /// The services that a deployment changed, by its name, as long as it is the last one of its stack.
    services: BTreeMap<(StackName, String), BTreeSet<String>>,
}

impl Reading {
    /// Returns what goes on around each stack now. Blocks on the disk. Where the journal cannot be read, what was read before stands.
    pub(super) fn read(&mut self, database: &Path, wanted: &[Wanted]) -> BTreeMap<String, GoingsOn> {
        if self.tail.is_none() {
            self.tail = Reader::open(database).ok().map(|reader| reader.tail(filter()));
        }
        let events = self.tail.as_mut().and_then(|tail| tail.next_events().ok());
        for event in events.into_iter().flatten() {
            if let (Some(change), Some(stack)) = (change(&event), event.subject.stack.clone()) {
                let known = self.changes.entry(stack).or_default();
                known.push_back(change);
                if known.len() > CHANGES_MAX {
                    known.pop_front();
                }
            }
        }
        let mut goings_on = BTreeMap::new();
        for wanted in wanted {
            let changes = self.changes.get(&wanted.name).into_iter().flatten().cloned().collect();
            let deploys = wanted
                .deploys
                .iter()
                .map(|deploying| self.with_services(&wanted.name, deploying));
            let deploys = deploys.collect();
            goings_on.insert(wanted.name.to_string(), GoingsOn { changes, deploys });
        }
        let names: BTreeSet<(&StackName, &str)> = wanted
            .iter()
            .flat_map(|wanted| {
                wanted
                    .deploys
                    .iter()
                    .map(|deploying| (&wanted.name, deploying.name.as_str()))
            })
            .collect();
        self.services
            .retain(|(stack, name), _| names.contains(&(stack, name.as_str())));
        goings_on
    }

    /// A deployment that ended changed what it changed while it ran.
    fn with_services(&mut self, stack: &StackName, deploying: &Deploying) -> Deploying {
        let known = self
            .services
            .entry((stack.clone(), deploying.name.clone()))
            .or_default();
        known.extend(deploying.services.iter().cloned());
        Deploying {
            services: known.clone(),
            ..deploying.clone()
        }
    }
}

fn filter() -> Filter {
    let kinds = [
        Kind::DeployStarted,
        Kind::DeployFinished,
        Kind::StackApplied,
        Kind::ConfigTaken,
        Kind::SecretRotated,
        Kind::ServiceRestarted,
        Kind::ServiceScaled,
        Kind::MaintenanceBegun,
        Kind::MaintenanceEnded,
    ];
    Filter {
        since: Some(Wall(crate::daemon::now().wall.0.saturating_sub(LOOK_BACK_MS))),
        kinds: kinds.into_iter().map(KindPattern::Exactly).collect(),
        ..Filter::default()
    }
}

/// Returns what an event changed; nothing where it was no change.
fn change(event: &Event) -> Option<Change> {
    let (data, subject) = (&event.data, &event.subject);
    let number = |key: &str| data[key].as_u64();
    let service = subject.service.as_ref().map_or_else(String::new, ToString::to_string);
    let of = match event.kind {
        Kind::DeployStarted => format!("release {}", number("release")?),
        // That one ended as it should is no news.
        Kind::DeployFinished if data["result"] == "undone" => format!("release {} undone", number("release")?),
        Kind::StackApplied | Kind::ConfigTaken => format!("revision {}", number("revision")?),
        Kind::SecretRotated => data["name"].as_str()?.to_owned(),
        // By hand: what supervision does by itself comes of a fault, and is none.
        Kind::ServiceRestarted if matches!(event.principal, Principal::Person { .. }) => service,
        Kind::ServiceScaled => format!("{service} {} → {}", number("from")?, number("to")?),
        Kind::MaintenanceBegun | Kind::MaintenanceEnded => service,
        _ => return None,
    };
    Some(Change {
        at: i64::try_from(event.at.0).ok()?,
        kind: event.kind.as_str().to_owned(),
        of,
        by: event.principal.to_string(),
    })
}
