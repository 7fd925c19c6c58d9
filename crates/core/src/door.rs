//! What people asked of a stack's routes beside its file: closed for maintenance, or paused. Outlives `tend up` and deploys, since
//! those are what a service is closed for.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tend_base::Wall;

use crate::model::{Prefix, ServiceName};

/// Clients see a page instead of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintenance {
    /// When it is expected to end; it does not end by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Wall>,
    /// What clients are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who is served all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Prefix>,
}

/// Requests wait until it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pause {
    /// A request waits at most so long, in milliseconds.
    pub wait_max_ms: u64,
    /// So many wait at once at each route.
    pub requests_max: u32,
}

/// What is asked of routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum DoorChange {
    /// Begin maintenance.
    Close(Maintenance),
    /// End it.
    Open,
    /// Let requests wait.
    Pause(Pause),
    /// Let them go on.
    Resume,
}

/// Something that was asked for, by whom and when.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AskedFor<T> {
    /// What.
    pub what: T,
    /// When.
    pub since: Wall,
    /// By whom, for people.
    pub by: String,
}

/// Whether routes are closed or paused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Door {
    /// They are closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<AskedFor<Maintenance>>,
    /// They are paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<AskedFor<Pause>>,
}

/// The doors of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Doors {
    /// Of all its routes.
    pub stack: Door,
    /// Of the routes to one service.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, Door>,
}

impl Doors {
    /// Returns what holds for the routes to a service: what was asked of it, else of the whole stack.
    #[must_use]
    pub fn of(&self, service: Option<&ServiceName>) -> Door {
        let own = service.and_then(|service| self.services.get(service));
        Door {
            maintenance: own
                .and_then(|door| door.maintenance.clone())
                .or_else(|| self.stack.maintenance.clone()),
            pause: own
                .and_then(|door| door.pause.clone())
                .or_else(|| self.stack.pause.clone()),
        }
    }

    /// Changes what holds for the routes to a service, or for all; what is ended for all is ended for each.
    pub fn change(&mut self, service: Option<&ServiceName>, change: &DoorChange, since: Wall, by: &str) {
        if service.is_none() && matches!(change, DoorChange::Open | DoorChange::Resume) {
            self.services
                .values_mut()
                .for_each(|door| door.change(change, since, by));
        }
        match service {
            None => self.stack.change(change, since, by),
            Some(service) => self
                .services
                .entry(service.clone())
                .or_default()
                .change(change, since, by),
        }
        self.services.retain(|_, door| *door != Door::default());
    }

    /// Returns, in words, what is closed or paused.
    #[must_use]
    pub fn lines(&self, stack: &str) -> Vec<String> {
        let services = self
            .services
            .iter()
            .map(|(name, door)| (format!("{stack}/{name}"), door));
        let mut lines = Vec::new();
        for (name, door) in std::iter::once((stack.to_owned(), &self.stack)).chain(services) {
            if let Some(AskedFor { what, since, by }) = &door.maintenance {
                let until = what
                    .until
                    .map_or_else(String::new, |until| format!(", until {}", until.to_rfc3339()));
                let message = what
                    .message
                    .as_ref()
                    .map_or_else(String::new, |text| format!(": {text}"));
                let since = since.to_rfc3339();
                lines.push(format!(
                    "{name} is in maintenance since {since} (by {by}{until}){message}"
                ));
            }
            if let Some(AskedFor { since, by, .. }) = &door.pause {
                lines.push(format!("{name} is paused since {} (by {by})", since.to_rfc3339()));
            }
        }
        lines
    }
}

impl Door {
    fn change(&mut self, change: &DoorChange, since: Wall, by: &str) {
        let by = by.to_owned();
        match change {
            DoorChange::Close(what) => {
                let what = what.clone();
                self.maintenance = Some(AskedFor { what, since, by });
            }
            DoorChange::Open => self.maintenance = None,
            DoorChange::Pause(what) => self.pause = Some(AskedFor { what: *what, since, by }),
            DoorChange::Resume => self.pause = None,
        }
    }
}

impl fmt::Display for DoorChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close(_) => "maintenance began",
            Self::Open => "maintenance ended",
            Self::Pause(_) => "its requests were paused",
            Self::Resume => "its requests were resumed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(message: &str) -> DoorChange {
        DoorChange::Close(Maintenance {
            message: Some(message.to_owned()),
            ..Maintenance::default()
        })
    }

    fn message(door: &Door) -> Option<&str> {
        door.maintenance.as_ref()?.what.message.as_deref()
    }

    #[test]
    fn a_service_has_its_own_door_within_that_of_its_stack() {
        let (api, worker): (ServiceName, ServiceName) = ("api".parse().unwrap(), "worker".parse().unwrap());
        let mut doors = Doors::default();
        doors.change(Some(&api), &closed("the api"), Wall(1), "ana");
        assert_eq!(message(&doors.of(Some(&api))), Some("the api"));
        assert_eq!(message(&doors.of(Some(&worker))), None);
        doors.change(None, &closed("all"), Wall(2), "ana");
        assert_eq!(message(&doors.of(Some(&api))), Some("the api"));
        assert_eq!(message(&doors.of(Some(&worker))), Some("all"));
        assert_eq!(message(&doors.of(None)), Some("all"));
        assert_eq!(doors.lines("mps").len(), 2);
        // One that is opened by itself is still behind the stack's.
        doors.change(Some(&api), &DoorChange::Open, Wall(3), "ana");
        assert_eq!(message(&doors.of(Some(&api))), Some("all"));
        doors.change(Some(&api), &closed("again"), Wall(3), "ana");
        doors.change(None, &DoorChange::Open, Wall(4), "ana");
        assert_eq!(doors, Doors::default());
    }

    #[test]
    fn a_pause_and_maintenance_are_two_things() {
        let mut doors = Doors::default();
        let pause = Pause {
            wait_max_ms: 1000,
            requests_max: 5,
        };
        doors.change(None, &DoorChange::Pause(pause), Wall(1), "ana");
        doors.change(None, &closed("all"), Wall(2), "ana");
        doors.change(None, &DoorChange::Open, Wall(3), "ana");
        assert_eq!(doors.of(None).pause.map(|pause| pause.what), Some(pause));
        doors.change(None, &DoorChange::Resume, Wall(4), "ana");
        assert_eq!(doors, Doors::default());
    }
}
