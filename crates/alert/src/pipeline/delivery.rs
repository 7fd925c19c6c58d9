//! Deliveries on their way: tried, tried again, confirmed, or given up until the next flush of their group writes them anew.
//!
//! Owns pauses between tries and how many a receiver is sent in a minute. Does not know what a delivery says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_base::{Backoff, Fnv64};
use tend_promql::Timestamp;

use crate::alert::Alert;
use crate::change::Change;
use crate::config::{Integration, Kind};

/// How fast things are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Pauses between tries.
    pub backoff: Backoff,
    /// Milliseconds after which a delivery that nothing is heard of counts as failed.
    pub timeout: i64,
}

impl Default for Pace {
    /// Pauses of 1 s to 1 min, half a minute for an answer.
    fn default() -> Self {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            max: Duration::from_secs(60),
        };
        Self {
            backoff,
            timeout: 30_000,
        }
    }
}

/// Something to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its name: the same for each try, also after a restart, until it was confirmed. A receiver that can, tells repetitions by it.
    pub id: u64,
    /// To whom.
    pub receiver: String,
    /// By which of his means, by its place.
    pub integration: usize,
    /// What the group is known by, as in Alertmanager's JSON.
    pub group_key: String,
    /// The labels that the group has in common.
    pub group_labels: BTreeMap<String, String>,
    /// What to tell, by fingerprint.
    pub alerts: Vec<Alert>,
    /// What changed before those that fire began, by fingerprint.
    pub changes: BTreeMap<u64, Vec<Change>>,
    /// The moment it tells of; milliseconds since 1970.
    pub at: Timestamp,
    /// Why it is told.
    pub why: Why,
    /// How often it was tried before.
    pub attempt: u32,
}

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// Something is new.
    News,
    /// Nothing is new, and it lasts.
    Repeat,
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The other side confirmed it.
    Confirmed,
    /// It did not get there, or the other side could not take it now.
    Failed {
        /// What was heard.
        said: String,
        /// Milliseconds after which the other side wants to be asked again.
        after: Option<i64>,
    },
    /// The other side will not take it, however often it is tried: a wrong key, a group that is gone.
    Refused {
        /// What was heard.
        said: String,
    },
}

/// A delivery that was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its name.
    pub id: u64,
    /// To whom.
    pub receiver: String,
    /// By which of his means.
    pub integration: usize,
    /// Of which group.
    pub group_key: String,
    /// When; milliseconds since 1970.
    pub at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// What was heard last.
    pub said: String,
}

/// The name of a delivery: what is told to whom, after how many that were confirmed.
pub(super) fn name(key: &str, count: u64, firing: &BTreeSet<u64>, resolved: &BTreeSet<u64>) -> u64 {
    let mut hash = Fnv64::default();
    hash.bytes(key.as_bytes());
    hash.number(count);
    for (set, mark) in [(firing, 1), (resolved, 2)] {
        hash.number(mark);
        for key in set {
            hash.bytes(&key.to_le_bytes());
        }
    }
    hash.value()
}

/// By which of whose means.
fn means(delivery: &Delivery) -> (String, usize) {
    (delivery.receiver.clone(), delivery.integration)
}

/// A delivery and what it will have told.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) key: String,
    pub(super) delivery: Delivery,
    /// By which means, which says how many a minute it takes.
    kind: Kind,
    pub(super) firing: BTreeSet<u64>,
    pub(super) resolved: BTreeSet<u64>,
    stage: Stage,
    /// It was in somebody's hands when the configuration changed: its answer counts, and it is not tried again as it is.
    pub(super) reloaded: bool,
    /// By which means it was sent, where the configuration changed since.
    means: Option<Integration>,
    /// Whether its answer says something of the means that the receiver has now.
    pub(super) counts: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Not before this moment.
    Waiting(Timestamp),
    /// Handed out; an answer is expected until this moment.
    Handed(Timestamp),
    /// Refused: nothing more until it is written anew.
    Refused,
}

/// What is on its way: one delivery for each group and means.
#[derive(Debug)]
pub(super) struct Outgoing {
    pace: Pace,
    sent: BTreeMap<String, Sent>,
    /// When each means was last sent something, the latest last.
    times: BTreeMap<(String, usize), VecDeque<Timestamp>>,
    /// Groups, by their keys, that have to be looked at again, and when.
    again: Vec<(String, Timestamp)>,
}

impl Outgoing {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            sent: BTreeMap::new(),
            times: BTreeMap::new(),
            again: Vec::new(),
        }
    }

    /// The configuration changed. What is in somebody's hands stays there: its answer says what the receiver knows, unless that has other means now,
    /// and until it is there nothing else is said by that means. The rest is written anew by its group, when it would have been tried.
    pub(super) fn reload<'a>(
        &mut self,
        before: impl Fn(&Delivery) -> Option<&'a Integration>,
        now: impl Fn(&Delivery) -> Option<&'a Integration>,
    ) {
        for (key, mut sent) in std::mem::take(&mut self.sent) {
            let again = match sent.stage {
                Stage::Handed(_) => {
                    sent.reloaded = true;
                    sent.means = sent.means.or_else(|| before(&sent.delivery).cloned());
                    // A receiver that is gone may come back with the same means.
                    sent.counts = now(&sent.delivery).is_none_or(|now| Some(now) == sent.means.as_ref());
                    self.sent.insert(key, sent);
                    continue;
                }
                Stage::Waiting(until) => until,
                // What was refused may be taken now.
                Stage::Refused => Timestamp::MIN,
            };
            self.again.push((sent.delivery.group_key, again));
        }
    }

    /// Which groups have to be looked at again, each with the moment from which on.
    pub(super) fn take_again(&mut self) -> Vec<(String, Timestamp)> {
        std::mem::take(&mut self.again)
    }

    /// The clock was set back by so many milliseconds: nothing waits for longer because of that.
    pub(super) fn set_back(&mut self, by: i64) {
        for sent in self.sent.values_mut() {
            if let Stage::Waiting(until) | Stage::Handed(until) = &mut sent.stage {
                *until -= by;
            }
        }
        for at in self.times.values_mut().flatten() {
            *at -= by;
        }
    }

    /// Whether a means is in use by what was sent before the configuration changed.
    fn is_busy(&self, delivery: &Delivery) -> bool {
        let mut reloaded = self.sent.values().filter(|sent| sent.reloaded);
        reloaded.any(|sent| means(&sent.delivery) == means(delivery))
    }

    /// Puts a delivery on its way; it takes the place of one that was not confirmed. One that is in somebody's hands is let be: its answer comes, or
    /// its time runs out, before the next flush.
    pub(super) fn put(
        &mut self,
        (key, kind): (String, Kind),
        mut delivery: Delivery,
        firing: BTreeSet<u64>,
        resolved: BTreeSet<u64>,
        now: Timestamp,
    ) {
        let mut stage = Stage::Waiting(now);
        if let Some(before) = self.sent.get(&key) {
            match before.stage {
                Stage::Handed(_) => return,
                // The pause that it has to wait goes on; what it says is new.
                Stage::Waiting(until) => {
                    stage = Stage::Waiting(until);
                    delivery.attempt = before.delivery.attempt;
                }
                Stage::Refused => delivery.attempt = before.delivery.attempt,
            }
        }
        self.sent.insert(
            key.clone(),
            Sent {
                key,
                delivery,
                kind,
                firing,
                resolved,
                stage,
                reloaded: false,
                means: None,
                counts: true,
            },
        );
    }

    /// Takes back what need not be told any more, unless it is in somebody's hands.
    pub(super) fn cancel(&mut self, key: &str) {
        if self
            .sent
            .get(key)
            .is_some_and(|sent| !matches!(sent.stage, Stage::Handed(_)))
        {
            self.sent.remove(key);
        }
    }

    /// What was not confirmed.
    pub(super) fn on_their_way(&self) -> impl Iterator<Item = &Sent> {
        self.sent.values()
    }

    /// When something can be handed out, or its time for an answer is over.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let moment = |sent: &Sent| match sent.stage {
            // The end of what keeps it waiting comes first.
            Stage::Waiting(_) if self.is_busy(&sent.delivery) => None,
            Stage::Waiting(until) => Some(until.max(self.free_at(sent))),
            Stage::Handed(until) => Some(until),
            Stage::Refused => None,
        };
        self.sent.values().filter_map(moment).min()
    }

    /// From when on a means may be sent something.
    fn free_at(&self, sent: &Sent) -> Timestamp {
        let Some(per_minute) = sent.kind.per_minute() else {
            return Timestamp::MIN;
        };
        let times = self.times.get(&means(&sent.delivery));
        let oldest = times
            .filter(|times| times.len() >= per_minute)
            .and_then(|times| times.front());
        oldest.map_or(Timestamp::MIN, |oldest| oldest + 60_000)
    }

    /// Hands out what is due, each with what it is kept under and which alerts it says to fire.
    pub(super) fn take(&mut self, now: Timestamp) -> Vec<(String, BTreeSet<u64>, Delivery)> {
        let mut due: Vec<(Timestamp, String)> = self
            .sent
            .values()
            .filter_map(|sent| match sent.stage {
                Stage::Waiting(until) if until <= now => Some((sent.delivery.at, sent.key.clone())),
                _ => None,
            })
            .collect();
        // The oldest first, where a means is sent no more than so many.
        due.sort();
        let mut out = Vec::new();
        for (_, key) in due {
            let Some(sent) = self.sent.get(&key) else { continue };
            if self.free_at(sent) > now || self.is_busy(&sent.delivery) {
                continue;
            }
            if let Some(per_minute) = sent.kind.per_minute() {
                let times = self.times.entry(means(&sent.delivery)).or_default();
                times.push_back(now);
                while times.len() > per_minute {
                    times.pop_front();
                }
            }
            if let Some(sent) = self.sent.get_mut(&key) {
                sent.stage = Stage::Handed(now.saturating_add(self.pace.timeout));
                out.push((key, sent.firing.clone(), sent.delivery.clone()));
            }
        }
        out
    }

    /// What is on its way under a name.
    pub(super) fn of(&self, id: u64) -> Option<&Sent> {
        self.sent.values().find(|sent| sent.delivery.id == id)
    }

    /// Takes in an answer; what was confirmed, when it was.
    pub(super) fn answered(
        &mut self,
        (id, attempt): (u64, Option<u32>),
        answer: &Answer,
        now: Timestamp,
        dead: &mut VecDeque<DeadLetter>,
    ) -> Option<Sent> {
        let sent = self.of(id)?;
        let is_of_now = attempt.is_none_or(|attempt| attempt == sent.delivery.attempt);
        if !is_of_now && *answer != Answer::Confirmed {
            return None;
        }
        let key = sent.key.clone();
        match answer {
            // A late answer of an earlier try confirms as well: it is the same message.
            Answer::Confirmed => {
                let sent = self.sent.remove(&key);
                // Its group may have had something to say meanwhile.
                let again = sent.iter().filter(|sent| sent.reloaded);
                (self.again).extend(again.map(|sent| (sent.delivery.group_key.clone(), now)));
                return sent;
            }
            Answer::Failed { said, after } => self.failed(&key, said, *after, now, dead),
            Answer::Refused { said } => {
                if let Some(sent) = self.sent.get_mut(&key) {
                    sent.delivery.attempt += 1;
                    sent.stage = Stage::Refused;
                    dead.push_back(letter(sent, said, now));
                    if sent.reloaded {
                        self.sent.remove(&key);
                    }
                }
            }
        }
        None
    }

    /// What nothing was heard of in time has failed.
    pub(super) fn give_up_waiting(&mut self, now: Timestamp, dead: &mut VecDeque<DeadLetter>) {
        let silent: Vec<String> = self
            .sent
            .values()
            .filter(|sent| matches!(sent.stage, Stage::Handed(until) if until <= now))
            .map(|sent| sent.key.clone())
            .collect();
        for key in silent {
            self.failed(&key, "no answer came in time", None, now, dead);
        }
    }

    fn failed(&mut self, key: &str, said: &str, after: Option<i64>, now: Timestamp, dead: &mut VecDeque<DeadLetter>) {
        let backoff = self.pace.backoff;
        let Some(sent) = self
            .sent
            .get_mut(key)
            .filter(|sent| matches!(sent.stage, Stage::Handed(_)))
        else {
            return;
        };
        sent.delivery.attempt += 1;
        let pause = backoff.delay(sent.delivery.attempt, sent.delivery.id);
        let pause = i64::try_from(pause.as_millis())
            .unwrap_or(i64::MAX)
            .max(after.unwrap_or(0))
            .max(1);
        sent.stage = Stage::Waiting(now.saturating_add(pause));
        let (is_reloaded, group_key) = (sent.reloaded, sent.delivery.group_key.clone());
        // It goes on being tried; people see that it is, once in so many tries.
        if sent.delivery.attempt.is_power_of_two() && sent.delivery.attempt >= 4 {
            dead.push_back(letter(sent, said, now));
        }
        if is_reloaded {
            self.sent.remove(key);
            self.again.push((group_key, now.saturating_add(pause)));
        }
    }
}

fn letter(sent: &Sent, said: &str, now: Timestamp) -> DeadLetter {
    DeadLetter {
        id: sent.delivery.id,
        receiver: sent.delivery.receiver.clone(),
        integration: sent.delivery.integration,
        group_key: sent.delivery.group_key.clone(),
        at: now,
        tries: sent.delivery.attempt,
        said: said.to_owned(),
    }
}
