//! Single promises of the store, each in a few rounds.

use std::collections::BTreeSet;

use tend_exposition::{BadLine, Format, Reason};
use tend_metrics::{Error, MetricStore, Options};
use tend_promql::{Labels, MatchOp, STALE_BITS};
use tend_testkit::Folder;

use crate::{all, labels, matcher, open, round, select, with_target};

const MINUTE: i64 = 60_000;

fn target(job: &str) -> Labels {
    labels(&[("job", job)])
}

fn one(value: f64) -> u64 {
    value.to_bits()
}

#[test]
fn a_series_that_vanishes_ends_with_a_marker_and_can_come_back() {
    let folder = Folder::new();
    let store = open(folder.path(), Options::default());
    let mut feed = store.feed(&target("j"), true);
    let (first, committed) = round(&store, &mut feed, 1000, "a 1\nb 2\n");
    assert_eq!(
        (
            first.samples,
            first.kept,
            first.added,
            committed.samples,
            committed.stale
        ),
        (2, 2, 2, 2, 0)
    );
    assert_eq!(round(&store, &mut feed, 2000, "b 3\n").1.stale, 1);
    assert_eq!(round(&store, &mut feed, 3000, "b 3\n").1.stale, 0);
    assert_eq!(round(&store, &mut feed, 4000, "a 5\nb 3\n").0.added, 0);
    assert_eq!(store.end(&mut feed, 5000).stale, 2);
    assert_eq!(
        all(&store)["a{job=\"j\"}"],
        [
            (1000, one(1.0)),
            (2000, STALE_BITS),
            (4000, one(5.0)),
            (5000, STALE_BITS)
        ]
    );
}

#[test]
fn lines_may_move_come_and_go_between_rounds() {
    let folder = Folder::new();
    let store = open(folder.path(), Options::default());
    let mut feed = store.feed(&target("j"), true);
    let bodies = [
        "a 1\nb 1\nc 1\n",
        "c 2\nb 2\na 2\n",
        "new 3\na 3\nb 3\n# TYPE c gauge\nc 3\n",
        "c 4\nb bad\na 4\n",
        "",
        "b 6\n",
        "a 7\nb 7\nc 7\nnew 7\nb 8\n",
    ];
    for (at, body) in bodies.iter().enumerate() {
        round(&store, &mut feed, at as i64, body);
    }
    let found = all(&store);
    let stale = STALE_BITS;
    assert_eq!(
        found["a{job=\"j\"}"],
        [
            (0, one(1.0)),
            (1, one(2.0)),
            (2, one(3.0)),
            (3, one(4.0)),
            (4, stale),
            (6, one(7.0))
        ]
    );
    assert_eq!(
        found["b{job=\"j\"}"],
        [
            (0, one(1.0)),
            (1, one(2.0)),
            (2, one(3.0)),
            (3, stale),
            (5, one(6.0)),
            (6, one(7.0))
        ]
    );
    assert_eq!(found["new{job=\"j\"}"], [(2, one(3.0)), (3, stale), (6, one(7.0))]);
}

#[test]
fn bad_lines_are_counted_and_named_and_a_cut_body_is_not_taken() {
    let folder = Folder::new();
    let store = open(folder.path(), Options::default());
    let mut feed = store.feed(&target("j"), true);
    let (scraped, committed) = round(&store, &mut feed, 1, "a 1\nb{c} 2\nd{e=\"1\",e=\"2\"} 3\nf 4\nf 5\n");
    let bad = [(2, Reason::LabelEqual), (3, Reason::LabelTwice)].map(|(number, reason)| BadLine { number, reason });
    assert_eq!((scraped.bad, scraped.bad_lines.as_slice()), (2, bad.as_slice()));
    assert_eq!((committed.samples, committed.duplicates), (2, 1));
    let finish = with_target(&target("j"));
    let scraped = store.scrape(&mut feed, b"a 1\nf 2\n", Format::OpenMetrics, &finish);
    assert!(scraped.cut && scraped.kept == 0, "{scraped:?}");
    store.add_named(&mut feed, "up", 0.0).expect("room");
    let committed = store.commit(&mut feed, 2);
    assert_eq!((committed.samples, committed.stale), (1, 2));
}

#[test]
fn what_relabelling_drops_is_asked_about_once() {
    let folder = Folder::new();
    let store = open(folder.path(), Options::default());
    let mut feed = store.feed(&target("j"), true);
    let asked = std::cell::Cell::new(0);
    for time in 1..=3 {
        let finish = |pairs: &[tend_exposition::LabelPair<'_>]| {
            asked.set(asked.get() + 1);
            (pairs[0].1 != "drop").then(|| labels(&[("__name__", "kept")]))
        };
        let scraped = store.scrape(&mut feed, b"drop 1\nkeep 2\n", Format::Text, &finish);
        assert_eq!((scraped.samples, scraped.kept), (2, 1));
        store.commit(&mut feed, time);
    }
    assert_eq!(asked.get(), 2);
    // The target's label was taken away as well.
    assert_eq!(all(&store).into_keys().collect::<Vec<_>>(), ["kept"]);
}

#[test]
fn late_samples_are_taken_within_the_window_and_others_are_counted() {
    let folder = Folder::new();
    let store = open(
        folder.path(),
        Options {
            late_ms_max: 10 * MINUTE,
            ..Options::default()
        },
    );
    let mut feed = store.feed(&target("j"), true);
    round(&store, &mut feed, 100 * MINUTE, "a 1\n");
    let body = format!("a 2 {}\nb 3 {}\nc 4 {}\n", 95 * MINUTE, 80 * MINUTE, 200 * MINUTE);
    let (_, committed) = round(&store, &mut feed, 101 * MINUTE, &body);
    assert_eq!((committed.samples, committed.out_of_bounds), (1, 2));
    // A round that is not after the last one, and one that ignores the exporter's times.
    assert_eq!(round(&store, &mut feed, 99 * MINUTE, "a 5\n").1.samples, 1);
    let mut ignores = store.feed(&target("k"), false);
    round(&store, &mut ignores, 100 * MINUTE, "a 6 1\n");
    let found = all(&store);
    let minutes: Vec<i64> = found["a{job=\"j\"}"].iter().map(|sample| sample.0 / MINUTE).collect();
    assert_eq!(minutes, [95, 99, 100, 101]);
    assert_eq!(found["a{job=\"k\"}"], [(100 * MINUTE, one(6.0))]);
}

#[test]
fn a_job_with_too_many_series_is_told_which_label_has_the_most_values() {
    let folder = Folder::new();
    let options = Options {
        job_series_max: 50,
        series_max: 60,
        ..Options::default()
    };
    let store = open(folder.path(), options);
    let mut feed = store.feed(&target("shop"), true);
    let body: String = (0..70)
        .map(|at| format!("orders{{user=\"u{at}\",kind=\"k{}\"}} 1\n", at % 3))
        .collect();
    for time in 1..=3 {
        let (scraped, committed) = round(&store, &mut feed, time, &body);
        assert_eq!((scraped.refused, committed.samples), (20, 50));
        let refusal = scraped.refusal.expect("a reason");
        assert_eq!(
            (refusal.job.as_str(), refusal.label.as_str(), refusal.values),
            ("shop", "user", 51)
        );
        let text = refusal.to_string();
        assert!(
            text.contains("`shop` has 50 series and may have 50") && text.contains("`user`"),
            "{text}"
        );
    }
    // Another job is not held to it, until the whole store is full.
    let mut other = store.feed(&target("other"), true);
    let (scraped, _) = round(&store, &mut other, 1, &body);
    assert_eq!(scraped.refused, 60);
    assert_eq!(
        scraped.refusal.map(|refusal| (refusal.job, refusal.limit)),
        Some((String::new(), 60))
    );
}

#[test]
fn room_is_made_by_series_that_ended() {
    let folder = Folder::new();
    let options = Options {
        job_series_max: 40,
        memory_ms: MINUTE,
        ..Options::default()
    };
    let store = open(folder.path(), options);
    let mut feed = store.feed(&target("pods"), true);
    let mut refused = 0;
    for wave in 0..6i64 {
        let body: String = (0..30).map(|at| format!("up{{pod=\"{wave}-{at}\"}} 1\n")).collect();
        for minute in 0..10 {
            let time = (wave * 10 + minute) * MINUTE;
            refused += round(&store, &mut feed, time, &body).0.refused;
            if minute % 3 == 2 {
                store.cut().expect("a block");
            }
        }
    }
    // Room is made when a block is cut: a part of each wave waits until the one before has ended and was swept.
    assert!(refused > 0);
    let status = store.status();
    assert!(status.series <= 40, "{status:?}");
    let found = all(&store);
    assert_eq!(found.len(), 30 * 6, "{:?}", found.keys());
}

#[test]
fn blocks_are_cut_by_time_and_size_merged_and_removed() {
    let folder = Folder::new();
    let options = Options {
        block_ms: 60 * MINUTE,
        memory_ms: 5 * MINUTE,
        retention_ms: 3 * 24 * 60 * MINUTE,
        ..Options::default()
    };
    let store = open(folder.path(), options);
    let mut feed = store.feed(&target("j"), true);
    let mut cut = 0;
    let mut merged = 0;
    let mut removed = 0;
    for minute in 0..5 * 24 * 60 {
        round(&store, &mut feed, minute * MINUTE, &format!("a {minute}\n"));
        let done = store.maintain(minute * MINUTE).expect("maintained");
        cut += usize::from(done.cut_samples > 0);
        merged += done.merged;
        removed += done.removed;
    }
    assert_eq!(cut, 5 * 24 - 1);
    assert!(merged >= 4 * 24 - 4 && removed >= 1, "{merged} {removed}");
    let status = store.status();
    assert!(status.blocks <= 3 + 1 + 24, "{status:?}");
    // What was removed is whole days; what is left has no hole.
    let found = &all(&store)["a{job=\"j\"}"];
    let first = found[0].0 / MINUTE;
    assert!(first <= 2 * 24 * 60, "{first}");
    let minutes: Vec<i64> = found.iter().map(|sample| sample.0 / MINUTE).collect();
    assert_eq!(minutes, (first..5 * 24 * 60).collect::<Vec<_>>());
    drop(feed);
    drop(store);
    let store = open(
        folder.path(),
        Options {
            retention_bytes: 1,
            ..options
        },
    );
    store.maintain(5 * 24 * 60 * MINUTE).expect("maintained");
    assert_eq!(store.status().blocks, 1);
}

#[test]
fn a_store_is_open_in_one_place_at_a_time() {
    let folder = Folder::new();
    let store = open(folder.path(), Options::default());
    let error = MetricStore::open(folder.path(), Options::default()).expect_err("it is open");
    assert!(
        matches!(error, Error::Locked { .. }) && error.hint().contains("stop the other"),
        "{error}"
    );
    drop(store);
    open(folder.path(), Options::default());
}

#[test]
fn series_are_told_without_their_samples() {
    let folder = Folder::new();
    let store = open(
        folder.path(),
        Options {
            memory_ms: 0,
            ..Options::default()
        },
    );
    let mut feed = store.feed(&target("j"), true);
    round(&store, &mut feed, 1, "a{x=\"1\"} 1\nb 1\n");
    store.cut().expect("a block");
    round(&store, &mut feed, 2, "a{x=\"2\"} 1\nb 1\n");
    let mut told = Vec::new();
    let asked = [matcher("__name__", MatchOp::Equal, "a")];
    store
        .series(&asked, (0, 10), &mut |labels| told.push(labels.to_string()))
        .expect("told");
    told.sort();
    assert_eq!(told, ["a{job=\"j\", x=\"1\"}", "a{job=\"j\", x=\"2\"}"]);
    assert_eq!(select(&store, &asked, 0, 10).len(), 2);
}

#[test]
fn two_targets_may_bring_the_same_series() {
    let folder = Folder::new();
    let store = open(folder.path(), Options::default());
    for (at, job) in ["one", "two"].into_iter().enumerate() {
        let mut feed = store.feed(&target(job), true);
        let finish = |_: &[tend_exposition::LabelPair<'_>]| Some(labels(&[("__name__", "a"), ("job", "same")]));
        store.scrape(&mut feed, b"a 1\n", Format::Text, &finish);
        store.commit(&mut feed, at as i64);
    }
    assert_eq!(all(&store)["a{job=\"same\"}"].len(), 2);
}

#[test]
fn a_body_with_more_samples_than_it_may_have_makes_no_series_and_ends_those_that_were() {
    let folder = Folder::new();
    let store = open(folder.path(), Options::default());
    let mut feed = store.feed(&target("j"), true);
    feed.limit_samples(2);
    assert_eq!(round(&store, &mut feed, 1000, "a 1\nb 1\n").0.kept, 2);
    for time in [2000, 3000] {
        let (scraped, committed) = round(&store, &mut feed, time, "a 2\nb 2\nc 2\nd 2 500\n");
        assert!(scraped.too_many);
        assert_eq!((scraped.samples, scraped.kept, scraped.added), (4, 4, 0));
        assert_eq!(committed.samples, 0);
    }
    assert_eq!(store.status().series, 2, "no series was made");
    let (scraped, committed) = round(&store, &mut feed, 4000, "a 4\nc 4\n");
    assert!(!scraped.too_many);
    assert_eq!((scraped.kept, scraped.added, committed.samples), (2, 1, 2));
    assert_eq!(
        all(&store)["a{job=\"j\"}"],
        [(1000, one(1.0)), (2000, STALE_BITS), (4000, one(4.0))]
    );
}

#[test]
fn a_feed_that_forgets_asks_for_labels_again_and_has_the_same_series() {
    let folder = Folder::new();
    let store = open(folder.path(), Options::default());
    let mut feed = store.feed(&target("j"), true);
    round(&store, &mut feed, 1000, "a 1\nb 1\n");
    let asked = std::cell::Cell::new(0);
    let keep = with_target(&target("j"));
    let finish = |pairs: &[tend_exposition::LabelPair<'_>]| {
        asked.set(asked.get() + 1);
        keep(pairs)
    };
    // What was taken into the round is forgotten with the lines.
    store.scrape(&mut feed, b"a 2\nb 2\n", Format::Text, &finish);
    assert_eq!(asked.get(), 0);
    feed.forget();
    store.scrape(&mut feed, b"b 3\n", Format::Text, &finish);
    assert_eq!(asked.get(), 1);
    let committed = store.commit(&mut feed, 2000);
    assert_eq!((committed.samples, committed.stale), (1, 1));
    assert_eq!(all(&store)["a{job=\"j\"}"], [(1000, one(1.0)), (2000, STALE_BITS)]);
    assert_eq!(all(&store)["b{job=\"j\"}"], [(1000, one(1.0)), (2000, one(3.0))]);
    // The times of the exporter, from now on not.
    feed.honor_timestamps(false);
    round(&store, &mut feed, 3000, "b 4 2500\n");
    assert_eq!(all(&store)["b{job=\"j\"}"].last(), Some(&(3000, one(4.0))));
}

#[test]
fn names_and_values_of_labels_are_those_of_the_series_in_memory_and_in_blocks() {
    let folder = Folder::new();
    let options = Options {
        memory_ms: 0,
        ..Options::default()
    };
    let store = open(folder.path(), options);
    let mut one = store.feed(&labels(&[("job", "one"), ("zone", "east")]), true);
    let mut other = store.feed(&labels(&[("job", "other")]), true);
    // What an exporter says with an empty value takes its target's label away.
    round(
        &store,
        &mut one,
        1000,
        "a{code=\"200\"} 1\na{code=\"500\",zone=\"\"} 1\nonly{zone=\"\",job=\"\"} 1\n",
    );
    round(&store, &mut other, 1000, "a{code=\"404\",zone=\"west\"} 1\n");
    let check = |store: &MetricStore| {
        for matchers in [
            vec![],
            vec![matcher("__name__", MatchOp::Equal, "a")],
            vec![matcher("job", MatchOp::Equal, "")],
            vec![matcher("zone", MatchOp::NotEqual, "east")],
            vec![matcher("code", MatchOp::Regex, "4..")],
        ] {
            let (mut names, mut values) = (BTreeSet::new(), BTreeSet::new());
            store
                .series(&matchers, (0, 2000), &mut |labels| {
                    names.extend(labels.iter().map(|pair| pair.0.to_owned()));
                    values.extend(Some(labels.get("zone").to_owned()).filter(|zone| !zone.is_empty()));
                })
                .expect("it answers");
            assert_eq!(
                store.label_names(&matchers, (0, 2000)).expect("it answers"),
                names,
                "{matchers:?}"
            );
            let found = store.label_values("zone", &matchers, (0, 2000)).expect("it answers");
            assert_eq!(found, values, "{matchers:?}");
        }
    };
    check(&store);
    store.cut().expect("there is room");
    drop((one, other));
    check(&store);
    assert_eq!(store.label_values("job", &[], (0, 2000)).expect("it answers").len(), 2);
}
