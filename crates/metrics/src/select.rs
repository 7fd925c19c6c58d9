//! What the store answers: series by matchers, from memory and from blocks, as the evaluator asks for them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustc_hash::FxHashSet;
use tend_promql::{Labels, Matcher, Samples, Selection, Store, StoreError};

use crate::block::{Block, Dictionary};
use crate::catalog::Target;
use crate::error::Error;
use crate::head::order;
use crate::index::{Candidates, Index};
use crate::lock::{read, write};
use crate::store::MetricStore;

/// A target in memory, and which of its series are wanted.
struct InHead {
    target: Arc<Target>,
    slots: Vec<u32>,
}

/// A block, and which series of it are wanted.
struct InBlock {
    block: Arc<Block>,
    dictionary: Arc<Dictionary>,
    targets: Vec<(usize, Vec<u32>)>,
}

/// Columns of a series that is put together.
type Columns = (Vec<i64>, Vec<f64>);

impl MetricStore {
    /// Hands the label set of each series that all matchers select and that may have samples in `from..=to` to `each`, once.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn series(&self, matchers: &[Matcher], range: (i64, i64), each: &mut dyn FnMut(&Labels)) -> Result<(), Error> {
        let _inside = read(&self.gate);
        let mut told = HashSet::new();
        let mut tell = |labels: Labels| {
            if !told.contains(&labels) {
                each(&labels);
                told.insert(labels);
            }
        };
        for found in self.in_head(matchers).0 {
            self.labels_of(&found).into_iter().for_each(&mut tell);
        }
        for found in self.in_blocks(matchers, range)? {
            for (target, slots) in &found.targets {
                for slot in slots {
                    tell(found.dictionary.labels(*target, *slot));
                }
            }
        }
        Ok(())
    }

    /// Returns the values of a label of the series that all matchers select and that may have samples in `from..=to`. Reads the index and puts no
    /// label set together.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn label_values(&self, name: &str, matchers: &[Matcher], range: (i64, i64)) -> Result<BTreeSet<String>, Error> {
        let mut values = BTreeSet::new();
        let mut put = |value: &str| {
            if !value.is_empty() && !values.contains(value) {
                values.insert(value.to_owned());
            }
        };
        self.shapes(matchers, range, &mut |target, index, shapes| {
            let mut theirs = false;
            for shape in shapes {
                match index.pairs(*shape).find(|pair| pair.0 == name) {
                    Some((_, value)) => put(value),
                    None => theirs = true,
                }
            }
            if theirs {
                put(target.get(name));
            }
        })?;
        Ok(values)
    }

    /// Returns the names of the labels of such series, in the same way.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn label_names(&self, matchers: &[Matcher], range: (i64, i64)) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        let mut put = |name: &str| {
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        };
        self.shapes(matchers, range, &mut |target, index, shapes| {
            // A label of the target's is there as long as one shape says nothing of it.
            let mut taken: BTreeMap<&str, usize> = target.iter().map(|pair| (pair.0, 0)).collect();
            for shape in shapes {
                for (name, value) in index.pairs(*shape) {
                    match taken.get_mut(name) {
                        Some(count) => *count += usize::from(value.is_empty()),
                        None => put(name),
                    }
                }
            }
            let left = taken.into_iter().filter(|(_, count)| *count < shapes.len());
            left.for_each(|(name, _)| put(name));
        })?;
        Ok(names)
    }

    /// Shows the shapes of such series by targets.
    fn shapes(
        &self,
        matchers: &[Matcher],
        range: (i64, i64),
        see: &mut dyn FnMut(&Labels, &Index, &[u32]),
    ) -> Result<(), Error> {
        let _inside = read(&self.gate);
        for found in self.in_head(matchers).0 {
            let shapes: Vec<u32> = {
                let state = read(&found.target.state);
                found.slots.iter().map(|slot| state.shape_of(*slot)).collect()
            };
            see(&found.target.labels, &read(&self.catalog).index, &shapes);
        }
        for found in self.in_blocks(matchers, range)? {
            for (target, slots) in &found.targets {
                found.dictionary.shapes(*target, slots, see);
            }
        }
        Ok(())
    }

    /// Finds the series in memory. Also says whether no two of them can be the same series.
    fn in_head(&self, matchers: &[Matcher]) -> (Vec<InHead>, bool) {
        let (candidates, targets) = {
            let catalog = read(&self.catalog);
            let has = |name: &str| catalog.targets.iter().any(|target| target.labels.has(name));
            (catalog.index.candidates(matchers, &has), catalog.targets.clone())
        };
        let mut found = Vec::new();
        if candidates.is_empty() {
            return (found, true);
        }
        for target in targets {
            let satisfied = Candidates::satisfied(&target.labels, matchers);
            let mut slots = {
                let state = read(&target.state);
                candidates.slots(satisfied, state.by_shape(), |slot| state.shape_of(slot))
            };
            if candidates.rest {
                let state = read(&target.state);
                let catalog = read(&self.catalog);
                slots.retain(|slot| {
                    catalog
                        .index
                        .labels(&target.labels, state.shape_of(*slot))
                        .matches(matchers)
                });
            }
            if !slots.is_empty() {
                found.push(InHead { target, slots });
            }
        }
        let distinct = self.are_distinct(&found);
        (found, distinct)
    }

    /// Two series differ when their targets do, as long as all targets have labels of the same names and no shape says something else
    /// about one of those.
    fn are_distinct(&self, found: &[InHead]) -> bool {
        let Some(first) = found.first() else { return true };
        if found.len() == 1 {
            return true;
        }
        let names: Vec<&str> = first.target.labels.iter().map(|pair| pair.0).collect();
        let mut labels = HashSet::new();
        for one in found {
            if !one.target.labels.iter().map(|pair| pair.0).eq(names.iter().copied())
                || !labels.insert(&one.target.labels)
            {
                return false;
            }
        }
        let mut shapes: FxHashSet<u32> = FxHashSet::default();
        for one in found {
            let state = read(&one.target.state);
            shapes.extend(one.slots.iter().map(|slot| state.shape_of(*slot)));
        }
        let catalog = read(&self.catalog);
        shapes
            .into_iter()
            .all(|shape| !catalog.index.overrides(&first.target.labels, shape))
    }

    /// Returns the label sets of the wanted series of a target. They are kept from the first time on, as rules ask again and again.
    fn labels_of(&self, found: &InHead) -> Vec<Labels> {
        if read(&found.target.state).is_unknown() {
            write(&found.target.state).know();
        }
        let state = read(&found.target.state);
        let catalog = read(&self.catalog);
        let make = |shape: u32| catalog.index.labels(&found.target.labels, shape);
        found.slots.iter().map(|slot| state.labels(*slot, make)).collect()
    }

    /// Finds the series in blocks that are not in memory as well.
    fn in_blocks(&self, matchers: &[Matcher], (from, to): (i64, i64)) -> Result<Vec<InBlock>, Error> {
        let to = to.min(self.floor.load(Ordering::SeqCst).saturating_sub(1));
        if to < from {
            return Ok(Vec::new());
        }
        let blocks = read(&self.blocks).clone();
        let now = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut found = Vec::new();
        for block in blocks.iter().filter(|block| block.max >= from && block.min <= to) {
            let dictionary = block.dictionary(now)?;
            let targets = dictionary.select(matchers, (from, to));
            if !targets.is_empty() {
                found.push(InBlock {
                    block: Arc::clone(block),
                    dictionary,
                    targets,
                });
            }
        }
        self.forget_dictionaries(&blocks);
        Ok(found)
    }

    /// Reads what is in memory alone, target by target.
    fn hand_over(
        &self,
        found: &[InHead],
        range: (i64, i64),
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) {
        for one in found {
            let labels = self.labels_of(one);
            let mut next = one.slots.iter().zip(&labels);
            let state = read(&one.target.state);
            let goes_on = state.read(&one.slots, range, &mut |slot, times, values| match next
                .find(|(known, _)| **known == slot)
            {
                Some((_, labels)) => each(labels, Samples::new(times, values)).is_continue(),
                None => true,
            });
            if !goes_on {
                return;
            }
        }
    }

    /// Puts the series together from all places that have a part of them.
    fn put_together(
        &self,
        (in_head, in_blocks): (&[InHead], &[InBlock]),
        range: (i64, i64),
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut all = Together::default();
        let floor = self.floor.load(Ordering::SeqCst);
        for found in in_blocks {
            for (target, slots) in &found.targets {
                let labels: HashMap<u32, Labels> = slots
                    .iter()
                    .map(|slot| (*slot, found.dictionary.labels(*target, *slot)))
                    .collect();
                // What is in memory is not read from the disk as well.
                let range = (range.0, range.1.min(floor.saturating_sub(1)));
                found.block.read(
                    &found.dictionary,
                    (*target, slots),
                    range,
                    &mut |slot, times, values| {
                        if let Some(labels) = labels.get(&slot) {
                            all.append(labels, times, values);
                        }
                        true
                    },
                )?;
            }
        }
        for found in in_head {
            let labels = self.labels_of(found);
            let mut next = found.slots.iter().zip(&labels);
            read(&found.target.state).read(&found.slots, range, &mut |slot, times, values| {
                if let Some((_, labels)) = next.find(|(known, _)| **known == slot) {
                    all.append(labels, times, values);
                }
                true
            });
        }
        for (labels, (mut times, mut values)) in all.series {
            order(&mut times, &mut values);
            if each(&labels, Samples::new(&times, &values)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Series that are put together, in the order in which they were met.
#[derive(Default)]
struct Together {
    at: HashMap<Labels, usize>,
    series: Vec<(Labels, Columns)>,
}

impl Together {
    fn append(&mut self, labels: &Labels, times: &[i64], values: &[f64]) {
        let at = *self.at.entry(labels.clone()).or_insert_with(|| {
            self.series.push((labels.clone(), Columns::default()));
            self.series.len() - 1
        });
        let columns = &mut self.series[at].1;
        columns.0.extend_from_slice(times);
        columns.1.extend_from_slice(values);
    }
}

impl Store for MetricStore {
    fn select(
        &self,
        selection: &Selection<'_>,
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let _inside = read(&self.gate);
        let range = (selection.from, selection.to);
        let (in_head, distinct) = self.in_head(selection.matchers);
        let in_blocks = self.in_blocks(selection.matchers, range).map_err(StoreError::new)?;
        if distinct && in_blocks.is_empty() {
            self.hand_over(&in_head, range, each);
            return Ok(());
        }
        self.put_together((&in_head, &in_blocks), range, each)
            .map_err(StoreError::new)
    }
}
