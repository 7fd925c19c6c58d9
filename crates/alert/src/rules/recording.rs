//! A recording rule: what its result is called.

use std::collections::HashSet;

use tend_promql::{LabelsBuilder, METRIC_NAME};

use crate::error::RuleError;
use crate::rules::alerting::Element;
use crate::rules::file::Rule;

/// Gives a result the name and the labels of its rule.
///
/// # Errors
/// Where two elements would be the same series, or where there are more than `limit` (0 for any number).
pub fn record(rule: &Rule, result: &[Element], limit: u64) -> Result<Vec<Element>, RuleError> {
    let mut seen = HashSet::with_capacity(result.len());
    let mut out = Vec::with_capacity(result.len());
    for element in result {
        let mut labels = LabelsBuilder::from(&element.labels);
        labels.set(METRIC_NAME, rule.name());
        for (name, value) in &rule.labels {
            labels.set(name, value);
        }
        let labels = labels.finish();
        if !seen.insert(labels.clone()) {
            return Err(RuleError::Twice {
                rule: rule.name().to_owned(),
                labels: labels.to_string(),
            });
        }
        out.push(Element {
            labels,
            value: element.value,
        });
    }
    if limit > 0 && out.len() as u64 > limit {
        return Err(RuleError::Limit {
            rule: rule.name().to_owned(),
            limit,
            found: out.len() as u64,
        });
    }
    Ok(out)
}
