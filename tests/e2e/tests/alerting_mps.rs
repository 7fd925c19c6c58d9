//! mps broken on purpose raises the guide's own alerts, and they resolve once it is mended: with a real webhook and a real mail server.
//!
//! `guide/mps-alerts.yml` is the third guide's file of rules, byte for byte. Its alerts look back over five minutes and wait for up to five more,
//! so this test mostly waits; all that is broken is broken at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tend_testkit::{Authority, Postfix, Receiver};

use crate::rig::{Machine, free_port, wait_until as soon};

/// How long an alert may take: two and a half times what the slowest needs where nothing else runs.
const DEADLINE: Duration = Duration::from_secs(900);

const GUIDE: &[u8] = include_bytes!("../guide/mps-alerts.yml");

/// Asks a replica itself; returns the status and what it answered.
fn ask(port: u16, method: &str, path: &str, body: &Value, key: &str) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n{key}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, serde_json::from_str(body).unwrap_or_default()))
}

fn break_it(port: u16, how: &Value) {
    let (status, said) = ask(port, "POST", "/api/break", how, "").unwrap();
    assert_eq!(status, 200, "{said}");
}

/// Pays, some times a second: a code, and the payment with it.
fn pay(port: u16, number: u64) -> std::io::Result<()> {
    let (_, code) = ask(
        port,
        "POST",
        "/api/qr/rotate",
        &json!({ "card_id": "test-card-id" }),
        "",
    )?;
    if let Some(code) = code["qr_plain"].as_str() {
        let payment = json!({ "merchant_id": "merchant-01", "qr_plain": code, "amount": 1 });
        ask(
            port,
            "POST",
            "/api/payment/pay",
            &payment,
            &format!("Idempotency-Key: alerting-{number}\r\n"),
        )?;
    }
    Ok(())
}

/// Looks at a card.
fn look(port: u16, _: u64) -> std::io::Result<()> {
    ask(port, "GET", "/api/cards/test-card-id", &Value::Null, "").map(drop)
}

/// What a client does again and again until this is dropped.
struct Client {
    ends: Arc<AtomicBool>,
    /// Milliseconds from one to the next.
    pause: Arc<AtomicU64>,
}

impl Client {
    fn start(port: u16, pause: u64, act: fn(u16, u64) -> std::io::Result<()>) -> Self {
        let client = Self {
            ends: Arc::default(),
            pause: Arc::new(AtomicU64::new(pause)),
        };
        let (ends, pause) = (Arc::clone(&client.ends), Arc::clone(&client.pause));
        std::thread::spawn(move || {
            for number in 0.. {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                // A replica that was stopped is asked again.
                let _ = act(port, number);
                std::thread::sleep(Duration::from_millis(pause.load(Ordering::SeqCst)));
            }
        });
        client
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
    }
}

/// The ports of a stack's replicas, by slot.
fn ports(machine: &Machine, stack: &str) -> Vec<u16> {
    let status = machine.json(&["status", stack]);
    let replicas = status["services"][0]["replicas"].as_array().unwrap().iter();
    replicas
        .map(|replica| u16::try_from(replica["port"].as_u64().unwrap()).unwrap())
        .collect()
}

fn up(machine: &Machine, name: &str, replicas: u32, hook: &Receiver, postfix: &Postfix) {
    let folder = machine.mps_as(name, free_port(), |text| {
        let alerts = text.find("\nalerts:").unwrap();
        let text = text[..alerts]
            .replace("MPS_BREAKABLE:-0", "MPS_BREAKABLE:-1")
            .replace("replicas: 3", &format!("replicas: {replicas}"))
            .replace("job: mps-app, interval: 10s", "job: mps-app, interval: 3s, timeout: 2s")
            .replace(
                "\nmetrics:\n",
                "\nmetrics:\n  interval: 3s\n  timeout: 2s\n  collect: { node: false }\n",
            );
        format!("{text}\nalerts: {{ rules: guide.yml, alertmanager: alertmanager.yml }}\n")
    });
    let folder = Path::new(&folder);
    std::fs::write(folder.join("guide.yml"), GUIDE).unwrap();
    let alertmanager = format!(
        "route: {{ receiver: team, group_by: [alertname], group_wait: 0s, group_interval: 2s, repeat_interval: 4h }}
receivers:
  - name: team
    webhook_configs: [ {{ url: 'http://127.0.0.1:{}/' }} ]
    email_configs: [ {{ to: ann@example.com, from: tend@example.com, smarthost: '{}', require_tls: false, send_resolved: true }} ]
",
        hook.port,
        postfix.plain()
    );
    std::fs::write(folder.join("alertmanager.yml"), alertmanager).unwrap();
    machine.tend(&["up", &folder.display().to_string()]).ok();
}

/// What is waited for.
struct Seen<'a> {
    hook: &'a Receiver,
    postfix: &'a Postfix,
}

impl Seen<'_> {
    #[track_caller]
    fn wait(&self, alert: &str, status: &str) {
        let what = format!("{alert} is {status}");
        tend_testkit::wait_until(DEADLINE, &what, || {
            std::thread::sleep(Duration::from_millis(200));
            self.hook.told(alert, status) >= 1
        });
        // The subject of a mail says `[FIRING:1] NAME`, as Alertmanager's.
        let subject = format!("[{}", status.to_uppercase());
        soon(&format!("a mail says that {what}"), || {
            let mails = self.postfix.mails("ann", 0);
            mails.iter().any(|mail| mail.contains(alert) && mail.contains(&subject))
        });
    }
}

#[test]
fn alerting_mps_broken_on_purpose_raises_the_guides_alerts_which_resolve_when_it_is_mended() {
    let machine = Machine::new("alerting-mps");
    let (hook, postfix) = (Receiver::start(), Postfix::start(&Authority::new()));
    up(&machine, "mps", 2, &hook, &postfix);
    up(&machine, "closed", 1, &hook, &postfix);
    let ports = ports(&machine, "mps");
    let (failing, slow) = (ports[0], ports[1]);
    let payments = Client::start(failing, 50, pay);
    let looks = Client::start(slow, 200, look);
    // Both are measured while all is well, so that what begins to fail is seen to begin.
    for (stack, expression, least) in [
        ("mps", "min(payment_transactions_total{status!=\"failed\"} > 0)", 1.0),
        ("mps", "sum(up{job=\"mps-app\"})", 2.0),
        ("closed", "sum(up{job=\"mps-app\"})", 1.0),
    ] {
        soon(&format!("{expression} of {stack}"), || {
            let done = machine.tend(&["metrics", "query", expression, "-s", stack, "--json"]);
            let answer: Value = serde_json::from_str(&done.out).unwrap_or_default();
            let value = answer["data"]["result"][0]["value"][1]
                .as_str()
                .and_then(|value| value.parse::<f64>().ok());
            value.is_some_and(|value| value >= least)
        });
    }

    break_it(failing, &json!({ "mode": "error", "percent": 20 }));
    break_it(slow, &json!({ "mode": "slow", "delay_ms": 3000 }));
    machine.tend(&["stop", "closed/api"]).ok();
    let seen = Seen {
        hook: &hook,
        postfix: &postfix,
    };
    seen.wait("MPSAppDown", "firing");
    machine.tend(&["start", "closed/api"]).ok();
    seen.wait("MPSAppDown", "resolved");

    seen.wait("HighErrorRate", "firing");
    // The rules look back over five minutes: mended now, payments that failed still count for the three minutes that PaymentFailureRate waits.
    break_it(failing, &json!({ "mode": "none" }));
    seen.wait("PaymentFailureRate", "firing");

    seen.wait("HighResponseTime", "firing");
    break_it(slow, &json!({ "mode": "none" }));
    looks.pause.store(20, Ordering::SeqCst);
    seen.wait("HighResponseTime", "resolved");

    seen.wait("HighErrorRate", "resolved");
    seen.wait("PaymentFailureRate", "resolved");
    drop((payments, looks));
    for alert in ["MPSAppDown", "HighErrorRate", "PaymentFailureRate", "HighResponseTime"] {
        let severity = hook.alerts(alert, "firing")[0]["labels"]["severity"].clone();
        let critical = ["MPSAppDown", "PaymentFailureRate"].contains(&alert);
        assert_eq!(severity, if critical { "critical" } else { "warning" }, "{alert}");
    }
}
