//! What a store gives: the contract of `Store`, held by the plain one.

use std::ops::ControlFlow;

use tend_promql::{Labels, MatchOp, Matcher, MemoryStore, STALE, Selection, Store};

#[test]
fn a_selection_gives_each_series_once_with_its_samples_of_the_time() {
    let mut store = MemoryStore::default();
    for (time, value) in [(3, 3.0), (1, 1.0), (2, 2.0), (4, STALE), (2, 2.5)] {
        store.append(&Labels::from_pairs([("__name__", "a"), ("l", "x")]), time, value);
    }
    store.append(&Labels::from_pairs([("__name__", "a")]), 9, 1.0);
    store.append(&Labels::from_pairs([("__name__", "b")]), 2, 1.0);
    let matchers = [Matcher::new("__name__", MatchOp::Regex, "a|c").unwrap()];
    let mut seen = Vec::new();
    store
        .select(&Selection::new(&matchers, 2, 4), &mut |labels, samples| {
            seen.push((labels.to_string(), samples.times().to_vec(), samples.values()[0]));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, [("a{l=\"x\"}".to_owned(), vec![2, 3, 4], 2.5)]);
}
