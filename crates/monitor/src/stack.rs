//! One stack as it is watched: its targets are asked, its rules evaluated, its alerts told. What it decides is decided in the crates it joins.
//!
//! Invariant: what receivers were told is on disk before they are told and after they answered, so that a kill at any moment loses no alert and
//! repeats none that was confirmed (e2e `monitor::`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tend_alert::{Answer, Delivery, Kept as KeptAlerts, Pace, Pipeline, Posted};
use tend_metrics::{Feed, MetricStore};
use tend_notify::{Limits, Notifier};
use tend_promql::{EvalOptions, Labels, STALE};
use tend_rules::{Around as Within, Engine, Kept as KeptRules, Options, Source};
use tend_scorecard::Scorer;
use tend_scrape::Scraper;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::outbox::Outbox;
use crate::plan;
use crate::send::send;
use crate::snapshot::{GoingsOn, StackPart};
use crate::view::{STACK, View};
use crate::world::{Around, seconds_from_utc};

/// How long rules wait for the scrapes of their moment: a target that hangs keeps no rule from being evaluated for longer.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// How often the figures of the scorecard are judged; their queries look over five minutes.
const SCORE_EVERY: Duration = Duration::from_secs(15);

/// The longest sleep where nothing is due: a clock that was set is noticed within it.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// One stack.
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) view: View,
    pub(crate) scraper: Scraper,
    pub(crate) state: Mutex<State>,
    pub(crate) outbox: Arc<Outbox>,
    folder: PathBuf,
    notifier: Notifier,
    /// The rules changed, or were never looked at.
    rules_changed: Notify,
    /// There may be something to tell.
    alerts_changed: Notify,
}

/// What changes.
pub(crate) struct State {
    pub(crate) part: StackPart,
    pub(crate) engine: Engine,
    pub(crate) sources: Vec<Source>,
    pub(crate) pipeline: Pipeline,
    goings_on: GoingsOn,
    pub(crate) external_labels: Labels,
    pub(crate) scorer: Scorer,
    /// Files of templates: what they are called, and what they say.
    templates: Vec<(String, String)>,
    /// What of the last snapshot could not be taken.
    pub(crate) refused: Vec<String>,
    /// Feeds of the groups' results, by file and name.
    feeds: BTreeMap<(String, String), Feed>,
    /// Alerts that the journal knows to fire.
    firing: BTreeMap<u64, i64>,
    /// What was last written, so that nothing is written that did not change.
    kept_alerts: Vec<u8>,
    kept_rules: Vec<u8>,
}

impl State {
    /// Says which deployments hold alerts back, and for how long.
    fn hold(&mut self) {
        self.pipeline
            .deploys(&self.goings_on.deploys, self.part.quiet_deploys_ms);
    }
}

impl Watched {
    /// Takes up a stack from what was kept of it.
    pub(crate) fn new(
        name: &str,
        folder: PathBuf,
        store: Arc<MetricStore>,
        outbox: Arc<Outbox>,
        part: StackPart,
        now: i64,
    ) -> Result<Arc<Self>, Vec<String>> {
        let (config, _) = plan::routing(None)?;
        let kept: KeptAlerts = read(&folder.join(ALERTS)).unwrap_or_default();
        let pipeline = Pipeline::new(config, kept, Pace::default(), now);
        let firing = pipeline
            .alerts(now)
            .filter(|(alert, _)| !alert.resolved(now))
            .map(|(alert, _)| (alert.fingerprint(), alert.starts_at))
            .collect();
        let kept: Option<KeptRules> = read(&folder.join(RULES));
        // Groups are given with the part: what was kept of them is kept until then.
        let (sources, _) = plan::rules(&part.rules, &[]);
        let engine =
            Engine::new(Options::default(), sources.clone(), kept, now).map_err(|error| vec![error.to_string()])?;
        let watched = Arc::new(Self {
            name: name.to_owned(),
            view: View::new(Arc::clone(&store), name),
            scraper: Scraper::new(store),
            state: Mutex::new(State {
                part: part.clone(),
                engine,
                sources,
                pipeline,
                goings_on: GoingsOn::default(),
                external_labels: Labels::EMPTY,
                scorer: plan::scorer(&serde_json::Value::Null)
                    .map_err(|_| vec!["invariant: the guide's figures can be read".to_owned()])?,
                templates: Vec::new(),
                refused: Vec::new(),
                feeds: BTreeMap::new(),
                firing,
                kept_alerts: Vec::new(),
                kept_rules: Vec::new(),
            }),
            outbox,
            folder,
            notifier: Notifier::new(Limits::default()),
            rules_changed: Notify::new(),
            alerts_changed: Notify::new(),
        });
        Ok(watched)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Each change is made whole by the machine it is made in.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the stack wants now; returns what of it could not be taken, where what stood before stands. Reads files, so it may wait for a
    /// disk.
    pub(crate) fn set(&self, part: StackPart, now: i64) -> Vec<String> {
        let mut refused = Vec::new();
        let mut state = self.state();
        match plan::scraping(&self.name, &part) {
            Ok((scraping, warnings)) => {
                refused.extend(warnings);
                state.external_labels = scraping.global.external_labels.clone();
                let mut jobs = scraping.jobs;
                let (local, wrong) = crate::local::jobs(&self.name, &part);
                jobs.extend(local);
                refused.extend(wrong);
                let options = Options {
                    interval: scraping.global.evaluation_interval_ms,
                    query_offset: scraping.global.rule_query_offset_ms,
                    external_labels: plan::by_name(&state.external_labels),
                    twins: part.absent,
                    ..Options::default()
                };
                let (sources, wrong) = plan::rules(&part.rules, &state.sources);
                refused.extend(wrong);
                match state.engine.set(options, sources.clone(), now) {
                    Ok(()) => state.sources = sources,
                    Err(error) => refused.push(error.to_string()),
                }
                self.scraper.set(jobs);
            }
            Err(wrong) => refused.extend(wrong),
        }
        match plan::routing(part.routing.as_ref()) {
            Ok((config, warnings)) => {
                refused.extend(warnings);
                let (templates, wrong) = plan::templates(&config, &part);
                refused.extend(wrong);
                state.templates = templates;
                state.pipeline.reconfigure(config, now);
            }
            Err(wrong) => refused.extend(wrong),
        }
        match plan::scorer(&part.score) {
            Ok(scorer) => state.scorer = scorer,
            Err(wrong) => refused.extend(wrong),
        }
        state.part = part;
        state.hold();
        state.refused.clone_from(&refused);
        drop(state);
        self.rules_changed.notify_one();
        self.alerts_changed.notify_one();
        refused
    }

    /// Takes in what goes on around the stack.
    pub(crate) fn hear(&self, goings_on: GoingsOn, now: i64) {
        let mut state = self.state();
        if state.goings_on == goings_on {
            return;
        }
        state.pipeline.changed(goings_on.changes.clone());
        state.goings_on = goings_on;
        state.hold();
        self.note_changes(&mut state, now);
        drop(state);
        self.alerts_changed.notify_one();
    }

    /// Watches until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        let (scraping, evaluating, telling) = (Arc::clone(&self), Arc::clone(&self), self);
        tasks.spawn(async move { scraping.scraper.run().await });
        tasks.spawn(Arc::clone(&evaluating).judge());
        tasks.spawn(evaluating.evaluate());
        tasks.spawn(telling.tell());
        // None of them ends by itself; a panic of one is a bug, and the process is better begun anew.
        if let Some(Err(error)) = tasks.join_next().await
            && error.is_panic()
        {
            std::process::abort();
        }
    }

    async fn evaluate(self: Arc<Self>) {
        loop {
            let next = self.state().engine.next_due();
            let until = next.map_or(SLEEP_MAX, crate::until).min(SLEEP_MAX);
            tokio::select! {
                () = tokio::time::sleep(until) => {}
                () = self.rules_changed.notified() => {}
            }
            let now = crate::now_ms();
            if self.state().engine.due(now).is_empty() {
                continue;
            }
            // What is asked at this moment is looked at, and not only what was asked before it.
            let _ = tokio::time::timeout(SETTLE_MAX, self.scraper.settled(now)).await;
            let this = Arc::clone(&self);
            // A query over much takes a while, and scrapes go on meanwhile.
            let evaluated = tokio::task::spawn_blocking(move || this.evaluate_due(now)).await;
            if evaluated.is_err_and(|error| error.is_panic()) {
                std::process::abort();
            }
        }
    }

    /// Judges the figures of the scorecard, so that rules and dashboards see them too.
    async fn judge(self: Arc<Self>) {
        let feed = Arc::new(Mutex::new(self.feed()));
        let mut timer = tokio::time::interval(SCORE_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            let (this, feed) = (Arc::clone(&self), Arc::clone(&feed));
            let judged = tokio::task::spawn_blocking(move || {
                let scorer = this.state().scorer.clone();
                let now = crate::now_ms();
                let score = scorer.score(&this.view, now, &EvalOptions::default());
                let mut feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
                for (labels, value) in score.series() {
                    this.write(&mut feed, &labels, value);
                }
                this.view.store().commit(&mut feed, now);
            });
            if judged.await.is_err_and(|error| error.is_panic()) {
                std::process::abort();
            }
        }
    }

    /// Evaluates all groups that are due, for one moment.
    fn evaluate_due(&self, at: i64) {
        let mut state = self.state();
        let state = &mut *state;
        let mut world = Around {
            now_ms: at,
            external_url: state.part.external_url.clone(),
        };
        let begun = Instant::now();
        let mut posted = Vec::new();
        for due in state.engine.due(at) {
            let mut watch = || begun.elapsed();
            let mut around = Within {
                store: &self.view,
                world: &mut world,
                watch: &mut watch,
            };
            let Some(evaluated) = state.engine.evaluate(due.group, at, &mut around) else {
                continue;
            };
            let group = &state.engine.groups()[due.group];
            let name = (group.file().to_owned(), group.name().to_owned());
            let feed = state.feeds.entry(name).or_insert_with(|| self.feed());
            for element in &evaluated.series {
                self.write(feed, &element.labels, element.value);
            }
            for labels in &evaluated.ended {
                self.write(feed, labels, STALE);
            }
            self.view.store().commit(feed, evaluated.time);
            posted.extend(evaluated.posted);
        }
        for ended in state.engine.take_ended(at) {
            let mut feed = self.feed();
            for labels in &ended.series {
                self.write(&mut feed, labels, STALE);
            }
            self.view.store().commit(&mut feed, ended.time);
        }
        let known: BTreeSet<(&str, &str)> = state
            .engine
            .groups()
            .iter()
            .map(|group| (group.file(), group.name()))
            .collect();
        state.feeds.retain(|(file, name), _| known.contains(&(file, name)));
        keep(&self.folder.join(RULES), &state.engine.kept(), &mut state.kept_rules);
        if !posted.is_empty() {
            self.receive(state, posted, at);
        }
    }

    fn feed(&self) -> Feed {
        self.view
            .store()
            .feed(&Labels::from_pairs([(STACK, self.name.as_str())]), false)
    }

    fn write(&self, feed: &mut Feed, labels: &Labels, value: f64) {
        let labels = match labels.has(STACK) {
            true => labels.clone(),
            false => labels.with(STACK, &self.name),
        };
        // A refusal is counted by the store and told in its status.
        let _ = self.view.store().add(feed, &labels, value);
    }

    /// Takes alerts in, and notes which began and which ended.
    pub(crate) fn receive(&self, state: &mut State, posted: Vec<Posted>, now: i64) {
        // What is refused has no labels: rules make none such, and a door says so itself.
        let _ = state.pipeline.receive(posted, now);
        self.note_changes(state, now);
        self.keep_alerts(state);
        self.alerts_changed.notify_one();
    }

    /// Writes into the journal which alerts began to fire and which ended.
    pub(crate) fn note_changes(&self, state: &mut State, now: i64) {
        let mut firing = BTreeMap::new();
        for (alert, _) in state.pipeline.alerts(now) {
            if alert.resolved(now) {
                continue;
            }
            let print = alert.fingerprint();
            firing.insert(print, alert.starts_at);
            if !state.firing.contains_key(&print) {
                let changes = state.pipeline.care().open.get(&print).map(|episode| &episode.changes);
                let changes: Vec<_> = (changes.into_iter().flatten()).map(crate::alerts::change).collect();
                let data = json!({
                    "alert": alert.labels.get("alertname"),
                    "labels": alert.labels,
                    "annotations": alert.annotations,
                    "since": crate::alerts::time(alert.starts_at),
                    "changes": changes,
                });
                self.outbox.put(now, &self.name, "alert.fired", data);
            }
        }
        for (print, since) in &state.firing {
            if firing.contains_key(print) {
                continue;
            }
            let ended = state
                .pipeline
                .alerts(now)
                .find(|(alert, _)| alert.fingerprint() == *print);
            let data = json!({
                "alert": ended.as_ref().and_then(|(alert, _)| alert.labels.get("alertname")),
                "labels": ended.as_ref().map(|(alert, _)| &alert.labels),
                "after_ms": now - since,
            });
            self.outbox.put(now, &self.name, "alert.resolved", data);
        }
        state.firing = firing;
    }

    /// Writes what receivers were told to disk.
    pub(crate) fn keep_alerts(&self, state: &mut State) {
        keep(
            &self.folder.join(ALERTS),
            &state.pipeline.kept(),
            &mut state.kept_alerts,
        );
    }

    /// Has it looked at what is to be told.
    pub(crate) fn look(&self) {
        self.alerts_changed.notify_one();
    }

    async fn tell(self: Arc<Self>) {
        let mut sending = JoinSet::new();
        loop {
            let now = crate::now_ms();
            let due = {
                let mut state = self.state();
                let due = state.pipeline.tick(now, &seconds_from_utc);
                self.note_changes(&mut state, now);
                // Before anything is sent: who is killed in between tells it again, and never forgets it.
                self.keep_alerts(&mut state);
                due
            };
            for silence in due.lapsing {
                let data = json!({ "silence": silence.id, "by": silence.created_by, "reason": silence.reason, "ends_at": tend_base::Wall(silence.ends_at.unsigned_abs()).to_rfc3339() });
                self.outbox.put(now, &self.name, "alert.silence_lapsing", data);
            }
            for episode in due.held {
                let data = json!({ "alert": episode.labels.get("alertname"), "labels": episode.labels, "held": episode.held.as_ref().map(crate::alerts::held) });
                self.outbox.put(now, &self.name, "alert.held", data);
            }
            for delivery in due.deliveries {
                sending.spawn(Arc::clone(&self).send(delivery));
            }
            let next = self.state().pipeline.next(crate::now_ms());
            let until = next.map_or(SLEEP_MAX, crate::until).min(SLEEP_MAX);
            tokio::select! {
                () = tokio::time::sleep(until.max(Duration::from_millis(5))) => {}
                () = self.alerts_changed.notified() => {}
                Some(ended) = sending.join_next() => {
                    if ended.is_err_and(|error| error.is_panic()) {
                        std::process::abort();
                    }
                }
            }
        }
    }

    async fn send(self: Arc<Self>, delivery: Delivery) {
        let (config, templates, part) = {
            let state = self.state();
            (
                state.pipeline.config().clone(),
                state.templates.clone(),
                state.part.clone(),
            )
        };
        let (heard, means) = send(&self.notifier, &config, &templates, &part, &delivery).await;
        let now = crate::now_ms();
        let mut state = self.state();
        let (kind, again) = match &heard.answer {
            Answer::Confirmed => ("notification.delivered", false),
            Answer::Failed { .. } => ("notification.failed", true),
            Answer::Refused { .. } => ("notification.failed", false),
        };
        let mut data = json!({
            "receiver": delivery.receiver,
            "means": means,
            "where": heard.at,
            "group": delivery.group_labels,
            "alerts": delivery.alerts.len(),
            "attempt": delivery.attempt + 1,
            "said": heard.said,
        });
        if kind == "notification.failed" {
            data["again"] = again.into();
        }
        (state.pipeline).heard(&delivery, heard.answer, means, &heard.said, now);
        self.keep_alerts(&mut state);
        drop(state);
        self.outbox.put(now, &self.name, kind, data);
    }
}

/// What is kept of a stack's alerts, and of its rules.
const ALERTS: &str = "alerts.json";
const RULES: &str = "rules.json";

fn read<T: DeserializeOwned>(path: &std::path::Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Writes a value where it changed. What a full disk does not take is tried again with the next change.
fn keep(path: &std::path::Path, value: &impl Serialize, last: &mut Vec<u8>) {
    let Ok(bytes) = serde_json::to_vec(value) else {
        return;
    };
    if bytes != *last && tend_base::write_atomically(path, &bytes, 0o600).is_ok() {
        *last = bytes;
    }
}
