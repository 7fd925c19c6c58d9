//! One target in memory: its open column of times with a chunk for each series, its sealed groups, and samples that came late. Knows no
//! label, no lock and no file.

use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;
use tend_promql::Labels;

use crate::chunk::Open;
use crate::group::{self, Group};

/// Rows of a group. Longer ones compress hardly better and cost more to read the end of; 120 is what Prometheus has.
const ROWS_MAX: usize = 120;

/// Late samples of a series beyond so many are sealed.
const LATE_MAX: usize = 1000;

/// Takes the samples of a slot as two columns, and says whether to go on.
pub(crate) type EachSlot<'e> = dyn FnMut(u32, &[i64], &[f64]) -> bool + 'e;

/// One series of a target.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) shape: u32,
    /// It had a sample since the last block was cut.
    pub(crate) used: bool,
    /// The present segment of the log has a sample of it.
    logged: bool,
    open: Open,
}

/// A sealed group and whether a block has it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) group: Arc<Group>,
    pub(crate) in_block: bool,
}

/// What a target holds.
#[derive(Debug)]
pub(crate) struct State {
    /// Another took its place; nothing is appended here again.
    pub(crate) retired: bool,
    /// Rounds that were begun and not committed: their samples have slots already.
    pub(crate) rounds: u32,
    pub(crate) series: Vec<Series>,
    /// Slots in the order of their shapes.
    by_shape: Vec<u32>,
    times: Vec<i64>,
    rows_max: usize,
    /// The time of the last row.
    pub(crate) last: Option<i64>,
    pub(crate) held: Vec<Held>,
    late: FxHashMap<u32, Vec<(i64, f64)>>,
    /// Whole label sets of the series that were asked for; empty until somebody asks.
    known: Vec<OnceLock<Labels>>,
}

impl State {
    /// Begins empty. The first group ends early, by `number`, so that not all targets seal in the same round.
    pub(crate) fn new(number: u32) -> Self {
        Self {
            retired: false,
            rounds: 0,
            series: Vec::new(),
            by_shape: Vec::new(),
            times: Vec::new(),
            rows_max: ROWS_MAX / 2 + number as usize * 7 % (ROWS_MAX / 2),
            last: None,
            held: Vec::new(),
            late: FxHashMap::default(),
            known: Vec::new(),
        }
    }

    pub(crate) fn by_shape(&self) -> &[u32] {
        &self.by_shape
    }

    pub(crate) fn shape_of(&self, slot: u32) -> u32 {
        self.series[slot as usize].shape
    }

    /// Returns the slot of a shape.
    pub(crate) fn slot(&self, shape: u32) -> Option<u32> {
        let at = self
            .by_shape
            .binary_search_by_key(&shape, |slot| self.series[*slot as usize].shape);
        at.ok().map(|at| self.by_shape[at])
    }

    /// Gives a shape a slot; it has none yet.
    pub(crate) fn add(&mut self, shape: u32) -> u32 {
        let slot = self.series.len() as u32;
        let at = self
            .by_shape
            .partition_point(|slot| self.series[*slot as usize].shape < shape);
        self.by_shape.insert(at, slot);
        self.series.push(Series {
            shape,
            used: true,
            logged: false,
            open: Open::default(),
        });
        slot
    }

    /// Gives the shapes of all series new numbers; `by_shape` keeps its order by them.
    pub(crate) fn renumber(&mut self, new: impl Fn(u32) -> u32) {
        for series in &mut self.series {
            series.shape = new(series.shape);
        }
        let series = &self.series;
        self.by_shape.sort_unstable_by_key(|slot| series[*slot as usize].shape);
    }

    /// Returns the value that a slot had last in the present segment of the log, 0 where it had none; `None` for a slot that is not there.
    pub(crate) fn logged_value(&self, slot: u32) -> Option<f64> {
        let series = self.series.get(slot as usize)?;
        Some(if series.logged { series.open.last_value() } else { 0.0 })
    }

    /// A segment of the log begins.
    pub(crate) fn begin_segment(&mut self) {
        for series in &mut self.series {
            series.logged = false;
        }
    }

    /// Appends a row; its time is after the last one's, its slots rise. Returns the bytes that were sealed by it.
    pub(crate) fn push_row(&mut self, time: i64, row: &[(u32, f64)]) -> usize {
        let at = self.times.len() as u16;
        self.times.push(time);
        self.last = Some(time);
        for (slot, value) in row {
            let series = &mut self.series[*slot as usize];
            (series.used, series.logged) = (true, true);
            series.open.push_at(at, *value);
        }
        if self.times.len() < self.rows_max {
            return 0;
        }
        self.rows_max = ROWS_MAX;
        self.seal_rows()
    }

    /// Keeps a sample that has a time of its own; of two at one time the first counts. Returns the bytes that were sealed by it.
    pub(crate) fn push_late(&mut self, slot: u32, time: i64, value: f64) -> usize {
        self.series[slot as usize].used = true;
        let samples = self.late.entry(slot).or_default();
        let at = samples.partition_point(|known| known.0 < time);
        if samples.get(at).is_none_or(|known| known.0 != time) {
            samples.insert(at, (time, value));
        }
        if samples.len() < LATE_MAX {
            return 0;
        }
        let samples = std::mem::take(samples);
        self.seal_late(slot, &samples)
    }

    /// Seals all that is open. Returns how many bytes that are.
    pub(crate) fn seal(&mut self) -> usize {
        let mut bytes = self.seal_rows();
        for (slot, samples) in std::mem::take(&mut self.late) {
            bytes += self.seal_late(slot, &samples);
        }
        bytes
    }

    fn seal_rows(&mut self) -> usize {
        let chunks = self
            .series
            .iter()
            .enumerate()
            .map(|(slot, series)| (slot as u32, &series.open));
        let group = Group::seal(&self.times, chunks);
        self.times.clear();
        for series in &mut self.series {
            series.open.clear();
        }
        self.hold(group)
    }

    fn seal_late(&mut self, slot: u32, samples: &[(i64, f64)]) -> usize {
        let mut open = Open::default();
        for (_, value) in samples {
            open.push(*value);
        }
        let times: Vec<i64> = samples.iter().map(|sample| sample.0).collect();
        self.hold(Group::seal(&times, [(slot, &open)].into_iter()))
    }

    fn hold(&mut self, group: Option<Group>) -> usize {
        let Some(group) = group else { return 0 };
        let bytes = group.bytes.len();
        self.held.push(Held {
            group: Arc::new(group),
            in_block: false,
        });
        bytes
    }

    /// Makes room for the label sets of all series; [`State::labels`] keeps them there.
    pub(crate) fn know(&mut self) {
        self.known.resize_with(self.series.len(), OnceLock::new);
    }

    /// Returns whether [`State::know`] is needed before label sets can be kept.
    pub(crate) fn is_unknown(&self) -> bool {
        self.known.len() < self.series.len()
    }

    /// Forgets the label sets that were kept.
    pub(crate) fn forget(&mut self) {
        self.known = Vec::new();
    }

    /// Returns the label set of a slot, made by `make` where it is not kept.
    pub(crate) fn labels(&self, slot: u32, make: impl FnOnce(u32) -> Labels) -> Labels {
        let shape = self.series[slot as usize].shape;
        match self.known.get(slot as usize) {
            Some(known) => known.get_or_init(|| make(shape)).clone(),
            None => make(shape),
        }
    }

    /// Hands the samples of the wanted slots (rising) within `from..=to` to `each`, with two columns. `each` says whether to go on.
    pub(crate) fn read(&self, wanted: &[u32], (from, to): (i64, i64), each: &mut EachSlot<'_>) -> bool {
        let held: Vec<_> = self
            .held
            .iter()
            .filter(|held| held.group.max >= from && held.group.min <= to)
            // What was sealed here is what `open` reads, so a group that cannot be read is none.
            .filter_map(|held| group::open(&held.group.bytes))
            .collect();
        let mut next = vec![0usize; held.len()];
        let is_open =
            self.times.last().is_some_and(|last| *last >= from) && self.times.first().is_some_and(|first| *first <= to);
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for slot in wanted {
            times.clear();
            values.clear();
            let mut rises = true;
            for ((rows, chunks), next) in held.iter().zip(&mut next) {
                while chunks.get(*next).is_some_and(|chunk| chunk.slot < *slot) {
                    *next += 1;
                }
                if let Some(chunk) = chunks.get(*next).filter(|chunk| chunk.slot == *slot) {
                    let chunk = (chunk.start, chunk.count, chunk.bytes);
                    let begun = times.len();
                    group::read_chunk(rows, chunk, (from, to), (&mut times, &mut values));
                    rises &= rises_at(&times, begun);
                }
            }
            if is_open {
                let open = &self.series[*slot as usize].open;
                let chunk = (open.start, open.count, open.bytes());
                let begun = times.len();
                group::read_chunk(&self.times, chunk, (from, to), (&mut times, &mut values));
                rises &= rises_at(&times, begun);
            }
            let begun = times.len();
            for (time, value) in self.late.get(slot).map(Vec::as_slice).unwrap_or_default() {
                if (from..=to).contains(time) {
                    times.push(*time);
                    values.push(*value);
                }
            }
            if !(rises && rises_at(&times, begun)) {
                order(&mut times, &mut values);
            }
            if !times.is_empty() && !each(*slot, &times, &values) {
                return false;
            }
        }
        true
    }

    /// Returns the bytes that sealed groups take, and those of all else, both roughly.
    pub(crate) fn heap_bytes(&self) -> (usize, usize) {
        let held = self.held.iter().map(|held| held.group.bytes.len() + 64).sum();
        let open: usize = self.series.iter().map(|series| series.open.heap_bytes()).sum();
        let late: usize = self.late.values().map(|samples| samples.capacity() * 16 + 40).sum();
        let fixed = self.series.capacity() * size_of::<Series>()
            + self.by_shape.capacity() * 4
            + self.times.capacity() * 8
            + self.known.capacity() * size_of::<OnceLock<Labels>>();
        (held, open + late + fixed)
    }
}

/// Whether what begins at `begun`, itself in order, goes on from what is before it.
fn rises_at(times: &[i64], begun: usize) -> bool {
    begun == 0 || begun == times.len() || times[begun - 1] < times[begun]
}

/// Puts two columns into the order of time where they are not; of two samples at one time the first that was pushed stays.
pub(crate) fn order(times: &mut Vec<i64>, values: &mut Vec<f64>) {
    if times.is_sorted_by(|one, two| one < two) {
        return;
    }
    let mut samples: Vec<(i64, f64)> = times.iter().copied().zip(values.iter().copied()).collect();
    samples.sort_by_key(|sample| sample.0);
    samples.dedup_by_key(|sample| sample.0);
    times.clear();
    values.clear();
    for (time, value) in samples {
        times.push(time);
        values.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(state: &State, slot: u32, range: (i64, i64)) -> Vec<(i64, f64)> {
        let mut samples = Vec::new();
        state.read(&[slot], range, &mut |_, times, values| {
            samples = times.iter().copied().zip(values.iter().copied()).collect();
            true
        });
        samples
    }

    #[test]
    fn rows_late_samples_and_sealed_groups_read_as_one_series() {
        let mut state = State::new(0);
        let (one, two) = (state.add(9), state.add(4));
        assert_eq!(
            (state.slot(4), state.slot(9), state.slot(5)),
            (Some(two), Some(one), None)
        );
        for at in 0..500i64 {
            let row = [(one, at as f64), (two, 0.5)];
            state.push_row(at * 10, if at % 100 == 7 { &row[..1] } else { &row });
        }
        state.push_late(two, 75, 1.5);
        state.push_late(two, 70, 2.5);
        state.push_late(two, 80, 3.5);
        assert_eq!(state.held.len(), 4);
        assert_eq!(read(&state, one, (i64::MIN, i64::MAX)).len(), 500);
        let wanted = [(60, 0.5), (70, 2.5), (75, 1.5), (80, 0.5), (90, 0.5)];
        assert_eq!(read(&state, two, (60, 95)), wanted);
        state.seal();
        assert_eq!(read(&state, two, (60, 95)), wanted);
        assert_eq!(read(&state, two, (4980, 9999)), [(4980, 0.5), (4990, 0.5)]);
        assert_eq!(state.logged_value(one), Some(499.0));
        state.begin_segment();
        assert_eq!((state.logged_value(one), state.logged_value(7)), (Some(0.0), None));
    }
}
