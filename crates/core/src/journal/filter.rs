//! Questions to the journal, as values. Knows no SQL: the store translates them, and a test there compares both.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tend_base::Wall;

use super::{Event, EventId, Kind, Principal};
use crate::model::{ServiceName, StackName};

/// Which events are asked for. The default asks for all, oldest first; each field set narrows it down.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Not before this time of day.
    pub since: Option<Wall>,
    /// Before this time of day.
    pub until: Option<Wall>,
    /// Of one of these kinds; any kind when empty.
    pub kinds: Vec<KindPattern>,
    /// About this stack or something in it.
    pub stack: Option<StackName>,
    /// About this service or something in it.
    pub service: Option<ServiceName>,
    /// About this replica.
    pub slot: Option<u32>,
    /// In the story of this event: what led to it, itself, and what it led to.
    pub story_of: Option<EventId>,
    /// Done by such a principal.
    pub principal: Option<PrincipalFilter>,
    /// With a number above this one: for following.
    pub after: Option<EventId>,
    /// With a number below this one: for paging back.
    pub before: Option<EventId>,
    /// At most so many.
    pub limit: Option<usize>,
    /// Newest first, and the newest ones when there is a limit.
    pub newest_first: bool,
}

/// One kind (`replica.exited`), or all kinds of a group (`replica.*`), or all kinds (`*`).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum KindPattern {
    /// Just this kind.
    Exactly(Kind),
    /// Every kind whose name starts with this; it ends with a dot, or is empty for all kinds.
    Group(String),
}

/// Which principals are meant.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalFilter {
    /// Any of a type: `person`, `daemon`, `rule`.
    Type(String),
    /// The person or rule of this name.
    Named(String),
}

impl From<&str> for KindPattern {
    fn from(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(group) if group.is_empty() || group.ends_with('.') => Self::Group(group.to_owned()),
            _ => Self::Exactly(text.into()),
        }
    }
}

impl From<String> for KindPattern {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<KindPattern> for String {
    fn from(pattern: KindPattern) -> Self {
        match pattern {
            KindPattern::Exactly(kind) => kind.into(),
            KindPattern::Group(group) => format!("{group}*"),
        }
    }
}

impl From<Kind> for KindPattern {
    fn from(kind: Kind) -> Self {
        Self::Exactly(kind)
    }
}

impl KindPattern {
    /// Tells whether a kind is meant.
    #[must_use]
    pub fn matches(&self, kind: &Kind) -> bool {
        match self {
            Self::Exactly(wanted) => wanted == kind,
            Self::Group(group) => kind.as_str().starts_with(group.as_str()),
        }
    }
}

impl PrincipalFilter {
    /// Tells whether a principal is meant.
    #[must_use]
    pub fn matches(&self, principal: &Principal) -> bool {
        match self {
            Self::Type(name) => principal.type_name() == name,
            Self::Named(name) => principal.name() == Some(name),
        }
    }
}

impl Filter {
    /// Asks for everything.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Narrows down to a kind or group of kinds; said more than once, any of them.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<KindPattern>) -> Self {
        self.kinds.push(kind.into());
        self
    }

    /// Narrows down to what came after an event.
    #[must_use]
    pub fn after(mut self, event: EventId) -> Self {
        self.after = Some(event);
        self
    }

    /// Asks for the newest `limit` events, newest first.
    #[must_use]
    pub fn newest(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self.newest_first = true;
        self
    }

    /// Tells whether an event is asked for, leaving aside limit, order and [`Filter::story_of`], which need the others.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let subject = &event.subject;
        self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.matches(&event.kind)))
            && (self.stack.is_none() || self.stack == subject.stack)
            && (self.service.is_none() || self.service == subject.service)
            && (self.slot.is_none() || self.slot == subject.slot)
            && self
                .principal
                .as_ref()
                .is_none_or(|wanted| wanted.matches(&event.principal))
            && self.after.is_none_or(|after| event.id > after)
            && self.before.is_none_or(|before| event.id < before)
    }

    /// Answers from events in memory, given oldest first: what the simulator has, and what the store is compared with.
    #[must_use]
    pub fn select(&self, events: &[Event]) -> Vec<Event> {
        let story = self.story_of.map(|id| story_of(id, events));
        let wanted =
            |event: &&Event| self.matches(event) && story.as_ref().is_none_or(|story| story.contains(&event.id));
        let limit = self.limit.unwrap_or(usize::MAX);
        if self.newest_first {
            events.iter().rev().filter(wanted).take(limit).cloned().collect()
        } else {
            events.iter().filter(wanted).take(limit).cloned().collect()
        }
    }
}

/// Returns an event, what led to it and what it led to. A cause always has the lower number, so one pass each way is enough.
fn story_of(id: EventId, events: &[Event]) -> BTreeSet<EventId> {
    let mut causes = BTreeSet::from([id]);
    for event in events.iter().rev() {
        if causes.contains(&event.id) {
            causes.extend(event.cause.filter(|cause| *cause < event.id));
        }
    }
    let mut effects = BTreeSet::from([id]);
    for event in events {
        if event
            .cause
            .is_some_and(|cause| cause < event.id && effects.contains(&cause))
        {
            effects.insert(event.id);
        }
    }
    causes.union(&effects).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Entry, GENESIS, Subject, chain};
    use tend_base::{Mono, Now};

    fn events() -> Vec<Event> {
        let kinds = [
            "stack.applied",
            "plan.created",
            "replica.started",
            "clock.jumped",
            "replica.exited",
        ];
        let causes = [None, Some(1), Some(2), None, Some(3)];
        let mut prev = GENESIS;
        (1..)
            .zip(kinds.into_iter().zip(causes))
            .map(|(seq, (kind, cause))| {
                let entry = Entry::new(Principal::Rule { name: "r".to_owned() }, kind.into())
                    .on(Subject {
                        slot: Some(u32::try_from(seq).unwrap()),
                        ..Subject::default()
                    })
                    .caused_by(cause.map(EventId));
                let now = Now {
                    mono: Mono(seq),
                    wall: Wall(seq * 10),
                };
                let event = chain(prev, entry, EventId(seq), now);
                prev = event.hash;
                event
            })
            .collect()
    }

    fn chosen(filter: &Filter) -> Vec<u64> {
        filter.select(&events()).iter().map(|event| event.id.0).collect()
    }

    #[test]
    fn each_field_narrows_the_answer() {
        let all = Filter::all();
        assert_eq!(chosen(&all), [1, 2, 3, 4, 5]);
        assert_eq!(
            chosen(&Filter {
                since: Some(Wall(20)),
                until: Some(Wall(40)),
                ..all.clone()
            }),
            [2, 3]
        );
        assert_eq!(chosen(&all.clone().kind("replica.*")), [3, 5]);
        assert_eq!(chosen(&all.clone().kind("replica.exited").kind("clock.jumped")), [4, 5]);
        assert_eq!(chosen(&all.clone().kind("*")), [1, 2, 3, 4, 5]);
        assert_eq!(
            chosen(&Filter {
                slot: Some(4),
                ..all.clone()
            }),
            [4]
        );
        assert_eq!(
            chosen(&Filter {
                story_of: Some(EventId(3)),
                ..all.clone()
            }),
            [1, 2, 3, 5]
        );
        assert_eq!(
            chosen(&Filter {
                story_of: Some(EventId(4)),
                ..all.clone()
            }),
            [4]
        );
        assert_eq!(
            chosen(&Filter {
                principal: Some(PrincipalFilter::Type("person".to_owned())),
                ..all.clone()
            }),
            [0; 0]
        );
        assert_eq!(
            chosen(&Filter {
                principal: Some(PrincipalFilter::Named("r".to_owned())),
                ..all.clone()
            })
            .len(),
            5
        );
        assert_eq!(chosen(&all.clone().after(EventId(3))), [4, 5]);
        assert_eq!(
            chosen(
                &Filter {
                    before: Some(EventId(3)),
                    ..all.clone()
                }
                .newest(1)
            ),
            [2]
        );
        assert_eq!(chosen(&all.newest(2)), [5, 4]);
    }

    #[test]
    fn patterns_are_read_as_they_are_written() {
        for text in ["replica.exited", "replica.*", "*", "odd*", "new.kind"] {
            assert_eq!(String::from(KindPattern::from(text)), text);
        }
        assert!(!KindPattern::from("replica.*").matches(&"replicas.x".into()));
    }
}
