//! Who takes care of an alert, and what became of it: acknowledged, assigned, told, resolved, each with its time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use tend_promql::Timestamp;

use crate::change::{Change, before};
use crate::pipeline::{Answer, Held};

/// Alerts that are over and still told about.
const PAST_MAX: usize = 2000;
/// Things that are remembered of one alert.
const MARKS_MAX: usize = 200;

/// One alert from its beginning to its end. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// Which alert.
    pub fingerprint: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// Who said he knows of it, and when; the first who did.
    pub acknowledged: Option<(String, Timestamp)>,
    /// Whose it is.
    pub owner: Option<String>,
    /// What happened, in order.
    pub marks: Vec<Mark>,
    /// What changed in the half hour before it began; the latest few, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Which deployment held it back, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// Something that happened to an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A receiver confirmed that it was told.
    Told {
        /// Which.
        receiver: String,
        /// By which means; empty where nobody said.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        means: String,
        /// What it answered.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        said: String,
        /// Whether it was told that it is over.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ended: bool,
    },
    /// A receiver could not be told. Of tries in a row the last is kept.
    Untold {
        /// Which.
        receiver: String,
        /// By which means.
        means: String,
        /// What was heard.
        said: String,
        /// How often it was tried since it was last told.
        tries: u32,
    },
    /// Somebody said he knows.
    Acknowledged {
        /// Who.
        by: String,
        /// In which words.
        note: String,
    },
    /// It was given to somebody.
    Assigned {
        /// By whom.
        by: String,
        /// To whom.
        to: String,
    },
}

impl Episode {
    fn mark(&mut self, at: Timestamp, what: What) {
        if self.marks.len() < MARKS_MAX {
            self.marks.push(Mark { at, what });
        }
    }

    /// Returns for how long nobody had said that he knows, in milliseconds; nothing while nobody has.
    #[must_use]
    pub fn time_to_acknowledge(&self) -> Option<i64> {
        self.acknowledged.as_ref().map(|(_, at)| at - self.started_at)
    }

    /// Returns how long it took until somebody was told, in milliseconds.
    #[must_use]
    pub fn time_to_tell(&self) -> Option<i64> {
        let told = self.marks.iter().find(|mark| matches!(mark.what, What::Told { .. }));
        told.map(|mark| mark.at - self.started_at)
    }

    /// Returns how long it lasted, in milliseconds; nothing while it lasts.
    #[must_use]
    pub fn time_to_resolve(&self) -> Option<i64> {
        self.resolved_at.map(|at| at - self.started_at)
    }
}

/// What is known of all alerts beside the alerts themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Care {
    /// Those that last, by fingerprint.
    pub open: BTreeMap<u64, Episode>,
    /// Those that are over, the latest last.
    pub past: VecDeque<Episode>,
}

impl Care {
    pub(crate) fn begin(
        &mut self,
        fingerprint: u64,
        labels: &BTreeMap<String, String>,
        at: Timestamp,
        changes: &[Change],
    ) {
        self.open.entry(fingerprint).or_insert_with(|| Episode {
            fingerprint,
            labels: labels.clone(),
            started_at: at,
            resolved_at: None,
            acknowledged: None,
            owner: None,
            marks: Vec::new(),
            changes: before(changes, at),
            held: None,
        });
    }

    /// Takes in what changed: who heard of it after an alert had begun tells it with that alert all the same.
    pub(crate) fn changed(&mut self, changes: &[Change]) {
        for episode in self.open.values_mut() {
            let mut all = episode.changes.clone();
            all.extend_from_slice(changes);
            episode.changes = before(&all, episode.started_at);
        }
    }

    /// Notes how telling a receiver ended. What is over and was told so may be among the past.
    pub(crate) fn heard(
        &mut self,
        (firing, resolved): (&BTreeSet<u64>, &BTreeSet<u64>),
        (receiver, means, said): (&str, &str, &str),
        answer: &Answer,
        at: Timestamp,
    ) {
        for (key, ended) in firing
            .iter()
            .map(|key| (key, false))
            .chain(resolved.iter().map(|key| (key, true)))
        {
            let mut past = self.past.iter_mut().rev();
            let open = self.open.get_mut(key).filter(|_| !ended);
            let Some(episode) = open.or_else(|| past.find(|episode| episode.fingerprint == *key)) else {
                continue;
            };
            let what = match answer {
                Answer::Confirmed => What::Told {
                    receiver: receiver.to_owned(),
                    means: means.to_owned(),
                    said: said.to_owned(),
                    ended,
                },
                Answer::Failed { said, .. } | Answer::Refused { said } => {
                    let last = episode.marks.last_mut().and_then(|mark| match &mut mark.what {
                        What::Untold {
                            receiver: to,
                            means: by,
                            tries,
                            ..
                        } if to == receiver && by == means => Some(*tries),
                        _ => None,
                    });
                    if last.is_some() {
                        episode.marks.pop();
                    }
                    What::Untold {
                        receiver: receiver.to_owned(),
                        means: means.to_owned(),
                        said: said.clone(),
                        tries: last.unwrap_or(0) + 1,
                    }
                }
            };
            episode.mark(at, what);
        }
    }

    pub(crate) fn end(&mut self, fingerprint: u64, at: Timestamp) {
        if let Some(mut episode) = self.open.remove(&fingerprint) {
            episode.resolved_at = Some(at);
            self.past.push_back(episode);
            if self.past.len() > PAST_MAX {
                self.past.pop_front();
            }
        }
    }

    /// Adds what happened; whether the alert lasts.
    pub(crate) fn mark(&mut self, fingerprint: u64, at: Timestamp, what: What) -> bool {
        let Some(episode) = self.open.get_mut(&fingerprint) else {
            return false;
        };
        match &what {
            What::Acknowledged { by, .. } if episode.acknowledged.is_none() => {
                episode.acknowledged = Some((by.clone(), at));
            }
            What::Assigned { to, .. } => episode.owner = Some(to.clone()),
            _ => {}
        }
        episode.mark(at, what);
        true
    }

    pub(crate) fn acknowledged(&self, fingerprint: u64) -> bool {
        self.open
            .get(&fingerprint)
            .is_some_and(|episode| episode.acknowledged.is_some())
    }
}
