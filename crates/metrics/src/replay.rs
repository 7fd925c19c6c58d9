//! What is found in the folder when the store is opened: blocks, and what the log holds beyond them. Never fails for what a kill left.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tend_promql::Labels;

use crate::block::Block;
use crate::catalog::{Catalog, Target};
use crate::error::Error;
use crate::lock::write;
use crate::record::{self, Late};
use crate::upkeep;
use crate::varint::Reader;
use crate::wal;

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
        let mut segment = Segment::default();
        let read = wal::replay(&path, |bytes| segment.apply(&mut replayed, bytes).is_some());
        let (used, total) = read.map_err(|source| Error::ReadLog { path, source })?;
        replayed.recovered.segments += 1;
        replayed.recovered.cut_bytes += total - used;
    }
    Ok(replayed)
}

/// The numbers of one segment, and what they are in the head.
#[derive(Default)]
struct Segment {
    symbols: Vec<u32>,
    shapes: Vec<u32>,
    targets: HashMap<u32, (Arc<Target>, Vec<u32>)>,
    row: Vec<(u32, f64)>,
}

impl Segment {
    /// Does what a record says; `None` where it says what was never written.
    fn apply(&mut self, replayed: &mut Replayed, bytes: &[u8]) -> Option<()> {
        let (kind, rest) = bytes.split_first()?;
        let mut reader = Reader(rest);
        let catalog = &mut replayed.catalog;
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
                self.targets.insert(number, (target, Vec::new()));
            }
            record::SERIES => {
                let (target, slots) = self.targets.get_mut(&reader.index()?)?;
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
            record::ROW => {
                let head = record::read_row_head(&mut reader)?;
                let (target, slots) = self.targets.get(&head.0.target)?;
                if head.0.slots as usize > slots.len() {
                    return None;
                }
                let mut state = write(&target.state);
                self.row.clear();
                let before = |slot: u32| state.logged_value(*slots.get(slot as usize)?);
                record::read_row(&mut reader, head, before, &mut self.row)?;
                for (slot, _) in &mut self.row {
                    *slot = slots[*slot as usize];
                }
                self.row.sort_by_key(|sample| sample.0);
                self.row.dedup_by_key(|sample| sample.0);
                let time = head.0.time;
                if state.last.is_none_or(|last| time > last) {
                    replayed.sealed += state.push_row(time, &self.row);
                } else {
                    for (slot, value) in &self.row {
                        replayed.sealed += state.push_late(*slot, time, *value);
                    }
                }
                replayed.newest = replayed.newest.max(time);
                replayed.recovered.samples += self.row.len() as u64;
            }
            record::LATE => {
                let (target, samples) = record::read_late(&mut reader)?;
                let (target, slots) = self.targets.get(&target)?;
                let mut state = write(&target.state);
                for Late { slot, time, value } in samples {
                    replayed.sealed += state.push_late(*slots.get(slot as usize)?, time, value);
                    replayed.recovered.samples += 1;
                }
            }
            _ => return None,
        }
        Some(())
    }
}
