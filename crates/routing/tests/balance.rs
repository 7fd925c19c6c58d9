//! The choice of the least busy: compared with a plain search, and its fairness counted.

use tend_base::Mono;
use tend_routing::{Aim, Load, Standing, choose, pick};

use crate::Random;

#[test]
fn nobody_is_less_busy_for_its_weight_than_the_one_picked() {
    for seed in 0..3000 {
        let mut random = Random(seed);
        let all: Vec<Option<Load>> = (0..random.below(6))
            .map(|_| {
                (random.below(4) > 0).then(|| Load {
                    in_flight: random.below(5) as u32,
                    weight: 1 + random.below(3) as u32,
                })
            })
            .collect();
        let load = |one: Load| f64::from(one.in_flight) / f64::from(one.weight);
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
        let load = |index: usize| {
            Some(Load {
                in_flight: 0,
                weight: weights[index],
            })
        };
        counts[pick(3, load, rotation).unwrap()] += 1;
    }
    assert_eq!(counts, [500, 100, 200]);
}

#[test]
fn requests_that_take_equally_long_spread_by_weight() {
    let weights = [1u32, 3];
    let mut in_flight = [0u32; 2];
    for rotation in 0..400 {
        let load = |index: usize| {
            Some(Load {
                in_flight: in_flight[index],
                weight: weights[index],
            })
        };
        let picked = pick(2, load, rotation).unwrap();
        in_flight[picked] += 1;
    }
    assert_eq!(in_flight, [100, 300]);
}

#[test]
fn counters_that_move_while_it_looks_do_not_leave_it_without_an_answer() {
    for seed in 0..2000 {
        let random = std::cell::RefCell::new(Random(seed));
        let load = |_: usize| {
            Some(Load {
                in_flight: random.borrow_mut().below(4) as u32,
                weight: 1,
            })
        };
        assert!(pick(3, load, seed).is_some());
    }
}

/// Replicas as a request may find them; the second number is when the replica last failed.
fn found(random: &mut Random) -> Vec<(Option<Standing>, u64)> {
    (0..random.below(6))
        .map(|_| {
            let standing = (random.below(4) > 0).then(|| Standing {
                load: Load {
                    in_flight: random.below(5) as u32,
                    weight: 1 + random.below(3) as u32,
                },
                candidate: random.below(2) == 0,
                ejected: random.below(3) == 0,
            });
            (standing, random.below(1000))
        })
        .collect()
}

#[test]
fn nobody_answers_who_may_not() {
    for seed in 0..20_000 {
        let mut random = Random(seed);
        let all = found(&mut random);
        let aim = [Aim::Any, Aim::CandidateOnly, Aim::CandidateFirst, Aim::Others][random.below(4) as usize];
        let chosen = choose(
            all.len(),
            |index| all[index].0,
            |index| Some(Mono(all[index].1)),
            aim,
            random.below(100),
        );
        let told = format!("seed {seed}: {aim:?} among {all:?} gave {chosen:?}");
        // The rule once more, in words: the best kind of replica there is, told by a number for each.
        let rank = |one: Standing| match (aim, one.candidate, one.ejected) {
            (Aim::CandidateOnly, false, _) | (Aim::Others, true, _) => None,
            (Aim::CandidateFirst, false, false) => Some(1),
            (_, _, true) => Some(2),
            (_, _, false) => Some(0),
        };
        let best = all.iter().filter_map(|(one, _)| rank((*one)?)).min();
        assert_eq!(
            chosen.map(|index| rank(all[index].0.expect(&told))),
            best.map(Some),
            "{told}"
        );
        let Some((Some(chosen), failed)) = chosen.map(|index| all[index]) else {
            continue;
        };
        let equals = all.iter().filter(|(one, _)| one.is_some_and(|one| rank(one) == best));
        for (equal, other) in equals.map(|(one, other)| (one.expect("ranked"), *other)) {
            if chosen.ejected {
                assert!(failed <= other, "{told}");
            } else {
                let (mine, theirs) = (chosen.load, equal.load);
                assert!(
                    mine.in_flight * theirs.weight <= theirs.in_flight * mine.weight,
                    "{told}"
                );
            }
        }
    }
}
