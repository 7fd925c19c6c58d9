//! The store as one value: what it is opened with, what it says of itself, and the locks that its parts meet at.
//!
//! Locks are taken in this order: upkeep, the gate, a target's state, the catalog, the log. Whoever appends or reads holds the gate for reading;
//! only cutting a block takes it whole, and only for as long as memory is sealed.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use tend_promql::Labels;

use crate::block::Block;
use crate::catalog::{Catalog, Limits, Target};
use crate::error::Error;
use crate::lock::{lock, read, write};
use crate::record;
use crate::replay::{self, Recovered};
use crate::upkeep::Upkeep;
use crate::wal::Wal;

/// A process that has just ended may have left its lock to a child that it was starting, which lets go of it within moments.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);

/// How much is kept, for how long, and how many series there may be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A block is cut whenever a stretch of this length ends, in milliseconds. Two hours, as Prometheus has it.
    pub block_ms: i64,
    /// A block is cut before when sealed samples in memory take more than this.
    pub head_bytes_max: usize,
    /// What is in a block stays in memory too until it is older than this, in milliseconds, so that rules read no disk.
    pub memory_ms: i64,
    /// Blocks older than this are removed, in milliseconds; 15 days, as Prometheus has it.
    pub retention_ms: i64,
    /// The oldest blocks are removed when all take more than this.
    pub retention_bytes: u64,
    /// Samples older than the newest of their target by more than this are refused, in milliseconds.
    pub late_ms_max: i64,
    /// How many series a job may have in memory.
    pub job_series_max: usize,
    /// How many there may be in all. What one takes is in docs/design/0410-metrics-store.md.
    pub series_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        const MINUTE: i64 = 60_000;
        Self {
            block_ms: 120 * MINUTE,
            head_bytes_max: 64 << 20,
            memory_ms: 15 * MINUTE,
            retention_ms: 15 * 24 * 60 * MINUTE,
            retention_bytes: 32 << 30,
            late_ms_max: 60 * MINUTE,
            job_series_max: 100_000,
            series_max: 400_000,
        }
    }
}

/// The store of metrics: samples in memory, a log of what is in no block yet, and blocks. One process has it open at a time.
///
/// It starts no thread. Whoever owns it calls [`MetricStore::sync`] at the interval that may be lost at most (a second, say), and
/// [`MetricStore::maintain`] every few seconds; both may be called beside everything else.
///
/// What is handed series by `select` must not call the store from within: whoever cuts a block waits for it to end, and all others for that.
#[derive(Debug)]
pub struct MetricStore {
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    pub(crate) gate: RwLock<()>,
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) log: Mutex<Wal>,
    pub(crate) blocks: RwLock<Vec<Arc<Block>>>,
    /// Held while maintenance is at work, so that it is one at a time.
    pub(crate) upkeep: Mutex<Upkeep>,
    /// Why no block was written when it was last tried.
    pub(crate) block_failed: Mutex<Option<String>>,
    /// Texts of lines, which the targets of a job share.
    texts: Mutex<HashSet<Arc<[u8]>>>,
    /// All samples from this time on are in memory.
    pub(crate) floor: AtomicI64,
    /// Bytes that were sealed since the last block.
    pub(crate) sealed: AtomicUsize,
    /// Counts the blocks that were cut: slots may have moved when it rises.
    pub(crate) generation: AtomicU64,
    /// Samples that were taken since the store was opened.
    pub(crate) samples: AtomicU64,
    /// The time of the newest round.
    pub(crate) newest: AtomicI64,
    /// Samples that were lost because the disk was full for too long.
    pub(crate) lost: AtomicU64,
    /// Counts selections that read blocks.
    pub(crate) asked: AtomicU64,
    /// Held as long as the store is open; the kernel lets go of it however the process ends.
    _locked: File,
}

/// What the store says of itself. Bytes of memory are estimates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Series in memory.
    pub series: usize,
    /// Targets in memory.
    pub targets: usize,
    /// Samples taken since the store was opened.
    pub samples: u64,
    /// Sealed samples in memory, in bytes.
    pub sealed_bytes: usize,
    /// All else that grows with series, in bytes.
    pub open_bytes: usize,
    /// Names of shapes and lines, in bytes.
    pub index_bytes: usize,
    /// The present segment of the log, in bytes.
    pub log_bytes: u64,
    /// Blocks on disk.
    pub blocks: usize,
    /// What they take, in bytes.
    pub block_bytes: u64,
    /// The samples in them.
    pub block_samples: u64,
    /// Samples that were lost because the disk was full for too long.
    pub lost: u64,
    /// Why nothing is made durable at present: what is appended is served, and lost if the process ends.
    pub log_failed: Option<String>,
    /// Why no block was written when it was last tried.
    pub block_failed: Option<String>,
}

impl MetricStore {
    /// Opens the store in `folder`, making it where it is not there, and takes up what the log holds.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process has it. Whatever a kill, a power cut or a full disk left in the folder is no
    /// error: [`Recovered`] says what was of no use.
    pub fn open(folder: &Path, options: Options) -> Result<(Self, Recovered), Error> {
        let failed = |source| Error::Folder {
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let locked = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join("lock"))
            .map_err(failed)?;
        let begun = Instant::now();
        loop {
            match locked.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) if begun.elapsed() > LOCK_WAIT_MAX => {
                    return Err(Error::Locked {
                        path: folder.to_owned(),
                    });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        let replayed = replay::recover(folder)?;
        let mut catalog = replayed.catalog;
        let log = Wal::begin(folder, replayed.next_segment, |log| catalog.begin_segment(log));
        let store = Self {
            folder: folder.to_owned(),
            options,
            gate: RwLock::default(),
            catalog: RwLock::new(catalog),
            log: Mutex::new(log),
            upkeep: Mutex::default(),
            block_failed: Mutex::default(),
            texts: Mutex::default(),
            floor: AtomicI64::new(
                replayed
                    .blocks
                    .iter()
                    .map(|block| block.max + 1)
                    .max()
                    .unwrap_or(i64::MIN),
            ),
            sealed: AtomicUsize::new(replayed.sealed),
            generation: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            newest: AtomicI64::new(replayed.newest),
            lost: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            blocks: RwLock::new(replayed.blocks),
            _locked: locked,
        };
        Ok((store, replayed.recovered))
    }

    /// Makes all that was committed durable.
    ///
    /// # Errors
    /// When the disk refuses. What was committed is still served, and [`MetricStore::maintain`] makes it durable when there is room again.
    pub fn sync(&self) -> Result<(), Arc<Error>> {
        let (file, number) = {
            let mut log = lock(&self.log);
            (log.flush()?, log.number())
        };
        if let Err(source) = file.sync_data() {
            let mut log = lock(&self.log);
            // What the kernel could not write is gone from its memory too, so the segment is not gone on with.
            if log.number() == number {
                log.fail(source);
            }
            return match log.failed() {
                Some(failed) => Err(Arc::clone(failed)),
                None => Ok(()),
            };
        }
        Ok(())
    }

    /// Says how the store does.
    #[must_use]
    pub fn status(&self) -> Status {
        let targets: Vec<Arc<Target>> = read(&self.catalog).targets.clone();
        let mut status = Status {
            targets: targets.len(),
            samples: self.samples.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            ..Status::default()
        };
        for target in &targets {
            let (sealed, open) = read(&target.state).heap_bytes();
            status.sealed_bytes += sealed;
            status.open_bytes += open;
        }
        {
            let catalog = read(&self.catalog);
            status.series = catalog.series;
            status.index_bytes = catalog.index.heap_bytes();
        }
        status.index_bytes += lock(&self.texts).iter().map(|text| text.len() + 33).sum::<usize>();
        for block in read(&self.blocks).iter() {
            status.blocks += 1;
            status.block_bytes += block.bytes;
            status.block_samples += block.samples;
        }
        let log = lock(&self.log);
        status.log_bytes = log.bytes();
        status.log_failed = log.failed().map(|failed| with_cause(failed));
        drop(log);
        status.block_failed.clone_from(&lock(&self.block_failed));
        status
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            job: self.options.job_series_max,
            all: self.options.series_max,
        }
    }

    /// Returns the target with these labels, telling the log of a new one.
    pub(crate) fn target(&self, labels: &Labels) -> Arc<Target> {
        write(&self.catalog).target(labels, |made| {
            lock(&self.log).append(|out| record::target(out, made.number, made.labels.iter()));
        })
    }

    /// Returns the one copy of a line's text.
    pub(crate) fn text(&self, text: &[u8]) -> Arc<[u8]> {
        let mut texts = lock(&self.texts);
        if let Some(known) = texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<[u8]> = text.into();
        texts.insert(Arc::clone(&text));
        text
    }

    /// Forgets texts that no target has.
    pub(crate) fn forget_texts(&self) {
        lock(&self.texts).retain(|text| Arc::strong_count(text) > 1);
    }
}

/// Writes an error with what caused it, for a status that is read later.
pub(crate) fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
