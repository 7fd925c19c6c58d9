//! A group of rules as it stands: rules evaluated one after the other at one moment.
//!
//! Owns one evaluation of a group, and which series ended with it. Does not know other groups, but for what it is told of them.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tend_alert::{Element, Group, Posted};
use tend_base::with_causes;
use tend_promql::{EvalOptions, Labels, Matcher, STALE, Shared, Store, Timestamp};
use tend_template::World;

use crate::overlay::Overlay;
use crate::schedule::{Phase, Schedule};
use crate::standing::{Health, Standing, Step};
use crate::twin::Twin;

/// What an evaluation is made in.
pub struct Around<'a> {
    /// Where series are.
    pub store: &'a dyn Store,
    /// Time zones and the address that templates ask for; queries of templates go to the store.
    pub world: &'a mut dyn World,
    /// A watch that only goes forward, to say how long each rule took. It decides nothing.
    pub watch: &'a mut dyn FnMut() -> Duration,
}

/// How one rule fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fared {
    /// Its name.
    pub rule: String,
    /// Why it gave nothing, with all causes.
    pub error: Option<String>,
    /// What it is best to do then.
    pub hint: Option<String>,
}

/// What an evaluation of a group gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluated {
    /// The time of all samples, in milliseconds since 1970: that of the evaluation less the group's offset.
    pub time: Timestamp,
    /// Samples to be written, each series once.
    pub series: Vec<Element>,
    /// Series that were there and are not any more: a stale marker is to be written for each.
    pub ended: Vec<Labels>,
    /// What is to be posted to the pipeline of alerts.
    pub posted: Vec<Posted>,
    /// How each rule fared.
    pub fared: Vec<Fared>,
    /// Evaluations that were skipped since the one before.
    pub missed: u64,
}

/// A group, and what it keeps.
#[derive(Debug)]
pub struct StandingGroup {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) limit: u64,
    pub(crate) offset: i64,
    pub(crate) schedule: Schedule,
    /// The slot it was last evaluated in, or the one it came into being in.
    pub(crate) slot: i64,
    pub(crate) rules: Vec<Standing>,
    pub(crate) missed: u64,
    pub(crate) evaluations: u64,
    /// Whether it is to be found out from the series since when alerts hold.
    pub(crate) restores: bool,
    pub(crate) last_at: Option<Timestamp>,
    pub(crate) took: Duration,
    /// Series of rules that went away.
    pub(crate) left: Vec<Labels>,
}

/// What a group is told of the engine it is in.
pub(crate) struct Within<'a> {
    pub(crate) eval: &'a EvalOptions,
    pub(crate) external_labels: &'a BTreeMap<String, String>,
    pub(crate) resend: i64,
    pub(crate) told_by_up: &'a [Vec<Matcher>],
    pub(crate) shared: Option<&'a mut Shared>,
}

impl StandingGroup {
    /// A group that was never evaluated.
    ///
    /// # Errors
    /// The text of an expression that cannot be read; those of a file that was read can be.
    pub(crate) fn new(
        file: &str,
        group: Group,
        defaults: (i64, i64),
        phase: Phase,
        twins: bool,
        now: Timestamp,
    ) -> Result<Self, tend_promql::ParseError> {
        let schedule = Schedule::new(phase, group.interval.unwrap_or(defaults.0), file, &group.name);
        let mut rules = Vec::with_capacity(group.rules.len());
        for rule in group.rules {
            let twin = if twins { Twin::of(&rule) } else { None };
            let mut standing = Standing::new(rule)?;
            standing.twin = twin;
            rules.push(standing);
        }
        Ok(Self {
            file: file.to_owned(),
            name: group.name,
            limit: group.limit,
            offset: group.query_offset.unwrap_or(defaults.1),
            schedule,
            slot: schedule.slot(now),
            rules,
            missed: 0,
            evaluations: 0,
            restores: false,
            last_at: None,
            took: Duration::ZERO,
            left: Vec::new(),
        })
    }

    /// The file it stands in.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its name, once in its file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Milliseconds between two evaluations.
    #[must_use]
    pub fn interval(&self) -> i64 {
        self.schedule.interval()
    }

    /// How many series or alerts a rule may give; 0 for any number.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Milliseconds by which evaluation looks back.
    #[must_use]
    pub fn query_offset(&self) -> i64 {
        self.offset
    }

    /// Its rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Standing] {
        &self.rules
    }

    /// Evaluations that were skipped, `prometheus_rule_group_iterations_missed_total`.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Evaluations since the engine began, `prometheus_rule_group_iterations_total` without those that were missed.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// When it was last evaluated, in milliseconds since 1970.
    #[must_use]
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// How long that took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Evaluates all rules, in order; each sees what those before it gave.
    pub(crate) fn evaluate(&mut self, at: Timestamp, around: &mut Around<'_>, within: &mut Within<'_>) -> Evaluated {
        let slot = self.schedule.slot(at);
        let missed = (slot - self.slot - 1).max(0).unsigned_abs();
        self.missed += missed;
        self.slot = slot;
        let mut out = Evaluated {
            time: at.saturating_sub(self.offset),
            missed,
            ..Evaluated::default()
        };
        let began = (around.watch)();
        let mut overlay = Overlay::new(around.store);
        for standing in &mut self.rules {
            let rule_began = (around.watch)();
            let step = Step {
                store: &overlay,
                at,
                offset: self.offset,
                limit: self.limit,
                options: within.eval,
                external_labels: within.external_labels,
            };
            let result = standing.evaluate(step, within.shared.as_deref_mut(), around.world);
            let twin = match &mut standing.twin {
                Some(twin) => twin.evaluate(step, within.told_by_up, around.world),
                None => Vec::new(),
            };
            if let Some(twin) = &mut standing.twin {
                let url = link(around.world.external_url(), &twin.rule().expression);
                let interval = self.schedule.interval();
                let due = twin.kept.alerting.take_due(at, interval, within.resend, &url);
                out.posted
                    .extend(due.into_iter().map(|posted| outward(posted, within.external_labels)));
            }
            standing.last_at = Some(at);
            let (mut error, mut hint) = (None, None);
            match result {
                Ok(mut series) => {
                    standing.health = Health::Good;
                    if standing.is_alert() {
                        let url = link(around.world.external_url(), &standing.rule.expression);
                        let due = standing
                            .alerting
                            .take_due(at, self.schedule.interval(), within.resend, &url);
                        out.posted
                            .extend(due.into_iter().map(|posted| outward(posted, within.external_labels)));
                    }
                    series.extend(twin);
                    let given: HashSet<Labels> = series.iter().map(|one| one.labels.clone()).collect();
                    let mut ended: Vec<Labels> = standing.previous.difference(&given).cloned().collect();
                    ended.sort();
                    for labels in &ended {
                        overlay.add(labels, out.time, STALE);
                    }
                    for one in &series {
                        overlay.add(&one.labels, out.time, one.value);
                    }
                    out.ended.extend(ended);
                    out.series.extend(series);
                    standing.previous = given;
                }
                // What it gave before stays as it is: an error says nothing about its series.
                Err(failed) => {
                    standing.health = Health::Bad;
                    hint = Some(failed.hint());
                    error = Some(with_causes(&failed));
                }
            }
            standing.last_error.clone_from(&error);
            standing.took = (around.watch)().saturating_sub(rule_began);
            out.fared.push(Fared {
                rule: standing.rule.name().to_owned(),
                error,
                hint,
            });
        }
        self.evaluations += 1;
        self.last_at = Some(at);
        // The first evaluation may come before there is much to read, so the second is waited for, as in Prometheus.
        if self.restores && self.evaluations >= 2 {
            self.restores = false;
            for standing in &mut self.rules {
                standing.restore(around.store, at);
            }
        }
        // A series that two rules give is written once, the first, and does not end while one of them gives it.
        let mut seen = HashSet::with_capacity(out.series.len());
        out.series.retain(|one| seen.insert(one.labels.clone()));
        out.ended.append(&mut self.left);
        out.ended.retain(|labels| seen.insert(labels.clone()));
        self.took = (around.watch)().saturating_sub(began);
        out
    }

    /// All series that its rules gave last.
    pub(crate) fn given(&self) -> impl Iterator<Item = &Labels> {
        self.rules.iter().flat_map(|rule| &rule.previous)
    }
}

/// An alert as it leaves: with the external labels that it does not have itself.
fn outward(mut posted: Posted, external_labels: &BTreeMap<String, String>) -> Posted {
    for (name, value) in external_labels {
        posted.labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    posted
}

/// Where an expression can be looked at, as Prometheus writes it.
fn link(external_url: &str, expression: &str) -> String {
    let mut url = format!("{external_url}/graph?g0.expr=");
    for byte in expression.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(byte)),
            b' ' => url.push('+'),
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url.push_str("&g0.tab=1");
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_those_of_prometheus() {
        assert_eq!(
            link("http://p:9090", "rate(a{b=~\"5..\"}[5m]) > 0.1"),
            "http://p:9090/graph?g0.expr=rate%28a%7Bb%3D~%225..%22%7D%5B5m%5D%29+%3E+0.1&g0.tab=1"
        );
    }
}
