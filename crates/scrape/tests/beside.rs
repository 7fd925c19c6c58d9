//! Debian's Prometheus beside us: the same configuration, the same bodies, and what both keep of one scrape.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tend_fetch::{Address, Client, Request};
use tend_scrape::Health;
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
            let labels = tend_promql::Labels::from_pairs(labels).to_string();
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

    let answer = prometheus.ask("/api/v1/targets?state=active").await;
    let targets = running.scraper.targets();
    for theirs in answer["data"]["activeTargets"].as_array().expect("targets") {
        let text = |key: &str| theirs[key].as_str().unwrap_or_default().to_owned();
        let ours = targets
            .active
            .iter()
            .find(|one| one.job == text("scrapePool"))
            .expect("the job");
        assert_eq!(
            (ours.url.clone(), ours.last.health.word().to_owned()),
            (text("scrapeUrl"), text("health"))
        );
        let pairs = |key: &str| {
            let labels = theirs[key].as_object().expect("labels").iter();
            tend_promql::Labels::from_pairs(labels.map(|(name, value)| (name, value.as_str().unwrap_or_default())))
        };
        assert_eq!(
            (&ours.labels, &ours.discovered),
            (&pairs("labels"), &pairs("discoveredLabels"))
        );
        assert_eq!(ours.last.error.is_empty(), text("lastError").is_empty(), "{ours:?}");
    }
    assert_eq!(
        targets
            .active
            .iter()
            .filter(|one| one.last.health == Health::Down)
            .count(),
        5
    );
}
