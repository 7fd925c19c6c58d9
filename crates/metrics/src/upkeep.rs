//! What happens to samples as they grow old: blocks are cut, merged and removed. Also how the store comes back from a full disk.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tend_promql::Labels;

use crate::block::{Block, BlockWriter};
use crate::error::Error;
use crate::group::Group;
use crate::index::Pairs;
use crate::lock::{lock, read, write};
use crate::store::{MetricStore, with_cause};
use crate::wal::{self, Wal};

/// Says which blocks a merged one replaces, from before it is in its place until they are removed.
const MERGE_FILE: &str = "merge";

/// Blocks of a day are merged into one: a query over two weeks then opens a score of files.
const MERGED_MS: i64 = 24 * 60 * 60 * 1000;

/// While no block can be written, samples in memory may take so many times what a block is cut at; then the oldest are lost.
const HELD_BACK_MAX: usize = 8;

/// After a failure so many milliseconds pass before the next try: each try seals what is open, and short chunks are large.
///
/// Less than from one maintenance to the next (15 s): a call that came a millisecond early would wait for another round.
const AGAIN_MS: i64 = 10_000;

/// Dictionaries of blocks that stay in memory.
const DICTIONARIES_MAX: usize = 8;

/// What maintenance remembers from one time to the next.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// The stretch of the newest round when it was last looked.
    stretch: Option<i64>,
    /// What failed is not tried again before.
    again_ms: i64,
}

/// What maintenance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Samples in the block that was cut.
    pub cut_samples: u64,
    /// Blocks that were merged into one.
    pub merged: usize,
    /// Blocks that were removed because of their age or size.
    pub removed: usize,
    /// The log had failed and was begun anew.
    pub healed: bool,
}

/// All that goes into a block, taken at one moment.
struct Sealed {
    symbols: Vec<Arc<str>>,
    shapes: Vec<Pairs>,
    targets: Vec<(Labels, Vec<u32>, Vec<Arc<Group>>)>,
    /// Addresses of all groups, rising.
    addresses: Vec<usize>,
    log_from: u64,
}

impl MetricStore {
    /// Does what is due: cuts a block, merges those of a day, removes old ones, begins the log anew after a full disk. `now_ms` is in
    /// milliseconds since 1970-01-01 UTC and says what is old.
    ///
    /// # Errors
    /// The first thing that could not be done; all is tried again the next time.
    pub fn maintain(&self, now_ms: i64) -> Result<Maintained, Error> {
        let mut upkeep = lock(&self.upkeep);
        let mut done = Maintained::default();
        // Old blocks first: that may be what makes room for a new one.
        let removed = self.retain(now_ms);
        let newest = self.newest.load(Ordering::Relaxed);
        let stretch = newest.div_euclid(self.options.block_ms.max(1));
        let before = *upkeep.stretch.get_or_insert(stretch);
        let log_failed = lock(&self.log).failed().is_some();
        let has_failed = log_failed || lock(&self.block_failed).is_some();
        let is_full = self.sealed.load(Ordering::Relaxed) > self.options.head_bytes_max;
        if (has_failed && now_ms >= upkeep.again_ms) || (!has_failed && (stretch > before || is_full)) {
            upkeep.stretch = Some(stretch);
            upkeep.again_ms = now_ms.saturating_add(AGAIN_MS);
            match self.cut_block() {
                Ok(samples) => {
                    done.cut_samples = samples;
                    done.healed = log_failed && lock(&self.log).failed().is_none();
                    *lock(&self.block_failed) = None;
                }
                Err(error) => {
                    *lock(&self.block_failed) = Some(with_cause(&error));
                    self.drop_oldest();
                    return Err(error);
                }
            }
        }
        done.removed = removed?;
        if lock(&self.block_failed).is_none() {
            done.merged = self.merge()?;
        }
        Ok(done)
    }

    /// Cuts a block of all that is in none. Returns how many samples it has; 0 where there was nothing.
    ///
    /// # Errors
    /// When the block cannot be written: its samples stay in memory and in the log.
    pub fn cut(&self) -> Result<u64, Error> {
        let _upkeep = lock(&self.upkeep);
        self.cut_block()
    }

    /// Whoever calls it holds the lock of upkeep: there is one `block.tmp`.
    fn cut_block(&self) -> Result<u64, Error> {
        let sealed = self.seal_all();
        let mut writer = BlockWriter::begin(&self.folder)?;
        let numbers: Vec<u32> = sealed
            .used()
            .into_iter()
            .zip(&sealed.shapes)
            .map(|(used, pairs)| {
                let text = |symbol: &u32| &*sealed.symbols[*symbol as usize];
                if used {
                    writer.shape(pairs.iter().map(|(name, value)| (text(name), text(value))))
                } else {
                    u32::MAX
                }
            })
            .collect();
        for (labels, shapes, groups) in &sealed.targets {
            let target = writer.target(labels, shapes.iter().map(|shape| numbers[*shape as usize]).collect());
            for group in groups {
                writer.group(target, group)?;
            }
        }
        let written = writer.finish(sealed.log_from, |_| Ok(()))?;
        let samples = written.as_ref().map_or(0, |block| block.samples);
        self.settle(written, &sealed)?;
        Ok(samples)
    }

    /// Seals all targets and begins the log anew, with nobody else in the store.
    fn seal_all(&self) -> Sealed {
        let _alone = write(&self.gate);
        {
            // What the old segment still buffers goes to its disk first: until the block is there, it is what a restart reads.
            let mut log = lock(&self.log);
            if let Ok(file) = log.flush()
                && let Err(source) = file.sync_data()
            {
                log.fail(source);
            }
        }
        let mut catalog = write(&self.catalog);
        let mut targets = Vec::new();
        for target in &catalog.targets {
            write(&target.state).seal();
        }
        catalog.sweep();
        for target in &catalog.targets {
            let state = read(&target.state);
            let groups: Vec<Arc<Group>> = state
                .held
                .iter()
                .filter(|held| !held.in_block)
                .map(|held| Arc::clone(&held.group))
                .collect();
            if !groups.is_empty() {
                let shapes = state.series.iter().map(|series| series.shape).collect();
                targets.push((target.labels.clone(), shapes, groups));
            }
        }
        let groups = targets
            .iter()
            .flat_map(|target: &(Labels, Vec<u32>, Vec<Arc<Group>>)| &target.2);
        let mut addresses: Vec<usize> = groups.map(|group| Arc::as_ptr(group).addr()).collect();
        addresses.sort_unstable();
        let mut log = lock(&self.log);
        let number = log.number() + 1;
        *log = Wal::begin(&self.folder, number, |log| catalog.begin_segment(log));
        self.generation.fetch_add(1, Ordering::Relaxed);
        Sealed {
            symbols: catalog.index.symbols().to_vec(),
            shapes: catalog.index.shapes().to_vec(),
            targets,
            addresses,
            log_from: number,
        }
    }

    /// A block has what was sealed: the log before it is of no use, and what is old need not stay in memory.
    fn settle(&self, written: Option<Block>, sealed: &Sealed) -> Result<(), Error> {
        {
            // Nobody reads meanwhile, or samples that leave memory could be missed between memory and block.
            let _alone = write(&self.gate);
            if let Some(block) = written {
                let mut blocks = write(&self.blocks);
                blocks.push(Arc::new(block));
                blocks.sort_by_key(|block| (block.min, block.max));
            }
            let kept_from = self
                .newest
                .load(Ordering::Relaxed)
                .saturating_sub(self.options.memory_ms);
            let mut open = 0;
            for target in &read(&self.catalog).targets {
                let mut state = write(&target.state);
                state.held.retain_mut(|held| {
                    held.in_block |= sealed.has(&held.group);
                    if !held.in_block {
                        open += held.group.bytes.len();
                    } else if held.group.max < kept_from {
                        self.floor.fetch_max(held.group.max + 1, Ordering::SeqCst);
                        return false;
                    }
                    true
                });
                state.held.shrink_to_fit();
                state.forget();
            }
            self.sealed.store(open, Ordering::Relaxed);
        }
        self.forget_texts();
        for (number, path) in wal::segments(&self.folder).map_err(|source| self.folder_error(source))? {
            if number < sealed.log_from {
                std::fs::remove_file(&path).map_err(|source| Error::Remove { path, source })?;
            }
        }
        Ok(())
    }

    /// Loses the oldest samples that no block has, where they take too much of memory.
    fn drop_oldest(&self) {
        let _inside = read(&self.gate);
        let bound = self.options.head_bytes_max.saturating_mul(HELD_BACK_MAX);
        let targets = read(&self.catalog).targets.clone();
        let mut groups: Vec<(i64, usize)> = Vec::new();
        for target in &targets {
            let state = read(&target.state);
            groups.extend(
                state
                    .held
                    .iter()
                    .filter(|held| !held.in_block)
                    .map(|held| (held.group.max, held.group.bytes.len())),
            );
        }
        let mut left: usize = groups.iter().map(|group| group.1).sum();
        groups.sort_unstable();
        let mut until = i64::MIN;
        for (max, bytes) in groups {
            if left <= bound {
                break;
            }
            left -= bytes;
            until = max;
        }
        for target in &targets {
            let mut state = write(&target.state);
            state.held.retain(|held| {
                let is_lost = !held.in_block && held.group.max <= until && until > i64::MIN;
                if is_lost {
                    self.lost.fetch_add(held.group.samples, Ordering::Relaxed);
                }
                !is_lost
            });
        }
    }

    /// Removes blocks that are too old, and the oldest while all are too large. Returns how many.
    fn retain(&self, now_ms: i64) -> Result<usize, Error> {
        let mut blocks = write(&self.blocks);
        let mut total: u64 = blocks.iter().map(|block| block.bytes).sum();
        let mut removed = 0;
        while let Some(oldest) = blocks.first() {
            let is_old = oldest.max < now_ms.saturating_sub(self.retention_ms.load(Ordering::Relaxed));
            // The newest stays whatever its size.
            let is_too_much = blocks.len() > 1 && total > self.retention_bytes.load(Ordering::Relaxed);
            if !is_old && !is_too_much {
                break;
            }
            remove(&oldest.path)?;
            total -= oldest.bytes;
            blocks.remove(0);
            removed += 1;
        }
        Ok(removed)
    }

    /// Merges the blocks of one stretch, or of one day, when it is over. Returns how many became one.
    fn merge(&self) -> Result<usize, Error> {
        let blocks = read(&self.blocks).clone();
        let Some(chosen) = [self.options.block_ms.max(1), MERGED_MS]
            .iter()
            .find_map(|span| choose(&blocks, *span))
        else {
            return Ok(0);
        };
        let mut writer = BlockWriter::begin(&self.folder)?;
        for block in &chosen {
            block.copy_into(&mut writer)?;
            block.forget();
        }
        let log_from = chosen.iter().map(|block| block.log_from).max().unwrap_or(0);
        let names: Vec<&Path> = chosen.iter().map(|block| &*block.path).collect();
        let merged = writer.finish(log_from, |path| write_merge(&self.folder, path, &names))?;
        let mut now = write(&self.blocks);
        now.retain(|block| !chosen.iter().any(|old| Arc::ptr_eq(old, block)));
        now.extend(merged.map(Arc::new));
        now.sort_by_key(|block| (block.min, block.max));
        drop(now);
        for block in &chosen {
            remove(&block.path)?;
        }
        remove(&self.folder.join(MERGE_FILE))?;
        Ok(chosen.len())
    }

    /// Forgets the dictionaries of blocks that were asked for longest ago.
    pub(crate) fn forget_dictionaries(&self, blocks: &[Arc<Block>]) {
        let mut known: Vec<&Arc<Block>> = blocks.iter().filter(|block| block.is_known()).collect();
        known.sort_by_key(|block| std::cmp::Reverse(block.asked.load(Ordering::Relaxed)));
        for block in known.into_iter().skip(DICTIONARIES_MAX) {
            block.forget();
        }
    }

    fn folder_error(&self, source: io::Error) -> Error {
        Error::Folder {
            path: self.folder.clone(),
            source,
        }
    }
}

impl Sealed {
    fn has(&self, group: &Arc<Group>) -> bool {
        self.addresses.binary_search(&Arc::as_ptr(group).addr()).is_ok()
    }

    /// Says of each shape whether a target has it.
    fn used(&self) -> Vec<bool> {
        let mut used = vec![false; self.shapes.len()];
        for shape in self.targets.iter().flat_map(|target| &target.1) {
            used[*shape as usize] = true;
        }
        used
    }
}

/// Returns at least two blocks that begin in the same stretch of `span`, which is over: there is a block of a later one.
fn choose(blocks: &[Arc<Block>], span: i64) -> Option<Vec<Arc<Block>>> {
    let stretch = |block: &Arc<Block>| block.min.div_euclid(span);
    let last = blocks.iter().map(stretch).max()?;
    let mut rest = blocks;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|block| stretch(block) == stretch(first)).count();
        if same > 1 && stretch(first) < last {
            return Some(rest[..same].to_vec());
        }
        rest = &rest[same..];
    }
    None
}

fn write_merge(folder: &Path, merged: &Path, replaced: &[&Path]) -> io::Result<()> {
    let mut file = File::create(folder.join(MERGE_FILE))?;
    for path in [merged].iter().chain(replaced) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        writeln!(file, "{name}")?;
    }
    // So that a file which was cut is known as one.
    writeln!(file, "end")?;
    file.sync_all()
}

/// Does what a merge that was interrupted had left to do: with the merged block in its place, those it replaces are removed.
pub(crate) fn finish_merge(folder: &Path) -> io::Result<()> {
    let path = folder.join(MERGE_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(error),
    };
    let names: Vec<&str> = text.lines().collect();
    if let [merged, replaced @ .., "end"] = names.as_slice() {
        let is_name = |name: &str| name.starts_with("block-") && !name.contains('/');
        if is_name(merged) && folder.join(merged).exists() {
            for name in replaced.iter().filter(|name| is_name(name)) {
                remove_if_there(&folder.join(name))?;
            }
        }
    }
    remove_if_there(&path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    remove_if_there(path).map_err(|source| Error::Remove {
        path: PathBuf::from(path),
        source,
    })
}
