//! A store that keeps everything in a sorted map: what tests, rule tests and the test language run over.
//!
//! Owns nothing of speed or size. Samples may be appended in any order of series, in rising order of time within one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::labels::Labels;
use crate::sample::{Samples, Timestamp};
use crate::series::{Selection, Store, StoreError};

/// Series in memory, sorted by labels.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    series: BTreeMap<Labels, (Vec<Timestamp>, Vec<f64>)>,
}

impl MemoryStore {
    /// Adds a sample; one at a time that is there already replaces it.
    pub fn append(&mut self, labels: &Labels, time: Timestamp, value: f64) {
        if !self.series.contains_key(labels) {
            self.series.insert(labels.clone(), Default::default());
        }
        let Some((times, values)) = self.series.get_mut(labels) else {
            return;
        };
        let at = times.partition_point(|known| *known < time);
        if times.get(at) == Some(&time) {
            values[at] = value;
        } else {
            times.insert(at, time);
            values.insert(at, value);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.series.clear();
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

impl Store for MemoryStore {
    fn select(
        &self,
        selection: &Selection<'_>,
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for (labels, (times, values)) in &self.series {
            if !labels.matches(selection.matchers) {
                continue;
            }
            let from = times.partition_point(|time| *time < selection.from);
            let to = times.partition_point(|time| *time <= selection.to);
            if from < to && each(labels, Samples::new(times, values).slice(from, to)).is_break() {
                break;
            }
        }
        Ok(())
    }
}
