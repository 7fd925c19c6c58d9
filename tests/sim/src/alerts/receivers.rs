//! What receivers know, kept apart from the pipeline, and the rules that look at single messages.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tend_alert::{Alert, Config, Delivery, Why};

use crate::invariants::Violation;
use crate::random::Random;

/// After a jump of the clock, what was under way before and given up too early is heard of for so long; milliseconds.
const GIVEN_UP: i64 = 30_000;

/// A means of a receiver.
type To = (String, usize);

/// An alert by its labels `g` and `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) group: u64,
    instance: u64,
}

impl Name {
    pub(super) fn any(random: &mut Random) -> Self {
        Self {
            group: random.number(0..4),
            instance: random.number(0..3),
        }
    }

    pub(super) fn of(alert: &Alert) -> Self {
        let number = |label: &str| alert.label(label).parse().unwrap_or(u64::MAX);
        Self {
            group: number("g"),
            instance: number("i"),
        }
    }

    /// The first of each group is.
    pub(super) fn is_critical(self) -> bool {
        self.instance == 0
    }

    pub(super) fn labels(self, hides: bool) -> BTreeMap<String, String> {
        let severity = if self.is_critical() && !hides {
            "critical"
        } else {
            "warning"
        };
        let mut labels = BTreeMap::from([
            ("g".to_owned(), self.group.to_string()),
            ("i".to_owned(), self.instance.to_string()),
            ("severity".to_owned(), severity.to_owned()),
        ]);
        // What a deployment holds back: all that names no service, and what names one that it changes.
        match self.group {
            0 => drop(labels.insert("service".to_owned(), "api".to_owned())),
            1 => drop(labels.insert("service".to_owned(), "other".to_owned())),
            _ => {}
        }
        labels
    }
}

/// What a means knows of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    Fires,
    Ended,
    /// It is not told of it any more, by the configuration.
    Excused,
}

/// What was last said of a group to a means, and confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    firing: BTreeSet<Name>,
    resolved: BTreeSet<Name>,
    /// Whether nothing happened since that makes it right to say it again.
    holds: bool,
}

#[derive(Default)]
pub(super) struct Receivers {
    known: BTreeMap<(To, Name), Known>,
    said: BTreeMap<(To, String), Said>,
    /// Who fails, and until when.
    failing: BTreeMap<To, i64>,
    /// When the clock jumped: a message that was sent before may be given up too early.
    jumped_at: Option<i64>,
    /// Which groups are silenced, by the wall clock.
    silenced: Vec<(u64, Range<i64>)>,
}

fn to(delivery: &Delivery) -> To {
    (delivery.receiver.clone(), delivery.integration)
}

fn content(delivery: &Delivery) -> Said {
    let (resolved, firing): (Vec<&Alert>, Vec<&Alert>) =
        delivery.alerts.iter().partition(|alert| alert.resolved(delivery.at));
    let names = |alerts: Vec<&Alert>| alerts.into_iter().map(Name::of).collect();
    Said {
        firing: names(firing),
        resolved: names(resolved),
        holds: true,
    }
}

impl Receivers {
    /// A receiver is told.
    pub(super) fn take(&mut self, delivery: &Delivery) {
        let said = content(delivery);
        for name in said.firing {
            self.known.insert((to(delivery), name), Known::Fires);
        }
        for name in said.resolved {
            self.known.insert((to(delivery), name), Known::Ended);
        }
    }

    pub(super) fn knows(&self, receiver: &str, index: usize, name: Name) -> Known {
        let key = ((receiver.to_owned(), index), name);
        self.known.get(&key).copied().unwrap_or(Known::Nothing)
    }

    /// The rules that a single message has to keep.
    pub(super) fn may_be_sent<'a>(
        &mut self,
        delivery: &Delivery,
        mut under_way: impl Iterator<Item = (&'a Delivery, i64)>,
        wall: i64,
    ) -> Result<(), Violation> {
        let same = |(other, sent): (&Delivery, i64)| {
            let is_fresh = self.jumped_at.is_none_or(|at| sent > at + GIVEN_UP);
            is_fresh && to(other) == to(delivery) && other.group_key == delivery.group_key
        };
        if under_way.any(same) {
            return Err(Violation::new(
                "one_message_of_a_group_at_a_time",
                format!(
                    "{:?} of {} while another is under way",
                    to(delivery),
                    delivery.group_key
                ),
            ));
        }
        let said = content(delivery);
        let mut written_now = delivery.alerts.iter().filter(|_| delivery.at == wall);
        let is_silenced = |group: u64| {
            let mut silenced = self.silenced.iter();
            silenced.any(|(silenced, when)| *silenced == group && when.contains(&wall))
        };
        if let Some(alert) = written_now.find(|alert| is_silenced(Name::of(alert).group)) {
            return Err(Violation::new(
                "what_is_kept_quiet_is_not_told",
                format!("{:?}", alert.labels),
            ));
        }
        let before = self.said.get(&(to(delivery), delivery.group_key.clone()));
        if delivery.why == Why::News && before == Some(&said) {
            return Err(Violation::new(
                "what_was_confirmed_is_not_told_again",
                format!("{:?} of {}: {said:?}", to(delivery), delivery.group_key),
            ));
        }
        Ok(())
    }

    /// Something is under way: until it is confirmed, nobody knows what is known.
    pub(super) fn sent(&mut self, delivery: &Delivery) {
        self.said.remove(&(to(delivery), delivery.group_key.clone()));
    }

    /// The monitor heard how it ended, and kept that.
    pub(super) fn answered(&mut self, delivery: &Delivery, sent: i64, confirmed: bool) {
        if confirmed && self.jumped_at.is_none_or(|at| sent > at + GIVEN_UP) {
            self.said
                .insert((to(delivery), delivery.group_key.clone()), content(delivery));
        }
    }

    /// An alert began or ended: what was said of it may be said again.
    pub(super) fn changed(&mut self, name: Name) {
        for said in self.said.values_mut() {
            said.holds &= !(said.firing.contains(&name) || said.resolved.contains(&name));
        }
    }

    /// A group is silenced for a while.
    pub(super) fn silenced(&mut self, group: u64, when: Range<i64>) {
        self.silenced.push((group, when));
    }

    /// All silences were ended.
    pub(super) fn unsilenced(&mut self) {
        self.silenced.clear();
    }

    /// All times are others: what lasted may have been taken for over.
    pub(super) fn jumped(&mut self, now: i64) {
        self.jumped_at = Some(now);
        self.said.clear();
    }

    /// Groups are others.
    pub(super) fn reloaded(&mut self) {
        self.said.clear();
    }

    /// Whom the configuration does not send an alert, need not be told of its end.
    pub(super) fn excuse(&mut self, config: &Config) {
        for (((receiver, _), name), known) in &mut self.known {
            if *known == Known::Fires && !config.receivers_of(&name.labels(false)).contains(&receiver.as_str()) {
                *known = Known::Excused;
            }
        }
    }

    /// Somebody fails for a while.
    pub(super) fn fail(&mut self, until: i64, random: &mut Random) {
        let who = random.pick(&[("one", 0), ("one", 1), ("two", 0)]);
        self.failing.insert((who.0.to_owned(), who.1), until);
    }

    /// How many of a thousand messages are taken now.
    pub(super) fn goodness(&self, delivery: &Delivery, now: i64, random: &mut Random) -> u64 {
        let fails = self.failing.get(&to(delivery)).is_some_and(|until| *until > now);
        if fails { random.number(0..300) } else { 930 }
    }
}
