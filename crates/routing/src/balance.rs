//! Chooses who answers: of those that may, one by the service's method. Knows nothing of how the numbers are kept.

use std::time::Duration;

use tend_base::{Mono, mix64};

use crate::Aim;

/// What a replica has to do, as balancing sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests in flight on it, over all threads.
    pub in_flight: u32,
    /// At least 1, at most [`crate::WEIGHT_MAX`] times what [`ramped`] multiplies by.
    pub weight: u32,
}

/// By what one of several is picked.
pub enum By<'a> {
    /// The fewest requests in flight for the weight. For the number see [`pick`].
    Least(u64),
    /// In turn, as nginx does.
    Turns(&'a mut Turns),
    /// The less loaded of two that are drawn with this random number.
    TwoDrawn(u64),
    /// By the hash of a key, and of the name of the i-th: see [`pick_by_hash`].
    Hash(u64, &'a dyn Fn(usize) -> u64),
}

impl By<'_> {
    fn pick(&mut self, count: usize, loads: impl Fn(usize) -> Option<Load>) -> Option<usize> {
        match self {
            Self::Least(rotation) => pick(count, loads, *rotation),
            Self::Turns(turns) => turns.pick(count, loads),
            Self::TwoDrawn(random) => pick_of_two(count, loads, *random),
            Self::Hash(key, name) => pick_by_hash(count, loads, *key, name),
        }
    }
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
/// whose failure is longest ago. An ejected candidate is no reason to fail a request that others may answer.
///
/// Invariant: [`Aim::CandidateOnly`] never gives a replica that is no candidate, and [`Aim::Others`] never one that is (test
/// `nobody_answers_who_may_not`).
pub fn choose(
    count: usize,
    standing: impl Fn(usize) -> Option<Standing>,
    last_failure: impl Fn(usize) -> Option<Mono>,
    aim: Aim,
    mut by: By<'_>,
) -> Option<usize> {
    let mut serving = |widened: bool| {
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
        by.pick(count, load)
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

/// What each of several has been given in turn, and what it is owed: nginx's smooth weighted round robin.
///
/// With weights 5, 1 and 1 the turns are a a b a c a a: nobody gets its share in one stretch. One that may not be picked is neither
/// given nor owed anything meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    owed: Vec<i64>,
}

impl Turns {
    /// Returns turns that go on from what each is owed.
    #[must_use]
    pub fn going_on(owed: Vec<i64>) -> Self {
        Self { owed }
    }

    /// Returns what the i-th is owed.
    #[must_use]
    pub fn owed(&self, index: usize) -> i64 {
        self.owed.get(index).copied().unwrap_or(0)
    }

    fn pick(&mut self, count: usize, loads: impl Fn(usize) -> Option<Load>) -> Option<usize> {
        // Once in the life of a snapshot.
        self.owed.resize(count, 0);
        let mut total = 0;
        let mut best: Option<usize> = None;
        for index in 0..count {
            let Some(load) = loads(index) else {
                continue;
            };
            let weight = i64::from(load.weight);
            self.owed[index] += weight;
            total += weight;
            if best.is_none_or(|best| self.owed[index] > self.owed[best]) {
                best = Some(index);
            }
        }
        self.owed[best?] -= total;
        best
    }
}

/// Returns the less loaded of two that are drawn by weight; none when there is none to pick.
///
/// Nearly as even as asking everybody, and it does not send everything to one that has just come or whose counter is behind.
fn pick_of_two(count: usize, loads: impl Fn(usize) -> Option<Load>, random: u64) -> Option<usize> {
    let drawn = |random: u64, without: Option<usize>| {
        let others = || {
            (0..count)
                .filter(|index| Some(*index) != without)
                .filter_map(|index| Some((index, loads(index)?)))
        };
        let weights: u64 = others().map(|(_, load)| u64::from(load.weight)).sum();
        let mut turn = random % weights.max(1);
        let mut last = None;
        for (index, load) in others() {
            last = Some((index, load));
            if turn < u64::from(load.weight) {
                break;
            }
            turn -= u64::from(load.weight);
        }
        last
    };
    let (first, load) = drawn(random, None)?;
    match drawn(random.rotate_left(32), Some(first)) {
        Some((second, other)) if compare(other, load).is_lt() => Some(second),
        _ => Some(first),
    }
}

/// Returns the one that a key belongs to; none when there is none to pick.
///
/// Rendezvous hashing: each has a number for the key, made from the key and its name, and the best number wins. When one goes, only its
/// keys move, and to all the others by weight; when it comes back, it gets the same keys. Names that stay from life to life of a
/// replica, and on every edge, keep the keys where they are.
pub fn pick_by_hash(
    count: usize,
    loads: impl Fn(usize) -> Option<Load>,
    key: u64,
    name: &dyn Fn(usize) -> u64,
) -> Option<usize> {
    let score = |index: usize| {
        let load = loads(index)?;
        // A number above 0 and below 1; its logarithm over the weight gives each its share (Schindelhauer and Schomaker, 2005).
        let drawn = (mix64(key ^ mix64(name(index))) >> 11) as f64 + 0.5;
        let fraction = drawn / (1u64 << 53) as f64;
        Some((-fraction.ln() / f64::from(load.weight), index))
    };
    (0..count)
        .filter_map(score)
        .min_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, index)| index)
}

/// Returns the weight of a server that came `age` ago: it grows evenly from nothing to the whole in `slow_start`. In units of which a
/// whole weight has 64, so that all of a service's weights are to be taken through here, or none.
#[must_use]
pub fn ramped(weight: u32, age: Duration, slow_start: Duration) -> u32 {
    const UNITS: u128 = 64;
    let whole = u128::from(weight) * UNITS;
    let grown = match slow_start.as_nanos() {
        0 => whole,
        all => whole * age.as_nanos().min(all) / all,
    };
    u32::try_from(grown.max(1)).unwrap_or(u32::MAX)
}

/// Compares `in_flight / weight` without dividing.
fn compare(a: Load, b: Load) -> std::cmp::Ordering {
    let left = u64::from(a.in_flight) * u64::from(b.weight);
    let right = u64::from(b.in_flight) * u64::from(a.weight);
    left.cmp(&right)
}
