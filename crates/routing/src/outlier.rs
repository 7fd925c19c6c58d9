//! Finds the servers that answer so much worse than the others that they are better left out. Knows no clock and keeps nothing.

use std::time::Duration;

use tend_core::model::Outlier;

/// The longest ejection, unless the first one is longer: doubling goes no further.
const EJECTION_MAX: Duration = Duration::from_secs(60 * 60);

/// What a server did in the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Answers, and requests that got none.
    pub requests: u64,
    /// Of these: 500 and above, or none.
    pub failed: u64,
    /// It is left out already, for whatever reason.
    pub ejected: bool,
}

/// Returns who is left out, the worst first, as indices into the samples.
///
/// A server is compared with all the others together: one that fails because everything behind it fails is no worse than they are.
///
/// Invariant: at least one server stays, and never more are out than `ejected_permille_max` (test `somebody_always_stays`).
#[must_use]
pub fn outliers(samples: &[Sample], rules: &Outlier) -> Vec<usize> {
    let total = samples.len();
    let may_be_out = (total * rules.ejected_permille_max as usize / 1000).min(total.saturating_sub(1));
    let out = samples.iter().filter(|sample| sample.ejected).count();
    let serving = || samples.iter().enumerate().filter(|(_, sample)| !sample.ejected);
    let sum = |of: fn(&Sample) -> u64| serving().map(|(_, sample)| of(sample)).sum::<u64>();
    let (requests, failed) = (sum(|sample| sample.requests), sum(|sample| sample.failed));
    let mut worse: Vec<(u64, usize)> = serving()
        .filter(|(_, sample)| sample.requests > 0 && sample.requests >= u64::from(rules.requests_min))
        .filter_map(|(index, sample)| {
            let others = requests - sample.requests;
            let theirs = ((failed - sample.failed) * 1000).checked_div(others)?;
            let own = sample.failed * 1000 / sample.requests;
            (own > theirs + u64::from(rules.worse_permille)).then(|| (own - theirs, index))
        })
        .collect();
    worse.sort_by(|one, other| other.cmp(one));
    worse.truncate(may_be_out.saturating_sub(out));
    worse.into_iter().map(|(_, index)| index).collect()
}

/// Returns for how long a server is left out that was so `before` times in a row.
#[must_use]
pub fn ejection_time(rules: &Outlier, before: u32) -> Duration {
    let doubled = rules
        .ejection
        .saturating_mul(1u32.checked_shl(before).unwrap_or(u32::MAX));
    doubled.min(EJECTION_MAX.max(rules.ejection))
}
