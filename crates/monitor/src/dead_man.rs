//! The dead man of one stack: the rule that the watchdog stands on, signs of life and what the journal hears of them. What it decides is decided
//! in `tend-alert`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tend_alert::{
    Answer, ChainProof, Delivery, Element, Heartbeat as Schedule, KeptProof, Language, Missing, Posted, Proof,
    RuleFile, read_rules, watchdog_interval,
};
use tend_notify::{Beat, Heard};
use tend_rules::{Evaluated, Source};

use crate::snapshot::Heartbeat;
use crate::view::STACK;

/// What the file of our own rule is called. No path is called so.
const FILE: &str = "tend";

/// The series that says when a target of the stack, or the machine itself, last answered; seconds since 1970.
const SCRAPED: &str = "tend_scraped_timestamp_seconds";

/// What outlives a kill.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    proof: KeptProof,
    beat: Option<i64>,
    goes: Option<bool>,
    taken: Option<bool>,
}

/// The dead man of a stack that wants one.
#[derive(Debug)]
pub(crate) struct DeadMan {
    settings: Heartbeat,
    beat: Option<Beat>,
    proof: ChainProof,
    schedule: Schedule,
    /// Whether the journal was told that signs of life go out, or that they do not.
    goes: Option<bool>,
    /// Whether the last one was taken.
    taken: Option<bool>,
}

/// What a moment brought.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// To be sent now.
    pub(crate) beat: Option<Beat>,
    /// To be posted.
    pub(crate) posted: Option<Posted>,
    /// For the journal: kind and data.
    pub(crate) note: Option<(&'static str, Value)>,
}

impl DeadMan {
    /// Begins, or goes on from what was kept; says what cannot be done.
    pub(crate) fn new(settings: &Heartbeat, kept: Option<Kept>, now: i64) -> (Self, Option<String>) {
        let kept = kept.unwrap_or_default();
        let (beat, wrong) = match Beat::new(&settings.url.0) {
            Ok(beat) => (Some(beat), None),
            Err(error) => (
                None,
                Some(format!("`alerts.heartbeat.url`: {}", tend_base::with_causes(&error))),
            ),
        };
        let proof = ChainProof::new(
            settings.proven_within_ms,
            settings.watchdog.clone(),
            Some(kept.proof),
            now,
        );
        let dead_man = Self {
            settings: settings.clone(),
            beat,
            proof,
            schedule: Schedule::new(settings.every_ms, kept.beat),
            goes: kept.goes,
            taken: kept.taken,
        };
        (dead_man, wrong)
    }

    pub(crate) fn settings(&self) -> &Heartbeat {
        &self.settings
    }

    pub(crate) fn kept(&self) -> Kept {
        Kept {
            proof: self.proof.kept().clone(),
            beat: self.schedule.last(),
            goes: self.goes,
            taken: self.taken,
        }
    }

    /// The rule that the watchdog stands on.
    pub(crate) fn rules(settings: &Heartbeat) -> Source {
        let seconds = (watchdog_interval(settings.proven_within_ms) + 999) / 1000;
        // `timestamp` gives the time of a sample only of a selector as it stands.
        let text = format!(
            "groups: [{{name: dead man, interval: {seconds}s, rules: [{{record: {SCRAPED}, expr: 'max(timestamp(up) and up == 1)'}}]}}]"
        );
        let read: RuleFile = read_rules(Path::new(FILE), &text).expect("invariant: our own rule can be read");
        Source {
            file: FILE.to_owned(),
            groups: read.groups,
        }
    }

    /// Takes in what a group of rules gave; returns the watchdog where that is ours and a target answered lately.
    pub(crate) fn evaluated(&mut self, stack: &str, file: &str, at: i64, evaluated: &Evaluated) -> Option<Posted> {
        if file != FILE || evaluated.fared.iter().any(|fared| fared.error.is_some()) {
            return None;
        }
        let scraped = evaluated
            .series
            .iter()
            .find(|element| element.labels.get("__name__") == SCRAPED);
        self.proof
            .evaluated(at, scraped.map(milliseconds))
            .map(|posted| of_stack(posted, stack))
    }

    pub(crate) fn answered(&mut self, delivery: &Delivery, answer: &Answer, now: i64) {
        self.proof.answered(delivery, answer, now);
    }

    /// When it has something to do, unless something comes in before.
    pub(crate) fn next(&self, now: i64) -> i64 {
        self.schedule.next(now)
    }

    /// Does what is due at this moment.
    pub(crate) fn tick(&mut self, stack: &str, owed: &BTreeMap<String, i64>, language: Language, now: i64) -> Due {
        let proof = self.proof.standing(owed, now);
        let mut due = Due {
            posted: (self.proof.post(&proof, language, now)).map(|posted| of_stack(posted, stack)),
            ..Due::default()
        };
        if self.schedule.due(now, &proof) {
            due.beat.clone_from(&self.beat);
        }
        match proof {
            // That they go out is told when the first was taken.
            Proof::Proven { .. } if self.goes != Some(true) => (self.goes, self.taken) = (Some(true), None),
            Proof::Unproven { missing, .. } if self.goes != Some(false) => {
                self.goes = Some(false);
                due.note = Some(("heartbeat.stopped", told(&missing)));
            }
            _ => {}
        }
        due
    }

    /// Takes in how a sign of life ended; returns what the journal is to hear: what is as it was is not told again.
    pub(crate) fn heard(&mut self, heard: &Heard) -> Option<(&'static str, Value)> {
        let taken = heard.answer == Answer::Confirmed;
        if self.taken == Some(taken) {
            return None;
        }
        self.taken = Some(taken);
        let kind = if taken { "heartbeat.sent" } else { "heartbeat.failed" };
        Some((kind, json!({ "where": heard.at, "said": heard.said })))
    }
}

fn told(missing: &Missing) -> Value {
    json!({
        "link": missing.link.word(),
        "receivers": missing.receivers,
        "last": missing.last.map(|last| tend_base::Wall(last.unsigned_abs()).to_rfc3339()),
    })
}

fn of_stack(mut posted: Posted, stack: &str) -> Posted {
    posted.labels.insert(STACK.to_owned(), stack.to_owned());
    posted
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of a time; it saturates")]
fn milliseconds(element: &Element) -> i64 {
    (element.value * 1000.0) as i64
}

/// What a set of receivers is called that there is not.
pub(crate) fn unknown(unknown: &[String], known: &BTreeSet<&str>) -> Option<String> {
    if unknown.is_empty() {
        return None;
    }
    let known: Vec<&str> = known.iter().copied().collect();
    Some(format!(
        "`alerts.heartbeat.watchdog`: nobody can be told who is called {}; there are: {}",
        unknown.join(", "),
        known.join(", ")
    ))
}
