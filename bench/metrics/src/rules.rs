//! What a round of rules costs over the store: processor time with and without results in common, with and without twins.
//!
//! Reads the rules of a folder, or its own, which ask what the guides' rules ask. No time is an error; a rule that cannot be evaluated is.

use std::fs;
use std::io::{Error, Result, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use tend_alert::read_rules;
use tend_exposition::Format;
use tend_metrics::{Feed, MetricStore, Options as StoreOptions};
use tend_rules::{Around, Engine, Options, Source};
use tend_template::Still;

use crate::exporter::Exporter;
use crate::{STEP_MS, processor_time, target, with_target};

const OWN: &str = include_str!("../rules.yml");
/// Targets, and series of each.
const SIZES: [(usize, usize); 2] = [(50, 500), (200, 1000)];
/// Samples of each series before rules are evaluated: five minutes.
const ROUNDS: i64 = 61;
/// Rounds that are measured; the first is not among them.
const MEASURED: usize = 5;
const BEGIN_MS: i64 = 1_700_000_000_000;

pub(crate) fn all(out: &mut impl Write, folder: Option<&str>) -> Result<bool> {
    let sources = sources(folder)?;
    let rules: usize = sources
        .iter()
        .flat_map(|source| &source.groups)
        .map(|group| group.rules.len())
        .sum();
    let mut well = true;
    for (targets, series) in SIZES {
        let folder = std::env::temp_dir().join(format!("bench-metrics-rules-{}", std::process::id()));
        let measured = measure(out, &folder, (targets, series), &sources, rules);
        fs::remove_dir_all(&folder)?;
        well &= measured?;
    }
    Ok(well)
}

fn sources(folder: Option<&str>) -> Result<Vec<Source>> {
    let read = |name: &Path, text: &str| -> Result<Source> {
        let file = read_rules(name, text).map_err(|report| Error::other(report.to_string()))?;
        Ok(Source {
            file: name.display().to_string(),
            groups: file.groups,
        })
    };
    let Some(folder) = folder else {
        return Ok(vec![read(Path::new("rules.yml"), OWN)?]);
    };
    let mut paths: Vec<_> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "yml"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| read(path, &String::from_utf8_lossy(&fs::read(path)?)))
        .collect()
}

fn measure(
    out: &mut impl Write,
    folder: &Path,
    (targets, series): (usize, usize),
    sources: &[Source],
    rules: usize,
) -> Result<bool> {
    let options = StoreOptions {
        series_max: 1_000_000,
        job_series_max: 1_000_000,
        ..StoreOptions::default()
    };
    let store = MetricStore::open(folder, options).map_err(Error::other)?.0;
    let mut exporters: Vec<Exporter> = (0..targets)
        .map(|number| Exporter::new(number, series, false))
        .collect();
    let mut feeds: Vec<Feed> = (0..targets).map(|number| store.feed(&target(number), true)).collect();
    let mut body = String::new();
    for round in 0..ROUNDS + MEASURED as i64 {
        for (exporter, feed) in exporters.iter_mut().zip(&mut feeds) {
            exporter.tick();
            exporter.body(&mut body);
            let labels = feed.labels().clone();
            store.scrape(feed, body.as_bytes(), Format::Text, &|pairs| {
                Some(with_target(&labels, pairs))
            });
            store.commit(feed, BEGIN_MS + round * STEP_MS);
        }
    }
    writeln!(
        out,
        "{targets} targets x {series} series, {rules} rules, 5 m windows full"
    )?;
    let mut well = true;
    for (what, shares, twins) in [
        ("shared results", true, false),
        ("each rule by itself", false, false),
        ("shared results, twins", true, true),
    ] {
        let options = Options {
            interval: STEP_MS,
            shares,
            twins,
            ..Options::default()
        };
        let last = BEGIN_MS + (ROUNDS - 1) * STEP_MS;
        let mut engine =
            Engine::new(options, sources.to_vec(), None, last - 1).map_err(|error| Error::other(error.to_string()))?;
        let mut spent = Vec::new();
        let (mut results, mut slowest) = (0, (Duration::ZERO, String::new()));
        for round in 0..=MEASURED {
            let began = processor_time();
            results = 0;
            slowest = (Duration::ZERO, String::new());
            for group in 0..engine.groups().len() {
                let clock = Instant::now();
                let mut world = Still::default();
                let mut around = Around {
                    store: &store,
                    world: &mut world,
                    watch: &mut || clock.elapsed(),
                };
                let evaluated = engine.evaluate(group, last + round as i64 * STEP_MS, &mut around);
                let evaluated = evaluated.ok_or_else(|| Error::other("a group is gone"))?;
                results += evaluated.series.len();
                for error in evaluated.fared.iter().filter_map(|fared| fared.error.as_deref()) {
                    writeln!(out, "  {error}")?;
                    well = false;
                }
            }
            for rule in engine.groups().iter().flat_map(|group| group.rules()) {
                if rule.took() > slowest.0 {
                    slowest = (rule.took(), rule.rule().name().to_owned());
                }
            }
            spent.push(processor_time() - began);
        }
        let first = spent.remove(0);
        spent.sort();
        writeln!(
            out,
            "  {what:<22} {:8.1} CPU ms a round (first {:.1}), {results} series, {} results taken, slowest {} {:.1} ms",
            spent[spent.len() / 2].as_secs_f64() * 1e3,
            first.as_secs_f64() * 1e3,
            engine.shared(),
            slowest.1,
            slowest.0.as_secs_f64() * 1e3
        )?;
    }
    Ok(well)
}
