//! Runs `cases/leak.txt`, and compares whole traces with the arithmetic of nginx written once more, straight from its definition.

use std::time::Duration;

use tend_base::Random;
use tend_core::model::Rate;
use tend_routing::{Bucket, BucketTable, Leak, Leaked};

use crate::lines;

fn rate(requests: u32, per_ms: u64, burst: u32, delay_after: Option<u32>) -> Leak {
    Leak::from(&Rate {
        requests: requests.try_into().unwrap(),
        per: Duration::from_millis(per_ms),
        burst,
        delay_after,
    })
}

fn read_limit(words: &str) -> Leak {
    let mut words = words.split_whitespace();
    let (requests, per_ms) = words.next().unwrap().split_once('/').unwrap();
    let burst = words.next().and_then(|word| word.strip_prefix("burst=")).unwrap();
    let delay = words
        .next()
        .map(|word| word.strip_prefix("delay=").unwrap().parse().unwrap());
    rate(
        requests.parse().unwrap(),
        per_ms.parse().unwrap(),
        burst.parse().unwrap(),
        delay,
    )
}

#[test]
fn requests_are_admitted_delayed_and_refused_as_the_cases_say() {
    let mut leak = rate(1, 1000, 0, None);
    let mut kept: Option<Bucket> = None;
    for (number, line) in lines(include_str!("cases/leak.txt")) {
        if let Some(limit) = line.strip_prefix("limit ") {
            (leak, kept) = (read_limit(limit), None);
            continue;
        }
        let (event, wanted) = line.split_once(" -> ").expect(line);
        let (at, times) = event.split_once(" x").unwrap_or((event, "1"));
        for _ in 0..times.parse().unwrap() {
            let outcome = leak.ask(kept, at.parse().unwrap());
            let said = match outcome {
                Leaked::Admitted { wait_ms: 0, .. } => "now".to_owned(),
                Leaked::Admitted { wait_ms, .. } => format!("wait {wait_ms}"),
                Leaked::Refused { retry_ms } => format!("refused {retry_ms}"),
            };
            if let Leaked::Admitted { bucket, .. } = outcome {
                kept = Some(bucket);
            }
            assert_eq!(said, wanted, "line {number}: {line}");
        }
    }
}

/// nginx's `limit_req` with rates a second, in the integers it uses: returns the wait, or none when busy.
fn nginx(state: &mut Option<(i64, i64)>, rate: i64, burst: i64, delay: i64, now: i64) -> Option<i64> {
    let excess = match *state {
        None => 0,
        Some((excess, last)) => {
            let ms = (now - last).max(0);
            let excess = (excess - rate * ms / 1000 + 1000).max(0);
            if excess > burst {
                return None;
            }
            excess
        }
    };
    *state = Some((excess, now));
    Some(if excess <= delay {
        0
    } else {
        (excess - delay) * 1000 / rate
    })
}

#[test]
fn any_trace_is_treated_as_nginx_treats_it() {
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let requests = 1 + random.below(50);
        let burst = random.below(30);
        let some = random.below(burst + 1);
        let delay = [None, Some(0), Some(some)][random.below(3) as usize];
        let leak = rate(requests as u32, 1000, burst as u32, delay.map(|after| after as u32));
        let after = delay.unwrap_or(burst) as i64 * 1000;
        let (mut ours, mut theirs) = (None, None);
        let mut now = 1_000_000;
        for step in 0..500 {
            let gap_max = [1, 20, 400][random.below(3) as usize];
            now += random.below(gap_max);
            let wanted = nginx(
                &mut theirs,
                requests as i64 * 1000,
                burst as i64 * 1000,
                after,
                now as i64,
            );
            let got = match leak.ask(ours, now) {
                Leaked::Admitted { wait_ms, bucket } => {
                    ours = Some(bucket);
                    Some(wait_ms as i64)
                }
                Leaked::Refused { .. } => None,
            };
            assert_eq!(got, wanted, "seed {seed} step {step}");
        }
    }
}

#[test]
fn who_waits_as_long_as_was_said_is_admitted() {
    for seed in 0..2000 {
        let mut random = Random::new(seed);
        let leak = rate(
            1 + random.below(1000) as u32,
            1 + random.below(10_000_000),
            random.below(50) as u32,
            None,
        );
        let (mut kept, mut now) = (None, random.below(1000));
        for _ in 0..200 {
            match leak.ask(kept, now) {
                Leaked::Admitted { bucket, .. } => kept = Some(bucket),
                Leaked::Refused { retry_ms } => {
                    assert!(
                        matches!(leak.ask(kept, now + retry_ms), Leaked::Admitted { .. }),
                        "seed {seed}"
                    );
                    if retry_ms > 1 {
                        let early = leak.ask(kept, now + retry_ms - 1);
                        assert!(
                            matches!(early, Leaked::Refused { .. }),
                            "seed {seed}: said too long a time"
                        );
                    }
                }
            }
            now += random.below(20);
        }
    }
}

#[test]
fn a_full_table_forgets_the_oldest_and_never_grows() {
    let mut random = Random::new(7);
    let mut table = BucketTable::new(1000);
    assert_eq!(table.capacity(), 1024);
    let steady = random.below(u64::MAX);
    for at_ms in 1..100_000u64 {
        let bucket = Bucket { excess: 5, at_ms };
        // One who keeps asking stays, whatever a flood of others does.
        table.put(steady, bucket);
        table.put(random.below(u64::MAX), bucket);
        assert_eq!(table.get(steady), Some(bucket));
    }
    assert_eq!((table.len(), table.capacity()), (1024, 1024));
}

#[test]
fn the_key_zero_is_a_key() {
    let mut table = BucketTable::new(8);
    assert!(table.is_empty() && table.get(0).is_none());
    let bucket = Bucket { excess: 1, at_ms: 0 };
    table.put(0, bucket);
    assert_eq!((table.get(0), table.len()), (Some(bucket), 1));
}
