//! Looking back: what a rule would have done, over the plain store and the real one.

use std::collections::BTreeMap;
use std::path::Path;

use tend_alert::{Rule, read_rules};
use tend_promql::{EvalOptions, Labels, MemoryStore, Store};
use tend_rules::{Past, Replayed, replay};
use tend_template::Still;

use crate::timelines::{Real, Written};

const STEP: i64 = 15_000;

fn rule(text: &str) -> Rule {
    let text = format!("groups: [{{name: g, rules: [{text}]}}]");
    let file = read_rules(Path::new("rules.yml"), &text).unwrap_or_else(|report| panic!("{report}"));
    file.groups[0].rules[0].clone()
}

fn look_back(store: &dyn Store, text: &str, to: i64, options: &EvalOptions) -> Replayed {
    let past = Past {
        from: 0,
        to,
        step: STEP,
        query_offset: 0,
    };
    let mut world = Still::default();
    replay(&rule(text), 0, past, store, (options, &BTreeMap::new()), &mut world).expect("a rule that alerts")
}

/// `queue` at every step: long from 100 to 140 with a peak at 120, and for two steps at 300; and one that is long to the end.
fn history(store: &mut dyn Written, steps: i64) {
    let queue = |name: &str| Labels::from_pairs([("__name__", "queue"), ("q", name)]);
    for step in 0..steps {
        let long = match step {
            100..140 => 20.0 - (step - 120).abs() as f64 / 10.0,
            300..302 => 11.0,
            _ => 1.0,
        };
        let late = if step >= 900 { 50.0 } else { 2.0 };
        store.scraped(step * STEP, &[(queue("a"), long), (queue("b"), late)]);
    }
}

/// Which queue, and at which steps it began, fired and ended, with its peak.
type Told = (String, i64, Option<i64>, Option<i64>, f64);

fn told(replayed: &Replayed) -> Vec<Told> {
    let steps = |at: Option<i64>| at.map(|at| at / STEP);
    replayed
        .episodes
        .iter()
        .map(|one| {
            (
                one.labels["q"].clone(),
                one.since / STEP,
                steps(one.fired_at),
                steps(one.ended_at),
                one.peak,
            )
        })
        .collect()
}

const LONG: &str = "{alert: Long, expr: queue > 10, for: 1m, annotations: {text: '{{ $labels.q }}'}}";

#[test]
fn alerts_of_the_past_are_told_with_their_times_and_peaks() {
    let expected = [
        ("a".to_owned(), 100, Some(104), Some(140), 20.0),
        ("a".to_owned(), 300, None, Some(302), 11.0),
        ("b".to_owned(), 900, Some(904), None, 50.0),
    ];
    let mut plain = MemoryStore::default();
    history(&mut plain, 1000);
    let mut real = Real::new();
    history(&mut real, 1000);
    for store in [&plain as &dyn Store, real.store()] {
        let replayed = look_back(store, LONG, 999 * STEP, &EvalOptions::default());
        assert_eq!(told(&replayed), expected);
        assert_eq!((replayed.evaluations, replayed.errors, replayed.cut), (1000, 0, false));
        let fired: Vec<i64> = replayed.fired().map(|one| one.fired_for(999 * STEP) / STEP).collect();
        assert_eq!(fired, [36, 95]);
        assert_eq!(replayed.episodes[0].annotations["text"], "a");
    }
    // With so few samples at once that it has to be asked bit by bit, it is the same.
    let few = EvalOptions {
        samples_max: 60,
        ..EvalOptions::default()
    };
    assert_eq!(told(&look_back(&plain, LONG, 999 * STEP, &few)), expected);
}

#[test]
fn the_peak_of_a_rule_that_asks_for_less_is_the_least() {
    let mut store = MemoryStore::default();
    history(&mut store, 400);
    let replayed = look_back(
        &store,
        "{alert: Short, expr: 15 >= queue > 10}",
        399 * STEP,
        &EvalOptions::default(),
    );
    assert_eq!(replayed.episodes.len(), 1);
    let replayed = look_back(
        &store,
        "{alert: Short, expr: queue < 19.5 > 10}",
        399 * STEP,
        &EvalOptions::default(),
    );
    let peaks: Vec<f64> = replayed.episodes.iter().map(|one| one.peak).collect();
    assert_eq!(peaks, [19.4, 19.4, 11.0]);
    let replayed = look_back(
        &store,
        "{alert: Short, expr: 'queue{q=\"a\"} < 5'}",
        399 * STEP,
        &EvalOptions::default(),
    );
    assert_eq!(replayed.episodes.len(), 3);
}

#[test]
fn errors_of_the_past_are_counted() {
    let mut store = MemoryStore::default();
    history(&mut store, 50);
    let text = "{alert: A, expr: 'queue / on () queue > 0'}";
    let replayed = look_back(&store, text, 49 * STEP, &EvalOptions::default());
    assert_eq!((replayed.evaluations, replayed.errors), (50, 50));
    assert!(replayed.first_error.expect("an error").contains("many-to-many"));
    let past = Past {
        from: 5,
        to: 4,
        step: STEP,
        query_offset: 0,
    };
    let options = EvalOptions::default();
    let mut world = Still::default();
    let refused = replay(&rule(LONG), 0, past, &store, (&options, &BTreeMap::new()), &mut world);
    assert!(refused.is_err());
    let records = rule("{record: r, expr: queue}");
    let past = Past { to: 5, ..past };
    assert!(replay(&records, 0, past, &store, (&options, &BTreeMap::new()), &mut world).is_err());
}
