//! Reads series from the store: the latest sample at each step, or all of a time.
//!
//! Owns look-back and staleness. Rows stay in the order in which the store hands series over. Knows no function.

use std::ops::ControlFlow;

use super::grid::{ABSENT, Grid, Row, Steps};
use super::{Evaluated, Evaluator};
use crate::ast::Selector;
use crate::error::Error;
use crate::labels::Labels;
use crate::sample::{Samples, is_stale};
use crate::series::Selection;

impl Evaluator<'_> {
    /// Hands every series of a selection over, counted against the limit; an error ends the reading.
    pub(crate) fn read(
        &mut self,
        selection: &Selection<'_>,
        each: &mut dyn FnMut(&mut Self, &Labels, Samples<'_>) -> Evaluated<()>,
    ) -> Evaluated<()> {
        let mut failed = None;
        let store = self.store;
        let read = store.select(selection, &mut |labels, samples| match self
            .spend(samples.len())
            .and_then(|()| each(self, labels, samples))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        });
        read.map_err(Error::Store)?;
        failed.map_or(Ok(()), Err)
    }

    /// The latest sample of each series at each step, or its time in seconds.
    pub(crate) fn select_latest(&mut self, selector: &Selector, steps: Steps, times: bool) -> Evaluated<Grid> {
        let shift = self.modifiers(selector.at, selector.offset.as_ref())?;
        let lookback = self.options.lookback;
        let mut grid = Grid::new(steps.count);
        // The window is open at its left.
        let from = shift.apply(steps.start).saturating_sub(lookback - 1);
        let to = shift.apply(steps.last());
        let selection = Selection::new(&selector.matchers, from, to).with_hints("", steps.step, 0);
        self.read(&selection, &mut |_, labels, samples| {
            let (stamps, values) = (samples.times(), samples.values());
            let mut behind = 0;
            for time in steps.times() {
                let time = shift.apply(time);
                while behind < stamps.len() && stamps[behind] <= time {
                    behind += 1;
                }
                let latest = behind
                    .checked_sub(1)
                    .filter(|at| stamps[*at] > time.saturating_sub(lookback));
                grid.values.push(match latest {
                    Some(at) if !is_stale(values[at]) && times => stamps[at] as f64 / 1000.0,
                    Some(at) => values[at],
                    None => ABSENT,
                });
            }
            grid.close_row(|| Row {
                labels: labels.clone(),
                drops_name: false,
            });
            Ok(())
        })?;
        Ok(grid)
    }
}
