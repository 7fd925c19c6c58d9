//! Tests of the store: against the plain store of `tend-promql`, over restarts, kills, a full disk and damage.

mod beside;
mod damage;
mod full_disk;
mod kills;
mod rounds;
mod threads;
mod versions;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use tend_exposition::{Format, LabelPair};
use tend_metrics::{Committed, Feed, MetricStore, Options, Scraped};
use tend_promql::{Labels, LabelsBuilder, MatchOp, Matcher, Selection, Store};

/// The samples of each series, their values as bits.
type Found = BTreeMap<String, Vec<(i64, u64)>>;

fn open(folder: &Path, options: Options) -> MetricStore {
    MetricStore::open(folder, options).expect("the store opens").0
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

/// What most scrapes do: the series gets its target's labels.
fn with_target(target: &Labels) -> impl Fn(&[LabelPair<'_>]) -> Option<Labels> + use<> {
    let target = target.clone();
    move |pairs| {
        let mut all = LabelsBuilder::from(&target);
        for (name, value) in pairs {
            all.set(name, value);
        }
        Some(all.finish())
    }
}

/// One round of a target whose series all get its labels.
fn round(store: &MetricStore, feed: &mut Feed, time: i64, body: &str) -> (Scraped, Committed) {
    let finish = with_target(&feed.labels().clone());
    let scraped = store.scrape(feed, body.as_bytes(), Format::Text, &finish);
    (scraped, store.commit(feed, time))
}

fn select(store: &dyn Store, matchers: &[Matcher], from: i64, to: i64) -> Found {
    let mut found = Found::new();
    store
        .select(&Selection::new(matchers, from, to), &mut |labels, samples| {
            let within = samples.iter().filter(|sample| (from..=to).contains(&sample.time));
            let before = found.insert(
                labels.to_string(),
                within.map(|sample| (sample.time, sample.value.to_bits())).collect(),
            );
            assert!(before.is_none(), "{labels} twice");
            ControlFlow::Continue(())
        })
        .expect("selected");
    found
}

fn all(store: &dyn Store) -> Found {
    select(store, &[], i64::MIN, i64::MAX)
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).expect("a matcher")
}
