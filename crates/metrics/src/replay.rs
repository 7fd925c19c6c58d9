//! What is found in the folder when the store is opened: blocks, and what the log holds beyond them. Never fails for what a kill left.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tend_promql::Labels;

use crate::block::Block;
use crate::catalog::{Catalog, Target};
use crate::error::Error;
use crate::head::State;
use crate::lock::write;
use crate::record::{self, Late};
use crate::upkeep;
use crate::varint::Reader;
use crate::wal;

/// A restart competes with everything else that starts then.
const THREADS_MAX: usize = 4;

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments of the log that were read.
    pub segments: usize,
    /// Samples that were taken from them.
    pub samples: u64,
    /// Bytes at the ends of segments that were of no use: records that were being written.
    pub cut_bytes: u64,
    /// Blocks that are there.
    pub blocks: usize,
    /// Blocks that cannot be read. They are put aside under the same name with `.damaged`, and why.
    pub damaged: Vec<(PathBuf, String)>,
}

/// What the store begins with.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) catalog: Catalog,
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(crate) next_segment: u64,
    pub(crate) sealed: usize,
    pub(crate) newest: i64,
    pub(crate) recovered: Recovered,
}

/// Reads the folder.
pub(crate) fn recover(folder: &Path) -> Result<Replayed, Error> {
    let failed = |source| Error::Folder {
        path: folder.to_owned(),
        source,
    };
    upkeep::finish_merge(folder).map_err(failed)?;
    let mut replayed = Replayed {
        catalog: Catalog::default(),
        blocks: Vec::new(),
        next_segment: 1,
        sealed: 0,
        newest: i64::MIN,
        recovered: Recovered::default(),
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name == "block.tmp" {
            // One that was being written. What it was to hold is in the log.
            std::fs::remove_file(&path).map_err(|source| Error::Remove {
                path: path.clone(),
                source,
            })?;
        } else if name.starts_with("block-") && !name.ends_with(".damaged") {
            match Block::open(&path) {
                Ok(block) => replayed.blocks.push(Arc::new(block)),
                Err(error @ Error::Damaged { .. }) => {
                    let aside = path.with_file_name(format!("{name}.damaged"));
                    std::fs::rename(&path, &aside).map_err(failed)?;
                    replayed.recovered.damaged.push((aside, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
    }
    replayed.blocks.sort_by_key(|block| (block.min, block.max));
    replayed.recovered.blocks = replayed.blocks.len();
    replayed.newest = replayed.blocks.iter().map(|block| block.max).max().unwrap_or(i64::MIN);
    let in_blocks = replayed.blocks.iter().map(|block| block.log_from).max().unwrap_or(0);
    replayed.next_segment = in_blocks.max(1);
    for (number, path) in wal::segments(folder).map_err(failed)? {
        replayed.next_segment = replayed.next_segment.max(number + 1);
        if number < in_blocks {
            // The block was put into its place, and then the process ended.
            std::fs::remove_file(&path).map_err(|source| Error::Remove {
                path: path.clone(),
                source,
            })?;
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|source| Error::ReadLog { path, source })?;
        let mut segment = Segment::default();
        let mut records = wal::records(&bytes);
        for record in records.by_ref() {
            if segment.apply(&mut replayed.catalog, record).is_none() {
                break;
            }
        }
        replayed.recovered.segments += 1;
        replayed.recovered.cut_bytes += (bytes.len() - records.used) as u64;
        for filled in segment.fill() {
            replayed.recovered.samples += filled.samples;
            replayed.sealed += filled.sealed;
            replayed.newest = replayed.newest.max(filled.newest);
        }
    }
    Ok(replayed)
}

/// The numbers of one segment, and what they are in the head.
#[derive(Default)]
struct Segment<'a> {
    symbols: Vec<u32>,
    shapes: Vec<u32>,
    targets: HashMap<u32, Filling<'a>>,
}

/// A target and what a segment has for it. Samples are taken target by target and not as they stand in the log: what a target holds in
/// memory is then at hand for the processor, and several can be filled at once.
struct Filling<'a> {
    target: Arc<Target>,
    /// The slots of the segment, as slots of the head.
    slots: Vec<u32>,
    records: Vec<&'a [u8]>,
}

/// What was taken.
#[derive(Default)]
struct Filled {
    samples: u64,
    sealed: usize,
    newest: i64,
}

impl<'a> Segment<'a> {
    /// Does what a record says, or keeps it for [`Segment::fill`]; `None` where it says what was never written.
    fn apply(&mut self, catalog: &mut Catalog, record: &'a [u8]) -> Option<()> {
        let (kind, rest) = record.split_first()?;
        let mut reader = Reader(rest);
        match *kind {
            record::SYMBOLS => {
                for _ in 0..reader.count()? {
                    self.symbols.push(catalog.index.symbol(reader.text()?));
                }
            }
            record::SHAPES => {
                for _ in 0..reader.count()? {
                    let mut pairs = Vec::new();
                    for _ in 0..reader.count()? {
                        let name = *self.symbols.get(reader.index()? as usize)?;
                        pairs.push((name, *self.symbols.get(reader.index()? as usize)?));
                    }
                    let symbols = catalog.index.symbols();
                    let rises = pairs.is_sorted_by(|one, two| symbols[one.0 as usize] < symbols[two.0 as usize]);
                    if !rises {
                        return None;
                    }
                    self.shapes.push(catalog.index.shape_of_numbers(&pairs));
                }
            }
            record::TARGET => {
                let number = reader.index()?;
                let mut pairs = Vec::new();
                for _ in 0..reader.count()? {
                    pairs.push((reader.text()?, reader.text()?));
                }
                let target = catalog.target(&Labels::from_pairs(pairs), |_| {});
                write(&target.state).begin_segment();
                let filling = Filling {
                    target,
                    slots: Vec::new(),
                    records: Vec::new(),
                };
                self.targets.insert(number, filling);
            }
            record::SERIES => {
                let Filling { target, slots, .. } = self.targets.get_mut(&reader.index()?)?;
                let mut state = write(&target.state);
                let mut before = 0i64;
                for _ in 0..reader.count()? {
                    before = before.checked_add(reader.signed()?)?;
                    let shape = *self.shapes.get(usize::try_from(before).ok()?)?;
                    slots.push(match state.slot(shape) {
                        Some(slot) => slot,
                        None => {
                            catalog.count(&target.job);
                            state.add(shape)
                        }
                    });
                }
            }
            record::ROW | record::LATE => {
                self.targets.get_mut(&reader.index()?)?.records.push(record);
            }
            _ => return None,
        }
        Some(())
    }

    /// Takes all samples, on as many threads as the machine has processors.
    fn fill(self) -> Vec<Filled> {
        let mut fillings: Vec<Filling<'_>> = self.targets.into_values().collect();
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS_MAX);
        let each = fillings.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let running: Vec<_> = fillings
                .chunks_mut(each)
                .map(|part| scope.spawn(move || part.iter_mut().map(Filling::fill).collect::<Vec<_>>()))
                .collect();
            let done = running.into_iter().map(|running| match running.join() {
                Ok(filled) => filled,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            done.flatten().collect()
        })
    }
}

impl Filling<'_> {
    /// Takes the samples up to the first record that says what was never written.
    fn fill(&mut self) -> Filled {
        let mut filled = Filled {
            newest: i64::MIN,
            ..Filled::default()
        };
        let mut state = write(&self.target.state);
        let mut row = Vec::new();
        for record in &self.records {
            let taken = match record.split_first() {
                Some((&record::ROW, rest)) => take_row(&mut state, &self.slots, Reader(rest), &mut row, &mut filled),
                Some((_, rest)) => take_late(&mut state, &self.slots, Reader(rest), &mut filled),
                None => None,
            };
            if taken.is_none() {
                break;
            }
        }
        filled
    }
}

fn take_row(
    state: &mut State,
    slots: &[u32],
    mut reader: Reader<'_>,
    row: &mut Vec<(u32, f64)>,
    filled: &mut Filled,
) -> Option<()> {
    let head = record::read_row_head(&mut reader)?;
    if head.0.slots as usize > slots.len() {
        return None;
    }
    row.clear();
    let before = |slot: u32| state.logged_value(*slots.get(slot as usize)?);
    record::read_row(&mut reader, head, before, row)?;
    for (slot, _) in row.iter_mut() {
        *slot = slots[*slot as usize];
    }
    row.sort_by_key(|sample| sample.0);
    row.dedup_by_key(|sample| sample.0);
    let time = head.0.time;
    if state.last.is_none_or(|last| time > last) {
        filled.sealed += state.push_row(time, row);
    } else {
        for (slot, value) in row.iter() {
            filled.sealed += state.push_late(*slot, time, *value);
        }
    }
    filled.newest = filled.newest.max(time);
    filled.samples += row.len() as u64;
    Some(())
}

fn take_late(state: &mut State, slots: &[u32], mut reader: Reader<'_>, filled: &mut Filled) -> Option<()> {
    let (_, samples) = record::read_late(&mut reader)?;
    for Late { slot, time, value } in samples {
        filled.sealed += state.push_late(*slots.get(slot as usize)?, time, value);
        filled.samples += 1;
    }
    Some(())
}
