//! kill -9 at random moments of a process that takes samples, cuts blocks and merges them: the next one opens the store and has every
//! sample that was synced, and no other value.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tend_base::Random;
use tend_metrics::{MetricStore, Options};
use tend_promql::STALE_BITS;
use tend_testkit::Folder;

use crate::{all, labels, open, round};

const CHILD: &str = "TEND_METRICS_TEST_KILLS";
const TEST: &str = "kills::every_sample_before_the_last_sync_is_there_after_a_kill";
const KILLS: u64 = 25;
const TARGETS: usize = 3;
const SERIES: u64 = 40;
/// Between two rounds, in milliseconds of the samples' time.
const STEP: i64 = 5000;
/// A child that never says a word is a failure, not a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Blocks, merges and sweeps often.
fn options() -> Options {
    Options {
        block_ms: 100 * STEP,
        memory_ms: 10 * STEP,
        retention_ms: i64::MAX,
        ..Options::default()
    }
}

/// The value of a series at a time: so that whoever reads knows what was written.
fn value(target: usize, series: u64, time: i64) -> f64 {
    match series % 4 {
        0 => (time / STEP) as f64,
        1 => (time / STEP * (series as i64 + target as i64)) as f64 / 1000.0,
        2 => ((time as f64) + series as f64).sqrt(),
        _ => series as f64,
    }
}

/// Takes rounds from where the store ended, and says after each sync up to which time all is durable.
fn ingest(folder: &Path) -> ! {
    let store = open(folder, options());
    let mut feeds: Vec<_> = (0..TARGETS)
        .map(|at| store.feed(&labels(&[("job", "j"), ("n", &at.to_string())]), true))
        .collect();
    let mut time = all(&store)
        .values()
        .filter_map(|samples| samples.last())
        .map(|sample| sample.0)
        .max()
        .unwrap_or(0);
    let mut out = std::io::stdout();
    loop {
        time += STEP;
        for (at, feed) in feeds.iter_mut().enumerate() {
            // A part of the series changes its name as time goes on.
            let wave = time / STEP / 150;
            let body: String = (0..SERIES)
                .map(|series| {
                    let name = if series % 5 == 0 {
                        format!("s{{n=\"{series}\",wave=\"{wave}\"}}")
                    } else {
                        format!("s{{n=\"{series}\"}}")
                    };
                    format!("{name} {:?}\n", value(at, series, time))
                })
                .collect();
            // The label `n` of the line stays: it is the series', not the target's.
            let finish = |pairs: &[tend_exposition::LabelPair<'_>]| {
                let mut all = tend_promql::LabelsBuilder::default();
                all.set("target", &at.to_string());
                for (name, value) in pairs {
                    all.set(name, value);
                }
                Some(all.finish())
            };
            store.scrape(feed, body.as_bytes(), tend_exposition::Format::Text, &finish);
            store.commit(feed, time);
        }
        if time / STEP % 3 == 0 {
            store.sync().expect("synced");
            writeln!(out, "synced {time}").expect("somebody reads");
            out.flush().expect("somebody reads");
        }
        if time / STEP % 20 == 0 {
            store.maintain(time).expect("maintained");
        }
    }
}

/// Checks that all samples up to `synced` are there, and that each that is there is what was written.
fn check(store: &MetricStore, synced: i64) {
    let found = all(store);
    for at in 0..TARGETS {
        for series in (0..SERIES).filter(|series| series % 5 != 0) {
            let name = format!("s{{n=\"{series}\", target=\"{at}\"}}");
            let samples = found.get(&name).map(Vec::as_slice).unwrap_or_default();
            for (row, (time, bits)) in samples.iter().enumerate() {
                assert_eq!(*time, (row as i64 + 1) * STEP, "{name} has a hole");
                assert_eq!(*bits, value(at, series, *time).to_bits(), "{name} at {time}");
            }
            assert!(
                samples.len() as i64 * STEP >= synced,
                "{name} has {} samples, {synced} was synced",
                samples.len()
            );
        }
        for series in (0..SERIES).step_by(5) {
            let part = format!("s{{n=\"{series}\", target=\"{at}\", wave=\"");
            let mut times: Vec<i64> = Vec::new();
            for (name, samples) in found
                .range(part.clone()..)
                .take_while(|(name, _)| name.starts_with(&part))
            {
                for (time, bits) in samples.iter().filter(|sample| sample.1 != STALE_BITS) {
                    assert_eq!(*bits, value(at, series, *time).to_bits(), "{name} at {time}");
                    times.push(*time);
                }
            }
            times.sort_unstable();
            let wanted: Vec<i64> = (1..=times.len() as i64).map(|row| row * STEP).collect();
            assert!(
                times == wanted && times.len() as i64 * STEP >= synced,
                "{part}: {} samples",
                times.len()
            );
        }
    }
}

#[test]
fn every_sample_before_the_last_sync_is_there_after_a_kill() {
    if let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) {
        ingest(&folder);
    }
    let folder = Folder::new();
    let mut random = Random::new(0x5eed);
    let mut synced = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", TEST, "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (tell, told) = mpsc::sync_channel(1 << 16);
        let reader = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(time) = line.strip_prefix("synced ").and_then(|time| time.parse::<i64>().ok())
                    && tell.send(time).is_err()
                {
                    break;
                }
            }
        });
        // Some rounds, then at any moment, in the middle of a sync, a block or a merge.
        let syncs = 5 + random.below(60);
        let begun = Instant::now();
        for _ in 0..syncs {
            match told.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(time) => synced = time,
                Err(error) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    panic!("kill {kill}: the child said nothing: {error}");
                }
            }
        }
        let moment = Instant::now() + Duration::from_micros(random.below(3000));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        reader.join().expect("read");
        synced = told.try_iter().last().unwrap_or(synced).max(synced);
        let (store, recovered) = MetricStore::open(folder.path(), options()).expect("the store opens");
        assert!(recovered.damaged.is_empty(), "{recovered:?}");
        check(&store, synced);
    }
    let mut store = open(folder.path(), options());
    assert!(store.status().blocks > 0);
    // And the store goes on as if nothing had been.
    let mut feed = store.feed(&labels(&[("job", "after")]), true);
    round(&store, &mut feed, synced + 1_000_000, "after 1\n");
    store.sync().expect("synced");
    drop(store);
    store = open(folder.path(), options());
    assert!(all(&store).contains_key("after{job=\"after\"}"));
}
