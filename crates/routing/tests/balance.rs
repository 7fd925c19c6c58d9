//! The choice of the least busy: compared with a plain search, and its fairness counted.

use std::time::Duration;

use tend_base::{Mono, Random};
use tend_routing::{Aim, By, Load, Standing, Turns, choose, pick, pick_by_hash, ramped};

#[test]
fn nobody_is_less_busy_for_its_weight_than_the_one_picked() {
    for seed in 0..3000 {
        let mut random = Random::new(seed);
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
        let random = std::cell::RefCell::new(Random::new(seed));
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
        let mut random = Random::new(seed);
        let all = found(&mut random);
        let aim = [Aim::Any, Aim::CandidateOnly, Aim::CandidateFirst, Aim::Others][random.below(4) as usize];
        let chosen = choose(
            all.len(),
            |index| all[index].0,
            |index| Some(Mono(all[index].1)),
            aim,
            By::Least(random.below(100)),
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

fn loads(weights: &[u32]) -> impl Fn(usize) -> Option<Standing> + '_ {
    |index| {
        (weights[index] > 0).then(|| Standing {
            load: Load {
                in_flight: 0,
                weight: weights[index],
            },
            candidate: false,
            ejected: false,
        })
    }
}

fn by(weights: &[u32], by: By<'_>) -> Option<usize> {
    choose(weights.len(), loads(weights), |_| None, Aim::Any, by)
}

#[test]
fn turns_are_those_of_nginx() {
    for (weights, wanted) in [
        (&[5, 1, 1][..], "aabacaaaabacaa"),
        (&[1, 1, 1], "abcabc"),
        (&[3, 2], "ababa"),
        (&[1], "aaa"),
        // One that may not be picked has no turn.
        (&[1, 0, 1], "acac"),
    ] {
        let mut turns = Turns::default();
        let given: String = (0..wanted.len())
            .map(|_| by(weights, By::Turns(&mut turns)).unwrap())
            .map(|index| char::from(b'a' + index as u8))
            .collect();
        assert_eq!(given, *wanted, "{weights:?}");
    }
    assert_eq!(by(&[0, 0], By::Turns(&mut Turns::default())), None);
}

#[test]
fn turns_give_each_its_share_whoever_is_left_out_meanwhile() {
    let mut turns = Turns::default();
    let mut given = [0u32; 3];
    for _ in 0..70 {
        given[by(&[5, 1, 1], By::Turns(&mut turns)).unwrap()] += 1;
    }
    assert_eq!(given, [50, 10, 10]);
    for _ in 0..60 {
        given[by(&[5, 1, 0], By::Turns(&mut turns)).unwrap()] += 1;
    }
    assert_eq!(given, [100, 20, 10]);
    let mut on = Turns::going_on((0..3).map(|index| turns.owed(index)).collect());
    assert_eq!(on, turns);
    assert_eq!(
        by(&[5, 1, 1], By::Turns(&mut on)),
        by(&[5, 1, 1], By::Turns(&mut turns))
    );
}

#[test]
fn of_two_drawn_the_less_loaded_is_picked() {
    let mut random = Random::new(3);
    let mut given = [0u32; 4];
    for _ in 0..40_000 {
        let loads = |index: usize| {
            Some(Standing {
                load: Load {
                    in_flight: if index == 0 { 9 } else { 1 },
                    weight: 1,
                },
                candidate: false,
                ejected: false,
            })
        };
        let by = By::TwoDrawn(random.below(u64::MAX));
        given[choose(4, loads, |_| None, Aim::Any, by).unwrap()] += 1;
    }
    // The busiest is one of two that differ, and so never picked; the others are equals.
    assert_eq!(given[0], 0);
    assert!(
        given[1..].iter().all(|count| (12_600..14_100).contains(count)),
        "{given:?}"
    );
    // With all idle the weights decide.
    let mut given = [0u32; 2];
    for _ in 0..40_000 {
        given[by(&[3, 1], By::TwoDrawn(random.below(u64::MAX))).unwrap()] += 1;
    }
    assert!((29_000..31_000).contains(&given[0]), "{given:?}");
    assert_eq!(by(&[1], By::TwoDrawn(7)), Some(0));
    assert_eq!(by(&[0, 0, 1], By::TwoDrawn(7)), Some(2));
    assert_eq!(by(&[], By::TwoDrawn(7)), None);
}

#[test]
fn a_key_stays_where_it_is_but_for_those_of_a_server_that_goes() {
    let name = |index: usize| index as u64 + 1000;
    let all = [1, 1, 2, 1, 1];
    let without = [1, 1, 0, 1, 1];
    let mut given = [0u32; 5];
    let mut moved_to = [0u32; 5];
    for key in 0..60_000 {
        let before = by(&all, By::Hash(key, &name)).unwrap();
        let after = by(&without, By::Hash(key, &name)).unwrap();
        given[before] += 1;
        if before == 2 {
            moved_to[after] += 1;
        } else {
            assert_eq!(before, after, "key {key} moved though its server stayed");
        }
    }
    for (index, count) in given.into_iter().enumerate() {
        let share = 10_000 * all[index];
        assert!(count.abs_diff(share) < share / 20, "{given:?}");
    }
    // Those of the one that went are spread over all that stayed.
    for (index, count) in moved_to.into_iter().enumerate().filter(|(index, _)| *index != 2) {
        assert!((4500..5500).contains(&count), "{index}: {moved_to:?}");
    }
    let load = |_: usize| {
        Some(Load {
            in_flight: 0,
            weight: 1,
        })
    };
    assert_eq!(pick_by_hash(0, load, 1, &name), None);
}

#[test]
fn a_weight_grows_evenly_to_the_whole() {
    let slow = Duration::from_secs(100);
    let at = |seconds| ramped(10, Duration::from_secs(seconds), slow);
    assert_eq!((at(0), at(25), at(50), at(100), at(1000)), (1, 160, 320, 640, 640));
    assert_eq!(ramped(1, Duration::ZERO, Duration::ZERO), 64);
    assert_eq!(ramped(1000, Duration::from_secs(1), slow), 640);
}
