//! The targets of one job, and how they stay the same when what says so changes. Knows no socket; the tasks that ask are in `follow`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tend_fetch::Client;
use tend_promql::Labels;
use tokio::sync::Notify;

use crate::config::{Group, Job, Settings};
use crate::files::{FILE_LABEL, Files};
use crate::gather::{BuiltIn, Gather};
use crate::metadata::JobMetadata;
use crate::target::{Found, Target, find};
use crate::view::{DroppedView, JobView, LastScrape, TargetView, Targets};

/// Connections that a job keeps while nobody uses them; each target has one.
const CONNECTIONS_KEPT_MAX: usize = 4096;

/// What is wrong with targets of a job, told one by one up to so many.
const FAULTS_TOLD_MAX: usize = 20;

/// The collector of a target that is gathered here, where it was not taken up yet.
type Collector = Option<Box<dyn Gather>>;

/// An address, or the identity of what is gathered here, and the labels it was found with.
type Candidate = (String, BTreeMap<String, String>);

/// How the targets of a job are asked, at present.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) settings: Settings,
    pub(crate) client: Arc<Client>,
    pub(crate) metadata: Arc<Mutex<JobMetadata>>,
}

/// One target over time, as it and who looks at it see it. Its task is in `follow`.
pub(crate) struct Entry {
    pub(crate) job: String,
    /// Something of the state was changed from outside.
    pub(crate) changed: Notify,
    state: Mutex<EntryState>,
}

pub(crate) struct EntryState {
    pub(crate) target: Target,
    pub(crate) asking: Arc<Asking>,
    /// A collector that was given and is not taken up yet.
    pub(crate) gather: Collector,
    /// More targets than the job may have: how many.
    pub(crate) too_many: Option<usize>,
    /// What was known of its lines does not hold any more.
    pub(crate) forget: bool,
    /// When it is asked next; while it is asked, when that was due.
    pub(crate) due_ms: i64,
    pub(crate) gone: bool,
    /// A task follows it.
    pub(crate) followed: bool,
    pub(crate) last: LastScrape,
}

impl Entry {
    pub(crate) fn state(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it; its task ends its series.
    pub(crate) fn end(&self) {
        self.state().gone = true;
        self.changed.notify_one();
    }
}

/// A job and its targets.
pub(crate) struct Pool {
    pub(crate) name: String,
    asking: Arc<Asking>,
    groups: Vec<Group>,
    files: Files,
    built_in: Vec<Candidate>,
    undone: Vec<&'static str>,
    pub(crate) entries: Vec<Arc<Entry>>,
    dropped: Vec<Labels>,
    dropped_count: usize,
    faulty: Vec<String>,
}

impl Pool {
    /// Makes the job's pool, its files looked at, out of the one it had if it had one: targets that stay keep their series.
    pub(crate) fn new(job: Job, files: Files, before: Option<Pool>, now_ms: i64) -> Self {
        let (mut entries, mut client, mut metadata) = (Vec::new(), None, None);
        if let Some(before) = before {
            let asking = before.asking;
            client = (asking.settings.http.tls == job.settings.http.tls).then(|| Arc::clone(&asking.client));
            metadata = Some(Arc::clone(&asking.metadata));
            entries = before.entries;
        }
        let tls = &job.settings.http.tls;
        let asking = Arc::new(Asking {
            client: client.unwrap_or_else(|| Arc::new(Client::new(tls.clone(), CONNECTIONS_KEPT_MAX))),
            metadata: metadata.unwrap_or_default(),
            settings: job.settings,
        });
        let mut gathers = HashMap::new();
        let mut built_in = Vec::new();
        for BuiltIn {
            identity,
            labels,
            gather,
        } in job.built_in
        {
            gathers.insert((identity.clone(), labels.clone()), gather);
            built_in.push((identity, labels));
        }
        let mut pool = Self {
            name: job.name,
            asking,
            groups: job.groups,
            files,
            built_in,
            undone: job.undone,
            entries,
            dropped: Vec::new(),
            dropped_count: 0,
            faulty: Vec::new(),
        };
        pool.find(gathers, now_ms);
        pool
    }

    /// The files of targets, to be looked at.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Goes on with files that were looked at.
    pub(crate) fn take_files(&mut self, files: Files, changed: bool, now_ms: i64) {
        self.files = files;
        if changed {
            self.find(HashMap::new(), now_ms);
        }
    }

    /// Finds all targets anew. Those that are there stay, others begin or end.
    fn find(&mut self, mut gathers: HashMap<Candidate, Box<dyn Gather>>, now_ms: i64) {
        (self.dropped, self.dropped_count, self.faulty) = Default::default();
        let mut found: Vec<(Target, Collector)> = Vec::new();
        for (address, labels, is_built_in) in self.candidates() {
            let settings = &self.asking.settings;
            let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let url = is_built_in.then(|| format!("builtin:{address}"));
            match find(&self.name, settings, &address, pairs, url.as_deref()) {
                Found::Target(target) => found.push((target, gathers.remove(&(address, labels)))),
                Found::Dropped { discovered } => {
                    self.dropped_count += 1;
                    if self.dropped.len() < settings.limits.dropped_shown {
                        self.dropped.push(discovered);
                    }
                }
                Found::Refused { why, .. } => self.faulty.push(format!("target `{address}` is not asked: {why}")),
            }
        }
        self.exchange(found, now_ms);
        let faulty = self.faulty.len();
        if faulty > FAULTS_TOLD_MAX {
            self.faulty.truncate(FAULTS_TOLD_MAX);
            self.faulty.push(format!("… and {} more", faulty - FAULTS_TOLD_MAX));
        }
    }

    /// Addresses with the labels they were found with, and whether they are gathered here.
    fn candidates(&self) -> Vec<(String, BTreeMap<String, String>, bool)> {
        let mut all = Vec::new();
        let in_file = self.groups.iter().map(|group| (None, group));
        for (file, group) in in_file.chain(self.files.groups().map(|(file, group)| (Some(file), group))) {
            for target in &group.targets {
                let mut labels = group.labels.clone();
                if let Some(file) = file {
                    labels.insert(FILE_LABEL.to_owned(), file.display().to_string());
                }
                all.push((target.clone(), labels, false));
            }
        }
        let built_in = self.built_in.iter();
        all.extend(built_in.map(|(identity, labels)| (identity.clone(), labels.clone(), true)));
        all
    }

    /// Puts the targets that were found in the place of those that were there.
    fn exchange(&mut self, found: Vec<(Target, Collector)>, now_ms: i64) {
        let key = |target: &Target| (target.labels.clone(), target.url.clone());
        let mut before: Vec<Option<Arc<Entry>>> = std::mem::take(&mut self.entries).into_iter().map(Some).collect();
        let by_key: HashMap<(Labels, String), usize> = (before.iter().enumerate())
            .filter_map(|(at, entry)| Some((key(&entry.as_ref()?.state().target), at)))
            .collect();
        let by_labels: HashMap<Labels, usize> = by_key.iter().map(|((labels, _), at)| (labels.clone(), *at)).collect();
        let mut seen = std::collections::HashSet::new();
        // First what is quite the same, so that another of the same labels does not take its place.
        let mut places: Vec<(Target, Collector, Option<Arc<Entry>>)> = Vec::new();
        for (target, gather) in found {
            if seen.insert(key(&target)) {
                let entry = by_key.get(&key(&target)).and_then(|at| before[*at].take());
                places.push((target, gather, entry));
            }
        }
        let mut by_labels_now: HashMap<Labels, String> = HashMap::new();
        for (target, gather, entry) in places {
            if let Some(other) = by_labels_now.insert(target.labels.clone(), target.url.clone()) {
                let (labels, url) = (&target.labels, &target.url);
                self.faulty.push(format!(
                    "`{other}` and `{url}` have the same labels {labels}: their samples are mixed"
                ));
            }
            let entry = entry.or_else(|| by_labels.get(&target.labels).and_then(|at| before[*at].take()));
            let entry = match entry {
                Some(entry) => {
                    entry.take_over(target, gather, &self.asking, now_ms);
                    entry
                }
                None => Arc::new(Entry {
                    job: self.name.clone(),
                    changed: Notify::new(),
                    state: Mutex::new(EntryState {
                        due_ms: target.schedule(&self.name).after(now_ms),
                        target,
                        asking: Arc::clone(&self.asking),
                        gather,
                        too_many: None,
                        forget: false,
                        gone: false,
                        followed: false,
                        last: LastScrape::default(),
                    }),
                }),
            };
            self.entries.push(entry);
        }
        before.into_iter().flatten().for_each(|entry| entry.end());
        let limit = self.asking.settings.limits.targets;
        let too_many = limit.and_then(|limit| (self.entries.len() > limit).then_some(self.entries.len()));
        for entry in &self.entries {
            entry.state().too_many = too_many;
        }
    }

    /// What is told of the job and its targets.
    pub(crate) fn tell(&self, into: &mut Targets) {
        for entry in &self.entries {
            let state = entry.state();
            into.active.push(TargetView {
                job: self.name.clone(),
                labels: state.target.labels.clone(),
                discovered: state.target.discovered.clone(),
                url: state.target.url.clone(),
                interval_ms: state.target.interval_ms,
                timeout_ms: state.target.timeout_ms,
                due_ms: state.due_ms,
                last: state.last.clone(),
            });
        }
        into.dropped.extend(self.dropped.iter().map(|discovered| DroppedView {
            job: self.name.clone(),
            discovered: discovered.clone(),
        }));
        let mut faults: Vec<String> = self.files.faults().map(str::to_owned).collect();
        faults.extend(self.faulty.iter().cloned());
        faults.extend(
            self.undone
                .iter()
                .map(|kind| format!("targets are not found by `{kind}`")),
        );
        into.jobs.push(JobView {
            name: self.name.clone(),
            active: self.entries.len(),
            dropped: self.dropped_count,
            faults,
        });
    }

    /// What the job's metrics are.
    pub(crate) fn metadata(&self) -> JobMetadata {
        let known = self.asking.metadata.lock();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Entry {
    /// Goes on as this target, which is the same or another with the same labels.
    fn take_over(&self, target: Target, gather: Collector, asking: &Arc<Asking>, now_ms: i64) {
        let mut state = self.state();
        if !Arc::ptr_eq(&state.asking, asking) {
            state.forget |= !asking.settings.keeps_series_of(&state.asking.settings);
            state.asking = Arc::clone(asking);
        }
        // With the same identity the collector that is there goes on, taken up or not: it has its connections.
        if state.target.url != target.url && gather.is_some() {
            state.gather = gather;
        }
        if state.target.interval_ms != target.interval_ms {
            state.due_ms = target.schedule(&self.job).after(now_ms);
        }
        state.target = target;
        drop(state);
        self.changed.notify_one();
    }
}
