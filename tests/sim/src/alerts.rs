//! The chapter `alert`: the real pipeline of alerts, driven as the monitor drives it, with receivers that lose, fail, refuse and are slow.
//!
//! ```text
//!  truth ──(each 15 s, while the monitor lives)──► receive ─► keep
//!  tick ─► keep ─► send ─► … ─► heard ─► keep      between any two of these the monitor may be killed
//! ```
//!
//! Owns the order of events and what goes wrong. What receivers know, and the rules, stand in `receivers`. The daemon is there as what it does
//! for alerts: while it is dead no configuration is taken and nothing is heard of deployments.

mod receivers;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tend_alert::{Answer, Config, Delivery, Deploying, Kept, Pace, Pipeline, Posted, Quiet, Silence, read_config};
use tend_base::Mono;

use crate::invariants::Violation;
use crate::random::Random;
use crate::run::Outcome;
use crate::trace::Trace;
use receivers::{Known, Name, Receivers};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

/// From one evaluation of the rules to the next.
const EVALUATE_EVERY: i64 = 15 * SECOND;
/// How long an alert is told to the pipeline after it resolved, and for how long what is told counts.
const RESOLVED_KEPT: i64 = 15 * MINUTE;
const COUNTS_FOR: i64 = 4 * MINUTE;
/// Nobody waits for an answer for longer.
const ANSWER_WITHIN: i64 = 25 * SECOND;
/// A deployment holds alerts back for so long at most.
const QUIET_FOR: i64 = 5 * MINUTE;
/// After everything was put right, all is known within this time: flushes come each minute, tries at most a minute apart, and holds last five.
const SETTLED_WITHIN: i64 = 12 * MINUTE;
/// More events than this in one run mean that something turns in a circle.
const EVENTS_MAX: u64 = 100_000;

/// Configurations that are taken one after the other. The last one is what stands in the place of a file that cannot be read.
const CONFIGS: [&str; 4] = [
    "
route:
  {receiver: one, group_by: [g], group_wait: 10s, group_interval: 1m, repeat_interval: 1h, routes: [
    {matchers: ['g=~\"0|1\"'], receiver: two, continue: true, group_by: [g, i]},
    {matchers: ['g=~\"1|2\"'], receiver: one, group_wait: 0s}]}
receivers: [{name: one, webhook_configs: [{url: 'http://a'}, {url: 'http://b'}]}, {name: two, webhook_configs: [{url: 'http://c'}]}]
",
    "
route: {receiver: one, group_by: ['...'], group_wait: 5s, group_interval: 1m, repeat_interval: 1h, routes: [
  {matchers: ['g=\"0\"'], receiver: two}]}
inhibit_rules: [{source_matchers: ['severity=\"critical\"'], target_matchers: ['severity=\"warning\"'], equal: [g]}]
receivers: [{name: one, webhook_configs: [{url: 'http://a'}, {url: 'http://b'}]}, {name: two, webhook_configs: [{url: 'http://c'}]}]
",
    "
route: {receiver: two, group_by: [severity], group_wait: 10s, group_interval: 30s, repeat_interval: 1h, routes: [
  {matchers: ['severity=\"critical\"'], receiver: one, continue: true}, {receiver: two}]}
receivers: [{name: one, webhook_configs: [{url: 'http://a'}, {url: 'http://new'}]}, {name: two, webhook_configs: [{url: 'http://c'}]}]
",
    "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n",
];
const NOBODY: usize = CONFIGS.len() - 1;

/// A fault that is planted on purpose, so that a rule is seen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// None.
    Nothing,
    /// What fires is said to be delivered, and is not.
    LosesMessages,
    /// Messages that something is over are.
    LosesEnds,
    /// Answers are not kept.
    ForgetsAnswers,
    /// A message is under way still when it is taken for ended.
    GivesUpEarly,
    /// A critical alert does not say that it is.
    HidesSeverity,
    /// Silences are made, and not heard of.
    LosesSilences,
}

/// A message on its way, until the monitor has heard how it ended.
struct Message {
    delivery: Delivery,
    sent: i64,
    arrives: Option<i64>,
    answer: Option<(i64, Answer)>,
}

/// What is true of an alert.
#[derive(Default)]
struct Truth {
    fires_since: Option<i64>,
    /// From when on it fired last, and when its end was first evaluated.
    ended: Option<(i64, Option<Ended>)>,
}

/// When an end was evaluated.
#[derive(Clone, Copy)]
struct Ended {
    wall: i64,
    now: i64,
}

struct Simulation {
    random: Random,
    planted: Planted,
    /// Milliseconds since it began.
    now: i64,
    /// Milliseconds between that and the time of day.
    offset: i64,
    configs: Vec<Config>,
    config: usize,
    pipeline: Option<Pipeline>,
    /// What was written to disk last.
    disk: Kept,
    starts_at: i64,
    daemon_back_at: i64,
    evaluates_at: i64,
    deploys: Vec<Deploying>,
    truth: BTreeMap<Name, Truth>,
    messages: Vec<Message>,
    receivers: Receivers,
    trouble: bool,
    trace: Trace,
    started: u64,
    killed: u64,
}

/// Runs a seed; `whole_trace` keeps every line of the trace.
pub(crate) fn run(seed: u64, whole_trace: bool, planted: Planted) -> Outcome {
    let mut random = Random::new(seed ^ 0xa1e7);
    let configs = CONFIGS.map(|text| read_config(Path::new("am.yml"), text).expect("a configuration of the simulator"));
    let config = random.number(0..NOBODY as u64) as usize;
    let mut simulation = Simulation {
        planted,
        now: 0,
        offset: 1_795_265_075_123,
        configs: configs.into(),
        config,
        pipeline: None,
        disk: Kept::default(),
        starts_at: 0,
        daemon_back_at: 0,
        evaluates_at: 0,
        deploys: Vec::new(),
        truth: BTreeMap::new(),
        messages: Vec::new(),
        receivers: Receivers::default(),
        trouble: true,
        trace: Trace::new(whole_trace),
        started: 0,
        killed: 0,
        random,
    };
    let mut events = 0;
    let ended = catch_unwind(AssertUnwindSafe(|| simulation.go(&mut events)));
    let violation = ended.unwrap_or_else(|thrown| {
        let text = thrown.downcast_ref::<String>().cloned();
        let text = text.or_else(|| Some((*thrown.downcast_ref::<&str>()?).to_owned()));
        Err(Violation::new("the_pipeline_never_panics", text.unwrap_or_default()))
    });
    Outcome {
        violation: violation.err(),
        trace: simulation.trace,
        events,
        daemons: simulation.started,
        daemons_killed: simulation.killed,
    }
}

impl Simulation {
    fn go(&mut self, events: &mut u64) -> Result<(), Violation> {
        let peace = i64::try_from(self.random.number(6..18)).expect("a few minutes") * MINUTE;
        let mut fault_at = 5 * SECOND;
        let mut settled_at = i64::MAX;
        loop {
            let next = self
                .next()
                .min(if self.trouble { fault_at.min(peace) } else { settled_at });
            self.now = self.now.max(next);
            *events += 1;
            if *events > EVENTS_MAX {
                return Err(Violation::new(
                    "it_comes_to_rest",
                    format!("more than {EVENTS_MAX} events"),
                ));
            }
            if self.trouble && self.now >= peace {
                self.make_peace();
                settled_at = self.now + SETTLED_WITHIN;
            } else if self.trouble && self.now >= fault_at {
                self.trouble_comes();
                fault_at = self.now + self.random.millis(500..20_000).as_millis() as i64;
            }
            self.happen()?;
            if self.now >= settled_at {
                return self.all_is_known();
            }
        }
    }

    fn wall(&self) -> i64 {
        self.now + self.offset
    }

    fn line(&mut self, text: &str) {
        self.trace.line(Mono(self.now.unsigned_abs() * 1_000_000), text);
    }

    /// When something happens next.
    fn next(&self) -> i64 {
        let Some(pipeline) = &self.pipeline else {
            let arrivals = self.messages.iter().filter_map(|message| message.arrives);
            return arrivals.chain([self.starts_at]).min().unwrap_or(self.starts_at);
        };
        let of_messages = self.messages.iter().flat_map(|message| {
            let answer = message.answer.as_ref().map(|(at, _)| *at);
            [message.arrives, answer].into_iter().flatten()
        });
        let due = pipeline.next(self.wall()).map(|at| at - self.offset);
        of_messages
            .chain(due.map(|at| at.max(self.now + 5)))
            .chain([self.evaluates_at])
            .min()
            .unwrap_or(self.evaluates_at)
    }

    /// What is due now.
    fn happen(&mut self) -> Result<(), Violation> {
        if self.pipeline.is_none() && self.starts_at <= self.now {
            self.start();
        }
        self.arrive();
        self.answer();
        if self.pipeline.is_some() && self.evaluates_at <= self.now {
            self.evaluates_at = self.now + EVALUATE_EVERY;
            self.evaluate();
        }
        self.tell()?;
        self.look_at_holds()
    }

    /// As the monitor starts: from what it kept, with nobody to tell until it has read its snapshot.
    fn start(&mut self) {
        let text = serde_json::to_string(&self.disk).expect("what is kept is data");
        let kept: Kept = serde_json::from_str(&text).expect("what was kept reads back");
        let mut pipeline = Pipeline::new(self.configs[NOBODY].clone(), kept, Pace::default(), self.wall());
        pipeline.deploys(&self.deploys, Some(QUIET_FOR));
        pipeline.reconfigure(self.configs[self.config].clone(), self.wall());
        self.pipeline = Some(pipeline);
        self.evaluates_at = self.now;
        self.started += 1;
        self.line("the monitor starts");
    }

    fn kill(&mut self) {
        if self.pipeline.take().is_none() {
            return;
        }
        self.killed += 1;
        self.starts_at = self.now + self.random.millis(100..60_000).as_millis() as i64;
        self.line("the monitor is killed");
        // What was under way is there at once, or never.
        for message in std::mem::take(&mut self.messages) {
            if message.arrives.is_some() && self.random.chance(500) {
                self.receivers.take(&message.delivery);
            }
        }
        self.excuse();
    }

    /// Kills the monitor now and then, between two things it does; returns whether it did.
    fn dies(&mut self, permille: u64) -> bool {
        let dies = self.trouble && self.random.chance(permille);
        if dies {
            self.kill();
        }
        dies
    }

    fn keep(&mut self) {
        if let Some(pipeline) = &self.pipeline {
            self.disk = pipeline.kept();
        }
    }

    fn evaluate(&mut self) {
        let (wall, now) = (self.wall(), self.now);
        let hides = self.planted == Planted::HidesSeverity;
        let posted: Vec<Posted> = (self.truth.iter_mut())
            .filter_map(|(name, truth)| {
                let (starts_at, ends_at) = match (truth.fires_since, &mut truth.ended) {
                    (Some(since), _) => (since, wall + COUNTS_FOR),
                    (None, Some((since, ended))) => {
                        let ended = *ended.get_or_insert(Ended { wall, now });
                        if now - ended.now > RESOLVED_KEPT {
                            return None;
                        }
                        // As the rules have it where the clock was set back in between.
                        (*since, ended.wall.min(wall))
                    }
                    _ => return None,
                };
                Some(Posted {
                    labels: name.labels(hides),
                    starts_at: Some(starts_at.min(ends_at)),
                    ends_at: Some(ends_at),
                    ..Posted::default()
                })
            })
            .collect();
        let Some(pipeline) = &mut self.pipeline else { return };
        let refused = pipeline.receive(posted, wall);
        assert!(refused.is_empty(), "{refused:?}");
        if !self.dies(2) {
            self.keep();
        }
    }

    /// A flush, as the monitor does it: what is to be sent is kept before it is sent.
    fn tell(&mut self) -> Result<(), Violation> {
        let wall = self.wall();
        let Some(pipeline) = &mut self.pipeline else {
            return Ok(());
        };
        let due = pipeline.tick(wall, &|_, _| None);
        if self.dies(2) {
            return Ok(());
        }
        self.keep();
        for delivery in due.deliveries {
            if self.dies(5) {
                return Ok(());
            }
            let under_way = self.messages.iter().map(|message| (&message.delivery, message.sent));
            self.receivers.may_be_sent(&delivery, under_way, wall)?;
            self.send(delivery);
        }
        Ok(())
    }

    fn send(&mut self, delivery: Delivery) {
        let told = delivery.alerts.iter().map(|alert| {
            let mark = if alert.resolved(delivery.at) { "-" } else { "+" };
            format!("{mark}{}{}", alert.label("g"), alert.label("i"))
        });
        let told: Vec<String> = told.collect();
        let to = format!("{}{}", delivery.receiver, delivery.integration);
        self.line(&format!(
            "to {to} of {}: {}, try {}",
            delivery.group_key,
            told.join(" "),
            delivery.attempt
        ));
        let good = !self.trouble;
        let late = |random: &mut Random, most: u64| match good || random.chance(700) {
            true => random.millis(1..200).as_millis() as i64,
            false => random.millis(200..most).as_millis() as i64,
        };
        let arrival = self.now + late(&mut self.random, 23_000);
        let answered = arrival + late(&mut self.random, 20_000);
        let state = if good {
            1000
        } else {
            self.receivers.goodness(&delivery, self.now, &mut self.random)
        };
        let (arrives, answer) = match self.random.number(0..1000) {
            luck if luck < state => (true, Some(Answer::Confirmed)),
            luck if luck % 4 == 0 => (true, None),
            luck if luck % 4 == 1 => (false, None),
            luck if luck % 4 == 2 => (false, Some(Answer::Refused { said: "400".to_owned() })),
            _ => {
                let after = self.random.chance(200).then_some(5 * SECOND);
                (
                    false,
                    Some(Answer::Failed {
                        said: "503".to_owned(),
                        after,
                    }),
                )
            }
        };
        let silence = Answer::Failed {
            said: "no answer in time".to_owned(),
            after: None,
        };
        let answer = match answer {
            Some(answer) if answered < self.now + ANSWER_WITHIN => (answered, answer),
            _ => (self.now + ANSWER_WITHIN, silence),
        };
        let (mut arrives, mut answer) = (arrives.then_some(arrival), Some(answer));
        let is_end = delivery.alerts.iter().all(|alert| alert.resolved(delivery.at));
        if self.planted == Planted::LosesMessages || (self.planted == Planted::LosesEnds && is_end) {
            (arrives, answer) = (None, Some((self.now, Answer::Confirmed)));
        }
        if self.planted == Planted::GivesUpEarly {
            let answer = None;
            self.messages.push(Message {
                delivery: delivery.clone(),
                sent: self.now,
                arrives,
                answer,
            });
        }
        self.receivers.sent(&delivery);
        self.messages.push(Message {
            delivery,
            sent: self.now,
            arrives,
            answer,
        });
    }

    fn arrive(&mut self) {
        let now = self.now;
        for message in &mut self.messages {
            if message.arrives.is_some_and(|at| at <= now) {
                message.arrives = None;
                self.receivers.take(&message.delivery);
            }
        }
        self.excuse();
    }

    fn answer(&mut self) {
        let mut at = 0;
        while at < self.messages.len() {
            let message = &self.messages[at];
            if message.answer.as_ref().is_none_or(|(due, _)| *due > self.now) {
                at += 1;
                continue;
            }
            let message = self.messages.remove(at);
            let wall = self.wall();
            let (Some((_, answer)), Some(pipeline)) = (message.answer, &mut self.pipeline) else {
                continue;
            };
            let confirmed = answer == Answer::Confirmed;
            pipeline.heard(&message.delivery, answer, "webhook", "", wall);
            // Whoever is killed here tells it again, and may.
            if self.dies(5) {
                return;
            }
            if self.planted != Planted::ForgetsAnswers {
                self.keep();
            }
            self.receivers.answered(&message.delivery, message.sent, confirmed);
        }
    }

    fn trouble_comes(&mut self) {
        match self.random.number(0..100) {
            0..=44 => self.something_changes(),
            45..=54 => {
                let lasts = self.random.millis(5_000..180_000).as_millis() as i64;
                self.receivers.fail(self.now + lasts, &mut self.random);
            }
            55..=62 => self.silence(),
            63..=74 => self.reload(),
            75..=79 => self.jump(),
            80..=86 => self.deploy(),
            87..=92 => self.kill(),
            93..=95 => {
                self.daemon_back_at = self.now + self.random.millis(1_000..120_000).as_millis() as i64;
                self.line("the daemon is killed");
            }
            _ => {
                let wall = self.wall();
                let firing: Vec<u64> = self
                    .pipeline
                    .iter()
                    .flat_map(|pipeline| pipeline.care().open.keys().copied())
                    .collect();
                if let Some(pipeline) = self.pipeline.as_mut().filter(|_| !firing.is_empty()) {
                    let which = *self.random.pick(&firing);
                    pipeline.acknowledge(which, "mei", "", wall).expect("it fires");
                    self.keep();
                }
            }
        }
    }

    fn something_changes(&mut self) {
        let wall = self.wall();
        let name = Name::any(&mut self.random);
        let truth = self.truth.entry(name).or_default();
        match truth.fires_since.take() {
            Some(since) => truth.ended = Some((since, None)),
            None => truth.fires_since = Some(wall),
        }
        let word = if truth.fires_since.is_some() { "fires" } else { "ends" };
        self.receivers.changed(name);
        self.line(&format!("{name:?} {word}"));
    }

    fn silence(&mut self) {
        let wall = self.wall();
        let name = Name::any(&mut self.random);
        let lasts = self.random.millis(10_000..400_000).as_millis() as i64;
        let id = self.now.to_string();
        let Some(pipeline) = &mut self.pipeline else { return };
        let silence = Silence {
            id,
            matchers: vec![format!("g=\"{}\"", name.group)],
            starts_at: wall,
            ends_at: wall + lasts,
            created_by: "mei".to_owned(),
            reason: "the simulator".to_owned(),
            reminded: false,
            updated_at: wall,
        };
        if self.planted != Planted::LosesSilences {
            pipeline.silence(silence, wall).expect("a silence");
        }
        self.receivers.silenced(name.group, wall..wall + lasts);
        self.keep();
        self.line(&format!("group {} is silenced for {lasts} ms", name.group));
    }

    fn daemon_lives(&self) -> bool {
        self.daemon_back_at <= self.now
    }

    fn reload(&mut self) {
        if !self.daemon_lives() {
            return;
        }
        let wall = self.wall();
        self.config = self.random.number(0..CONFIGS.len() as u64) as usize;
        self.line(&format!("configuration {}", self.config));
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.reconfigure(self.configs[self.config].clone(), wall);
        }
        self.receivers.reloaded();
        self.excuse();
    }

    /// Whom the configuration does not send an alert need not be told of its end.
    fn excuse(&mut self) {
        // Where nobody is told for a while, ends wait.
        if self.config != NOBODY {
            self.receivers.excuse(&self.configs[self.config]);
        }
    }

    fn jump(&mut self) {
        let by = self.random.millis(1_000..7_200_000).as_millis() as i64;
        let by = if self.random.chance(500) { by } else { -by };
        self.offset += by;
        self.receivers.jumped(self.now);
        self.line(&format!("the clock jumps by {by} ms"));
    }

    fn deploy(&mut self) {
        if !self.daemon_lives() {
            return;
        }
        let wall = self.wall();
        match self.deploys.last_mut().filter(|deploying| deploying.ended.is_none()) {
            Some(running) => running.ended = Some(wall),
            None => {
                self.deploys = vec![Deploying {
                    name: wall.to_string(),
                    since: wall,
                    ended: None,
                    services: BTreeSet::from(["api".to_owned()]),
                }]
            }
        }
        self.line("a deployment begins or ends");
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.deploys(&self.deploys, Some(QUIET_FOR));
        }
    }

    /// From here on nothing goes wrong and nobody wants anything.
    fn make_peace(&mut self) {
        self.line("peace");
        self.trouble = false;
        self.daemon_back_at = self.now;
        if self.pipeline.is_none() {
            self.starts_at = self.now;
            self.start();
        }
        if self.deploys.last().is_some_and(|deploying| deploying.ended.is_none()) {
            self.deploy();
        }
        while self.config == NOBODY {
            self.reload();
        }
        let wall = self.wall();
        if let Some(pipeline) = &mut self.pipeline {
            let silences: Vec<String> = pipeline.silences().map(|silence| silence.id.clone()).collect();
            for id in silences {
                // Those that are over cannot be ended.
                let _ = pipeline.end_silence(&id, wall);
            }
            self.receivers.unsilenced();
        }
    }

    fn look_at_holds(&self) -> Result<(), Violation> {
        let wall = self.wall();
        for (alert, quiet) in self.pipeline.iter().flat_map(|pipeline| pipeline.alerts(wall)) {
            let Some(Quiet::Held(held)) = quiet else { continue };
            let bound = self.deploys.last().map(|deploying| deploying.since + QUIET_FOR);
            if Name::of(alert).is_critical() || bound.is_none_or(|bound| held.until > bound || wall >= bound) {
                return Err(Violation::new(
                    "a_deployment_holds_back_nothing_critical_and_nothing_for_long",
                    format!("{:?} until {}", alert.labels, held.until),
                ));
            }
        }
        Ok(())
    }

    /// What must be so in the end.
    fn all_is_known(&self) -> Result<(), Violation> {
        let wall = self.wall();
        let Some(pipeline) = &self.pipeline else {
            return Err(Violation::new("the_monitor_is_there_in_the_end", "it is not"));
        };
        let quiet: BTreeSet<Name> = (pipeline.alerts(wall))
            .filter(|(_, quiet)| quiet.is_some())
            .map(|(alert, _)| Name::of(alert))
            .collect();
        let config = pipeline.config();
        for (name, truth) in &self.truth {
            for receiver in pipeline.receivers_of(&name.labels(self.planted == Planted::HidesSeverity)) {
                for index in 0..config.receivers[receiver].integrations.len() {
                    let known = self.receivers.knows(receiver, index, *name);
                    match (truth.fires_since.is_some(), known) {
                        (true, Known::Nothing | Known::Ended) if !quiet.contains(name) => {
                            return Err(Violation::new(
                                "nothing_that_fires_goes_undelivered_once_receivers_are_back",
                                format!("{receiver}{index} does not know that {name:?} fires"),
                            ));
                        }
                        // What is kept quiet is told when it is not any more.
                        (false, Known::Fires) if !quiet.contains(name) => {
                            return Err(Violation::new(
                                "the_end_is_told_to_who_was_told_of_the_begin",
                                format!("{receiver}{index} does not know that {name:?} is over"),
                            ));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Planted, run};

    /// Each rule fails when what it is there for is broken on purpose.
    #[test]
    fn every_rule_of_alerts_can_fail() {
        for (planted, rule) in [
            (
                Planted::LosesMessages,
                "nothing_that_fires_goes_undelivered_once_receivers_are_back",
            ),
            (Planted::LosesEnds, "the_end_is_told_to_who_was_told_of_the_begin"),
            (Planted::ForgetsAnswers, "what_was_confirmed_is_not_told_again"),
            (Planted::GivesUpEarly, "one_message_of_a_group_at_a_time"),
            (
                Planted::HidesSeverity,
                "a_deployment_holds_back_nothing_critical_and_nothing_for_long",
            ),
            (Planted::LosesSilences, "what_is_kept_quiet_is_not_told"),
        ] {
            let broken = (0..60).find_map(|seed| {
                run(seed, false, planted)
                    .violation
                    .filter(|found| found.invariant == rule)
            });
            assert!(broken.is_some(), "{planted:?} breaks nothing");
        }
    }
}
