//! Picks the replica with the fewest requests in flight for its weight. Knows nothing of how the numbers are kept.

/// One replica as balancing sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Requests in flight on it, over all threads.
    pub in_flight: u32,
    /// At least 1, at most [`crate::WEIGHT_MAX`].
    pub weight: u32,
}

/// Returns the index of the candidate with the least `in_flight / weight`; none when there is no candidate.
///
/// `candidates(i)` describes the i-th of `count`, or says that it must not be picked. Among equals the turn goes round by
/// `rotation`, a number the caller raises by one for each request, in proportion to the weights: with all idle, weights 3 and 1 get
/// three requests and one. Without it the first replica would get nearly everything at low load.
pub fn pick(count: usize, candidates: impl Fn(usize) -> Option<Candidate>, rotation: u64) -> Option<usize> {
    let mut least: Option<Candidate> = None;
    let mut weights = 0u64;
    for candidate in (0..count).filter_map(&candidates) {
        match least.map(|least| compare(candidate, least)) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => weights += u64::from(candidate.weight),
            Some(std::cmp::Ordering::Less) | None => {
                least = Some(candidate);
                weights = u64::from(candidate.weight);
            }
        }
    }
    let least = least?;
    let mut turn = rotation % weights.max(1);
    let mut last = None;
    // The numbers are live counters: one may have moved since the first pass, so the last seen is kept in reserve.
    for index in 0..count {
        let Some(candidate) = candidates(index) else {
            continue;
        };
        if compare(candidate, least).is_gt() {
            last = last.or(Some(index));
            continue;
        }
        last = Some(index);
        let weight = u64::from(candidate.weight);
        if turn < weight {
            break;
        }
        turn -= weight;
    }
    last
}

/// Compares `in_flight / weight` without dividing.
fn compare(a: Candidate, b: Candidate) -> std::cmp::Ordering {
    let left = u64::from(a.in_flight) * u64::from(b.weight);
    let right = u64::from(b.in_flight) * u64::from(a.weight);
    left.cmp(&right)
}
