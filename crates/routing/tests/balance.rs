//! The choice of the least busy: compared with a plain search, and its fairness counted.

use tend_routing::{Candidate, pick};

use crate::Random;

#[test]
fn nobody_is_less_busy_for_its_weight_than_the_one_picked() {
    for seed in 0..3000 {
        let mut random = Random(seed);
        let all: Vec<Option<Candidate>> = (0..random.below(6))
            .map(|_| {
                (random.below(4) > 0).then(|| Candidate {
                    in_flight: random.below(5) as u32,
                    weight: 1 + random.below(3) as u32,
                })
            })
            .collect();
        let load = |candidate: Candidate| f64::from(candidate.in_flight) / f64::from(candidate.weight);
        let least = all.iter().flatten().map(|one| load(*one)).min_by(f64::total_cmp);
        let picked = pick(all.len(), |index| all[index], random.below(100));
        assert_eq!(
            picked.map(|index| load(all[index].expect("picked one that must not be"))),
            least,
            "seed {seed}: {all:?}"
        );
    }
}

#[test]
fn among_equals_turns_follow_the_weights() {
    let weights = [5u32, 1, 2];
    let mut counts = [0u32; 3];
    for rotation in 0..800 {
        let candidate = |index: usize| {
            Some(Candidate {
                in_flight: 0,
                weight: weights[index],
            })
        };
        counts[pick(3, candidate, rotation).unwrap()] += 1;
    }
    assert_eq!(counts, [500, 100, 200]);
}

#[test]
fn requests_that_take_equally_long_spread_by_weight() {
    let weights = [1u32, 3];
    let mut in_flight = [0u32; 2];
    for rotation in 0..400 {
        let candidate = |index: usize| {
            Some(Candidate {
                in_flight: in_flight[index],
                weight: weights[index],
            })
        };
        let picked = pick(2, candidate, rotation).unwrap();
        in_flight[picked] += 1;
    }
    assert_eq!(in_flight, [100, 300]);
}

#[test]
fn counters_that_move_while_it_looks_do_not_leave_it_without_an_answer() {
    for seed in 0..2000 {
        let random = std::cell::RefCell::new(Random(seed));
        let candidate = |_: usize| {
            Some(Candidate {
                in_flight: random.borrow_mut().below(4) as u32,
                weight: 1,
            })
        };
        assert!(pick(3, candidate, seed).is_some());
    }
}
