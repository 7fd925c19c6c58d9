//! Signs of life, with real sockets: a target, a receiver, and somebody outside.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tend_monitor::{MonitorConfig, SNAPSHOT_VERSION, monitor_main};
use tend_testkit::{Folder, Receiver, wait_until};

const DEADLINE: Duration = Duration::from_secs(120);

/// Asks the monitor as the daemon does.
fn ask(socket: &Path, method: &str, target: &str, body: &Value) -> std::io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let body = body.to_string();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nTend-Caller: ana\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Ok((
        status,
        text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned(),
    ))
}

/// A stack with one target and one receiver, whose way is to be proven within eight seconds.
fn snapshot(target: &Receiver, hook: &Receiver, outside: &Receiver) -> Value {
    let pace = json!({ "interval_ms": 1000, "timeout_ms": 800 });
    let routing = format!(
        "{{route: {{receiver: nobody, routes: [{{receiver: hook, matchers: ['alertname=Heard']}}]}}, receivers: [{{name: nobody}}, {{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{}/'}}]}}]}}",
        hook.port
    );
    json!({
        "version": SNAPSHOT_VERSION, "generation": 1, "retention_ms": 3_600_000,
        "stacks": { "shop": {
            "pace": pace, "absent": false, "chinese": true,
            "routing": { "path": "alerts", "text": routing },
            "rules": [ { "path": "rules.yml", "text": "groups: [{name: g, rules: [{alert: Gone, expr: present > 9}, {alert: Heard, expr: present > 9}]}]" } ],
            "replicas": [ { "service": "web", "replica": 1, "job": "web", "address": format!("127.0.0.1:{}", target.port),
                            "path": "/metrics", "pace": pace } ],
            "heartbeat": { "url": format!("http://127.0.0.1:{}/ping", outside.port), "every_ms": 500, "proven_within_ms": 8000,
                           "watchdog": ["hook"] },
        } },
    })
}

#[test]
fn signs_of_life_stop_with_each_link_and_it_is_said_which() {
    let folder = Folder::new();
    let socket = folder.path().join("monitor.sock");
    let config = MonitorConfig {
        socket: socket.clone(),
        folder: folder.path().join("monitor"),
        build: "test".to_owned(),
        edge: None,
        daemon: None,
    };
    // Ends with the test's process.
    std::thread::spawn(move || monitor_main(config).expect("a monitor"));
    let [target, hook, outside] = [(); 3].map(|()| Receiver::start());
    wait_until(DEADLINE, "the monitor answers", || {
        ask(&socket, "GET", "/tend/v1/hello", &Value::Null).is_ok()
    });
    let (status, refused) = ask(&socket, "PUT", "/tend/v1/snapshot", &snapshot(&target, &hook, &outside)).unwrap();
    assert_eq!((status, refused.as_str()), (200, "{\"refused\":{}}"));
    wait_until(DEADLINE, "signs of life come", || outside.beats() > 2);
    assert!(hook.told("TendWatchdog", "firing") >= 1, "not before a receipt");

    // Notes are those that the daemon writes into the journal.
    let stopped = || {
        let (_, notes) = ask(&socket, "GET", "/tend/v1/notes?after=0", &Value::Null).unwrap();
        let notes: Vec<Value> = serde_json::from_str(&notes).unwrap();
        let stopped = notes.into_iter().filter(|note| note["kind"] == "heartbeat.stopped");
        stopped.map(|note| note["data"]["link"].clone()).collect::<Vec<_>>()
    };
    for (number, (broken, link)) in [(&target, "scrape"), (&hook, "delivery")].into_iter().enumerate() {
        broken.set_deaf(true);
        wait_until(DEADLINE, "they stop", || stopped().len() > number);
        assert_eq!(stopped()[number], link);
        let before = outside.beats();
        if link == "scrape" {
            wait_until(DEADLINE, "receivers are told", || {
                hook.told("TendChainUnproven", "firing") >= 1
            });
            let alert = hook.alerts("TendChainUnproven", "firing").remove(0);
            assert_eq!(
                (&alert["annotations"]["link"], &alert["labels"]["stack"]),
                (&json!("scrape"), &json!("shop"))
            );
        }
        assert!(outside.beats() <= before + 1, "one may have been on its way");
        broken.set_deaf(false);
        wait_until(DEADLINE, "they come again", || outside.beats() > before + 1);
    }
    let (status, told) = ask(
        &socket,
        "POST",
        "/stacks/shop/tend/v1/fire-test",
        &json!({ "rule": "Heard" }),
    )
    .unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((status, &told["ok"]), (200, &json!(true)), "{told}");
    let summary = &hook.alerts("Heard", "firing")[0]["annotations"]["summary"];
    assert!(summary.as_str().unwrap().starts_with("【测试】Heard"), "{summary}");
    assert_eq!(hook.alerts("Heard", "resolved").len(), 1);
    let (status, told) = ask(
        &socket,
        "POST",
        "/stacks/shop/tend/v1/fire-test",
        &json!({ "rule": "Gone" }),
    )
    .unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (status, &told["ok"], &told["tests"][0]["firing"]),
        (200, &json!(false), &json!([])),
        "nobody is told"
    );
    let (status, said) = ask(
        &socket,
        "POST",
        "/stacks/shop/tend/v1/fire-test",
        &json!({ "rule": "Gon" }),
    )
    .unwrap();
    assert_eq!(
        (status, said.as_str()),
        (404, "there is no alerting rule `Gon`; there are: Gone, Heard")
    );
}
