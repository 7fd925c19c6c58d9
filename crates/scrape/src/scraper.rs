//! The scraper as a whole: jobs are set, targets are asked, and whoever waits for a moment's scrapes is told. Knows no rule.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tend_metrics::MetricStore;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Job;
use crate::files::Files;
use crate::follow::{follow, now_ms};
use crate::metadata::JobMetadata;
use crate::pool::{Entry, Pool};
use crate::view::Targets;

/// Targets that are asked at once. Each takes a socket, and those that hang take it for their timeout: half of the 1024 files that a process
/// may usually have open. Who comes later waits.
const ASKED_AT_ONCE_MAX: usize = 512;

/// How often files of targets are looked at. A look costs a `stat` of each.
const FILES_EVERY: Duration = Duration::from_secs(2);

/// Asks targets for their metrics and puts them into a store.
///
/// What is lost when the process ends: nothing that the store has. The next scraper asks each target at the same moments as this one.
pub struct Scraper {
    shared: Arc<Shared>,
}

/// What the tasks of the targets share.
pub(crate) struct Shared {
    pub(crate) store: Arc<MetricStore>,
    pub(crate) asked: Semaphore,
    /// A scrape is in, or targets went.
    pub(crate) settled: Notify,
    /// There are targets that no task follows.
    begun: Notify,
    pools: Mutex<Vec<Pool>>,
}

impl Shared {
    fn pools(&self) -> MutexGuard<'_, Vec<Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Targets that no task follows; from now on one does.
    fn unfollowed(&self) -> Vec<Arc<Entry>> {
        let pools = self.pools();
        let entries = pools.iter().flat_map(|pool| &pool.entries);
        entries
            .filter(|entry| !std::mem::replace(&mut entry.state().followed, true))
            .map(Arc::clone)
            .collect()
    }

    /// The files of targets of each job.
    fn files(&self) -> Vec<(String, Files)> {
        let pools = self.pools();
        pools
            .iter()
            .map(|pool| (pool.name.clone(), pool.files().clone()))
            .collect()
    }

    fn changed(&self) {
        self.begun.notify_one();
        self.settled.notify_waiters();
    }
}

impl Scraper {
    /// Makes a scraper without jobs.
    #[must_use]
    pub fn new(store: Arc<MetricStore>) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                asked: Semaphore::new(ASKED_AT_ONCE_MAX),
                settled: Notify::new(),
                begun: Notify::new(),
                pools: Mutex::default(),
            }),
        }
    }

    /// Sets the jobs, each under a name of its own (of two with one name the later counts). Targets that stay go on without a gap; the series
    /// of those that go end at once. Reads the jobs' files of targets, so it may wait for a disk.
    pub fn set(&self, jobs: Vec<Job>) {
        // Before the lock: nobody else is to wait for a disk.
        let mut files: HashMap<String, Files> = self.shared.files().into_iter().collect();
        let looked = jobs.into_iter().map(|job| {
            let mut files = files
                .remove(&job.name)
                .unwrap_or_default()
                .of(&job.files, job.settings.http.tls.owner);
            files.look();
            (job, files)
        });
        let looked: Vec<(Job, Files)> = looked.collect();
        let now = now_ms();
        let mut pools = self.shared.pools();
        let mut before: HashMap<String, Pool> = pools.drain(..).map(|pool| (pool.name.clone(), pool)).collect();
        for (job, files) in looked {
            let same = pools.iter().position(|pool| pool.name == job.name);
            let pool = match same {
                Some(at) => Some(pools.remove(at)),
                None => before.remove(&job.name),
            };
            pools.push(Pool::new(job, files, pool, now));
        }
        for entry in before.values().flat_map(|pool| &pool.entries) {
            entry.end();
        }
        drop(pools);
        self.shared.changed();
    }

    /// Asks targets until this is dropped. Run once in a scraper's life. When it is dropped no series ends: the next process goes on with them.
    ///
    /// # Panics
    /// When a task does: that is a bug, and the process is better begun anew.
    pub async fn run(&self) {
        let mut tasks = JoinSet::new();
        let mut look = interval(FILES_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for entry in self.shared.unfollowed() {
                tasks.spawn(follow(Arc::clone(&self.shared), entry));
            }
            tokio::select! {
                () = self.shared.begun.notified() => {}
                Some(ended) = tasks.join_next() => panicked(ended),
                _ = look.tick() => {
                    let shared = Arc::clone(&self.shared);
                    panicked(tokio::task::spawn_blocking(move || look_again(&shared)).await);
                }
            }
        }
    }

    /// Waits until each scrape that was due at or before `moment_ms` (milliseconds since 1970-01-01 UTC) is in the store, or has failed: then
    /// rules may be evaluated at that moment. Takes no longer than the longest timeout after it, as long as no more targets hang than are
    /// asked at once, and [`Scraper::run`] runs.
    pub async fn settled(&self, moment_ms: i64) {
        loop {
            let mut changed = std::pin::pin!(self.shared.settled.notified());
            // From here on no change is missed, though it comes before the wait.
            changed.as_mut().enable();
            let is_settled = {
                let pools = self.shared.pools();
                let mut entries = pools.iter().flat_map(|pool| &pool.entries);
                entries.all(|entry| entry.state().due_ms > moment_ms)
            };
            if is_settled {
                return;
            }
            changed.await;
        }
    }

    /// Returns all targets and how they do.
    #[must_use]
    pub fn targets(&self) -> Targets {
        let mut targets = Targets::default();
        self.shared.pools().iter().for_each(|pool| pool.tell(&mut targets));
        targets
    }

    /// Returns what exporters say of their metrics, by job.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, JobMetadata> {
        let pools = self.shared.pools();
        pools.iter().map(|pool| (pool.name.clone(), pool.metadata())).collect()
    }
}

impl std::fmt::Debug for Scraper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scraper").finish_non_exhaustive()
    }
}

/// Looks at the files of targets. Reads without the lock; jobs that were set meanwhile have looked for themselves.
fn look_again(shared: &Shared) {
    for (job, mut files) in shared.files() {
        let changed = files.look();
        let now = now_ms();
        let mut pools = shared.pools();
        let pool = pools
            .iter_mut()
            .find(|pool| pool.name == job && pool.files().is_of_same(&files));
        if let Some(pool) = pool {
            pool.take_files(files, changed, now);
        }
        drop(pools);
        if changed {
            shared.changed();
        }
    }
}

/// Goes on with a panic of a task.
fn panicked(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
