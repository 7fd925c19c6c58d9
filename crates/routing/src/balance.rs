//! Chooses who answers: of those that may, the replica with the fewest requests in flight for its weight. Knows nothing of how the
//! numbers are kept.

use tend_base::Mono;

use crate::Aim;

/// What a replica has to do, as balancing sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests in flight on it, over all threads.
    pub in_flight: u32,
    /// At least 1, at most [`crate::WEIGHT_MAX`].
    pub weight: u32,
}

/// A replica as a request finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it has to do.
    pub load: Load,
    /// It runs a release that is not proven.
    pub candidate: bool,
    /// It is left out for failures.
    pub ejected: bool,
}

/// Returns the index of the replica that gets a request with this aim; none when nobody may answer.
///
/// `standing(i)` describes the i-th of `count`, or says that it takes nothing or was tried already; `last_failure(i)` is asked only when
/// all that may answer are ejected: an answer is still more likely from one of them than from nobody, and likeliest from the one
/// whose failure is longest ago. An ejected candidate is no reason to fail a request that others may answer. For `rotation` see [`pick`].
///
/// Invariant: [`Aim::CandidateOnly`] never gives a replica that is no candidate, and [`Aim::Others`] never one that is (test
/// `nobody_answers_who_may_not`).
pub fn choose(
    count: usize,
    standing: impl Fn(usize) -> Option<Standing>,
    last_failure: impl Fn(usize) -> Option<Mono>,
    aim: Aim,
    rotation: u64,
) -> Option<usize> {
    let serving = |widened: bool| {
        let wanted = |candidate| {
            if widened {
                aim.allows(candidate)
            } else {
                aim.prefers(candidate)
            }
        };
        let load = |index| {
            standing(index)
                .filter(|one| !one.ejected && wanted(one.candidate))
                .map(|one| one.load)
        };
        pick(count, load, rotation)
    };
    serving(false)
        .or_else(|| {
            if aim == Aim::CandidateFirst {
                serving(true)
            } else {
                None
            }
        })
        .or_else(|| {
            (0..count)
                .filter(|index| standing(*index).is_some_and(|one| aim.allows(one.candidate)))
                .min_by_key(|index| last_failure(*index))
        })
}

/// Returns the index of the replica with the least `in_flight / weight`; none when there is none to pick.
///
/// `loads(i)` describes the i-th of `count`, or says that it must not be picked. Among equals the turn goes round by
/// `rotation`, a number the caller raises by one for each request, in proportion to the weights: with all idle, weights 3 and 1 get
/// three requests and one. Without it the first replica would get nearly everything at low load.
pub fn pick(count: usize, loads: impl Fn(usize) -> Option<Load>, rotation: u64) -> Option<usize> {
    let mut least: Option<Load> = None;
    let mut weights = 0u64;
    for load in (0..count).filter_map(&loads) {
        match least.map(|least| compare(load, least)) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => weights += u64::from(load.weight),
            Some(std::cmp::Ordering::Less) | None => {
                least = Some(load);
                weights = u64::from(load.weight);
            }
        }
    }
    let least = least?;
    let mut turn = rotation % weights.max(1);
    let mut last = None;
    // The numbers are live counters: one may have moved since the first pass, so the last seen is kept in reserve.
    for index in 0..count {
        let Some(load) = loads(index) else {
            continue;
        };
        if compare(load, least).is_gt() {
            last = last.or(Some(index));
            continue;
        }
        last = Some(index);
        let weight = u64::from(load.weight);
        if turn < weight {
            break;
        }
        turn -= weight;
    }
    last
}

/// Compares `in_flight / weight` without dividing.
fn compare(a: Load, b: Load) -> std::cmp::Ordering {
    let left = u64::from(a.in_flight) * u64::from(b.weight);
    let right = u64::from(b.in_flight) * u64::from(a.weight);
    left.cmp(&right)
}
