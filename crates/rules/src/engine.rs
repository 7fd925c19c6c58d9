//! All groups of rules over one store: which are due, what an evaluation gives, and what is kept.
//!
//! Owns what outlives a change of the rule files. Has no clock: who drives it asks what is due, evaluates, writes what comes out, and keeps
//! [`Engine::kept`].
//!
//! Invariant: results are the same whether groups share what they have in common or not (test `sharing_changes_no_result`).
//! Invariant: whatever changes in the rule files, a rule that is still there goes on where it was (test `a_rule_goes_on_over_a_change_of_its_file`).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tend_alert::{Group, RuleKind};
use tend_promql::{EvalOptions, Labels, Matcher, ParseError, Shared, Timestamp};

use crate::group::{Around, Evaluated, StandingGroup, Within};
use crate::kept::{KEPT_VERSION, Kept, KeptGroup, KeptRule};
use crate::schedule::Phase;
use crate::standing::Standing;
use crate::twin::selectors_of_up;

/// What holds for all groups.
#[derive(Clone, Debug)]
pub struct Options {
    /// Milliseconds between evaluations of a group that says nothing else; Prometheus' default is a minute.
    pub interval: i64,
    /// Milliseconds by which a group that says nothing else looks back.
    pub query_offset: i64,
    /// Where intervals begin.
    pub phase: Phase,
    /// Milliseconds after which an alert that still fires is posted again; Prometheus' default is a minute.
    pub resend: i64,
    /// Labels that posted alerts get where they have none of the name; templates see them as `$externalLabels`.
    pub external_labels: BTreeMap<String, String>,
    /// How expressions are evaluated.
    pub eval: EvalOptions,
    /// Whether alerting rules have implicit twins.
    pub twins: bool,
    /// Whether results that several rules have in common are worked out once.
    pub shares: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: 60_000,
            query_offset: 0,
            phase: Phase::Aligned,
            resend: 60_000,
            external_labels: BTreeMap::new(),
            eval: EvalOptions::default(),
            twins: true,
            shares: true,
        }
    }
}

/// The groups of one file of rules.
#[derive(Clone, Debug)]
pub struct Source {
    /// What the file is called; with a group's name, what the group is known by.
    pub file: String,
    /// Its groups, as `tend_alert::read_rules` gives them.
    pub groups: Vec<Group>,
}

/// A group that is to be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its place among [`Engine::groups`]; good until the rules change.
    pub group: usize,
    /// The moment it is to be evaluated for, in milliseconds since 1970: when its interval began. Who waits until the scrapes of the interval are
    /// in evaluates for a later one, the same for all groups of a round.
    pub at: Timestamp,
}

/// Series that ended with groups that went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When, in milliseconds since 1970.
    pub time: Timestamp,
    /// Which.
    pub series: Vec<Labels>,
}

/// A group that went away, and what it gave last.
#[derive(Debug)]
struct Leaving {
    since: Timestamp,
    /// Until when it may turn out that another group gives the same.
    until: Timestamp,
    series: Vec<Labels>,
}

/// All groups, and what they keep.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    groups: Vec<StandingGroup>,
    leaving: Vec<Leaving>,
    shared: Shared,
    /// The moment that shared results are of.
    shared_at: Option<Timestamp>,
    told_by_up: Vec<Vec<Matcher>>,
}

impl Engine {
    /// Takes up rules: with what was kept they go on where they were, without it what the series say is looked for at the second evaluation.
    ///
    /// # Errors
    /// An expression that cannot be read; there is none in a file that was.
    pub fn new(options: Options, sources: Vec<Source>, kept: Option<Kept>, now: Timestamp) -> Result<Self, ParseError> {
        let mut engine = Self {
            options,
            groups: Vec::new(),
            leaving: Vec::new(),
            shared: Shared::default(),
            shared_at: None,
            told_by_up: Vec::new(),
        };
        engine.groups = engine.build(sources, now)?;
        let mut kept: BTreeMap<(String, String), KeptGroup> = kept
            .filter(|kept| kept.version == KEPT_VERSION)
            .map(|kept| kept.groups)
            .unwrap_or_default()
            .into_iter()
            .map(|group| ((group.file.clone(), group.name.clone()), group))
            .collect();
        for group in &mut engine.groups {
            match kept.remove(&(group.file.clone(), group.name.clone())) {
                Some(known) => resume(group, known, now),
                None => {
                    group.restores = true;
                    for rule in group.rules.iter_mut().filter(|rule| rule.is_alert()) {
                        rule.restored = false;
                    }
                }
            }
        }
        engine.survey();
        Ok(engine)
    }

    /// Takes up a changed set of rules. A rule that is still there, by its group, its name and its labels, goes on where it was.
    ///
    /// # Errors
    /// An expression that cannot be read; then nothing changes.
    pub fn set(&mut self, options: Options, sources: Vec<Source>, now: Timestamp) -> Result<(), ParseError> {
        let before = std::mem::replace(&mut self.options, options);
        let built = match self.build(sources, now) {
            Ok(built) => built,
            Err(error) => {
                self.options = before;
                return Err(error);
            }
        };
        let mut known: BTreeMap<(String, String), StandingGroup> = std::mem::replace(&mut self.groups, built)
            .into_iter()
            .map(|group| ((group.file.clone(), group.name.clone()), group))
            .collect();
        for group in &mut self.groups {
            if let Some(old) = known.remove(&(group.file.clone(), group.name.clone())) {
                take_over(group, old, now);
            }
        }
        // What went away is waited for, so that a group that got another name can give its series first.
        for old in known.into_values() {
            let series: Vec<Labels> = old.given().chain(&old.left).cloned().collect();
            if !series.is_empty() {
                self.leaving.push(Leaving {
                    since: now,
                    until: now.saturating_add(2 * old.interval()),
                    series,
                });
            }
        }
        self.survey();
        Ok(())
    }

    fn build(&self, sources: Vec<Source>, now: Timestamp) -> Result<Vec<StandingGroup>, ParseError> {
        let options = &self.options;
        let defaults = (options.interval, options.query_offset);
        let mut groups = Vec::new();
        for source in sources {
            for group in source.groups {
                groups.push(StandingGroup::new(
                    &source.file,
                    group,
                    defaults,
                    options.phase,
                    options.twins,
                    now,
                )?);
            }
        }
        Ok(groups)
    }

    /// Finds what rules have in common.
    fn survey(&mut self) {
        let rules = || self.groups.iter().flat_map(|group| &group.rules);
        let made: BTreeSet<&str> = rules()
            .filter(|rule| matches!(rule.rule.kind, RuleKind::Record { .. }))
            .map(|rule| rule.rule.name())
            .chain(["ALERTS", "ALERTS_FOR_STATE"])
            .collect();
        let shared = match self.options.shares {
            true => Shared::of(rules().map(|rule| rule.query.expr()), &|name| made.contains(name)),
            false => Shared::default(),
        };
        let mut told_by_up = Vec::new();
        for rule in rules().filter(|rule| rule.is_alert()) {
            selectors_of_up(rule.query.expr(), &mut told_by_up);
        }
        self.shared = shared;
        self.shared_at = None;
        self.told_by_up = told_by_up;
    }

    /// The groups, in the order of their files.
    #[must_use]
    pub fn groups(&self) -> &[StandingGroup] {
        &self.groups
    }

    /// How often a result was taken from another rule of the same moment.
    #[must_use]
    pub fn shared(&self) -> u64 {
        self.shared.taken()
    }

    /// The groups whose interval has begun and that were not evaluated in it. A clock that was set back makes all of them due.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        for (at, group) in self.groups.iter().enumerate() {
            let slot = group.schedule.slot(now);
            if slot != group.slot {
                due.push(Due {
                    group: at,
                    at: group.schedule.start(slot),
                });
            }
        }
        due
    }

    /// When the next group is due, in milliseconds since 1970; nothing without groups.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.groups
            .iter()
            .map(|group| group.schedule.start(group.slot.saturating_add(1)))
            .min()
    }

    /// Evaluates a group for a moment. What comes out is to be written, posted and kept by who asked; nothing where there is no such group.
    ///
    /// Groups that are evaluated for the same moment, one after the other, share what they have in common.
    pub fn evaluate(&mut self, group: usize, at: Timestamp, around: &mut Around<'_>) -> Option<Evaluated> {
        if self.shared_at != Some(at) {
            self.shared.clear();
            self.shared_at = Some(at);
        }
        let group = self.groups.get_mut(group)?;
        let mut within = Within {
            eval: &self.options.eval,
            external_labels: &self.options.external_labels,
            resend: self.options.resend,
            told_by_up: &self.told_by_up,
            shared: self.options.shares.then_some(&mut self.shared),
        };
        let evaluated = group.evaluate(at, around, &mut within);
        // Nobody is left to share with: memory is for other things until the next round.
        if self.due(at).is_empty() {
            self.shared.clear();
        }
        Some(evaluated)
    }

    /// The series of groups that went away, once it is clear that no other group gives them.
    pub fn take_ended(&mut self, now: Timestamp) -> Vec<Ended> {
        let given: HashSet<&Labels> = self.groups.iter().flat_map(StandingGroup::given).collect();
        let mut out = Vec::new();
        self.leaving.retain_mut(|leaving| {
            if now < leaving.until {
                return true;
            }
            let mut series = std::mem::take(&mut leaving.series);
            series.retain(|labels| !given.contains(labels));
            series.sort();
            if !series.is_empty() {
                out.push(Ended {
                    time: leaving.since,
                    series,
                });
            }
            false
        });
        out
    }

    /// What is to be kept, so that a restart changes nothing.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let groups = self.groups.iter().map(|group| KeptGroup {
            file: group.file.clone(),
            name: group.name.clone(),
            last_at: group.last_at,
            rules: group
                .rules
                .iter()
                .filter(|rule| rule.is_alert())
                .map(|rule| KeptRule {
                    name: rule.rule.name().to_owned(),
                    labels: rule.rule.labels.clone(),
                    alerting: rule.alerting.clone(),
                    twin: rule.twin.as_ref().map(|twin| twin.kept.clone()).unwrap_or_default(),
                })
                .collect(),
        });
        Kept {
            version: KEPT_VERSION,
            groups: groups.collect(),
        }
    }
}

/// Goes on where a group was before the process ended.
fn resume(group: &mut StandingGroup, kept: KeptGroup, now: Timestamp) {
    group.last_at = kept.last_at;
    if let Some(last) = kept.last_at {
        // What was not evaluated while nobody was there was not missed by anybody; but what is due is due at once.
        let slot = group.schedule.slot(now);
        group.slot = group.schedule.slot(last).clamp(slot - 1, slot);
    }
    let mut kept = kept.rules;
    for rule in &mut group.rules {
        let Some(at) = kept.iter().position(|known| rule.is(&known.name, &known.labels, true)) else {
            continue;
        };
        let mut known = kept.remove(at);
        // It is kept before what it sends on is: a kill in between takes that.
        known.alerting.send_again();
        known.twin.alerting.send_again();
        rule.alerting = known.alerting;
        rule.previous = rule.alerting.series().into_iter().map(|one| one.labels).collect();
        if let Some(twin) = &mut rule.twin {
            twin.adopt(known.twin);
            rule.previous
                .extend(twin.alerting().series().into_iter().map(|one| one.labels));
        }
    }
    // Rules that are gone ended with the process; their alerts do not end of themselves.
    for known in kept {
        let series = known.alerting.series().into_iter().chain(known.twin.alerting.series());
        group.left.extend(series.map(|one| one.labels));
    }
}

/// Goes on where a group was before its file changed.
fn take_over(group: &mut StandingGroup, old: StandingGroup, now: Timestamp) {
    group.missed = old.missed;
    group.evaluations = old.evaluations;
    group.restores = old.restores;
    group.last_at = old.last_at;
    group.took = old.took;
    group.slot = match group.schedule == old.schedule {
        true => old.slot,
        // Another interval: it begins with the next one.
        false => group.schedule.slot(now),
    };
    group.left = old.left;
    let mut known: Vec<Standing> = old.rules;
    for rule in &mut group.rules {
        let Some(at) = known
            .iter()
            .position(|known| known.is(rule.rule.name(), &rule.rule.labels, rule.is_alert()))
        else {
            continue;
        };
        let old = known.remove(at);
        rule.alerting = old.alerting;
        rule.restored = old.restored;
        rule.previous = old.previous;
        if rule.query.text() == old.query.text() {
            rule.health = old.health;
            rule.last_error = old.last_error;
            rule.last_at = old.last_at;
            rule.took = old.took;
        }
        if let (Some(twin), Some(old)) = (&mut rule.twin, old.twin) {
            twin.adopt(old.kept);
        }
    }
    for rule in known {
        group.left.extend(rule.previous);
    }
}
