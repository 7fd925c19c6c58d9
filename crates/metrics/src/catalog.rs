//! All targets and shapes of the head, and how many series each job may have. Knows no sample; writes to the log what it gives numbers to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};

use tend_promql::{Labels, LabelsBuilder};

use crate::error::Refusal;
use crate::head::State;
use crate::index::{Index, difference};
use crate::lock::{lock, read, write};
use crate::record;
use crate::wal::Wal;

/// A target: what is scraped or written as one, with labels that its series share.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) number: u32,
    pub(crate) labels: Labels,
    pub(crate) job: Arc<str>,
    pub(crate) state: RwLock<State>,
}

/// What the head knows by name. Locked after a target's state and before the log.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) index: Index,
    pub(crate) targets: Vec<Arc<Target>>,
    by_labels: HashMap<Labels, Arc<Target>>,
    jobs: HashMap<Arc<str>, usize>,
    pub(crate) series: usize,
    next_target: u32,
    logged_symbols: usize,
    logged_shapes: usize,
}

/// How many series there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) job: usize,
    pub(crate) all: usize,
}

impl Catalog {
    /// Returns the target with these labels, making it where there is none; `made` is told of a new one.
    pub(crate) fn target(&mut self, labels: &Labels, made: impl FnOnce(&Target)) -> Arc<Target> {
        if let Some(known) = self.by_labels.get(labels) {
            return Arc::clone(known);
        }
        let number = self.next_target;
        self.next_target += 1;
        let target = Arc::new(Target {
            number,
            labels: labels.clone(),
            job: labels.get("job").into(),
            state: RwLock::new(State::new(number)),
        });
        made(&target);
        self.targets.push(Arc::clone(&target));
        self.by_labels.insert(labels.clone(), Arc::clone(&target));
        target
    }

    /// Counts a new series of a job.
    pub(crate) fn count(&mut self, job: &Arc<str>) {
        *self.jobs.entry(Arc::clone(job)).or_default() += 1;
        self.series += 1;
    }

    /// Returns whether a job may have no more series.
    fn is_full(&self, job: &str, limits: Limits) -> bool {
        self.series >= limits.all || self.job_series(job) >= limits.job
    }

    pub(crate) fn job_series(&self, job: &str) -> usize {
        self.jobs.get(job).copied().unwrap_or(0)
    }

    /// Writes to the log which symbols and shapes are new.
    fn log(&mut self, log: &mut Wal) {
        let (symbols, shapes) = (
            &self.index.symbols()[self.logged_symbols..],
            &self.index.shapes()[self.logged_shapes..],
        );
        if !symbols.is_empty() {
            log.append(|out| record::symbols(out, symbols.iter().map(|text| &**text)));
        }
        if !shapes.is_empty() {
            log.append(|out| record::shapes(out, shapes.iter().map(|pairs| &**pairs)));
        }
        self.logged();
    }

    fn logged(&mut self) {
        (self.logged_symbols, self.logged_shapes) = (self.index.symbols().len(), self.index.shapes().len());
    }

    /// Writes all that a new segment must know.
    pub(crate) fn begin_segment(&mut self, log: &mut Wal) {
        // In pieces, as a record has a greatest length.
        for symbols in self.index.symbols().chunks(4096) {
            log.append(|out| record::symbols(out, symbols.iter().map(|text| &**text)));
        }
        for shapes in self.index.shapes().chunks(4096) {
            log.append(|out| record::shapes(out, shapes.iter().map(|pairs| &**pairs)));
        }
        self.logged();
        for target in &self.targets {
            let mut state = write(&target.state);
            if state.retired {
                continue;
            }
            state.begin_segment();
            log.append(|out| record::target(out, target.number, target.labels.iter()));
            let shapes = state.series.iter().map(|series| series.shape);
            log.append(|out| record::series(out, target.number, shapes));
        }
    }

    /// Takes the series without a sample since the last block out of the head, and what nothing refers to any more. Nobody else is in the
    /// store meanwhile, and a segment of the log begins afterwards.
    pub(crate) fn sweep(&mut self) {
        for at in 0..self.targets.len() {
            let target = Arc::clone(&self.targets[at]);
            let mut state = write(&target.state);
            if state.retired || state.rounds > 0 {
                continue;
            }
            let live: Vec<u32> = state
                .series
                .iter()
                .filter(|series| series.used)
                .map(|series| series.shape)
                .collect();
            let all = state.series.len();
            for series in &mut state.series {
                series.used = false;
            }
            // Few dead ones are not worth that a target's lines are all looked up again.
            if all > 0 && live.len() * 4 > all * 3 {
                continue;
            }
            state.retired = true;
            self.by_labels.remove(&target.labels);
            let gone = all - live.len();
            self.series -= gone;
            if let Some(count) = self.jobs.get_mut(&target.job) {
                *count -= gone;
            }
            if !live.is_empty() {
                let last = state.last;
                drop(state);
                let successor = self.target(&target.labels, |_| {});
                let mut state = write(&successor.state);
                state.last = last;
                for shape in live {
                    state.add(shape);
                }
            }
        }
        self.jobs.retain(|_, count| *count > 0);
        // Before those that hold nothing are let go: feeds look up where their series went by the shapes of the target they had.
        self.renumber();
        self.targets.retain(|target| {
            let state = read(&target.state);
            !state.retired || !state.held.is_empty()
        });
    }

    /// Makes the index anew where most of it is of no use.
    fn renumber(&mut self) {
        let mut used: Vec<bool> = vec![false; self.index.shapes().len()];
        for target in &self.targets {
            for series in &read(&target.state).series {
                used[series.shape as usize] = true;
            }
        }
        if used.iter().filter(|used| **used).count() * 2 > used.len() {
            return;
        }
        let old = std::mem::take(&mut self.index);
        let numbers: Vec<u32> = used
            .iter()
            .enumerate()
            .map(|(shape, used)| {
                if *used {
                    self.index.shape(old.pairs(shape as u32))
                } else {
                    u32::MAX
                }
            })
            .collect();
        for target in &self.targets {
            write(&target.state).renumber(|shape| numbers[shape as usize]);
        }
    }
}

/// What became of label sets that were brought.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    /// The slot of each; `None` where it was refused.
    pub(crate) slots: Vec<Option<u32>>,
    pub(crate) added: usize,
    /// The first that was refused.
    pub(crate) refused: Option<Labels>,
}

/// Gives each label set its slot at a target, new ones as far as the limits let.
pub(crate) fn admit(
    catalog: &RwLock<Catalog>,
    log: &Mutex<Wal>,
    target: &Target,
    sets: &[&Labels],
    limits: Limits,
) -> Admitted {
    let mut admitted = Admitted::default();
    let mut state = write(&target.state);
    let mut catalog = write(catalog);
    let first_new = state.series.len();
    for labels in sets {
        let pairs = difference(&target.labels, labels);
        if let Some(slot) = catalog
            .index
            .find(pairs.iter().copied())
            .and_then(|shape| state.slot(shape))
        {
            admitted.slots.push(Some(slot));
        } else if catalog.is_full(&target.job, limits) {
            admitted.refused.get_or_insert_with(|| (*labels).clone());
            admitted.slots.push(None);
        } else {
            let shape = catalog.index.shape(pairs);
            admitted.slots.push(Some(state.add(shape)));
            catalog.count(&target.job);
        }
    }
    admitted.added = state.series.len() - first_new;
    if admitted.added > 0 {
        let mut log = lock(log);
        catalog.log(&mut log);
        let shapes = state.series[first_new..].iter().map(|series| series.shape);
        log.append(|out| record::series(out, target.number, shapes));
    }
    admitted
}

/// Says why a series of a job was refused: which label of the job has the most values. Looks at all series of the job.
pub(crate) fn refusal(catalog: &RwLock<Catalog>, job: &Arc<str>, refused: &Labels, limits: Limits) -> Refusal {
    let (series, whole, targets) = {
        let catalog = read(catalog);
        let series = catalog.job_series(job);
        let whole = series < limits.job;
        let of_job = |target: &&Arc<Target>| whole || target.job == *job;
        let targets: Vec<Arc<Target>> = catalog.targets.iter().filter(of_job).cloned().collect();
        (if whole { catalog.series } else { series }, whole, targets)
    };
    let mut shapes = HashSet::new();
    for target in &targets {
        shapes.extend(read(&target.state).series.iter().map(|series| series.shape));
    }
    let catalog = read(catalog);
    let mut values: HashMap<&str, HashSet<&str>> = HashMap::new();
    let known = shapes
        .iter()
        .filter(|shape| (**shape as usize) < catalog.index.shapes().len());
    for (name, value) in known
        .flat_map(|shape| catalog.index.pairs(*shape))
        .chain(refused.iter())
    {
        values.entry(name).or_default().insert(value);
    }
    // Of labels with equally many values the first by name, so that the text is the same each time.
    let worst = values
        .iter()
        .max_by_key(|(name, values)| (values.len(), std::cmp::Reverse(**name)));
    Refusal {
        job: if whole { String::new() } else { job.to_string() },
        series,
        limit: if whole { limits.all } else { limits.job },
        label: worst.map(|worst| (*worst.0).to_owned()).unwrap_or_default(),
        values: worst.map_or(0, |worst| worst.1.len()),
    }
}

/// Returns the labels of a series with its target's.
pub(crate) fn with_target(target: &Labels, name: &str) -> Labels {
    let mut labels = LabelsBuilder::from(target);
    labels.set(tend_promql::METRIC_NAME, name);
    labels.finish()
}
