//! Queries as a program asks them: what comes back, what is refused, and what the limits are.

use std::cell::RefCell;
use std::ops::ControlFlow;

use tend_promql::{
    Error, EvalOptions, Labels, MemoryStore, Outcome, ParseOptions, Query, STALE, Samples, Selection, Severity, Store,
    StoreError, Value,
};

fn query(text: &str) -> Query {
    Query::new(text, ParseOptions::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// `name{n="0"}` and so on, each with a sample every second, its value the second.
fn store(name: &str, series: usize, samples: i64) -> MemoryStore {
    let mut store = MemoryStore::default();
    for n in 0..series {
        let n = n.to_string();
        let labels = Labels::from_pairs([("__name__", name), ("n", n.as_str())]);
        for second in 0..samples {
            store.append(&labels, second * 1000, second as f64);
        }
    }
    store
}

fn instant(store: &dyn Store, text: &str, time: i64) -> Result<Outcome, Error> {
    query(text).instant(store, time, &EvalOptions::default())
}

fn shown(outcome: Result<Outcome, Error>) -> Vec<String> {
    match outcome.unwrap().value {
        Value::Vector(samples) => samples
            .iter()
            .map(|sample| format!("{} {}", sample.labels, sample.sample.value))
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .map(|series| {
                let values: Vec<String> = series.samples.iter().map(|sample| sample.value.to_string()).collect();
                format!("{} {}", series.labels, values.join(" "))
            })
            .collect(),
        other => vec![format!("{other:?}")],
    }
}

#[test]
fn a_name_goes_where_the_value_is_another_quantity() {
    let store = store("a_total", 1, 100);
    assert_eq!(shown(instant(&store, "a_total", 60_000)), ["a_total{n=\"0\"} 60"]);
    assert_eq!(shown(instant(&store, "a_total > 1", 60_000)), ["a_total{n=\"0\"} 60"]);
    assert_eq!(shown(instant(&store, "a_total * 2", 60_000)), ["{n=\"0\"} 120"]);
    assert_eq!(
        shown(instant(&store, "last_over_time(a_total[1m])", 60_000)),
        ["a_total{n=\"0\"} 60"]
    );
    assert_eq!(shown(instant(&store, "rate(a_total[1m])", 60_000)), ["{n=\"0\"} 1"]);
    assert_eq!(
        shown(instant(&store, "sum by (__name__) (rate(a_total[1m]))", 60_000)),
        ["{} 1"]
    );
}

#[test]
fn two_names_that_become_one_series_are_an_error_unless_they_take_turns() {
    let mut store = MemoryStore::default();
    for (name, from, to) in [("a_total", 0, 20), ("b_total", 10, 30), ("c_total", 2000, 2020)] {
        for second in from..to {
            store.append(&Labels::from_pairs([("__name__", name)]), second * 1000, 1.0);
        }
    }
    let both = instant(&store, "-{__name__=~\"[ab]_total\"}", 15_000).unwrap_err();
    assert_eq!(both.to_string(), "vector cannot contain metrics with the same labelset");
    let turns = query("-{__name__=~\"[ac]_total\"}");
    let outcome = turns.range(&store, (0, 2_000_000), 2_000_000, &EvalOptions::default());
    assert_eq!(shown(outcome), ["{} -1 -1"]);
}

#[test]
fn each_way_of_asking_gives_its_shape() {
    let store = store("a", 2, 10);
    assert!(matches!(instant(&store, "1 + 1", 0).unwrap().value, Value::Scalar(sample) if sample.value == 2.0));
    assert!(matches!(instant(&store, "(\"x\")", 0).unwrap().value, Value::Text(text) if text == "x"));
    assert_eq!(
        shown(instant(&store, "a{n=\"1\"}[3s] offset 1s", 5000)),
        ["a{n=\"1\"} 2 3 4"]
    );
    let range = |text: &str, times, step| query(text).range(&store, times, step, &EvalOptions::default());
    assert_eq!(shown(range("time()", (0, 3000), 2000)), ["{} 0 2"]);
    let errors = [
        (
            "a",
            (0, 1),
            0,
            "could not evaluate over the time asked for: the step must be greater than 0",
        ),
        (
            "a",
            (1, 0),
            1,
            "could not evaluate over the time asked for: the end must not be before the start",
        ),
        (
            "a",
            (i64::MIN, i64::MAX),
            1,
            "could not evaluate over the time asked for: the end must not be before the start",
        ),
        (
            "a[1m]",
            (0, 1),
            1,
            "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
    ];
    for (text, times, step, error) in errors {
        assert_eq!(range(text, times, step).unwrap_err().to_string(), error);
    }
}

#[test]
fn annotations_name_their_place() {
    let outcome = instant(&store("gauge", 2, 100), "1 +\n rate(gauge[1m])", 60_000).unwrap();
    let [annotation] = &outcome.annotations[..] else {
        panic!("{:?}", outcome.annotations);
    };
    assert_eq!(annotation.severity, Severity::Info);
    assert!(
        annotation.text.ends_with("_bucket: \"gauge\" (2:7)"),
        "{}",
        annotation.text
    );
}

#[test]
fn more_samples_than_allowed_are_refused_before_they_are_made() {
    let store = store("a", 10, 100);
    let options = EvalOptions {
        samples_max: 1500,
        ..EvalOptions::default()
    };
    let ask = |text: &str, times: (i64, i64)| query(text).range(&store, times, 1000, &options);
    assert!(ask("a", (0, 20_000)).is_ok());
    for (text, times) in [
        ("a", (0, 90_000)),
        ("vector(1)", (0, 10_000_000_000)),
        ("a * a * a * a * a", (0, 40_000)),
        ("max_over_time(vector(1)[10000d:1s])", (0, 1000)),
    ] {
        let error = ask(text, times).unwrap_err();
        assert!(matches!(error, Error::TooManySamples { max: 1500 }), "{text}: {error}");
        assert!(error.hint().unwrap().contains("1500"));
    }
}

#[test]
fn a_tree_as_deep_as_is_read_is_evaluated() {
    let store = store("a", 1, 10);
    let chain = format!("a{}", " + a".repeat(190));
    assert_eq!(shown(instant(&store, &chain, 1000)), ["{n=\"0\"} 191"]);
    let nested = format!("{}a{}", "abs(".repeat(190), ")".repeat(190));
    assert_eq!(shown(instant(&store, &nested, 1000)), ["{n=\"0\"} 1"]);
    let subqueries = format!("{}a{}", "max_over_time(".repeat(60), "[2s:1s])".repeat(60));
    assert!(instant(&store, &subqueries, 9000).is_ok());
}

/// A store that fails, or hands over what was not asked for, and counts how often it is asked.
struct Odd {
    fails: bool,
    asked: RefCell<Vec<(i64, i64)>>,
}

impl Store for Odd {
    fn select(
        &self,
        selection: &Selection<'_>,
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.asked.borrow_mut().push((selection.from, selection.to));
        if self.fails {
            return Err(StoreError::new("the disk is gone"));
        }
        // Out of order, with samples before and behind what was asked for, and an end in between.
        for name in ["z", "b"] {
            let times = [0, 10_000, 20_000, 30_000, 40_000, 90_000];
            let values = [1.0, 2.0, STALE, 4.0, 5.0, 9.0];
            let labels = Labels::from_pairs([("n", name)]);
            if each(&labels, Samples::new(&times, &values)).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[test]
fn a_store_may_hand_over_more_than_was_asked_for_and_is_asked_once_a_selector() {
    let store = Odd {
        fails: false,
        asked: RefCell::default(),
    };
    let options = EvalOptions::default();
    let ask = |text: &str| query(text).range(&store, (10_000, 40_000), 10_000, &options);
    assert_eq!(shown(ask("a")), ["{n=\"b\"} 2 4 5", "{n=\"z\"} 2 4 5"]);
    assert_eq!(
        shown(ask("count_over_time(a[20s])")),
        ["{n=\"b\"} 2 1 1 2", "{n=\"z\"} 2 1 1 2"]
    );
    assert_eq!(
        shown(instant(&store, "a[15s]", 40_000)),
        ["{n=\"b\"} 4 5", "{n=\"z\"} 4 5"]
    );
    let asked = [(-289_999, 40_000), (-9_999, 40_000), (25_001, 40_000)];
    assert_eq!(*store.asked.borrow(), asked);
}

#[test]
fn what_a_store_says_is_told() {
    let store = Odd {
        fails: true,
        asked: RefCell::default(),
    };
    let error = instant(&store, "a", 0).unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(
        (error.to_string(), cause),
        ("expanding series".to_owned(), Some("the disk is gone".to_owned()))
    );
}
