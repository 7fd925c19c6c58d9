//! The functions that change labels.
//!
//! Owns `label_replace` and `label_join`. Does not look at values.

use super::grid::{Grid, Steps};
use super::instant::texts;
use super::{Evaluated, Evaluator};
use crate::ast::Call;
use crate::error::Error;
use crate::labels::METRIC_NAME;

impl Evaluator<'_> {
    pub(crate) fn label_replace(&mut self, call: &Call, steps: Steps) -> Evaluated<Grid> {
        let texts = texts(&call.arguments[1..])?;
        let [target, replacement, source, pattern] = texts[..] else {
            return Err(Error::evaluate("label_replace takes four strings"));
        };
        let regex = regex::Regex::new(&format!("^(?s:{pattern})$"))
            .map_err(|_| Error::evaluate(format!("invalid regular expression in label_replace(): {pattern}")))?;
        if target.is_empty() {
            return Err(Error::evaluate(format!(
                "invalid destination label name in label_replace(): {target}"
            )));
        }
        let mut grid = self.vector(&call.arguments[0], steps)?;
        for row in &mut grid.rows {
            let Some(found) = regex.captures(row.labels.get(source)) else {
                continue;
            };
            let mut value = String::new();
            found.expand(replacement, &mut value);
            row.labels = row.labels.with(target, &value);
            row.drops_name &= target != METRIC_NAME;
        }
        grid.merged()
    }

    pub(crate) fn label_join(&mut self, call: &Call, steps: Steps) -> Evaluated<Grid> {
        let texts = texts(&call.arguments[1..])?;
        let [target, separator, ref sources @ ..] = texts[..] else {
            return Err(Error::evaluate("label_join takes two strings or more"));
        };
        if let Some(source) = sources.iter().find(|source| source.is_empty()) {
            return Err(Error::evaluate(format!(
                "invalid source label name in label_join(): {source}"
            )));
        }
        if target.is_empty() {
            return Err(Error::evaluate(format!(
                "invalid destination label name in label_join(): {target}"
            )));
        }
        let mut grid = self.vector(&call.arguments[0], steps)?;
        for row in &mut grid.rows {
            let values: Vec<&str> = sources.iter().map(|source| row.labels.get(source)).collect();
            row.labels = row.labels.with(target, &values.join(separator));
            row.drops_name &= target != METRIC_NAME;
        }
        grid.merged()
    }
}
