//! The store beside the plain one of `tend-promql`: whatever comes in, is cut, merged and opened again, both answer the same.

use tend_base::Random;
use tend_metrics::Options;
use tend_promql::{LabelsBuilder, MatchOp, Matcher, MemoryStore, STALE, Store};
use tend_testkit::Folder;

use crate::{Found, labels, matcher, open, round, select};

const MINUTE: i64 = 60_000;

/// Small enough that blocks are cut, merged and forgotten within a test.
fn options() -> Options {
    Options {
        block_ms: 5 * MINUTE,
        head_bytes_max: 20_000,
        memory_ms: 2 * MINUTE,
        late_ms_max: 10 * MINUTE,
        retention_ms: i64::MAX,
        ..Options::default()
    }
}

fn questions(random: &mut Random) -> Vec<Matcher> {
    let all = [
        matcher("__name__", MatchOp::Equal, "a"),
        matcher("__name__", MatchOp::Regex, "a|b"),
        matcher("__name__", MatchOp::NotEqual, "c"),
        matcher("job", MatchOp::Equal, "j1"),
        matcher("job", MatchOp::NotRegex, "j2|j3"),
        matcher("n", MatchOp::Regex, "1.*"),
        matcher("n", MatchOp::Equal, ""),
        matcher("zone", MatchOp::Regex, ".+"),
        matcher("nothing", MatchOp::Equal, "x"),
    ];
    (0..random.below(4))
        .map(|_| all[random.below(all.len() as u64) as usize].clone())
        .collect()
}

fn run(seed: u64) {
    let mut random = Random::new(seed);
    let folder = Folder::new();
    let mut store = open(folder.path(), options());
    let mut plain = MemoryStore::default();
    let targets = [
        labels(&[("job", "j1"), ("instance", "x")]),
        labels(&[("job", "j1"), ("instance", "y")]),
        labels(&[("job", "j2"), ("instance", "x"), ("zone", "z")]),
    ];
    let mut feeds: Vec<_> = targets.iter().map(|target| store.feed(target, true)).collect();
    // What each target had in the round before: what vanishes is marked.
    let mut before: Vec<Vec<tend_promql::Labels>> = vec![Vec::new(); targets.len()];
    let mut time = 1_000_000;
    for step in 0..400u64 {
        time += 1000 + random.below(20_000) as i64;
        for (at, feed) in feeds.iter_mut().enumerate() {
            let mut body = String::new();
            let mut now = Vec::new();
            let first = if random.below(40) == 0 { random.below(30) } else { 0 };
            for number in first..first + 12 + random.below(3) {
                let name = ["a", "b", "c"][(number % 3) as usize];
                let value = match random.below(6) {
                    0 => f64::NAN,
                    1 => random.below(1_000_000) as f64 / 1000.0,
                    2 => (random.below(1000) as f64).sqrt(),
                    _ => (step * number) as f64,
                };
                let text = if value.is_nan() {
                    "NaN".to_owned()
                } else {
                    format!("{value:?}")
                };
                // Some say their own zone, so that a shape overrides its target.
                let own = if number == 7 { ",zone=\"own\"" } else { "" };
                let late = if number == 5 && random.below(3) == 0 {
                    Some(time - random.below(9 * MINUTE as u64) as i64)
                } else {
                    None
                };
                let stamp = late.map_or(String::new(), |late| format!(" {late}"));
                body.push_str(&format!("{name}{{n=\"{number}\"{own}}} {text}{stamp}\n"));
                let mut whole = LabelsBuilder::from(&targets[at]);
                whole.set("__name__", name).set("n", &number.to_string());
                if number == 7 {
                    whole.set("zone", "own");
                }
                let whole = whole.finish();
                let value = if value.is_nan() {
                    f64::from_bits(tend_promql::NAN_BITS)
                } else {
                    value
                };
                match late {
                    // Of two samples at one time the store keeps the first, the plain one the last.
                    Some(late) if has(&plain, &whole, late) => {}
                    Some(late) => plain.append(&whole, late, value),
                    None => {
                        plain.append(&whole, time, value);
                        now.push(whole);
                    }
                }
            }
            round(&store, feed, time, &body);
            for gone in before[at].iter().filter(|series| !now.contains(series)) {
                plain.append(gone, time, STALE);
            }
            before[at] = now;
        }
        match random.below(30) {
            0 => {
                store.sync().expect("synced");
                drop(feeds);
                drop(store);
                store = open(folder.path(), options());
                feeds = targets.iter().map(|target| store.feed(target, true)).collect();
                // What was seen before is not known after a restart: no markers.
                before.iter_mut().for_each(Vec::clear);
            }
            1..=5 => {
                store.maintain(time).expect("maintained");
            }
            _ => {}
        }
        if step % 10 == 0 {
            let matchers = questions(&mut random);
            let from = if random.below(2) == 0 {
                0
            } else {
                time - random.below(20 * MINUTE as u64) as i64
            };
            let to = time - random.below(MINUTE as u64) as i64;
            let question = format!("seed {seed}, step {step}, {matchers:?} from {from} to {to}");
            assert_same(
                &select(&store, &matchers, from, to),
                &select(&plain, &matchers, from, to),
                &question,
            );
        }
    }
    let status = store.status();
    assert!(
        status.blocks > 1 && status.lost == 0 && status.log_failed.is_none(),
        "{status:?}"
    );
    let all = |store: &dyn Store| select(store, &[], 0, i64::MAX);
    assert_same(&all(&store), &all(&plain), &format!("seed {seed}, all"));
}

/// Fails with the first series that differs, and only what differs of it.
fn assert_same(ours: &Found, wanted: &Found, question: &str) {
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        wanted.keys().collect::<Vec<_>>(),
        "{question}"
    );
    for (name, samples) in ours {
        let extra: Vec<_> = samples.iter().filter(|sample| !wanted[name].contains(sample)).collect();
        let missing: Vec<_> = wanted[name].iter().filter(|sample| !samples.contains(sample)).collect();
        assert!(
            extra.is_empty() && missing.is_empty(),
            "{question}: {name}: too much {extra:?}, missing {missing:?}"
        );
        assert_eq!(samples, &wanted[name], "{question}: {name}: the order");
    }
}

fn has(plain: &MemoryStore, series: &tend_promql::Labels, time: i64) -> bool {
    let matchers: Vec<Matcher> = series.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    select(plain, &matchers, time, time).contains_key(&series.to_string())
}

#[test]
fn both_stores_answer_the_same() {
    for seed in 1..=6 {
        run(seed);
    }
}
