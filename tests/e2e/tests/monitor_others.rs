//! The monitor and servers that others run: what is measured is sent to a real Prometheus and a real VictoriaMetrics, and a real Prometheus takes the
//! place of the store. And the monitor under kills, with a full disk.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::rig::{Machine, free_port, get, kill, wait_until, web};

/// A server of Debian's, ended with the test.
struct Peer {
    child: Child,
    port: u16,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start(program: &str, arguments: &[String], port: u16) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self { child, port }
    }

    /// One that takes remote write, in a folder that is there already when it is started again.
    fn prometheus(folder: &Path, port: u16) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, "global: { scrape_interval: 1s }\n").unwrap();
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-remote-write-receiver".to_owned(),
        ];
        Self::start("prometheus", &arguments, port)
    }

    fn victoria(folder: &Path, port: u16) -> Self {
        let arguments = [
            format!("-storageDataPath={}", folder.display()),
            format!("-httpListenAddr=127.0.0.1:{port}"),
            "-search.latencyOffset=0s".to_owned(),
        ];
        Self::start("/usr/bin/victoria-metrics", &arguments, port)
    }

    /// The values of an expression at it, with their times where it is a range; nothing while it does not answer.
    fn values(&self, expression: &str) -> Vec<Value> {
        values(self.port, expression)
    }
}

fn values(port: u16, expression: &str) -> Vec<Value> {
    let escaped = expression
        .replace('[', "%5B")
        .replace(']', "%5D")
        .replace('{', "%7B")
        .replace('}', "%7D");
    let escaped = escaped.replace('"', "%22").replace(' ', "%20");
    let Ok(answer) = get(port, &format!("/api/v1/query?query={escaped}")) else {
        return Vec::new();
    };
    let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let all = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let of = |one: &Value| match one["values"].as_array() {
        Some(all) => all.clone(),
        None => vec![one["value"].clone()],
    };
    all.iter().flat_map(of).collect()
}

/// The times of samples, in whole milliseconds.
fn times(samples: &[Value]) -> Vec<i64> {
    samples
        .iter()
        .map(|sample| (sample[0].as_f64().unwrap() * 1000.0).round() as i64)
        .collect()
}

#[test]
fn what_is_measured_goes_to_others_over_a_kill_and_while_they_are_away() {
    let machine = Machine::new("monitor-write");
    let (first, second, listen) = (free_port(), free_port(), free_port());
    let folder = machine.folder.join("prometheus");
    let prometheus = Peer::prometheus(&folder, first);
    let victoria = Peer::victoria(&machine.folder.join("victoria"), second);
    let text = format!(
        "{}metrics:\n  interval: 1s\n  timeout: 900ms\n  listen: '127.0.0.1:{listen}'\n  collect: {{ node: false }}\n  remote_write:\n\
         \x20   - {{ url: 'http://127.0.0.1:{first}/api/v1/write' }}\n    - {{ url: 'http://127.0.0.1:{second}/api/v1/write' }}\n",
        web(&["metrics: true"])
    );
    machine.tend(&["up", &machine.stack("shop", &text)]).ok();
    let sent = "jobs_in_flight{stack=\"shop\",service=\"web\"}";
    for peer in [&prometheus, &victoria] {
        wait_until("it arrives", || !peer.values(sent).is_empty());
    }

    // Away, while the monitor is killed: what is missed is sent when both are back, and nothing is left out.
    drop(prometheus);
    wait_until("that it is away is in the journal", || {
        !machine.events("metrics.write_failed").is_empty()
    });
    let monitor = machine.roles("monitor").first().copied().expect("a monitor runs");
    kill(monitor);
    wait_until("another monitor measures", || {
        machine.roles("monitor").iter().any(|pid| *pid != monitor) && !values(listen, "up{job=\"web\"}").is_empty()
    });
    let prometheus = Peer::prometheus(&folder, first);
    let range = "jobs_in_flight[10m]";
    wait_until("it has what there was meanwhile", || {
        let ours = times(&values(listen, range));
        let theirs = times(&prometheus.values(range));
        // What is newest is on its way.
        let Some(last) = theirs.last() else { return false };
        let due: Vec<i64> = ours
            .iter()
            .copied()
            .filter(|time| time <= last && *time >= theirs[0])
            .collect();
        ours.len() >= 12 && due.len() + 8 >= ours.len() && due.iter().all(|time| theirs.contains(time))
    });
    wait_until("and the other one, too", || {
        let ours = times(&values(listen, range));
        let theirs = times(&victoria.values(range));
        let Some(last) = theirs.last() else { return false };
        ours.iter()
            .filter(|time| *time <= last && **time >= theirs[0])
            .all(|time| theirs.contains(time))
    });
    wait_until("how far behind it is is measured", || {
        !values(listen, "tend_remote_write_behind_seconds").is_empty()
    });
    machine.tend(&["down", "shop"]).ok();
}

#[test]
fn a_prometheus_that_is_there_takes_the_place_of_the_store() {
    let machine = Machine::new("monitor-remote");
    let (theirs, listen) = (free_port(), free_port());
    let folder = machine.folder.join("prometheus");
    std::fs::create_dir_all(&folder).unwrap();
    // It measures itself, as one that was there before does.
    let config = folder.join("prometheus.yml");
    let scrape = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs: [ {{ job_name: itself, static_configs: [ {{ targets: ['127.0.0.1:{theirs}'] }} ] }} ]\n"
    );
    std::fs::write(&config, scrape).unwrap();
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{theirs}"),
    ];
    let prometheus = Peer::start("prometheus", &arguments, theirs);
    let text = format!(
        "{}metrics: {{ interval: 1s, timeout: 900ms, listen: '127.0.0.1:{listen}', prometheus: 'http://127.0.0.1:{theirs}/' }}\nalerts: {{ rules: rules.yml }}\n",
        web(&["metrics: true"])
    );
    let stack = machine.stack("shop", &text);
    let rules = "groups:\n  - name: theirs\n    interval: 1s\n    rules:\n      - { record: 'theirs:up', expr: 'count(up{job=\"itself\"})' }\n\
                 \x20     - { alert: TheyAreUp, expr: 'theirs:up * on () group_left () up{job=\"itself\"} == 1' }\n";
    std::fs::write(Path::new(&stack).join("rules.yml"), rules).unwrap();
    machine.tend(&["up", &stack]).ok();

    // Queries are theirs, what rules make is here, and a rule sees both.
    let query = |expression: &str| {
        let done = machine.tend(&["metrics", "query", expression, "-s", "shop", "--json"]);
        let answer: Value = serde_json::from_str(&done.out).unwrap_or_default();
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    };
    wait_until("their series answer", || {
        query("rate(prometheus_http_requests_total[1m]) >= 0") > 0
    });
    assert_eq!(query("jobs_in_flight"), 0, "what is measured here is not theirs");
    wait_until("what rules make is there", || query("theirs:up") == 1);
    wait_until("the alert fires", || !machine.events("alert.fired").is_empty());
    let labels = get(listen, "/api/v1/label/job/values").unwrap().body;
    assert!(labels.contains("itself"), "{labels}");

    // Away: a query says so, and who is asked.
    drop(prometheus);
    let away = machine.tend(&["metrics", "query", "up", "-s", "shop"]);
    assert!(
        away.code != 0 && away.err.contains("metrics.prometheus"),
        "{}",
        away.said()
    );
    machine.tend(&["down", "shop"]).ok();
}

#[test]
fn kills_of_the_monitor_and_of_the_daemon_and_a_full_disk_lose_nothing_that_was_promised() {
    let program = tend_testkit::program("bench-metrics");
    let output = Command::new(program)
        .args(["kills", "--minutes", "1"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.contains("every promise was kept"),
        "{said}"
    );
}
