//! The life of alerts and of recorded series, as data: rules, series, and all that comes out of each evaluation.
//!
//! A file under `tests/timelines` has three parts with `---` between them: rules; the interval and the series; and what comes out, which `UPDATE=1`
//! writes anew. The scenarios follow the alert generator specification of prometheus/compliance. Each runs over the plain store and over the
//! real one, which is the contract between the engine and a store.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tend_alert::{Posted, read_rules};
use tend_metrics::{Feed, MetricStore};
use tend_promql::testlang::{samples, series_labels};
use tend_promql::{Labels, MemoryStore, STALE, Store, format_duration, parse_duration, quoted};
use tend_rules::{Around, Engine, Evaluated, Options, Source};
use tend_template::Still;
use tend_testkit::Folder;

/// A store that can be written to, as the shells around the engine do it.
pub(crate) trait Written {
    fn store(&self) -> &dyn Store;
    /// What was scraped at a moment.
    fn scraped(&mut self, time: i64, series: &[(Labels, f64)]);
    /// What a group of rules gave.
    fn evaluated(&mut self, group: usize, evaluated: &Evaluated);
}

impl Written for MemoryStore {
    fn store(&self) -> &dyn Store {
        self
    }

    fn scraped(&mut self, time: i64, series: &[(Labels, f64)]) {
        for (labels, value) in series {
            self.append(labels, time, *value);
        }
    }

    fn evaluated(&mut self, _: usize, evaluated: &Evaluated) {
        for one in &evaluated.series {
            self.append(&one.labels, evaluated.time, one.value);
        }
        for labels in &evaluated.ended {
            self.append(labels, evaluated.time, STALE);
        }
    }
}

/// The real store: what was scraped is one target, what each group gives another.
pub(crate) struct Real {
    store: MetricStore,
    target: Feed,
    groups: BTreeMap<usize, Feed>,
    _folder: Folder,
}

impl Real {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let store = crate::open_store(folder.path());
        let target = store.feed(&Labels::EMPTY, true);
        Self {
            store,
            target,
            groups: BTreeMap::new(),
            _folder: folder,
        }
    }
}

impl Written for Real {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn scraped(&mut self, time: i64, series: &[(Labels, f64)]) {
        for (labels, value) in series.iter().filter(|(_, value)| !tend_promql::is_stale(*value)) {
            self.store.add(&mut self.target, labels, *value).expect("there is room");
        }
        self.store.commit(&mut self.target, time);
    }

    fn evaluated(&mut self, group: usize, evaluated: &Evaluated) {
        let store = &self.store;
        let feed = self.groups.entry(group).or_insert_with(|| {
            let name = group.to_string();
            store.feed(&Labels::from_pairs([("rules", name.as_str())]), true)
        });
        for one in &evaluated.series {
            store.add(feed, &one.labels, one.value).expect("there is room");
        }
        store.commit(feed, evaluated.time);
    }
}

/// A scenario.
struct Timeline {
    rules: String,
    setting: String,
    interval: i64,
    end: i64,
    external: BTreeMap<String, String>,
    series: Vec<(Labels, Vec<Option<f64>>)>,
    /// Milliseconds between samples.
    scrape: i64,
}

fn read(text: &str) -> (Timeline, &str) {
    let mut parts = text.splitn(3, "---\n");
    let (rules, setting, expected) = (
        parts.next().expect("rules"),
        parts.next().expect("a setting"),
        parts.next().unwrap_or_default(),
    );
    let mut timeline = Timeline {
        rules: rules.to_owned(),
        setting: setting.to_owned(),
        interval: 0,
        end: 0,
        external: BTreeMap::new(),
        series: Vec::new(),
        scrape: 0,
    };
    for line in setting.lines().filter(|line| !line.trim().is_empty()) {
        let (word, rest) = line.split_once(' ').expect("a word and more");
        let millis = || parse_duration(rest).unwrap_or_else(|| panic!("{line}"));
        match word {
            "interval" => timeline.interval = millis(),
            "scrape" => timeline.scrape = millis(),
            "until" => timeline.end = millis(),
            "external" => {
                let (name, value) = rest.split_once('=').expect("a name and a value");
                timeline.external.insert(name.to_owned(), value.to_owned());
            }
            "series" => {
                let at = rest
                    .rfind('}')
                    .map_or_else(|| rest.find(' ').expect("samples"), |at| at + 1);
                let labels = series_labels(&rest[..at]).unwrap_or_else(|error| panic!("{line}: {error}"));
                timeline.series.push((
                    labels,
                    samples(&rest[at..]).unwrap_or_else(|error| panic!("{line}: {error}")),
                ));
            }
            other => panic!("`{other}` is unknown"),
        }
    }
    (timeline, expected)
}

fn shown(labels: &BTreeMap<String, String>) -> String {
    Labels::from_pairs(labels).to_string()
}

fn told(out: &mut String, evaluated: &Evaluated) {
    let mut lines: Vec<String> = evaluated
        .series
        .iter()
        .map(|one| format!("  {} {}", one.labels, tend_promql::number(one.value)))
        .collect();
    lines.extend(evaluated.ended.iter().map(|labels| format!("  {labels} ends")));
    lines.sort();
    let mut posted: Vec<String> = evaluated.posted.iter().map(post).collect();
    posted.sort();
    lines.extend(posted);
    let errors = evaluated.fared.iter().filter_map(|fared| fared.error.as_deref());
    lines.extend(errors.map(|error| format!("  error {error}")));
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
}

fn post(posted: &Posted) -> String {
    let at = |time: Option<i64>| format_duration(time.expect("a time"));
    let mut line = format!(
        "  post {} from {} to {}",
        shown(&posted.labels),
        at(posted.starts_at),
        at(posted.ends_at)
    );
    for (name, text) in &posted.annotations {
        let _ = write!(line, " {name}={}", quoted(text));
    }
    line
}

fn play(timeline: &Timeline, store: &mut dyn Written, shares: bool) -> String {
    let file = read_rules(Path::new("rules.yml"), &timeline.rules).unwrap_or_else(|report| panic!("{report}"));
    let options = Options {
        interval: timeline.interval,
        external_labels: timeline.external.clone(),
        shares,
        ..Options::default()
    };
    let sources = vec![Source {
        file: "rules.yml".to_owned(),
        groups: file.groups,
    }];
    let mut engine = Engine::new(options, sources, None, -1).expect("rules that were read");
    let mut out = String::new();
    let mut time = 0;
    while time <= timeline.end {
        let at = usize::try_from(time / timeline.scrape).expect("a position");
        if time % timeline.scrape == 0 {
            let now: Vec<(Labels, f64)> = timeline
                .series
                .iter()
                .filter_map(|(labels, samples)| Some((labels.clone(), (*samples.get(at)?)?)))
                .collect();
            store.scraped(time, &now);
        }
        for due in engine.due(time) {
            let mut world = Still::default();
            let mut around = Around {
                store: store.store(),
                world: &mut world,
                watch: &mut || Duration::ZERO,
            };
            let evaluated = engine.evaluate(due.group, due.at, &mut around).expect("a group");
            store.evaluated(due.group, &evaluated);
            let mut text = String::new();
            told(&mut text, &evaluated);
            if !text.is_empty() {
                let name = engine.groups()[due.group].name();
                let _ = write!(out, "at {} {name}\n{text}", format_duration(due.at));
            }
        }
        time += 5000;
    }
    out
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/timelines");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("timelines")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= 5);
    files
}

#[test]
fn what_comes_out_is_what_was_written() {
    for path in files() {
        let text = fs::read_to_string(&path).expect("a timeline");
        let (timeline, expected) = read(&text);
        let got = play(&timeline, &mut MemoryStore::default(), true);
        if std::env::var_os("UPDATE").is_some() {
            let whole = format!("{}---\n{}---\n{got}", timeline.rules, timeline.setting);
            fs::write(&path, whole).expect("written");
            continue;
        }
        assert_eq!(got, expected, "{}", path.display());
    }
}

#[test]
fn the_real_store_gives_the_same() {
    for path in files() {
        let text = fs::read_to_string(&path).expect("a timeline");
        let (timeline, expected) = read(&text);
        let got = play(&timeline, &mut Real::new(), true);
        for (number, (got, expected)) in got.lines().zip(expected.lines()).enumerate() {
            assert_eq!(got, expected, "{}, line {number} of what comes out", path.display());
        }
        assert_eq!(got, expected, "{}", path.display());
    }
}

#[test]
fn sharing_changes_no_result() {
    for path in files() {
        let text = fs::read_to_string(&path).expect("a timeline");
        let (timeline, expected) = read(&text);
        let got = play(&timeline, &mut MemoryStore::default(), false);
        assert_eq!(got, expected, "{}", path.display());
    }
}
