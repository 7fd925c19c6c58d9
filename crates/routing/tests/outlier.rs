//! Who is left out for answering worse than the others, and who is asked again and again whether it is well.

use std::time::Duration;

use tend_base::Random;
use tend_core::model::{ActiveCheck, Outlier};
use tend_routing::{Sample, Wellness, ejection_time, outliers};

/// Reads `100/7` (requests/failed), with `!` behind it for one that is left out.
fn samples(text: &str) -> Vec<Sample> {
    text.split(' ')
        .map(|word| {
            let (requests, failed) = word.trim_end_matches('!').split_once('/').unwrap();
            Sample {
                requests: requests.parse().unwrap(),
                failed: failed.parse().unwrap(),
                ejected: word.ends_with('!'),
            }
        })
        .collect()
}

#[test]
fn only_who_is_worse_than_the_others_is_left_out() {
    for (text, wanted) in [
        ("100/0 100/0 100/0", &[][..]),
        ("100/50 100/0 100/0", &[0]),
        // By 200 of a thousand and no less.
        ("100/20 100/0 100/0", &[]),
        ("100/21 100/0 100/0", &[0]),
        // All are bad: what is behind them is.
        ("100/50 100/50 100/50", &[]),
        ("100/90 100/50 100/50", &[0]),
        // Too few answers to tell.
        ("99/99 100/0 100/0", &[]),
        // The worst first, and never more than half.
        ("100/60 100/90 100/0 100/0 1000/0 1000/0", &[1, 0]),
        ("100/60 100/90 1000/0 1000/0!", &[1]),
        ("100/60 100/90 1000/0! 1000/0!", &[]),
        ("100/60 1000/0", &[0]),
        ("100/100", &[]),
        // Nobody to compare with.
        ("100/100 0/0 0/0", &[]),
    ] {
        assert_eq!(outliers(&samples(text), &Outlier::default()), wanted, "{text}");
    }
}

#[test]
fn somebody_always_stays() {
    for seed in 0..5000 {
        let mut random = Random::new(seed);
        let rules = Outlier {
            requests_min: random.below(3) as u32,
            worse_permille: random.below(400) as u32,
            ejected_permille_max: random.below(1001) as u32,
            ..Outlier::default()
        };
        let all: Vec<Sample> = (0..random.below(8))
            .map(|_| {
                let requests = random.below(10);
                Sample {
                    requests,
                    failed: random.below(requests + 1),
                    ejected: random.below(4) == 0,
                }
            })
            .collect();
        let found = outliers(&all, &rules);
        assert!(found.iter().all(|index| !all[*index].ejected), "seed {seed}");
        if !found.is_empty() {
            let out = found.len() + all.iter().filter(|sample| sample.ejected).count();
            assert!(out < all.len(), "seed {seed}: nobody stayed");
            assert!(
                out * 1000 <= all.len() * rules.ejected_permille_max as usize,
                "seed {seed}"
            );
        }
    }
}

#[test]
fn an_ejection_doubles_up_to_an_hour() {
    let rules = Outlier::default();
    let times = [0, 1, 2, 6, 7, 31, 32, u32::MAX].map(|before| ejection_time(&rules, before).as_secs());
    assert_eq!(times, [30, 60, 120, 1920, 3600, 3600, 3600, 3600]);
    let long = Outlier {
        ejection: Duration::from_secs(7200),
        ..rules
    };
    assert_eq!(ejection_time(&long, 3).as_secs(), 7200);
}

#[test]
fn a_server_is_unwell_after_failures_in_a_row_and_well_after_successes() {
    let rules = ActiveCheck::default();
    let mut wellness = Wellness::default();
    for (answers, changes) in [
        ("++", "··"),
        ("--+", "···"),
        ("---", "··x"),
        ("--", "··"),
        ("+-+", "···"),
        ("+", "o"),
        ("--+--", "·····"),
        ("-", "x"),
        ("++", "·o"),
    ] {
        let said: String = answers
            .chars()
            .map(|answer| match wellness.note(answer == '+', &rules) {
                None => '·',
                Some(true) => 'o',
                Some(false) => 'x',
            })
            .collect();
        assert_eq!(said, changes, "{answers}");
    }
}
