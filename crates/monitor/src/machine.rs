//! The whole of what is watched on this machine: the store, the stacks, the listeners; takes snapshots. Knows no HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tend_metrics::{MetricStore, Options};
use tend_scrape::Scraper;
use tokio::task::AbortHandle;

use crate::doors;
use crate::local::{self, DaemonGather, EdgeGather};
use crate::outbox::Outbox;
use crate::snapshot::{SNAPSHOT_VERSION, Snapshot};
use crate::stack::Watched;

/// All of it.
pub(crate) struct Machine {
    pub(crate) store: Arc<MetricStore>,
    /// Asks what is of the machine and of no stack.
    pub(crate) scraper: Scraper,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) folder: PathBuf,
    pub(crate) build: String,
    pub(crate) started: i64,
    edge: Option<EdgeGather>,
    daemon: Option<DaemonGather>,
    told_at: AtomicI64,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    snapshot: Snapshot,
    stacks: BTreeMap<String, (Arc<Watched>, AbortHandle)>,
    listeners: BTreeMap<SocketAddr, (String, AbortHandle)>,
}

impl Machine {
    pub(crate) fn new(
        store: MetricStore,
        outbox: Arc<Outbox>,
        folder: PathBuf,
        build: String,
        (edge, daemon): (Option<EdgeGather>, Option<DaemonGather>),
    ) -> Arc<Self> {
        let store = Arc::new(store);
        Arc::new(Self {
            scraper: Scraper::new(Arc::clone(&store)),
            store,
            outbox,
            folder,
            build,
            started: crate::now_ms(),
            edge,
            daemon,
            told_at: AtomicI64::new(0),
            running: Mutex::default(),
        })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // A snapshot is taken stack by stack, each whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a stack that is watched.
    pub(crate) fn stack(&self, name: &str) -> Option<Arc<Watched>> {
        self.running().stacks.get(name).map(|(stack, _)| Arc::clone(stack))
    }

    /// Returns the stack that is shown at a listener.
    pub(crate) fn listening_at(&self, address: SocketAddr) -> Option<String> {
        self.running().listeners.get(&address).map(|(name, _)| name.clone())
    }

    pub(crate) fn generation(&self) -> u64 {
        self.running().snapshot.generation
    }

    /// When it was last told what to do, in milliseconds since 1970.
    pub(crate) fn told_at(&self) -> i64 {
        self.told_at.load(Ordering::Relaxed)
    }

    /// How long samples are kept, as Prometheus says it.
    pub(crate) fn retention(&self) -> String {
        let snapshot = &self.running().snapshot;
        let time = tend_promql::format_duration(snapshot.retention_ms);
        match snapshot.retention_bytes {
            Some(bytes) => format!("{time} or {}", tend_base::format_bytes(bytes)),
            None => time,
        }
    }

    /// Takes a snapshot; returns by stack what of it could not be taken, where what stood before stands. Reads and writes files, and keeps
    /// nothing of the snapshot on disk: it holds secrets, and who starts a monitor hands it one.
    ///
    /// # Errors
    /// When it is of a version that is not known: nothing changes.
    pub(crate) fn take(self: &Arc<Self>, snapshot: Snapshot) -> Result<BTreeMap<String, Vec<String>>, String> {
        if snapshot.version != SNAPSHOT_VERSION {
            return Err(format!(
                "this monitor takes snapshots of version {SNAPSHOT_VERSION}, and this one is of version {}",
                snapshot.version
            ));
        }
        let now = crate::now_ms();
        let mut refused = BTreeMap::new();
        let mut running = self.running();
        let gone: Vec<String> = (running.stacks.keys())
            .filter(|name| !snapshot.stacks.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            if let Some((stack, task)) = running.stacks.remove(&name) {
                // Its series end, and what it was told is kept: who brings it up again finds the same alerts.
                stack.scraper.set(Vec::new());
                task.abort();
            }
        }
        if running.snapshot.node != snapshot.node || running.snapshot.edge != snapshot.edge {
            self.scraper
                .set(local::of_machine(snapshot.node, snapshot.edge, self.edge));
        }
        for (name, part) in &snapshot.stacks {
            let known = running.stacks.get(name).map(|(stack, _)| Arc::clone(stack));
            let around = snapshot.goings_on.get(name).cloned().unwrap_or_default();
            if let Some(stack) = known
                .as_ref()
                .filter(|_| running.snapshot.stacks.get(name) == Some(part))
            {
                stack.hear(around, now);
                continue;
            }
            let stack = match &known {
                Some(stack) => Ok(Arc::clone(stack)),
                None => self.begin(name, part.clone(), now),
            };
            let wrong = stack.map_or_else(
                |wrong| wrong,
                |stack| {
                    stack.hear(around, now);
                    let wrong = stack.set(part.clone(), now);
                    if known.is_none() {
                        // Only now: before it knows whom to tell and what is held back, it would take all for told.
                        let task = tokio::spawn(Arc::clone(&stack).run()).abort_handle();
                        running.stacks.insert(name.clone(), (stack, task));
                    }
                    wrong
                },
            );
            if !wrong.is_empty() {
                refused.insert(name.clone(), wrong);
            }
        }
        for (name, why) in self.listen(&mut running, &snapshot) {
            refused.entry(name).or_default().push(why);
        }
        let default = Options::default();
        let time = match snapshot.retention_ms {
            0 => default.retention_ms,
            time => time,
        };
        self.store
            .set_retention(time, snapshot.retention_bytes.unwrap_or(default.retention_bytes));
        running.snapshot = snapshot;
        self.told_at.store(now, Ordering::Relaxed);
        Ok(refused)
    }

    fn begin(&self, name: &str, part: crate::StackPart, now: i64) -> Result<Arc<Watched>, Vec<String>> {
        let folder = self.folder.join("stacks").join(name);
        std::fs::create_dir_all(&folder)
            .map_err(|error| vec![format!("`{}` cannot be made: {error}", folder.display())])?;
        Watched::new(
            name,
            folder,
            Arc::clone(&self.store),
            Arc::clone(&self.outbox),
            part,
            self.daemon,
            now,
        )
    }

    /// Tries again to open the listeners that somebody else had taken.
    pub(crate) fn listen_again(self: &Arc<Self>) {
        let mut running = self.running();
        let snapshot = std::mem::take(&mut running.snapshot);
        // What cannot be opened still was said when the snapshot was taken.
        self.listen(&mut running, &snapshot);
        running.snapshot = snapshot;
    }

    /// Opens and closes the listeners that stacks want. Returns by stack which could not be opened.
    fn listen(self: &Arc<Self>, running: &mut Running, snapshot: &Snapshot) -> Vec<(String, String)> {
        let mut refused = Vec::new();
        let mut wanted: BTreeMap<SocketAddr, String> = BTreeMap::new();
        for (name, part) in &snapshot.stacks {
            let Some(address) = part.listen else { continue };
            if let Some(other) = wanted.get(&address) {
                let why =
                    format!("{address} is already where the stack {other} is shown; `metrics.listen` takes another");
                refused.push((name.clone(), why));
            } else {
                wanted.insert(address, name.clone());
            }
        }
        running.listeners.retain(|address, (name, task)| {
            let stays = wanted.get(address).filter(|_| !task.is_finished());
            match stays {
                Some(wanted) => name.clone_from(wanted),
                None => task.abort(),
            }
            stays.is_some()
        });
        for (address, name) in wanted {
            if running.listeners.contains_key(&address) {
                continue;
            }
            match doors::open(Arc::clone(self), address) {
                Ok(task) => drop(running.listeners.insert(address, (name, task))),
                Err(error) => {
                    let why = tend_base::without_os_numbers(&error.to_string());
                    refused.push((
                        name,
                        format!("{address} cannot be listened at, which is tried again: {why}"),
                    ));
                }
            }
        }
        refused
    }
}
