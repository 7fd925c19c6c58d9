//! Who is told, with a real webhook and a real mail server: by the short form of `alerts:`, over kills, by tests, and whether anybody would hear of it.

use std::time::Duration;

use serde_json::Value;
use tend_testkit::{Authority, Postfix, Receiver};

use crate::deploy_rig::{self, REFUSED, quietly};
use crate::rig::{Done, Machine, get, is_alive, kill, web};

/// How long anything may take: the short form tells of ends a minute later, a proof is good for a minute, and a receiver that was away is tried
/// again after another.
const DEADLINE: Duration = Duration::from_secs(300);

#[track_caller]
fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    tend_testkit::wait_until(DEADLINE, what, condition);
}

const RULES: &str = "
groups:
  - name: jobs
    rules:
      - alert: JobsInFlight
        expr: jobs_in_flight > 0
        labels: { severity: critical }
        annotations: { summary: 'replica {{ $labels.replica }} has {{ $value }} in flight' }
      - alert: Nobodys
        expr: jobs_in_flight > 100
        labels: { severity: info }
";

/// A stack that is measured each second, and told of to a webhook and a mailbox.
struct Shop {
    machine: Machine,
    hook: Receiver,
    outside: Receiver,
    postfix: Postfix,
}

impl Shop {
    fn up(name: &str) -> Self {
        let machine = Machine::new(name);
        let (hook, outside) = (Receiver::start(), Receiver::start());
        let postfix = Postfix::start(&Authority::new());
        let text = format!(
            "{}metrics: {{ interval: 1s, timeout: 900ms, collect: {{ node: false }} }}
alerts:
  rules: rules.yml
  receivers:
    - {{ name: hook, webhook: 'http://127.0.0.1:{}/', severity: [critical, warning] }}
    - {{ name: post, mail: ann@example.com, severity: [critical, warning] }}
  smtp: {{ server: '{}', from: tend@example.com, tls: none }}
  heartbeat: {{ url: 'http://127.0.0.1:{}/ping/key', every: 5s, proven_within: 1m, watchdog: hook }}
",
            web(&["metrics: true", "readiness: { http: /ready, interval: 200ms }"]),
            hook.port,
            postfix.plain(),
            outside.port,
        );
        let folder = machine.stack("shop", &text);
        std::fs::write(std::path::Path::new(&folder).join("rules.yml"), RULES).unwrap();
        machine.tend(&["up", &folder]).ok();
        Self {
            machine,
            hook,
            outside,
            postfix,
        }
    }

    fn port(&self) -> u16 {
        let started = self.machine.events("replica.started");
        u16::try_from(started.last().unwrap()["data"]["port"].as_u64().unwrap()).unwrap()
    }

    /// The mails that hold this word.
    fn mails(&self, word: &str) -> usize {
        let mails = self.postfix.mails("ann", 0);
        mails.iter().filter(|mail| mail.contains(word)).count()
    }

    fn kill_monitor(&self) {
        let monitor = self.machine.roles("monitor").first().copied().expect("a monitor runs");
        kill(monitor);
        wait_until("the monitor is gone", || !is_alive(monitor));
    }

    fn test(&self, more: &[&str]) -> Done {
        self.machine
            .tend(&[&["alerts", "fire-test"], more, &["-s", "shop"]].concat())
    }

    fn count(&self, kind: &str) -> usize {
        self.machine.events(kind).len()
    }
}

#[test]
fn alerting_pages_and_takes_back_by_webhook_and_mail_over_kills_of_the_monitor() {
    let shop = Shop::up("alerting");
    let port = shop.port();
    assert_eq!(get(port, "/begin").unwrap().status, 200);
    wait_until("the webhook was told", || shop.hook.told("JobsInFlight", "firing") == 1);
    wait_until("the mail is there", || shop.mails("has 1 in flight") == 1);
    // What is in the journal is kept: who is killed between a receipt and keeping it tells again, and has to.
    wait_until("both receipts are kept", || shop.count("notification.delivered") == 2);
    shop.kill_monitor();
    assert_eq!(get(port, "/finish").unwrap().status, 200);
    wait_until("the webhook was told that it is over", || {
        shop.hook.told("JobsInFlight", "resolved") == 1
    });
    wait_until("the mail that it is over is there", || {
        shop.mails("has 1 in flight") == 2
    });
    wait_until("the journal has all of it", || {
        shop.count("alert.resolved") == 1 && shop.count("notification.delivered") == 4
    });
    assert_eq!(shop.hook.told("JobsInFlight", "firing"), 1, "nothing was told twice");
    assert_eq!(shop.count("alert.fired"), 1, "the watchdog is no news");
    let listed = shop.machine.tend(&["alerts", "list", "-s", "shop"]);
    assert_eq!(
        listed.code,
        0,
        "nothing fires that people should look at: {}",
        listed.said()
    );
}

#[test]
fn alerting_is_tested_the_real_way() {
    let shop = Shop::up("alerting-test");
    let silence = [
        "alerts",
        "silence",
        "alertname=JobsInFlight",
        "--until",
        "1h",
        "--reason",
        "a test",
        "-s",
        "shop",
    ];
    wait_until("there is somebody to ask", || shop.machine.tend(&silence).code == 0);
    wait_until("the rules are there", || {
        shop.test(&["JobsInFlight", "--receiver", "hook"]).code == 0
    });
    let told = shop.test(&["JobsInFlight", "--json"]);
    assert_eq!(told.code, 0, "{}", told.said());
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let test = &told["tests"][0];
    let of = |list: &str| -> Vec<(String, String, String)> {
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        let list = test[list].as_array().unwrap().iter();
        list.map(|one| (text(one, "receiver"), text(one, "means"), text(one, "answer")))
            .collect()
    };
    let both = [("hook", "webhook", "confirmed"), ("post", "mail", "confirmed")];
    let both = both.map(|(receiver, means, answer)| (receiver.to_owned(), means.to_owned(), answer.to_owned()));
    assert_eq!((of("firing"), of("resolved")), (both.to_vec(), both.to_vec()));
    assert_eq!(test["would_be"]["silenced_by"][0]["reason"], "a test");
    // Marked, in words and by its label, and over.
    let firing = shop.hook.alerts("JobsInFlight", "firing");
    assert_eq!(
        (firing.len(), shop.hook.alerts("JobsInFlight", "resolved").len()),
        (2, 2)
    );
    assert_eq!(firing[1]["labels"]["tend_test"], "true");
    assert!(
        firing[1]["annotations"]["summary"]
            .as_str()
            .unwrap()
            .starts_with("[TEST]"),
        "{firing:?}"
    );
    wait_until("both mails are there", || shop.mails("[TEST] JobsInFlight") == 2);
    wait_until("the journal has it", || shop.count("alert.tested") == 2);
    assert_eq!(shop.count("alert.fired"), 0, "a test is no alert");

    shop.hook.set_deaf(true);
    let told = shop.test(&["JobsInFlight"]);
    assert_eq!(told.code, 13, "{}", told.said());
    assert!(
        told.out.contains("503") && told.out.contains("confirmed"),
        "{}",
        told.said()
    );
    let told = shop.test(&["Nobodys"]);
    assert_eq!(told.code, 13);
    assert!(told.said().contains("nobody is told of Nobodys"), "{}", told.said());
    let told = shop.test(&["JobsInFlights"]);
    assert!(
        told.code == 4 && told.err.contains("JobsInFlight, Nobodys"),
        "{}",
        told.said()
    );
}

#[test]
fn alerting_gives_signs_of_life_while_a_receiver_takes_what_it_is_told() {
    let shop = Shop::up("alerting-life");
    wait_until("signs of life come", || shop.outside.beats() >= 2);
    // A kill costs none that would be missed.
    shop.kill_monitor();
    let before = shop.outside.beats();
    wait_until("they go on", || shop.outside.beats() >= before + 2);
    assert_eq!(shop.count("heartbeat.stopped"), 0);

    shop.hook.set_deaf(true);
    wait_until("they stop", || shop.count("heartbeat.stopped") == 1);
    let stopped = shop.machine.events("heartbeat.stopped").remove(0);
    assert_eq!(stopped["data"]["link"], "delivery");
    assert_eq!(stopped["data"]["receivers"], serde_json::json!(["hook"]));
    let before = shop.outside.beats();
    wait_until("who still can be told is", || shop.mails("TendChainUnproven") >= 1);
    // The state is the killed one's.
    shop.kill_monitor();
    wait_until("another one goes on", || !shop.machine.roles("monitor").is_empty());
    let tried = shop.count("notification.failed");
    wait_until("it tries the receiver", || shop.count("notification.failed") > tried);
    assert_eq!(shop.outside.beats(), before, "none goes out meanwhile");

    shop.hook.set_deaf(false);
    wait_until("they go out again", || shop.outside.beats() > before);
    wait_until("all are told", || shop.hook.told("TendChainUnproven", "resolved") == 1);
    assert_eq!(shop.count("heartbeat.stopped"), 1);
    assert_eq!(shop.count("heartbeat.sent"), 2, "only changes are told");
}

#[test]
fn a_deployment_holds_back_what_begins_while_it_runs_and_never_what_is_critical() {
    let shop = deploy_rig::Shop::up("alerting-quiet", "", "deploy: { approval: true }\n");
    let hook = Receiver::start();
    let rule = |name: &str, severity: &str| {
        format!("      - {{ alert: {name}, expr: sum(jobs_in_flight) > 0, labels: {{ severity: {severity} }} }}\n")
    };
    let rules = format!(
        "groups:\n  - name: jobs\n    rules:\n{}{}",
        rule("Jobs", "warning"),
        rule("JobsThatCannotWait", "critical")
    );
    std::fs::write(shop.folder.join("rules.yml"), rules).unwrap();
    let chapters = format!(
        "metrics: {{ interval: 1s, timeout: 900ms, collect: {{ node: false }} }}
alerts:
  rules: rules.yml
  receivers:
    - {{ name: hook, webhook: 'http://127.0.0.1:{}/', severity: [critical, warning] }}
  quiet_deploys: {{ for: 10m }}
",
        hook.port
    );
    let file = shop.folder.join("stack.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("    port: PORT\n", "    port: PORT\n    metrics: true\n");
    std::fs::write(&file, text + &chapters).unwrap();
    shop.machine.tend(&["up", &shop.stack()]).ok();
    shop.serve("0.2", "");
    shop.commit("second");
    let mut deployment = quietly(&shop, &["deploy", &shop.stack()]);
    wait_until("it waits to be approved", || {
        shop.releases()["deployment"]["phase"] == "waiting for approval"
    });
    assert_eq!(get(shop.port, "/begin").unwrap().status, 200);
    let events = |kind: &str, name: &str| {
        let events = shop.machine.events(kind);
        events.iter().filter(|event| event["data"]["alert"] == name).count()
    };
    wait_until("one is held back", || events("alert.held", "Jobs") == 1);
    wait_until("the other is told", || hook.told("JobsThatCannotWait", "firing") == 1);
    let listed = shop.machine.tend(&["alerts", "list", "-s", "shop"]);
    assert!(listed.out.contains("held"), "{}", listed.said());
    shop.machine.tend(&["reject", "shop", "--why", "not on a Friday"]).ok();
    assert_eq!(deployment.wait().unwrap().code(), Some(REFUSED));
    assert_eq!(
        hook.told("Jobs", "firing"),
        0,
        "it is held back until the deployment settled"
    );
    wait_until("what fires still is told then", || hook.told("Jobs", "firing") == 1);
    assert_eq!(hook.told("JobsThatCannotWait", "firing"), 1);
    assert_eq!(
        events("alert.held", "JobsThatCannotWait"),
        0,
        "what is critical is never held back"
    );
}
