//! Debian's Prometheus beside us: the same configuration, the same bodies, and what both keep of one scrape.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tend_fetch::{Address, Client, Request};
use tend_promql::Labels;
use tend_scrape::Targets;
use tend_testkit::Folder;

use crate::web::{Says, Web};
use crate::{PATIENCE, Running};

const BODY: &str = r#"# HELP requests_total All of them.
# TYPE requests_total counter
requests_total{method="GET",code="200"} 1027
requests_total{method="POST",code="200",job="own",instance="i",exported_job="e"} 3
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} 5
took_seconds_bucket{le="+Inf"} 7
took_seconds_sum 1.5e-3
took_seconds_count 7
text{value="a \"quoted\" \\ line\nwith 中文"} -0.5
special{of="nan"} NaN
special{of="inf"} -Inf
empty{instance="",job=""} 4
dropped 1
"#;

/// Jobs, with their paths and keys.
const JOBS: &[(&str, &str, &str)] = &[
    ("plain", "/a", ""),
    ("honest", "/a", "honor_labels: true"),
    (
        "relabelled",
        "/a",
        "params: {module: [x]}, relabel_configs: [{source_labels: [__param_module, __scheme__, __metrics_path__, __scrape_interval__], target_label: from}, {source_labels: [__address__], regex: '(.*):.*', target_label: instance}], \
         metric_relabel_configs: [{source_labels: [__name__], regex: dropped, action: drop}, {source_labels: [code], regex: (.)00, target_label: class, replacement: $1xx}, {regex: code, action: labeldrop}]",
    ),
    ("sampled", "/a", "sample_limit: 3"),
    ("sized", "/a", "body_size_limit: 100B"),
    ("labelled", "/a", "label_limit: 3"),
    ("absent", "/none", ""),
    ("broken", "/broken", ""),
    ("open", "/open", ""),
    ("packed", "/packed", ""),
    ("nothing", "/nothing", ""),
];

struct Prometheus {
    child: Child,
    address: String,
    _folder: Folder,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(config: &str) -> Self {
        let folder = Folder::new();
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).expect("written");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus (Debian package prometheus) starts");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        // Reads to the end, so that Prometheus never waits for its log.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if line["msg"] == "Listening on" {
                    _ = tell.try_send(line["address"].as_str().unwrap_or_default().to_owned());
                }
            }
        });
        let address = told.recv_timeout(PATIENCE);
        let mut started = Self {
            child,
            address: String::new(),
            _folder: folder,
        };
        started.address = address.expect("prometheus says where it listens");
        started
    }

    async fn ask(&self, path: &str) -> serde_json::Value {
        let address = Address::parse(&format!("http://{}{path}", self.address)).expect("an address");
        let mut request = Request::get(address);
        request.within = PATIENCE;
        request.answer_bytes_max = 16 << 20;
        let answer = Client::default().send(&request).await.expect("prometheus answers");
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// The value of each series, written as ours are.
    async fn series(&self) -> BTreeMap<String, String> {
        // Each job's, for whatever is last within the look-back.
        let answer = self
            .ask("/api/v1/query?query=%7B__name__%21%3D%22%22%2Cjob%21%3D%22itself%22%7D")
            .await;
        let mut found = BTreeMap::new();
        for one in answer["data"]["result"].as_array().expect("a result") {
            let labels = one["metric"].as_object().expect("labels");
            let labels = labels
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
            let labels = Labels::from_pairs(labels).to_string();
            let value = one["value"][1].as_str().unwrap_or_default().to_owned();
            if !labels.starts_with("scrape_duration_seconds") {
                found.insert(labels, value);
            }
        }
        found
    }
}

#[tokio::test]
async fn a_scrape_leaves_what_prometheus_keeps_of_it() {
    let web = Web::new([
        ("/a", Says::metrics(BODY)),
        ("/a?module=x", Says::metrics(BODY)),
        ("/broken", Says::Answer(503, String::new(), Vec::new())),
        (
            "/open",
            Says::typed(
                "application/openmetrics-text; version=1.0.0",
                "# TYPE a counter\na_total 1\n# EOF\n",
            ),
        ),
        ("/packed", Says::Packed(b"a 1\n".to_vec())),
        ("/nothing", Says::metrics("")),
    ]);
    let mut text = String::from("global: {scrape_interval: 1s}\nscrape_configs:\n");
    for (name, path, keys) in JOBS {
        let address = web.address;
        text.push_str(&format!(
            "  - {{job_name: {name}, metrics_path: {path}, static_configs: [{{targets: ['{address}']}}], {keys}}}\n"
        ));
    }
    let prometheus = Prometheus::start(&text);
    // It has metrics of its own, in plenty: an exporter that is none of ours.
    let itself = format!(
        "{text}  - {{job_name: itself, static_configs: [{{targets: ['{}']}}]}}\n",
        prometheus.address
    );
    let running = Running::new();
    running.set(&itself);
    let last = running.until_up("itself").await;
    assert!(
        last.samples > 200 && last.kept == last.samples && last.bad_lines == 0,
        "{last:?}"
    );

    // From the second round on no series is new, and both have the same.
    let begun = Instant::now();
    loop {
        let mut theirs = prometheus.series().await;
        let mut ours = running.newest("");
        ours.retain(|labels, value| !labels.contains("job=\"itself\"") && value != "stale");
        // Of a body with a series over a limit they read no further, and they count its series as new in each round.
        let differs = |labels: &str| {
            let of = |metric: &str, job: &str| labels.starts_with(metric) && labels.contains(job);
            of("scrape_samples_scraped", "\"labelled\"")
                || of("scrape_series_added", "\"labelled\"")
                || of("scrape_series_added", "\"sampled\"")
        };
        theirs.retain(|labels, _| !differs(labels));
        ours.retain(|labels, _| !differs(labels));
        ours.values_mut().for_each(|value| *value = value.replace("inf", "Inf"));
        if theirs == ours {
            assert!(ours.len() > 60, "{ours:#?}");
            break;
        }
        let differ = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            let lines = one.iter().filter(|(labels, value)| other.get(*labels) != Some(*value));
            lines
                .map(|(labels, value)| format!("{labels} {value}"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert!(
            begun.elapsed() < PATIENCE,
            "only theirs:\n{}\nonly ours:\n{}",
            differ(&theirs, &ours),
            differ(&ours, &theirs)
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let begun = Instant::now();
    loop {
        let differ = compare(
            &prometheus.ask("/api/v1/targets?state=active").await,
            &running.scraper.targets(),
        );
        if differ.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", differ.join("\n"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What differs between the targets of both.
fn compare(theirs: &serde_json::Value, ours: &Targets) -> Vec<String> {
    let pairs = |labels: &serde_json::Value| {
        let labels = labels.as_object().expect("labels").iter();
        Labels::from_pairs(labels.map(|(name, value)| (name, value.as_str().unwrap_or_default())))
    };
    let theirs: BTreeSet<String> = (theirs["data"]["activeTargets"].as_array().expect("targets").iter())
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            let (labels, discovered) = (pairs(&one["labels"]), pairs(&one["discoveredLabels"]));
            let (job, url, health) = (text("scrapePool"), text("scrapeUrl"), text("health"));
            let failed = !text("lastError").is_empty();
            format!("{job} {url} {health} {labels} {discovered} failed: {failed}")
        })
        .collect();
    let ours: BTreeSet<String> = (ours.active.iter().filter(|one| one.job != "itself"))
        .map(|one| {
            let (labels, discovered, health) = (&one.labels, &one.discovered, one.last.health.word());
            let failed = !one.last.error.is_empty();
            format!(
                "{} {} {health} {labels} {discovered} failed: {failed}",
                one.job, one.url
            )
        })
        .collect();
    assert_eq!(ours.len(), JOBS.len());
    theirs.symmetric_difference(&ours).cloned().collect()
}
