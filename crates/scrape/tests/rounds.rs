//! What becomes of answers, with collectors of the tests' own: labels, limits, markers, and what is kept when jobs are set anew.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tend_base::{Clock, SystemClock};
use tend_promql::is_stale;
use tend_scrape::{BuiltIn, Gather, Gathered, Health, Job};

use crate::{Running, Shared, all, read, set_of, until};

/// Says what the test wants it to say; hangs where that is nothing.
struct Says(Shared<Option<Gathered>>);

impl Gather for Says {
    fn gather(&mut self) -> Pin<Box<dyn Future<Output = Gathered> + Send + '_>> {
        let said = self.0.lock().expect("unpoisoned").clone();
        Box::pin(async move {
            match said {
                Some(said) => said,
                None => std::future::pending().await,
            }
        })
    }
}

pub(crate) fn says(text: &str) -> Shared<Option<Gathered>> {
    Arc::new(Mutex::new(Some(Ok(text.to_owned()))))
}

fn say(to: &Shared<Option<Gathered>>, what: Option<Gathered>) {
    *to.lock().expect("unpoisoned") = what;
}

/// A job `j` of a `prometheus.yml`, with these keys and a collector.
fn job(keys: &str, said: &Shared<Option<Gathered>>) -> Job {
    named("j", "c", keys, said)
}

pub(crate) fn named(name: &str, identity: &str, keys: &str, said: &Shared<Option<Gathered>>) -> Job {
    let text = format!("scrape_configs: [{{job_name: {name}, scrape_interval: 200ms, {keys}}}]");
    let mut job = read(&text).jobs.remove(0);
    job.built_in.push(BuiltIn {
        identity: identity.to_owned(),
        labels: BTreeMap::new(),
        gather: Box::new(Says(Arc::clone(said))),
    });
    job
}

/// Body, keys of the job, and the series that are kept.
const LABELS: &[(&str, &str, &[&str])] = &[
    (
        "a 1\nb{x=\"y\"} 2\n",
        "",
        &[
            "a{instance=\"c\", job=\"j\"} 1",
            "b{instance=\"c\", job=\"j\", x=\"y\"} 2",
        ],
    ),
    // A label of the exporter that the target has, too.
    (
        "a{job=\"own\",instance=\"i\"} 1\n",
        "",
        &["a{exported_instance=\"i\", exported_job=\"own\", instance=\"c\", job=\"j\"} 1"],
    ),
    (
        "a{job=\"own\",exported_job=\"e\"} 1\n",
        "",
        &["a{exported_exported_job=\"own\", exported_job=\"e\", instance=\"c\", job=\"j\"} 1"],
    ),
    ("a{job=\"\"} 1\n", "", &["a{instance=\"c\", job=\"j\"} 1"]),
    (
        "a{job=\"own\"} 1\n",
        "honor_labels: true",
        &["a{instance=\"c\", job=\"own\"} 1"],
    ),
    // An empty one takes the target's away.
    ("a{instance=\"\"} 1\n", "honor_labels: true", &["a{job=\"j\"} 1"]),
    (
        "a 1\nb 2\nc{x=\"1\"} 3\n",
        "metric_relabel_configs: [{source_labels: [__name__], regex: a, action: drop}, {source_labels: [x], regex: (.+), target_label: y, replacement: '<$1>'}, {regex: x, action: labeldrop}]",
        &[
            "b{instance=\"c\", job=\"j\"} 2",
            "c{instance=\"c\", job=\"j\", y=\"<1>\"} 3",
        ],
    ),
    // Of two samples of one series the first counts.
    ("a 1\na 2\n", "", &["a{instance=\"c\", job=\"j\"} 1"]),
    // A bad line costs itself only.
    (
        "a 1\n}{\nb x\nc 3\n",
        "",
        &["a{instance=\"c\", job=\"j\"} 1", "c{instance=\"c\", job=\"j\"} 3"],
    ),
    ("", "", &[]),
];

#[tokio::test]
async fn series_get_the_labels_that_prometheus_gives_them() {
    for (body, keys, expected) in LABELS {
        let running = Running::new();
        running.scraper.set(vec![job(keys, &says(body))]);
        let last = running.until_up("j").await;
        let mut found = running.newest("");
        found.retain(|labels, _| !labels.starts_with("up") && !labels.starts_with("scrape_"));
        let found = found
            .iter()
            .map(|(labels, value)| format!("{labels} {value}"))
            .collect();
        assert_eq!(set_of(expected), found, "{body}");
        assert_eq!(last.kept, expected.len() + usize::from(body.contains("a 2")), "{body}");
        assert_eq!(last.bad_lines, usize::from(body.contains("}{")) * 2, "{body}");
        let note = last.note.unwrap_or_default();
        assert_eq!(
            note.contains("lines that were not taken: 2; line 2: "),
            body.contains("}{"),
            "{note}"
        );
        assert_eq!(
            note.contains("has one in this scrape already: 1"),
            body.contains("a 2"),
            "{note}"
        );
    }
}

#[tokio::test]
async fn the_five_series_of_a_scrape_tell_of_it() {
    let running = Running::new();
    let said = says("a 1\nb 2\nc 3\n");
    let keys = "metric_relabel_configs: [{source_labels: [__name__], regex: c, action: drop}]";
    running.scraper.set(vec![job(keys, &said)]);
    running.until_up("j").await;
    let found = all(&running.store);
    let first = |name: &str| found[&format!("{name}{{instance=\"c\", job=\"j\"}}")][0].1;
    assert_eq!(
        [
            first("up"),
            first("scrape_samples_scraped"),
            first("scrape_samples_post_metric_relabeling"),
            first("scrape_series_added")
        ],
        [1.0, 3.0, 2.0, 2.0]
    );
    assert!(first("scrape_duration_seconds") >= 0.0);
    assert!(!found.keys().any(|labels| labels.starts_with("c{")));
}

/// Keys of the job, a body that is refused with them, why, and one that is taken.
const LIMITS: &[(&str, &str, &str, &str)] = &[
    (
        "sample_limit: 2",
        "a 1\nab 1\nac 1\n",
        "3 samples are left after relabelling, and there may be 2 (sample_limit)",
        "a 1\nac 1\n",
    ),
    (
        "label_limit: 4",
        "a 1\nb{x=\"1\",y=\"2\"} 1\n",
        "the series `b` has 5 labels, and may have 4 (label_limit)",
        "a{x=\"1\"} 1\n",
    ),
    (
        "label_name_length_limit: 10",
        "a{abcdefghijk=\"1\"} 1\n",
        "the series `a` has 11 bytes in the name of a label",
        "a 1\n",
    ),
    (
        "label_value_length_limit: 5",
        "a{x=\"123456\"} 1\n",
        "the series `a` has 6 bytes in the value of a label",
        "a{x=\"1\"} 1\n",
    ),
    (
        "body_size_limit: 10B",
        "abcdef 123\n",
        "the body is larger than 10 bytes",
        "abcdef 12\n",
    ),
    (
        "metric_relabel_configs: [{regex: __name__, action: labeldrop}]",
        "a 1\n",
        "metric_relabel_configs leave a series without its name",
        "",
    ),
    (
        "honor_labels: false",
        "<html>\n",
        "nothing in the body is a metric; line 1: ",
        "a 1\n",
    ),
];

#[tokio::test]
async fn what_is_over_a_limit_fails_the_scrape_until_it_is_not() {
    for (keys, over, why, within) in LIMITS {
        let running = Running::new();
        let said = says(within);
        running.scraper.set(vec![job(keys, &said)]);
        running.until_up("j").await;
        for _ in 0..2 {
            say(&said, Some(Ok((*over).to_owned())));
            let last = running.until_down("j").await;
            assert!(last.error.contains(why), "{keys}: {}", last.error);
            let newest = running.newest("");
            assert_eq!(newest["up{instance=\"c\", job=\"j\"}"], "0");
            let mut own = newest
                .iter()
                .filter(|(labels, _)| !labels.starts_with("up") && !labels.starts_with("scrape_"));
            assert!(own.all(|(_, value)| value == "stale"), "{keys}: {newest:?}");
            say(&said, Some(Ok((*within).to_owned())));
            running.until_up("j").await;
        }
        let fresh = running.newest("");
        let own = fresh
            .iter()
            .filter(|(labels, value)| labels.starts_with('a') && *value != "stale");
        assert_eq!(own.count(), within.lines().count(), "{keys}: {fresh:?}");
    }
}

#[tokio::test]
async fn a_job_with_too_many_targets_asks_none() {
    let running = Running::new();
    let said = says("a 1\n");
    let mut two = job("target_limit: 1", &said);
    two.built_in.extend(named("j", "d", "", &said).built_in);
    running.scraper.set(vec![two]);
    let last = running.until_down("j").await;
    assert!(
        last.error.contains("the job has 2 targets, and may have 1"),
        "{}",
        last.error
    );
    running.scraper.set(vec![job("target_limit: 1", &said)]);
    running.until_up("j").await;
}

#[tokio::test]
async fn a_collector_that_fails_or_hangs_is_down_and_its_series_end() {
    let running = Running::new();
    let said = says("a 1\n");
    running.scraper.set(vec![job("", &said)]);
    for (what, error) in [
        (
            Some(Err("the server is away".to_owned())),
            "could not gather: the server is away",
        ),
        (None, "could not gather: it took longer than"),
    ] {
        running.until_up("j").await;
        say(&said, what);
        let last = running.until_down("j").await;
        assert!(last.error.contains(error), "{}", last.error);
        let newest = running.newest("");
        assert_eq!(newest["a{instance=\"c\", job=\"j\"}"], "stale");
        say(&said, Some(Ok("a 1\n".to_owned())));
    }
    running.until_up("j").await;
    assert_eq!(running.newest("")["a{instance=\"c\", job=\"j\"}"], "1");
}

#[tokio::test]
async fn a_target_that_hangs_costs_nobody_else() {
    let running = Running::new();
    let hung = Arc::new(Mutex::new(None));
    running.scraper.set(vec![
        named("hung", "h", "", &hung),
        named("well", "w", "", &says("a 1\n")),
    ]);
    running.until_down("hung").await;
    let rounds = || {
        all(&running.store)
            .get("a{instance=\"w\", job=\"well\"}")
            .map_or(0, Vec::len)
    };
    until("the other is asked again and again", || rounds() >= 5).await;
    let samples = &all(&running.store)["up{instance=\"w\", job=\"well\"}"];
    assert!(samples.iter().all(|(_, value)| *value == 1.0), "{samples:?}");
}

#[tokio::test]
async fn what_stays_goes_on_and_what_goes_ends() {
    let running = Running::new();
    let (stays, goes) = (says("a 1\nb 1\n"), says("a 1\n"));
    running
        .scraper
        .set(vec![named("stays", "s", "", &stays), named("goes", "g", "", &goes)]);
    running.until_up("stays").await;
    running.until_up("goes").await;
    // With another interval, and rules that it had not; its collector is the one it had.
    let other = says("never 1\n");
    let keys = "scrape_timeout: 100ms, metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]";
    running.scraper.set(vec![named("stays", "s", keys, &other)]);
    until("the series of what went have ended", || {
        running.newest("job=\"goes\"").values().all(|value| value == "stale")
    })
    .await;
    until("the new rules are in force", || {
        running.newest("b{")["b{instance=\"s\", job=\"stays\"}"] == "stale"
    })
    .await;
    let found = all(&running.store);
    let samples = &found["a{instance=\"s\", job=\"stays\"}"];
    assert!(
        samples.iter().all(|(_, value)| !is_stale(*value)),
        "no gap: {samples:?}"
    );
    assert!(!found.keys().any(|labels| labels.starts_with("never")));
    assert_eq!(
        found["scrape_series_added{instance=\"s\", job=\"stays\"}"]
            .iter()
            .filter(|(_, v)| *v > 0.0)
            .count(),
        1
    );
    running.scraper.set(Vec::new());
    until("all ended", || {
        running.newest("").values().all(|value| value == "stale")
    })
    .await;
    assert!(running.scraper.targets().active.is_empty());
}

#[tokio::test]
async fn whoever_waits_for_a_moment_has_all_scrapes_that_were_due() {
    let running = Running::new();
    let said = says("a 1\n");
    running.scraper.settled(i64::MAX).await;
    let jobs = (0..20)
        .map(|number| named(&format!("j{number}"), "c", "", &said))
        .collect();
    running.scraper.set(jobs);
    let dues: Vec<(String, i64)> = (running.scraper.targets().active.iter())
        .map(|one| (one.job.clone(), one.due_ms))
        .collect();
    let last = dues.iter().map(|(_, due)| *due).max().expect("a target");
    tokio::time::timeout(crate::PATIENCE, running.scraper.settled(last))
        .await
        .expect("settled");
    let found = all(&running.store);
    for (job, due) in dues {
        let samples = &found[&format!("up{{instance=\"c\", job=\"{job}\"}}")];
        assert!(
            samples.iter().any(|(time, _)| *time >= due - 1),
            "{job}: {samples:?} {due}"
        );
    }
    let now = i64::try_from(SystemClock.now().wall.0).expect("a time");
    assert!(
        running
            .scraper
            .targets()
            .active
            .iter()
            .all(|one| one.due_ms > last && one.due_ms <= now + 60_000)
    );
}

#[tokio::test]
async fn what_metrics_are_is_remembered() {
    let running = Running::new();
    let said = says("# HELP a Of\\na kind.\n# TYPE a counter\na 1\n");
    running.scraper.set(vec![job("", &said)]);
    running.until_up("j").await;
    let known = running.scraper.metadata();
    let one = &known["j"]["a"];
    assert_eq!(
        (one.help.as_str(), one.metric_type),
        ("Of\na kind.", tend_exposition::MetricType::Counter)
    );
    assert_eq!(running.last("j", "c").health, Health::Up);
}
