//! What is measured and told, end to end: from a replica's own metrics to a receiver, over kills of all that is in between.

use serde_json::Value;
use tend_testkit::Receiver;

use crate::rig::{Machine, free_port, get, is_alive, kill, wait_until, web};

const RULES: &str = "
groups:
  - name: jobs
    rules:
      - record: jobs:sum
        expr: sum(jobs_in_flight)
      - alert: JobsInFlight
        expr: jobs_in_flight > 0
        labels: { severity: critical }
        annotations: { summary: 'replica {{ $labels.replica }} has {{ $value }} in flight' }
";

/// A stack that is measured each second, whose receiver is told at once.
struct Shop {
    machine: Machine,
    folder: String,
    receiver: Receiver,
    listen: u16,
}

impl Shop {
    fn up(name: &str) -> Self {
        let machine = Machine::new(name);
        let receiver = Receiver::start();
        let listen = free_port();
        let text = format!(
            "{}metrics: {{ interval: 1s, timeout: 900ms, listen: '127.0.0.1:{listen}', collect: {{ node: false }} }}\n\
             alerts: {{ rules: rules.yml, alertmanager: alertmanager.yml }}\n",
            web(&["metrics: true", "readiness: { http: /ready, interval: 200ms }"])
        );
        let folder = machine.stack("shop", &text);
        let shop = Self {
            machine,
            folder,
            receiver,
            listen,
        };
        shop.write("rules.yml", RULES);
        shop.write(
            "alertmanager.yml",
            &format!(
                "route: {{ receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 500ms, repeat_interval: 1h }}\n\
                 receivers: [ {{ name: hook, webhook_configs: [ {{ url: 'http://127.0.0.1:{}/' }} ] }} ]\n",
                shop.receiver.port
            ),
        );
        shop.machine.tend(&["up", &shop.folder]).ok();
        shop.wait_value("up{job=\"web\"}", "1");
        shop
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(std::path::Path::new(&self.folder).join(name), text).unwrap();
    }

    /// The one value of an expression; nothing where there is none, or nobody to ask.
    fn value(&self, expression: &str) -> Option<String> {
        let done = self
            .machine
            .tend(&["metrics", "query", expression, "-s", "shop", "--json"]);
        let answer: Value = serde_json::from_str(&done.out).ok()?;
        match answer["data"]["result"].as_array()?.as_slice() {
            [one] => Some(one["value"][1].as_str()?.to_owned()),
            _ => None,
        }
    }

    #[track_caller]
    fn wait_value(&self, expression: &str, value: &str) {
        wait_until(&format!("{expression} is {value}"), || {
            self.value(expression).as_deref() == Some(value)
        });
    }

    /// The times of a series' samples of the last minute, in seconds.
    fn times(&self, name: &str) -> Vec<f64> {
        let answer = get(self.listen, &format!("/api/v1/query?query={name}%5B1m%5D")).unwrap();
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        let samples = answer["data"]["result"][0]["values"].as_array().cloned();
        let samples = samples.unwrap_or_default();
        samples.iter().map(|sample| sample[0].as_f64().unwrap()).collect()
    }

    /// The port that the replica was given.
    fn port(&self) -> u16 {
        let started = self.machine.events("replica.started");
        u16::try_from(started.last().unwrap()["data"]["port"].as_u64().unwrap()).unwrap()
    }

    fn monitor(&self) -> i32 {
        self.machine.roles("monitor").first().copied().expect("a monitor runs")
    }

    #[track_caller]
    fn wait_told(&self, status: &str, times: usize) {
        wait_until(&format!("it was told {times} times that it is {status}"), || {
            self.receiver.told("JobsInFlight", status) >= times
        });
        assert_eq!(self.receiver.told("JobsInFlight", status), times, "{status}");
    }

    fn count(&self, kind: &str) -> usize {
        self.machine.events(kind).len()
    }
}

#[test]
fn what_fires_is_told_once_over_kills_of_the_daemon_and_of_the_monitor() {
    let shop = Shop::up("monitor-kills");
    let port = shop.port();
    assert_eq!(get(port, "/begin").unwrap().status, 200);
    shop.wait_told("firing", 1);
    wait_until("the journal has it", || {
        shop.count("alert.fired") == 1 && shop.count("notification.delivered") == 1
    });

    // The monitor needs no daemon: that it is over is told while there is none.
    let daemon = shop.machine.daemon();
    let monitor = shop.monitor();
    kill(daemon);
    wait_until("the daemon is gone", || !is_alive(daemon));
    assert_eq!(get(port, "/finish").unwrap().status, 200);
    shop.wait_told("resolved", 1);
    shop.machine.start_daemon();
    assert_eq!(shop.monitor(), monitor, "the same one runs on");
    wait_until("what was noted meanwhile is in the journal", || {
        shop.count("alert.resolved") == 1 && shop.count("notification.delivered") == 2
    });

    // A receiver that is away is told when it is back, whoever was killed in between.
    shop.receiver.set_deaf(true);
    assert_eq!(get(port, "/begin").unwrap().status, 200);
    wait_until("it was tried", || shop.count("notification.failed") >= 1);
    kill(monitor);
    wait_until("the monitor is gone", || !is_alive(monitor));
    shop.receiver.set_deaf(false);
    shop.wait_told("firing", 2);
    assert_ne!(shop.monitor(), monitor, "another one was started");

    // One more that knows what was told, and tells nothing again. What is in the journal was kept before; who is killed between a receipt and
    // keeping it tells again, and has to.
    wait_until("the receipt is kept", || shop.count("notification.delivered") == 3);
    let monitor = shop.monitor();
    kill(monitor);
    wait_until("the monitor is gone, and nothing of it is left with the daemon", || {
        !std::fs::exists(format!("/proc/{monitor}")).unwrap()
    });
    shop.wait_value("count(count_over_time(up{job=\"web\"}[1h]))", "1");
    assert_eq!(get(port, "/finish").unwrap().status, 200);
    shop.wait_told("resolved", 2);
    assert_eq!(
        shop.receiver.told("JobsInFlight", "firing"),
        2,
        "nothing was told twice"
    );
    wait_until("the journal has each of them once", || {
        shop.count("alert.resolved") == 2
    });
    assert_eq!(shop.count("alert.fired"), 2);
    assert!(shop.machine.tend(&["events", "verify"]).ok().contains("whole"));
}

#[test]
fn what_is_wrong_leaves_standing_what_stood_and_is_told_with_its_line() {
    let shop = Shop::up("monitor-wrong");
    shop.wait_value("jobs:sum", "0");
    shop.write("rules.yml", &RULES.replace("sum(jobs_in_flight)", "sum(jobs_in_flight"));
    wait_until("it is told", || {
        let told = shop.machine.events("monitor.failed");
        told.iter().any(|event| {
            let text = event["data"].to_string();
            text.contains("rules.yml:6") && text.contains("unclosed left parenthesis")
        })
    });
    assert_eq!(get(shop.port(), "/begin").unwrap().status, 200);
    shop.wait_told("firing", 1);
    shop.wait_value("jobs:sum", "1");
    shop.write("rules.yml", &RULES.replace("jobs:sum", "jobs:all"));
    shop.wait_value("jobs:all", "1");
    assert_eq!(
        shop.receiver.told("JobsInFlight", "firing"),
        1,
        "the rule went on where it was"
    );
    // Rounds are as even as the interval, whenever a task came to them.
    wait_until("some rounds are over", || shop.times("jobs:all").len() >= 4);
    let times = shop.times("jobs:all");
    assert!(times.iter().all(|time| time.fract() == 0.0), "{times:?}");
}

#[test]
fn rules_are_judged_over_what_is_measured() {
    let shop = Shop::up("monitor-judged");
    shop.write(
        "rules.yml",
        &RULES
            .replace("jobs_in_flight > 0", "jobs_in_fligth > 0")
            .replace("sum(jobs_in_flight)", "sum(node_load1)"),
    );
    wait_until("the journal says that they read nothing", || {
        let doubtful = shop.machine.events("rules.doubtful");
        doubtful.last().is_some_and(|event| {
            let text = event["data"].to_string();
            text.contains("jobs_in_fligth") && text.contains("jobs_in_flight`?") && text.contains("collect: node")
        })
    });
    let checked = shop.machine.tend(&["rules", "check", "--measured", "-s", "shop"]);
    assert!(
        checked.code != 0 && checked.out.contains("no series is called `jobs_in_fligth`"),
        "{}",
        checked.said()
    );
    shop.write("rules.yml", RULES);
    wait_until("they are well again", || {
        let checked = shop.machine.tend(&["rules", "check", "--measured", "-s", "shop"]);
        checked.code == 0 && checked.out.contains("no error in 2 rules")
    });
}

#[test]
fn what_people_say_of_alerts_counts() {
    let shop = Shop::up("monitor-people");
    let tend = |arguments: &[&str]| shop.machine.tend(&[arguments, &["-s", "shop"]].concat());
    let silence = tend(&[
        "alerts",
        "silence",
        "alertname=JobsInFlight",
        "--until",
        "1h",
        "--reason",
        "a test",
    ]);
    let silence = silence.ok().trim().to_owned();
    assert_eq!(get(shop.port(), "/begin").unwrap().status, 200);
    wait_until("it fires", || shop.count("alert.fired") == 1);
    let listed = tend(&["alerts", "list"]);
    assert_eq!(listed.code, 0, "who keeps it quiet knows of it: {}", listed.said());
    assert!(
        listed.out.contains("suppressed") && listed.out.contains("replica 1 has 1 in flight"),
        "{}",
        listed.out
    );
    assert!(tend(&["alerts", "silences"]).ok().contains("a test"));
    assert_eq!(shop.receiver.told("JobsInFlight", "firing"), 0);
    tend(&["alerts", "unsilence", &silence]).ok();
    shop.wait_told("firing", 1);
    let listed = tend(&["alerts", "list", "--json"]);
    assert_eq!(listed.code, 13, "something fires: {}", listed.said());
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let id = listed[0]["fingerprint"].as_str().unwrap();
    tend(&["alerts", "acknowledge", id, "--note", "known"]).ok();
    tend(&["alerts", "assign", id, "mei"]).ok();
    wait_until("the journal has what was said", || shop.count("alert.care") == 4);
    let targets = tend(&["metrics", "targets"]).ok();
    assert!(targets.contains("web") && targets.contains("process"), "{targets}");
    let wrong = tend(&["metrics", "query", "sum("]);
    assert!(
        wrong.code != 0 && wrong.err.contains("unclosed left parenthesis"),
        "{}",
        wrong.said()
    );
    // The doors of Prometheus and Alertmanager stand open where the stack says.
    assert_eq!(get(shop.listen, "/api/v1/query?query=up").unwrap().status, 200);
    assert_eq!(get(shop.listen, "/api/v2/alerts").unwrap().status, 200);
    let command = std::fs::read_to_string(format!("/proc/{}/cmdline", shop.monitor())).unwrap();
    shop.machine.tend(&["down", "shop"]).ok();
    wait_until("without a stack there is no monitor", || {
        shop.machine.roles("monitor").is_empty()
    });
    // Nor one that another daemon began and was killed.
    let mut words = command.trim_end_matches('\0').split('\0');
    let mut left = std::process::Command::new(words.next().unwrap());
    left.args(words);
    let mut left = shop.machine.in_its_environment(left).spawn().unwrap();
    wait_until("what was left is ended", || left.try_wait().unwrap().is_some());
}

#[test]
fn daemon_metrics_are_at_the_door_of_prometheus() {
    let machine = Machine::new("daemon-metrics");
    let listen = free_port();
    let text = format!(
        "{}    config: {{ keys: [limits.*] }}\nconfig: {{}}\n\
         metrics: {{ interval: 1s, timeout: 900ms, listen: '127.0.0.1:{listen}', collect: {{ node: false, edge: false }} }}\n",
        web(&["readiness: { http: /ready, interval: 200ms }"])
    );
    let folder = machine.stack("shop", &text);
    let config = std::path::Path::new(&folder).join("config");
    std::fs::create_dir_all(config.join("environments")).unwrap();
    let schema = "keys:\n  limits.orders: { type: integer, default: 10, reload: rolling, description: Orders. }\n";
    std::fs::write(config.join("schema.yaml"), schema).unwrap();
    machine.tend(&["up", &folder]).ok();
    machine.tend(&["secret", "generate", "jwt_key", "-s", "shop"]).ok();

    let ask = |name: &str| -> Vec<(Value, String)> {
        let Ok(answer) = get(listen, &format!("/api/v1/query?query={name}")) else {
            return Vec::new();
        };
        let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let one = |series: &Value| {
            (
                series["metric"].clone(),
                series["value"][1].as_str().unwrap_or_default().to_owned(),
            )
        };
        series.iter().map(one).collect()
    };
    let wait = |name: &str, value: &str| {
        wait_until(&format!("{name} is {value}"), || {
            ask(name).first().is_some_and(|(_, found)| found == value)
        });
    };
    wait("tend_config_revision_live", "1");
    let (labels, _) = ask("tend_config_revision").pop().unwrap();
    assert_eq!(
        (&labels["job"], &labels["stack"]),
        (&"tend".into(), &"shop".into()),
        "{labels}"
    );
    assert_eq!(labels["service"], "web");
    wait("tend_config_replicas_behind", "0");
    wait("tend_replica_ready", "1");
    wait_until("the secret has an age", || !ask("tend_secret_age_seconds").is_empty());
    let (labels, _) = ask("tend_secret_due_seconds").pop().unwrap();
    assert_eq!(labels["secret"], "jwt_key");

    // Another revision shows as soon as it is taken.
    std::fs::write(config.join("environments/development.yml"), "limits.orders: 30\n").unwrap();
    wait("tend_config_revision", "2");
    wait("tend_config_revision_live", "2");
    machine.tend(&["down", "shop"]).ok();
}

#[test]
fn an_alert_tells_what_changed_before_it_and_who_was_told() {
    let shop = Shop::up("monitor-changed");
    let tend = |arguments: &[&str]| shop.machine.tend(&[arguments, &["-s", "shop"]].concat());
    let port = shop.port();
    assert_eq!(get(port, "/begin").unwrap().status, 200);
    shop.wait_told("firing", 1);
    assert_eq!(get(port, "/finish").unwrap().status, 200);
    shop.wait_told("resolved", 1);
    // That the stack was brought up is known to the monitor by now, or soon.
    wait_until("the change is with the alert that was", || {
        let shown = tend(&["alerts", "show", "JobsInFlight"]);
        shown.code == 0 && shown.out.contains("told it is over") && shown.out.contains("hook by webhook")
    });
    wait_until("an alert has what changed", || {
        assert_eq!(get(port, "/begin").unwrap().status, 200);
        wait_until("it fires", || tend(&["alerts", "list"]).code == 13);
        let shown = tend(&["alerts", "show", "JobsInFlight", "--json"]);
        let shown: Value = serde_json::from_str(&shown.out).unwrap();
        assert_eq!(shown[0]["rule"]["expression"], "jobs_in_flight > 0");
        assert_eq!(shown[0]["rule"]["value"], "1");
        let changed = shown[0]["changes"][0]["kind"] == "stack.applied";
        assert_eq!(get(port, "/finish").unwrap().status, 200);
        wait_until("it is over", || tend(&["alerts", "list"]).code == 0);
        changed
    });
    let told = shop.receiver.alerts("JobsInFlight", "firing");
    assert!(
        told.iter().any(|alert| {
            let changes = alert["annotations"]["tend_changes"].as_str();
            changes.is_some_and(|changes| changes.contains("stack file applied: revision 1, by "))
        }),
        "{told:?}"
    );
    let history = tend(&["alerts", "history", "--since", "1h", "--rule", "JobsInFlight"]).ok();
    assert!(history.contains("hook") && history.lines().count() >= 3, "{history}");
    assert_eq!(
        tend(&["alerts", "show", "Nothing"]).code,
        4,
        "there is none of that name"
    );
}
