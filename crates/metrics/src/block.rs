//! A block: groups of many targets in one file that never changes, with the dictionary that says whose they are. Owns the file's form,
//! which is described in `docs/reference/format-metrics.md`. Knows no head and no log.
//!
//! Invariant: a block is there whole or not at all: it is written beside, synced and renamed.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tend_promql::{Labels, Matcher};

use crate::error::Error;
use crate::group::{self, Group};
use crate::head::EachSlot;
use crate::index::{Candidates, Index};
use crate::lock::lock;
use crate::varint::{self, Reader};

const MAGIC: &[u8; 8] = b"tendblk1";
const FOOTER_BYTES: usize = 72;

/// Where a group stands in its file.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    bytes: u64,
    sum: u32,
    min: i64,
    max: i64,
    samples: u64,
}

/// A target of a block: the shapes of its slots, and its groups.
#[derive(Debug)]
struct Target {
    labels: Labels,
    shapes: Vec<u32>,
    by_shape: Vec<u32>,
    places: Vec<Place>,
}

/// The dictionary of a block.
#[derive(Debug)]
pub(crate) struct Dictionary {
    index: Index,
    targets: Vec<Target>,
}

/// Writes a block beside its place. Dropped without [`BlockWriter::finish`], nothing is left.
pub(crate) struct BlockWriter {
    folder: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
    offset: u64,
    dictionary: Dictionary,
    /// The targets with these labels.
    by_labels: HashMap<Labels, Vec<usize>>,
}

impl BlockWriter {
    /// Begins a block in `folder`.
    pub(crate) fn begin(folder: &Path) -> Result<Self, Error> {
        let beside = folder.join("block.tmp");
        let made = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|file| {
                let mut file = BufWriter::with_capacity(1 << 20, file);
                file.write_all(MAGIC)?;
                Ok(file)
            });
        match made {
            Ok(file) => Ok(Self {
                folder: folder.to_owned(),
                beside,
                file,
                offset: MAGIC.len() as u64,
                dictionary: Dictionary {
                    index: Index::default(),
                    targets: Vec::new(),
                },
                by_labels: HashMap::new(),
            }),
            Err(source) => Err(Error::WriteBlock { path: beside, source }),
        }
    }

    /// Gives a shape of another index its number here.
    pub(crate) fn shape<'t>(&mut self, pairs: impl IntoIterator<Item = (&'t str, &'t str)>) -> u32 {
        self.dictionary.index.shape(pairs)
    }

    /// Returns the number of the target with these labels and these shapes in its slots; one with fewer or more slots is the same.
    pub(crate) fn target(&mut self, labels: &Labels, shapes: Vec<u32>) -> usize {
        let known = self.by_labels.entry(labels.clone()).or_default();
        for number in known.iter() {
            let target = &mut self.dictionary.targets[*number];
            let same = target.shapes.len().min(shapes.len());
            if target.shapes[..same] == shapes[..same] {
                if shapes.len() > same {
                    target.shapes = shapes;
                }
                return *number;
            }
        }
        known.push(self.dictionary.targets.len());
        self.dictionary.targets.push(Target {
            labels: labels.clone(),
            shapes,
            by_shape: Vec::new(),
            places: Vec::new(),
        });
        self.dictionary.targets.len() - 1
    }

    /// Appends a group of a target.
    pub(crate) fn group(&mut self, target: usize, group: &Group) -> Result<(), Error> {
        self.write(&group.bytes)?;
        self.dictionary.targets[target].places.push(Place {
            offset: self.offset - group.bytes.len() as u64,
            bytes: group.bytes.len() as u64,
            sum: crc32fast::hash(&group.bytes),
            min: group.min,
            max: group.max,
            samples: group.samples,
        });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|source| Error::WriteBlock {
            path: self.beside.clone(),
            source,
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Ends the block and puts it into its place. All segments of the log below `log_from` are in it or in blocks before.
    ///
    /// `before` is called with the place when the block is whole and on its disk, and not there yet. `None` where it has no group.
    pub(crate) fn finish(
        mut self,
        log_from: u64,
        before: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<Option<Block>, Error> {
        let places = || self.dictionary.targets.iter().flat_map(|target| &target.places);
        let (Some(min), Some(max)) = (
            places().map(|place| place.min).min(),
            places().map(|place| place.max).max(),
        ) else {
            return Ok(None);
        };
        let samples: u64 = places().map(|place| place.samples).sum();
        let (dictionary, offset) = (self.dictionary.written(), self.offset);
        self.write(&dictionary)?;
        let mut footer = Vec::with_capacity(FOOTER_BYTES);
        for number in [
            offset,
            dictionary.len() as u64,
            min as u64,
            max as u64,
            samples,
            log_from,
        ] {
            footer.extend_from_slice(&number.to_le_bytes());
        }
        footer.extend_from_slice(&u64::from(crc32fast::hash(&dictionary)).to_le_bytes());
        let sum = u64::from(crc32fast::hash(&footer));
        footer.extend_from_slice(&sum.to_le_bytes());
        footer.extend_from_slice(MAGIC);
        self.write(&footer)?;
        let place = (self.folder.clone(), self.beside.clone());
        let path = (1..)
            .map(|number| self.folder.join(format!("block-{min}-{max}-{number}")))
            .find(|path| !path.exists())
            .unwrap_or_else(|| self.folder.join(format!("block-{min}-{max}")));
        let put = (|| {
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            before(&path)?;
            std::fs::rename(&place.1, &path)?;
            File::open(&place.0)?.sync_all()
        })();
        match put {
            Ok(()) => Block::open(&path).map(Some),
            Err(source) => Err(Error::WriteBlock { path, source }),
        }
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        // After a rename there is nothing; after an error the next block would overwrite it.
        let _ = std::fs::remove_file(&self.beside);
    }
}

impl Dictionary {
    fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::push(&mut out, self.index.symbols().len() as u64);
        for text in self.index.symbols() {
            varint::push_text(&mut out, text);
        }
        varint::push(&mut out, self.index.shapes().len() as u64);
        for pairs in self.index.shapes() {
            varint::push(&mut out, pairs.len() as u64);
            for (name, value) in pairs.iter() {
                varint::push(&mut out, u64::from(*name));
                varint::push(&mut out, u64::from(*value));
            }
        }
        varint::push(&mut out, self.targets.len() as u64);
        for target in &self.targets {
            varint::push(&mut out, target.labels.len() as u64);
            for (name, value) in target.labels.iter() {
                varint::push_text(&mut out, name);
                varint::push_text(&mut out, value);
            }
            varint::push(&mut out, target.shapes.len() as u64);
            let mut before = 0;
            for shape in &target.shapes {
                varint::push_signed(&mut out, i64::from(*shape) - before);
                before = i64::from(*shape);
            }
            varint::push(&mut out, target.places.len() as u64);
            for place in &target.places {
                varint::push(&mut out, place.offset);
                varint::push(&mut out, place.bytes);
                varint::push(&mut out, u64::from(place.sum));
                varint::push_signed(&mut out, place.min);
                varint::push(&mut out, place.max.wrapping_sub(place.min) as u64);
                varint::push(&mut out, place.samples);
            }
        }
        out
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let mut texts = Vec::new();
        for _ in 0..reader.count()? {
            texts.push(reader.text()?);
        }
        let mut index = Index::default();
        for text in &texts {
            index.symbol(text);
        }
        let symbols = index.symbols().len() as u32;
        for _ in 0..reader.count()? {
            let mut pairs = Vec::new();
            for _ in 0..reader.count()? {
                let pair = (reader.index()?, reader.index()?);
                if pair.0 >= symbols || pair.1 >= symbols {
                    return None;
                }
                pairs.push(pair);
            }
            if !pairs.is_sorted_by_key(|pair| texts.get(pair.0 as usize)) {
                return None;
            }
            index.shape_of_numbers(&pairs);
        }
        let mut targets = Vec::new();
        for _ in 0..reader.count()? {
            let mut pairs = Vec::new();
            for _ in 0..reader.count()? {
                pairs.push((reader.text()?, reader.text()?));
            }
            let mut shapes = Vec::new();
            let mut before = 0i64;
            for _ in 0..reader.count()? {
                before = before.checked_add(reader.signed()?)?;
                let shape = u32::try_from(before).ok()?;
                if shape as usize >= index.shapes().len() {
                    return None;
                }
                shapes.push(shape);
            }
            let mut places = Vec::new();
            for _ in 0..reader.count()? {
                let (offset, bytes, sum) = (reader.number()?, reader.number()?, reader.index()?);
                let min = reader.signed()?;
                let max = min.wrapping_add(reader.number()? as i64);
                places.push(Place {
                    offset,
                    bytes,
                    sum,
                    min,
                    max,
                    samples: reader.number()?,
                });
            }
            let mut by_shape: Vec<u32> = (0..shapes.len() as u32).collect();
            by_shape.sort_unstable_by_key(|slot| shapes[*slot as usize]);
            targets.push(Target {
                labels: Labels::from_pairs(pairs),
                shapes,
                by_shape,
                places,
            });
        }
        Some(Self { index, targets })
    }

    pub(crate) fn labels(&self, target: usize, slot: u32) -> Labels {
        let target = &self.targets[target];
        self.index.labels(&target.labels, target.shapes[slot as usize])
    }

    /// Shows a target with the shapes of some of its slots.
    pub(crate) fn shapes(&self, target: usize, slots: &[u32], see: &mut dyn FnMut(&Labels, &Index, &[u32])) {
        let target = &self.targets[target];
        let shapes: Vec<u32> = slots.iter().map(|slot| target.shapes[*slot as usize]).collect();
        see(&target.labels, &self.index, &shapes);
    }

    /// Finds the targets with series that all matchers select and with groups in `from..=to`, and the slots of those.
    pub(crate) fn select(&self, matchers: &[Matcher], (from, to): (i64, i64)) -> Vec<(usize, Vec<u32>)> {
        let has = |name: &str| self.targets.iter().any(|target| target.labels.has(name));
        let candidates = self.index.candidates(matchers, &has);
        let mut selected = Vec::new();
        for (number, target) in self.targets.iter().enumerate() {
            if candidates.is_empty() || !target.places.iter().any(|place| place.max >= from && place.min <= to) {
                continue;
            }
            let satisfied = Candidates::satisfied(&target.labels, matchers);
            let mut slots = candidates.slots(satisfied, &target.by_shape, |slot| target.shapes[slot as usize]);
            if candidates.rest {
                slots.retain(|slot| self.labels(number, *slot).matches(matchers));
            }
            if !slots.is_empty() {
                selected.push((number, slots));
            }
        }
        selected
    }
}

/// A block on disk, open for reading.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) path: PathBuf,
    file: File,
    pub(crate) bytes: u64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) samples: u64,
    /// The first segment of the log that is not in it.
    pub(crate) log_from: u64,
    dictionary_place: (u64, u64, u32),
    dictionary: Mutex<Option<Arc<Dictionary>>>,
    /// When the dictionary was last asked for, by the store's own count.
    pub(crate) asked: AtomicU64,
}

impl Block {
    /// Opens a block; its dictionary is read when somebody asks.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::ReadBlock {
            path: path.to_owned(),
            source,
        };
        let damaged = || Error::Damaged {
            path: path.to_owned(),
            part: "its end",
        };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let at = bytes.checked_sub(FOOTER_BYTES as u64).ok_or_else(damaged)?;
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, at).map_err(failed)?;
        let mut reader = Reader(&footer);
        let mut numbers = [0; 8];
        for number in &mut numbers {
            *number = reader.u64().ok_or_else(damaged)?;
        }
        let [offset, length, min, max, samples, log_from, sum, footer_sum] = numbers;
        if reader.0 != MAGIC
            || u64::from(crc32fast::hash(&footer[..56])) != footer_sum
            || offset.checked_add(length) != Some(at)
        {
            return Err(damaged());
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
            min: min as i64,
            max: max as i64,
            samples,
            log_from,
            dictionary_place: (offset, length, sum as u32),
            dictionary: Mutex::new(None),
            asked: AtomicU64::new(0),
        })
    }

    /// Returns the dictionary, from the disk where it is not in memory.
    pub(crate) fn dictionary(&self, now: u64) -> Result<Arc<Dictionary>, Error> {
        self.asked.store(now, Ordering::Relaxed);
        let mut kept = lock(&self.dictionary);
        if let Some(kept) = &*kept {
            return Ok(Arc::clone(kept));
        }
        let (offset, length, sum) = self.dictionary_place;
        let bytes = self.bytes_at(offset, length)?;
        let read = if crc32fast::hash(&bytes) == sum {
            Dictionary::read(&bytes)
        } else {
            None
        };
        let read = Arc::new(read.ok_or_else(|| self.damaged("its dictionary"))?);
        *kept = Some(Arc::clone(&read));
        Ok(read)
    }

    /// Forgets the dictionary.
    pub(crate) fn forget(&self) {
        *lock(&self.dictionary) = None;
    }

    /// Returns whether the dictionary is in memory.
    pub(crate) fn is_known(&self) -> bool {
        lock(&self.dictionary).is_some()
    }

    /// Hands the samples of the wanted slots (rising) of a target within `from..=to` to `each`, group by group.
    pub(crate) fn read(
        &self,
        dictionary: &Dictionary,
        (target, wanted): (usize, &[u32]),
        (from, to): (i64, i64),
        each: &mut EachSlot<'_>,
    ) -> Result<(), Error> {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for place in &dictionary.targets[target].places {
            if place.max < from || place.min > to {
                continue;
            }
            let bytes = self.group_bytes(place)?;
            let (rows, chunks) = group::open(&bytes).ok_or_else(|| self.damaged("a group"))?;
            let mut next = 0;
            for slot in wanted {
                next += chunks[next..].partition_point(|chunk| chunk.slot < *slot);
                let Some(chunk) = chunks.get(next).filter(|chunk| chunk.slot == *slot) else {
                    continue;
                };
                times.clear();
                values.clear();
                group::read_chunk(
                    &rows,
                    (chunk.start, chunk.count, chunk.bytes),
                    (from, to),
                    (&mut times, &mut values),
                );
                if !times.is_empty() && !each(*slot, &times, &values) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Copies all groups into another block.
    pub(crate) fn copy_into(&self, writer: &mut BlockWriter) -> Result<(), Error> {
        let dictionary = self.dictionary(0)?;
        let index = &dictionary.index;
        let numbers: Vec<u32> = (0..index.shapes().len() as u32)
            .map(|shape| writer.shape(index.pairs(shape)))
            .collect();
        for target in &dictionary.targets {
            let shapes = target.shapes.iter().map(|shape| numbers[*shape as usize]).collect();
            let number = writer.target(&target.labels, shapes);
            for place in &target.places {
                let group = Group {
                    min: place.min,
                    max: place.max,
                    samples: place.samples,
                    bytes: self.group_bytes(place)?.into(),
                };
                writer.group(number, &group)?;
            }
        }
        Ok(())
    }

    fn group_bytes(&self, place: &Place) -> Result<Vec<u8>, Error> {
        let bytes = self.bytes_at(place.offset, place.bytes)?;
        if crc32fast::hash(&bytes) == place.sum {
            Ok(bytes)
        } else {
            Err(self.damaged("a group"))
        }
    }

    fn bytes_at(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        if offset.checked_add(length).is_none_or(|end| end > self.bytes) {
            return Err(self.damaged("a place in it"));
        }
        let mut bytes = vec![0; length as usize];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|source: io::Error| Error::ReadBlock {
                path: self.path.clone(),
                source,
            })?;
        Ok(bytes)
    }

    fn damaged(&self, part: &'static str) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            part,
        }
    }
}
