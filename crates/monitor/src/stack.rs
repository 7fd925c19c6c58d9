//! One stack as it is watched: its targets are asked, its rules evaluated, its alerts told. What it decides is decided in the crates it joins.
//!
//! Invariant: what receivers were told is on disk before they are told and after they answered, so that a kill at any moment loses no alert and
//! repeats none that was confirmed (e2e `monitor::`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tend_alert::{Alert, Answer, Delivery, Kept as KeptAlerts, Language, Pace, Pipeline, Posted, RuleKind, WATCHDOG};
use tend_metrics::{Feed, MetricStore};
use tend_notify::{Beat, Limits, Notifier};
use tend_promql::{EvalOptions, Labels, STALE};
use tend_rules::{Around as Within, Engine, Finding, Kept as KeptRules, Options, Source};
use tend_scorecard::Scorer;
use tend_scrape::{Health as Scraped, Scraper};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::dead_man::{self, DeadMan};
use crate::judge;
use crate::kept_file::KeptFile;
use crate::local::DaemonGather;
use crate::outbox::Outbox;
use crate::plan;
use crate::remote::Remote;
use crate::send::send;
use crate::snapshot::{GoingsOn, StackPart};
use crate::view::{STACK, View};
use crate::world::{Around, seconds_from_utc};
use crate::write_out::write_out;

/// How long rules wait for the scrapes of their moment: a target that hangs keeps no rule from being evaluated for longer.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// How long the first evaluation waits for the first scrape of each target, and how often it looks. An interval is longer only where nobody is in
/// a hurry.
const FIRST_SCRAPES_MAX: Duration = Duration::from_secs(20);
const FIRST_SCRAPES_LOOK: Duration = Duration::from_millis(50);

/// How often the figures of the scorecard are judged. Their queries look over five minutes, and are a seventh of all the work of a monitor without
/// rules when they are asked each 15 s.
const SCORE_EVERY: Duration = Duration::from_secs(30);

/// How long after a change rules are judged over what is measured, in milliseconds, or after three intervals: a scrape may bring what they read.
const JUDGED_AFTER: i64 = 30_000;

/// Findings that one note has at most.
const FINDINGS_TOLD_MAX: usize = 50;

/// The longest sleep where nothing is due: a clock that was set is noticed within it.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// One stack.
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) view: View,
    pub(crate) scraper: Scraper,
    pub(crate) state: Mutex<State>,
    /// Apart from the rest, for it is held while rules are evaluated, which may wait for another server. Locked before the state where both are.
    rules: Mutex<Rules>,
    pub(crate) outbox: Arc<Outbox>,
    folder: PathBuf,
    pub(crate) notifier: Notifier,
    daemon: Option<DaemonGather>,
    /// The rules changed, or were never looked at.
    rules_changed: Notify,
    /// There may be something to tell.
    alerts_changed: Notify,
    /// Others may be named to be sent what is measured.
    pub(crate) writes_changed: Notify,
    /// The longest that an answer to a scrape may take, in milliseconds: until then a sample may come for a moment.
    latest_ms: AtomicI64,
}

/// How rules fared when they were last looked at over what is measured.
#[derive(Default)]
struct Judged {
    /// The texts they are of, as a hash.
    texts: Option<u64>,
    /// When they are to be looked at.
    due: Option<i64>,
    /// What was told.
    told: Vec<Finding>,
}

/// The rules as they stand.
pub(crate) struct Rules {
    pub(crate) engine: Engine,
    pub(crate) sources: Vec<Source>,
    /// Feeds of the groups' results, by file and name.
    feeds: BTreeMap<(String, String), Feed>,
    /// Where they are kept.
    kept: KeptFile,
}

/// What changes.
pub(crate) struct State {
    pub(crate) part: StackPart,
    pub(crate) pipeline: Pipeline,
    goings_on: GoingsOn,
    pub(crate) external_labels: Labels,
    pub(crate) scorer: Scorer,
    /// Proves that alerts get there, where the stack wants it.
    dead_man: Option<DeadMan>,
    /// Files of templates: what they are called, and what they say.
    pub(crate) templates: Vec<(String, String)>,
    /// What of the last snapshot could not be taken.
    pub(crate) refused: Vec<String>,
    /// Alerts that the journal knows to fire.
    firing: BTreeMap<u64, i64>,
    /// Where alerts, and what receivers were told, are kept.
    kept_alerts: KeptFile,
    /// Where it is kept when the way to receivers was last proven; its room on the disk is taken by stacks that want that alone.
    kept_dead_man: Option<KeptFile>,
}

impl Rules {
    /// The names of the series that they make.
    fn made(&self) -> BTreeSet<String> {
        let rules = self.engine.groups().iter().flat_map(|group| group.rules());
        let recorded = rules.filter(|rule| matches!(rule.rule().kind, RuleKind::Record { .. }));
        let recorded = recorded.map(|rule| rule.rule().name().to_owned());
        recorded
            .chain(["ALERTS", "ALERTS_FOR_STATE"].map(str::to_owned))
            .collect()
    }
}

impl State {
    /// In which language texts of our own are.
    pub(crate) fn language(&self) -> Language {
        match self.part.chinese {
            true => Language::Chinese,
            false => Language::English,
        }
    }

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
        daemon: Option<DaemonGather>,
        now: i64,
    ) -> Result<Arc<Self>, Vec<String>> {
        let (config, _) = plan::routing(None)?;
        let mut kept_alerts = KeptFile::new(folder.join(ALERTS));
        let kept: KeptAlerts = kept_alerts.read().unwrap_or_default();
        let pipeline = Pipeline::new(config, kept, Pace::default(), now);
        let firing = pipeline
            .alerts(now)
            .filter(|(alert, _)| is_news(alert, now))
            .map(|(alert, _)| (alert.fingerprint(), alert.starts_at))
            .collect();
        let mut kept_rules = KeptFile::new(folder.join(RULES));
        let kept: Option<KeptRules> = kept_rules.read();
        // Groups are given with the part: what was kept of them is kept until then.
        let (mut sources, _) = plan::rules(&part.rules, &[]);
        sources.extend(part.heartbeat.as_ref().map(DeadMan::rules));
        let engine =
            Engine::new(Options::default(), sources.clone(), kept, now).map_err(|error| vec![error.to_string()])?;
        let watched = Arc::new(Self {
            name: name.to_owned(),
            view: View::new(Arc::clone(&store), name),
            scraper: Scraper::new(store),
            state: Mutex::new(State {
                part: part.clone(),
                pipeline,
                goings_on: GoingsOn::default(),
                external_labels: Labels::EMPTY,
                scorer: plan::scorer(&serde_json::Value::Null)
                    .map_err(|_| vec!["invariant: the guide's figures can be read".to_owned()])?,
                dead_man: None,
                templates: Vec::new(),
                refused: Vec::new(),
                firing,
                kept_alerts,
                kept_dead_man: None,
            }),
            rules: Mutex::new(Rules {
                engine,
                sources,
                feeds: BTreeMap::new(),
                kept: kept_rules,
            }),
            outbox,
            folder,
            notifier: Notifier::new(Limits::default()),
            daemon,
            rules_changed: Notify::new(),
            alerts_changed: Notify::new(),
            writes_changed: Notify::new(),
            latest_ms: AtomicI64::new(0),
        });
        Ok(watched)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Each change is made whole by the machine it is made in.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rules(&self) -> MutexGuard<'_, Rules> {
        // As with the state.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the stack wants now; returns what of it could not be taken, where what stood before stands. Reads files, so it may wait for a
    /// disk.
    pub(crate) fn set(&self, part: StackPart, now: i64) -> Vec<String> {
        let mut refused = Vec::new();
        let mut rules = self.rules();
        let mut state = self.state();
        match plan::scraping(&self.name, &part) {
            Ok((scraping, warnings)) => {
                refused.extend(warnings);
                state.external_labels = scraping.global.external_labels.clone();
                let mut jobs = scraping.jobs;
                let (local, wrong) = crate::local::jobs(&self.name, &part, self.daemon);
                jobs.extend(local);
                let latest = jobs.iter().map(|job| job.settings.timeout_ms).max();
                self.latest_ms.store(latest.unwrap_or(0), Ordering::Relaxed);
                refused.extend(wrong);
                let options = Options {
                    interval: scraping.global.evaluation_interval_ms,
                    query_offset: scraping.global.rule_query_offset_ms,
                    external_labels: plan::by_name(&state.external_labels),
                    twins: part.absent,
                    ..Options::default()
                };
                let (mut sources, wrong) = plan::rules(&part.rules, &rules.sources);
                refused.extend(wrong);
                sources.extend(part.heartbeat.as_ref().map(DeadMan::rules));
                match rules.engine.set(options, sources.clone(), now) {
                    Ok(()) => rules.sources = sources,
                    Err(error) => refused.push(error.to_string()),
                }
                self.scraper.set(jobs);
            }
            Err(wrong) => refused.extend(wrong),
        }
        let remote = part.prometheus.as_ref().map(|url| Remote::new(url, rules.made()));
        match remote.transpose() {
            Ok(remote) => self.view.set_remote(remote.map(Arc::new)),
            Err(why) => refused.push(why),
        }
        drop(rules);
        match plan::routing(part.routing.as_ref()) {
            Ok((mut config, warnings)) => {
                refused.extend(warnings);
                let (templates, wrong) = plan::templates(&config, &part);
                refused.extend(wrong);
                if let Some(heartbeat) = &part.heartbeat {
                    let unknown = config.route_dead_man(&heartbeat.watchdog, heartbeat.proven_within_ms);
                    let known = config.receivers.keys().map(String::as_str).collect();
                    refused.extend(dead_man::unknown(&unknown, &known));
                }
                state.templates = templates;
                state.pipeline.reconfigure(config, now);
            }
            Err(wrong) => refused.extend(wrong),
        }
        refused.extend(self.set_dead_man(&mut state, &part, now));
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
        self.writes_changed.notify_one();
        refused
    }

    /// Where what is kept of it lies.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// For how long after a moment a scrape may bring a sample of it, in milliseconds.
    pub(crate) fn latest_ms(&self) -> i64 {
        self.latest_ms.load(Ordering::Relaxed)
    }

    /// Has the dead man as the stack wants it; returns what of it cannot be done.
    fn set_dead_man(&self, state: &mut State, part: &StackPart, now: i64) -> Option<String> {
        let Some(settings) = &part.heartbeat else {
            state.dead_man = None;
            return None;
        };
        let standing = state.dead_man.as_ref();
        if standing.is_some_and(|standing| standing.settings() == settings) {
            return None;
        }
        let kept = match standing.map(DeadMan::kept) {
            Some(kept) => Some(kept),
            None => self.kept_dead_man(state).read(),
        };
        let (dead_man, wrong) = DeadMan::new(settings, kept, now);
        state.dead_man = Some(dead_man);
        self.keep_dead_man(state);
        wrong
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
        tasks.spawn(write_out(Arc::clone(&telling)));
        tasks.spawn(telling.tell());
        // None of them ends by itself; a panic of one is a bug, and the process is better begun anew.
        if let Some(Err(error)) = tasks.join_next().await
            && error.is_panic()
        {
            std::process::abort();
        }
    }

    async fn evaluate(self: Arc<Self>) {
        let measured_from = self.first_scrapes().await;
        let mut judged = Judged::default();
        loop {
            self.judge_rules(&mut judged).await;
            let next = self.rules().engine.next_due();
            let until = next.map_or(SLEEP_MAX, crate::until).min(SLEEP_MAX);
            tokio::select! {
                () = tokio::time::sleep(until) => {}
                () = self.rules_changed.notified() => {}
            }
            let now = crate::now_ms();
            if self.rules().engine.due(now).is_empty() {
                continue;
            }
            // What is asked at this moment is looked at, and not only what was asked before it.
            let _ = tokio::time::timeout(SETTLE_MAX, self.scraper.settled(now)).await;
            let this = Arc::clone(&self);
            // A query over much takes a while, and scrapes go on meanwhile.
            let evaluated = tokio::task::spawn_blocking(move || this.evaluate_due(now, measured_from)).await;
            if evaluated.is_err_and(|error| error.is_panic()) {
                std::process::abort();
            }
        }
    }

    /// Waits until each target was asked, for a while at most; returns when that was.
    ///
    /// What a kill took of the store is the newest of it. Rules that were evaluated over what is left would take back alerts that were just
    /// told, and tell them again a moment later.
    async fn first_scrapes(&self) -> i64 {
        // Nothing is wanted before this.
        self.rules_changed.notified().await;
        let begun = Instant::now();
        while begun.elapsed() < FIRST_SCRAPES_MAX {
            tokio::time::sleep(FIRST_SCRAPES_LOOK).await;
            let targets = self.scraper.targets().active;
            if targets.iter().all(|target| target.last.health != Scraped::Unknown) {
                break;
            }
        }
        crate::now_ms()
    }

    /// Once rules changed, and after some scrapes, has them judged over what is measured. What is wrong with them is told, where it is not the same as
    /// before.
    async fn judge_rules(self: &Arc<Self>, judged: &mut Judged) {
        let (texts, interval) = {
            let state = self.state();
            let mut hash = tend_base::Fnv64::default();
            state
                .part
                .rules
                .iter()
                .for_each(|file| hash.bytes(file.text.expose().as_bytes()));
            (hash.value(), state.part.pace.interval_ms)
        };
        let now = crate::now_ms();
        if judged.texts != Some(texts) {
            judged.texts = Some(texts);
            judged.due = Some(now + JUDGED_AFTER.max(3 * interval));
        }
        if judged.due.is_none_or(|due| now < due) {
            return;
        }
        judged.due = None;
        let this = Arc::clone(self);
        let found = tokio::task::spawn_blocking(move || judge::findings(&this, now)).await;
        let found = match found {
            Ok(Ok(found)) => found,
            // Nobody answers: the rules themselves say so.
            Ok(Err(_)) => return,
            Err(error) if error.is_panic() => std::process::abort(),
            Err(_) => return,
        };
        let doubtful: Vec<Finding> = found
            .into_iter()
            .filter(|finding| finding.severity != tend_rules::Severity::Note)
            .collect();
        if doubtful != judged.told {
            if !doubtful.is_empty() {
                let data = json!({ "rules": doubtful.len(), "findings": doubtful.iter().take(FINDINGS_TOLD_MAX).collect::<Vec<_>>() });
                self.outbox.put(now, &self.name, "rules.doubtful", data);
            }
            judged.told = doubtful;
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

    /// Evaluates all groups that are due, each for the moment at which it was: rounds are as even as the interval, however late a task wakes.
    ///
    /// None is evaluated for a moment before `measured_from`. What a group says is told at once, however long the groups after it take.
    fn evaluate_due(&self, now: i64, measured_from: i64) {
        let mut rules = self.rules();
        let rules = &mut *rules;
        let mut world = Around {
            now_ms: now,
            external_url: self.state().part.external_url.clone(),
        };
        let begun = Instant::now();
        for due in rules.engine.due(now) {
            let at = due.at.max(measured_from.min(now));
            world.now_ms = at;
            let mut watch = || begun.elapsed();
            let mut around = Within {
                store: &self.view,
                world: &mut world,
                watch: &mut watch,
            };
            let Some(evaluated) = rules.engine.evaluate(due.group, at, &mut around) else {
                continue;
            };
            let group = &rules.engine.groups()[due.group];
            let name = (group.file().to_owned(), group.name().to_owned());
            let of_dead_man = (self.state().dead_man.as_mut())
                .and_then(|dead_man| dead_man.evaluated(&self.name, &name.0, at, &evaluated));
            let feed = rules.feeds.entry(name).or_insert_with(|| self.feed());
            for element in &evaluated.series {
                self.write(feed, &element.labels, element.value);
            }
            for labels in &evaluated.ended {
                self.write(feed, labels, STALE);
            }
            self.view.store().commit(feed, evaluated.time);
            let posted: Vec<Posted> = of_dead_man.into_iter().chain(evaluated.posted).collect();
            if !posted.is_empty() {
                // Before it is sent on: rules that forgot what they said would never take it back.
                rules.kept.keep(&rules.engine.kept());
                // Who tells of them keeps them first. None is refused: rules give each a name.
                let _ = self.state().pipeline.receive(posted, now);
                self.alerts_changed.notify_one();
            }
        }
        for ended in rules.engine.take_ended(now) {
            let mut feed = self.feed();
            for labels in &ended.series {
                self.write(&mut feed, labels, STALE);
            }
            self.view.store().commit(&mut feed, ended.time);
        }
        let known: BTreeSet<(&str, &str)> = rules
            .engine
            .groups()
            .iter()
            .map(|group| (group.file(), group.name()))
            .collect();
        rules.feeds.retain(|(file, name), _| known.contains(&(file, name)));
        rules.kept.keep(&rules.engine.kept());
        self.keep_dead_man(&mut self.state());
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

    /// Writes into the journal which alerts began to fire and which ended.
    pub(crate) fn note_changes(&self, state: &mut State, now: i64) {
        let mut firing = BTreeMap::new();
        for (alert, _) in state.pipeline.alerts(now) {
            if !is_news(alert, now) {
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
        state.kept_alerts.keep(&state.pipeline.kept());
    }

    fn keep_dead_man(&self, state: &mut State) {
        if let Some(dead_man) = &state.dead_man {
            let kept = dead_man.kept();
            self.kept_dead_man(state).keep(&kept);
        }
    }

    fn kept_dead_man<'s>(&self, state: &'s mut State) -> &'s mut KeptFile {
        state
            .kept_dead_man
            .get_or_insert_with(|| KeptFile::new(self.folder.join(DEAD_MAN)))
    }

    /// Has it looked at what is to be told.
    pub(crate) fn look(&self) {
        self.alerts_changed.notify_one();
    }

    async fn tell(self: Arc<Self>) {
        let mut sending = JoinSet::new();
        loop {
            let now = crate::now_ms();
            let (due, beat) = {
                let mut state = self.state();
                let beat = self.look_at_dead_man(&mut state, now);
                let due = state.pipeline.tick(now, &seconds_from_utc);
                self.note_changes(&mut state, now);
                // Before anything is sent: who is killed in between tells it again, and never forgets it.
                self.keep_alerts(&mut state);
                (due, beat)
            };
            if let Some(beat) = beat {
                sending.spawn(Arc::clone(&self).send_beat(beat));
            }
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
            let next = {
                let (state, now) = (self.state(), crate::now_ms());
                let of_dead_man = state.dead_man.as_ref().map(|dead_man| dead_man.next(now));
                // One that is held back is looked at with the next sleep.
                let of_dead_man = of_dead_man.filter(|next| *next > now);
                [state.pipeline.next(now), of_dead_man].into_iter().flatten().min()
            };
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

    /// Does what is due of the dead man; returns the sign of life that is to be sent.
    fn look_at_dead_man(&self, state: &mut State, now: i64) -> Option<Beat> {
        let language = state.language();
        let owed = state.pipeline.owed();
        let due = state.dead_man.as_mut()?.tick(&self.name, &owed, language, now);
        if let Some(posted) = due.posted {
            let _ = state.pipeline.receive(vec![posted], now);
        }
        self.keep_dead_man(state);
        if let Some((kind, data)) = due.note {
            self.outbox.put(now, &self.name, kind, data);
        }
        due.beat
    }

    async fn send_beat(self: Arc<Self>, beat: Beat) {
        let heard = self.notifier.beat(&beat).await;
        let mut state = self.state();
        let note = state.dead_man.as_mut().and_then(|dead_man| dead_man.heard(&heard));
        self.keep_dead_man(&mut state);
        drop(state);
        if let Some((kind, data)) = note {
            self.outbox.put(crate::now_ms(), &self.name, kind, data);
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
        if let Some(dead_man) = &mut state.dead_man {
            dead_man.answered(&delivery, &heard.answer, now);
        }
        (state.pipeline).heard(&delivery, heard.answer, means, &heard.said, now);
        self.keep_alerts(&mut state);
        self.keep_dead_man(&mut state);
        drop(state);
        // That the watchdog gets there is the rule, some hundred times a day; that it does not is news.
        if kind == "notification.delivered" && delivery.alerts.iter().all(|alert| alert.name() == WATCHDOG) {
            return;
        }
        self.outbox.put(now, &self.name, kind, data);
    }
}

/// What is kept of a stack's alerts, of its rules, and of its dead man.
const ALERTS: &str = "alerts.json";
const RULES: &str = "rules.json";
const DEAD_MAN: &str = "dead_man.json";

/// Whether the journal is to know that an alert fires.
fn is_news(alert: &Alert, now: i64) -> bool {
    !alert.resolved(now) && alert.name() != WATCHDOG
}
