//! What the store of metrics costs, by itself: one thread, bodies in memory, a log on the disk of the temporary folder.
//!
//! Prints figures. A sample that is not found again is the exit status; no time is an error. It starts no process and removes its folder.
//!
//! Each size runs in a fresh process of this program, so that memory is that of its store alone.
//!
//! `bench-metrics rules [FOLDER]` prints what a round of rules over that store costs instead. `bench-metrics serve` is our monitor as the bench of
//! the peers runs an engine (docs/design/0500-metrics-bench.md), and `bench-metrics kills` kills it again and again.

mod exporter;
mod kills;
mod rules;
mod serve;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use exporter::Exporter;
use rustix::time::{ClockId, clock_gettime};
use tend_exposition::{Format, LabelPair};
use tend_metrics::{Feed, MetricStore, Options};
use tend_promql::{Labels, LabelsBuilder, MatchOp, Matcher, Selection, Store};

/// A scrape every five seconds, as the bench of the peers had it.
const STEP_MS: i64 = 5000;
/// What rules look back over.
const WINDOW_MS: i64 = 300_000;

/// Targets, series of each, rounds, and whether no label text is shared between targets.
const SIZES: [(usize, usize, usize, bool); 4] = [
    (50, 500, 121, false),
    (200, 1000, 121, false),
    (200, 1000, 225, false),
    (200, 1000, 121, true),
];

/// What monitoring costs, and whether it holds.
#[derive(clap::Parser)]
#[command(name = "bench-metrics")]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand)]
enum What {
    /// One size of the store, by its number.
    #[command(hide = true)]
    Size { number: usize },
    /// A round of rules, those of a folder or its own.
    Rules { folder: Option<String> },
    /// The monitor alone, of a prometheus.yml; SIGHUP has it read again.
    Serve(serve::Serve),
    /// Kills monitor and daemon under ingest; exits 1 where a promise was broken, 2 where there are no figures.
    Kills(kills::Kills),
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let done = match <Arguments as clap::Parser>::parse().what {
        None => all(&mut out),
        Some(What::Size { number }) => one(&mut out, number),
        Some(What::Rules { folder }) => rules::all(&mut out, folder.as_deref()),
        Some(What::Serve(what)) => serve::serve(what).map(|()| true),
        Some(What::Kills(what)) => match kills::kills(&mut out, &what) {
            Ok(code) => return code,
            Err(error) => {
                let _ = writeln!(out, "there are no figures: {error}");
                return ExitCode::from(2);
            }
        },
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(out, "could not be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all(out: &mut impl Write) -> std::io::Result<bool> {
    let mut well = true;
    for size in 0..SIZES.len() {
        let ended = Command::new(std::env::current_exe()?)
            .args(["size", &size.to_string()])
            .status()?;
        well &= ended.success();
        writeln!(out)?;
    }
    Ok(well)
}

/// Runs one size in a folder of its own.
fn one(out: &mut impl Write, size: usize) -> std::io::Result<bool> {
    let folder = std::env::temp_dir().join(format!("bench-metrics-{}", std::process::id()));
    let measured = measure(out, &folder, SIZES[size.min(SIZES.len() - 1)]);
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn measure(
    out: &mut impl Write,
    folder: &Path,
    (targets, series, rounds, unique): (usize, usize, usize, bool),
) -> std::io::Result<bool> {
    let options = Options {
        series_max: 1_000_000,
        job_series_max: 1_000_000,
        ..Options::default()
    };
    let mut exporters: Vec<Exporter> = (0..targets)
        .map(|number| Exporter::new(number, series, unique))
        .collect();
    let mut bodies: Vec<String> = vec![String::new(); targets];
    for (exporter, body) in exporters.iter().zip(&mut bodies) {
        exporter.body(body);
        body.reserve(body.len() / 4);
    }
    let (before, total) = (resident_bytes()?, (targets * series) as f64);
    let store = opened(folder, options)?.0;
    let mut feeds: Vec<Feed> = (0..targets).map(|number| store.feed(&target(number), true)).collect();
    let (mut spent, mut first, mut synced) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let begin_ms = 1_700_000_000_000;
    for round in 0..rounds {
        for (exporter, body) in exporters.iter_mut().zip(&mut bodies) {
            exporter.tick();
            exporter.body(body);
        }
        let begun = processor_time();
        for (feed, body) in feeds.iter_mut().zip(&bodies) {
            let labels = feed.labels().clone();
            store.scrape(feed, body.as_bytes(), Format::Text, &|pairs| {
                Some(with_target(&labels, pairs))
            });
            store.commit(feed, begin_ms + round as i64 * STEP_MS);
        }
        let done = processor_time();
        store.sync().map_err(|error| std::io::Error::other(error.to_string()))?;
        synced += processor_time() - done;
        *(if round == 0 { &mut first } else { &mut spent }) += done - begun;
    }
    let samples = total * rounds as f64;
    let warm = total * (rounds - 1) as f64;
    let after = resident_bytes()?;
    let status = store.status();
    let shared = if unique { ", no text shared" } else { "" };
    writeln!(
        out,
        "{targets} targets x {series} series, {rounds} samples each{shared}"
    )?;
    writeln!(
        out,
        "  parse and append     {:8.3} CPU s per million samples",
        spent.as_secs_f64() / warm * 1e6
    )?;
    writeln!(
        out,
        "  … with sync          {:8.3}",
        (spent + synced).as_secs_f64() / warm * 1e6
    )?;
    writeln!(
        out,
        "  first round          {:8.3} CPU s per million series",
        first.as_secs_f64() / total * 1e6
    )?;
    writeln!(
        out,
        "  resident memory      {:8.0} B a series (whole process, less what it had before)",
        (after - before) / total
    )?;
    writeln!(
        out,
        "  … by its own count   {:8.0} = {:.0} sealed + {:.0} open + {:.0} names",
        (status.sealed_bytes + status.open_bytes + status.index_bytes) as f64 / total,
        status.sealed_bytes as f64 / total,
        status.open_bytes as f64 / total,
        status.index_bytes as f64 / total
    )?;
    writeln!(
        out,
        "  log                  {:8.2} B a sample",
        status.log_bytes as f64 / samples
    )?;
    let last_ms = begin_ms + (rounds as i64 - 1) * STEP_MS;
    let mut well = window(out, &store, "window of 5 min, first", last_ms, targets)?;
    well &= window(out, &store, "window of 5 min, again", last_ms, targets)?;
    writeln!(
        out,
        "  … resident memory then {:6.0} B a series",
        (resident_bytes()? - before) / total
    )?;
    drop(feeds);
    drop(store);

    let (begun, processor) = (Instant::now(), processor_time());
    let (store, recovered) = opened(folder, options)?;
    writeln!(
        out,
        "  restart              {:8.2} s ({:.2} CPU s) for {:.1} M samples in the log",
        begun.elapsed().as_secs_f64(),
        (processor_time() - processor).as_secs_f64(),
        recovered.samples as f64 / 1e6
    )?;
    well &= recovered.samples as f64 == samples;
    let (begun, processor) = (Instant::now(), processor_time());
    store.cut().map_err(|error| std::io::Error::other(error.to_string()))?;
    writeln!(
        out,
        "  cut a block          {:8.2} s ({:.2} CPU s)",
        begun.elapsed().as_secs_f64(),
        (processor_time() - processor).as_secs_f64()
    )?;
    let status = store.status();
    writeln!(
        out,
        "  block with index     {:8.2} B a sample",
        status.block_bytes as f64 / status.block_samples as f64
    )?;
    well &= status.block_samples as f64 == samples;
    drop(store);
    let begun = Instant::now();
    let store = opened(folder, options)?.0;
    writeln!(out, "  restart after a cut  {:8.2} s", begun.elapsed().as_secs_f64())?;
    well &= window(out, &store, "… window from the block", last_ms, targets)?;
    if !well {
        writeln!(out, "  SAMPLES ARE MISSING")?;
    }
    Ok(well)
}

/// Reads the buckets of all targets over the window, as a rule does.
fn window(
    out: &mut impl Write,
    store: &MetricStore,
    what: &str,
    last_ms: i64,
    targets: usize,
) -> std::io::Result<bool> {
    let matchers = [
        Matcher::equal("__name__", "http_request_duration_seconds_bucket"),
        Matcher::new("job", MatchOp::Regex, "bench|other").map_err(std::io::Error::other)?,
    ];
    let begun = processor_time();
    let (mut series, mut samples, mut sum) = (0usize, 0usize, 0.0);
    store
        .select(
            &Selection::new(&matchers, last_ms - WINDOW_MS + 1, last_ms),
            &mut |_, found| {
                series += 1;
                samples += found.len();
                sum += found.values().last().copied().unwrap_or(0.0);
                ControlFlow::Continue(())
            },
        )
        .map_err(std::io::Error::other)?;
    let spent = (processor_time() - begun).as_secs_f64();
    writeln!(
        out,
        "  {what:<20} {:8.1} ms for {series} series, {samples} samples",
        spent * 1e3
    )?;
    Ok(series > 0 && series % targets == 0 && samples == series * (WINDOW_MS / STEP_MS) as usize && sum > 0.0)
}

fn opened(folder: &Path, options: Options) -> std::io::Result<(MetricStore, tend_metrics::Recovered)> {
    MetricStore::open(folder, options).map_err(std::io::Error::other)
}

fn target(number: usize) -> Labels {
    Labels::from_pairs([("job", "bench"), ("instance", &format!("127.0.0.{number}:19100"))])
}

fn with_target(target: &Labels, pairs: &[LabelPair<'_>]) -> Labels {
    let mut all = LabelsBuilder::from(target);
    for (name, value) in pairs {
        all.set(name, value);
    }
    all.finish()
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn resident_bytes() -> std::io::Result<f64> {
    let status = std::fs::read_to_string(PathBuf::from("/proc/self/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0)
}
