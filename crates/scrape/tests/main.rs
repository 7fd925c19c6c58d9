//! Tests of scraping: configurations as data, rounds of collectors of the tests' own, real servers on loopback, files of targets, the guides,
//! and Debian's Prometheus beside us.

mod beside;
mod config;
mod files;
mod guides;
mod replay;
mod rounds;
mod servers;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tend_metrics::{MetricStore, Options};
use tend_promql::{Selection, Store, is_stale};
use tend_scrape::{Config, Health, LastScrape, Scraper, read_config};
use tend_testkit::Folder;

/// Long enough for any machine; nothing waits for it that is well.
const PATIENCE: Duration = Duration::from_secs(120);

/// A scraper that runs over a store of its own, and ends with the value.
struct Running {
    scraper: Arc<Scraper>,
    store: Arc<MetricStore>,
    task: tokio::task::JoinHandle<()>,
    _folder: Folder,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn new() -> Self {
        let folder = Folder::new();
        let store = Arc::new(open(folder.path()));
        let scraper = Arc::new(Scraper::new(Arc::clone(&store)));
        let running = Arc::clone(&scraper);
        Self {
            scraper,
            store,
            task: tokio::spawn(async move { running.run().await }),
            _folder: folder,
        }
    }

    /// Sets the jobs of a `prometheus.yml`.
    fn set(&self, text: &str) {
        self.scraper.set(read(text).jobs);
    }

    /// What is known of the last scrape of the target with this `instance`, or of the job's only one.
    fn last(&self, job: &str, instance: &str) -> LastScrape {
        let targets = self.scraper.targets();
        let mut found = (targets.active.into_iter())
            .filter(|target| target.job == job && (instance.is_empty() || target.labels.get("instance") == instance));
        found.next().map(|target| target.last).unwrap_or_default()
    }

    /// Waits until a target is as it should be, whatever it was before.
    async fn until(&self, job: &str, what: &str, is_so: impl Fn(&LastScrape) -> bool) -> LastScrape {
        let begun = Instant::now();
        loop {
            let last = self.last(job, "");
            if is_so(&last) {
                return last;
            }
            assert!(begun.elapsed() < PATIENCE, "{job}: not {what}: {last:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_up(&self, job: &str) -> LastScrape {
        self.until(job, "up", |last| last.health == Health::Up).await
    }

    async fn until_down(&self, job: &str) -> LastScrape {
        self.until(job, "down", |last| last.health == Health::Down).await
    }

    /// The newest value of each series whose labels hold this text; `stale` where it ended. Without how long scrapes took.
    fn newest(&self, within: &str) -> BTreeMap<String, String> {
        let mut found = all(&self.store);
        found.retain(|labels, _| labels.contains(within) && !labels.starts_with("scrape_duration_seconds"));
        let newest = |samples: Vec<(i64, f64)>| match samples.last() {
            Some((_, value)) if is_stale(*value) => "stale".to_owned(),
            Some((_, value)) => value.to_string(),
            None => String::new(),
        };
        found
            .into_iter()
            .map(|(labels, samples)| (labels, newest(samples)))
            .collect()
    }
}

fn open(folder: &Path) -> MetricStore {
    MetricStore::open(folder, Options::default())
        .expect("the store opens")
        .0
}

fn read(text: &str) -> Config {
    match read_config(Path::new("/etc/prometheus/prometheus.yml"), text) {
        Ok((config, _)) => config,
        Err(report) => panic!("{report}"),
    }
}

/// All samples of a store, by series.
fn all(store: &MetricStore) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut found = BTreeMap::new();
    let everything = Selection::new(&[], i64::MIN, i64::MAX);
    store
        .select(&everything, &mut |labels, samples| {
            let samples = samples.iter().map(|sample| (sample.time, sample.value)).collect();
            found.insert(labels.to_string(), samples);
            ControlFlow::Continue(())
        })
        .expect("selected");
    found
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not so in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Texts as a set, for comparing.
fn set_of(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A value that a test changes while something else looks at it.
type Shared<T> = Arc<Mutex<T>>;
