//! A store with the results of this moment laid over it, so that a rule sees what the rules before it in its group gave.
//!
//! Owns how the two are put together. Does not know when, or whether, the results are written to the store beneath.

use std::collections::HashMap;
use std::ops::ControlFlow;

use tend_promql::{Labels, Samples, Selection, Store, StoreError, Timestamp, Value, Whole};

/// A store, and samples that are not in it yet.
pub(crate) struct Overlay<'a> {
    beneath: &'a dyn Store,
    /// The newest sample of each series.
    over: HashMap<Labels, (Timestamp, f64)>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(beneath: &'a dyn Store) -> Self {
        Self {
            beneath,
            over: HashMap::new(),
        }
    }

    pub(crate) fn add(&mut self, labels: &Labels, time: Timestamp, value: f64) {
        self.over.insert(labels.clone(), (time, value));
    }
}

impl Store for Overlay<'_> {
    fn select(
        &self,
        selection: &Selection<'_>,
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut left: HashMap<&Labels, (Timestamp, f64)> = self
            .over
            .iter()
            .filter(|(labels, (time, _))| {
                (selection.from..=selection.to).contains(time) && labels.matches(selection.matchers)
            })
            .map(|(labels, sample)| (labels, *sample))
            .collect();
        if left.is_empty() {
            return self.beneath.select(selection, each);
        }
        let mut broken = false;
        self.beneath.select(selection, &mut |labels, samples| {
            let next = match left.remove(labels) {
                None => each(labels, samples),
                Some((time, value)) => {
                    // Whatever is there at this time or after it is of an evaluation that this one takes the place of.
                    let before = samples.times().partition_point(|known| *known < time);
                    let mut times = samples.times()[..before].to_vec();
                    let mut values = samples.values()[..before].to_vec();
                    times.push(time);
                    values.push(value);
                    each(labels, Samples::new(&times, &values))
                }
            };
            broken = next.is_break();
            next
        })?;
        if broken {
            return Ok(());
        }
        for (labels, (time, value)) in left {
            if each(labels, Samples::new(&[time], &[value])).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, whole: &Whole<'_>) -> Option<Result<Value, StoreError>> {
        // What was just worked out here is not there yet.
        let names = whole.expr.metric_names();
        let is_over = |name: &str| self.over.keys().any(|labels| labels.metric_name() == name);
        let shows = match names {
            _ if self.over.is_empty() => false,
            Some(names) => names.into_iter().any(is_over),
            None => true,
        };
        match shows {
            true => None,
            false => self.beneath.answer(whole),
        }
    }
}
