//! What is sent to each service: the whole of it, so that a change is seen.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tend_alert::{
    Accepted, Alert, Context, Delivery, Language, Notification, Request, Verdict, Why, notification, read_config,
};
use tend_base::Secret;
use tend_template::{Still, Time};

const CONFIG: &str = r#"
route: {receiver: a.b}
receivers:
- name: a.b
  webhook_configs:
  - {url: http://hook/KEY, http_config: {basic_auth: {username: u, password: p}}}
  - {url: http://hook, max_alerts: 1}
  email_configs:
  - {to: 'Ann <ann@example>, 王 <bob@example>', from: 'Tend <tend@example>', smarthost: 'mail:25', auth_username: tend, auth_password_file: /f, headers: {X-Team: '{{ .CommonLabels.job }}'}, send_resolved: true}
  slack_configs: [{api_url: http://slack, channel: '#c', send_resolved: true, fields: [{title: t, value: '{{ .Status }}', short: true}]}]
  dingtalk_configs: [{url: 'http://ding/send?access_token=T', secret: SEC, at_mobiles: ['138']}]
  feishu_configs: [{url: http://feishu, secret: SEC}]
  wecom_configs: [{url: http://wecom}]
  wechat_configs: [{corp_id: c, api_secret: s}]
  telegram_configs: [{bot_token: 'T:1', chat_id: -100}]
  pagerduty_configs: [{routing_key: R, severity: '{{ .CommonLabels.severity }}', details: {more: x}, links: [{href: http://x, text: y}]}]
"#;

/// The places of the means in the configuration, in the order they are read in.
const WEBHOOK: usize = 0;
const SHORT: usize = 1;
const EMAIL: usize = 2;
const SLACK: usize = 3;
const DINGTALK: usize = 4;
const FEISHU: usize = 5;
const WECOM: usize = 6;
const WECHAT: usize = 7;
const TELEGRAM: usize = 8;
const PAGERDUTY: usize = 9;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

const AT: i64 = 1_700_000_000_000;

fn delivery(integration: usize) -> Delivery {
    let alert = |instance: &str, ends_at: i64, summary: &str| Alert {
        labels: map(&[
            ("alertname", "Slow"),
            ("instance", instance),
            ("job", "api"),
            ("severity", "critical"),
        ]),
        annotations: map(&[("summary", summary)]),
        starts_at: AT - 90_500,
        ends_at,
        updated_at: AT,
        timed: false,
        generator_url: "http://p/graph?a=1&b=2".to_owned(),
    };
    Delivery {
        id: 0xabc,
        receiver: "a.b".to_owned(),
        integration,
        group_key: "{}:{alertname=\"Slow\"}".to_owned(),
        group_labels: map(&[("alertname", "Slow")]),
        alerts: vec![alert("x:1", AT + 1000, "p95 < 2 s & bad"), alert("y:1", AT - 500, "慢")],
        at: AT,
        why: Why::News,
        changes: BTreeMap::new(),
        attempt: 0,
    }
}

fn written(integration: usize, language: Language) -> Result<Notification, tend_alert::NotifyError> {
    written_of(&delivery(integration), language)
}

fn written_of(delivery: &Delivery, language: Language) -> Result<Notification, tend_alert::NotifyError> {
    let config = read_config(Path::new("am.yml"), CONFIG).unwrap_or_else(|report| panic!("{report}"));
    let mut world = Still {
        now: Time::from_millis(AT),
        external_url: "http://tend".to_owned(),
    };
    let mut context = Context {
        config: &config,
        templates: &[],
        world: &mut world,
        language,
        secrets: [("auth_password".to_owned(), Secret::new("from-file".to_owned()))].into(),
        now: AT,
    };
    notification(delivery, &mut context)
}

fn request(integration: usize) -> (Request, Value) {
    match written(integration, Language::English) {
        Ok(Notification::Http(request)) => {
            let json = serde_json::from_str(&request.body).expect("JSON");
            (request, json)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_webhook_is_alertmanagers_to_the_byte() {
    let (request, _) = request(WEBHOOK);
    assert_eq!(
        request.body,
        concat!(
            r#"{"receiver":"a\\.b","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"Slow","instance":"x:1","job":"api","severity":"critical"},"#,
            r#""annotations":{"summary":"p95 \u003c 2 s \u0026 bad"},"startsAt":"2023-11-14T22:11:49.5Z","endsAt":"0001-01-01T00:00:00Z","#,
            r#""generatorURL":"http://p/graph?a=1\u0026b=2","fingerprint":"FP1"},{"status":"resolved","labels":{"alertname":"Slow","instance":"y:1","job":"api","severity":"critical"},"#,
            r#""annotations":{"summary":"慢"},"startsAt":"2023-11-14T22:11:49.5Z","endsAt":"2023-11-14T22:13:19.5Z","generatorURL":"http://p/graph?a=1\u0026b=2","fingerprint":"FP2"}],"#,
            r#""groupLabels":{"alertname":"Slow"},"commonLabels":{"alertname":"Slow","job":"api","severity":"critical"},"commonAnnotations":{},"externalURL":"http://tend","version":"4","#,
            r#""groupKey":"{}:{alertname=\"Slow\"}","truncatedAlerts":0}"#,
            "\n"
        )
        .replace("FP1", &format!("{:016x}", delivery(0).alerts[0].fingerprint()))
        .replace("FP2", &format!("{:016x}", delivery(0).alerts[1].fingerprint()))
    );
    assert_eq!(request.url.expose(), "http://hook/KEY");
    assert_eq!(
        (request.headers[0].0, request.headers[0].1.expose()),
        ("Authorization", "Basic dTpw")
    );
    assert!(!format!("{request:?}").contains("KEY"), "an address may hold a key");
}

#[test]
fn every_means_tells_what_changed_before() {
    for (language, words) in [
        (Language::English, "12:34:56 UTC deployment: release r7, by mei"),
        (Language::Chinese, "12:34:56 UTC 部署：release r7，操作者 mei"),
    ] {
        for means in [WEBHOOK, EMAIL, SLACK, DINGTALK, FEISHU, WECOM, TELEGRAM, PAGERDUTY] {
            let mut delivery = delivery(means);
            let change = tend_alert::Change {
                at: 45_296_000,
                kind: "deploy.started".to_owned(),
                of: "release r7".to_owned(),
                by: "mei".to_owned(),
            };
            let firing = delivery.alerts[0].fingerprint();
            delivery.changes.insert(firing, vec![change]);
            let text = match written_of(&delivery, language) {
                Ok(Notification::Http(request)) => {
                    let json: Value = serde_json::from_str(&request.body).expect("JSON");
                    if means == WEBHOOK {
                        let annotations = &json["alerts"][0]["annotations"];
                        assert_eq!(annotations[tend_alert::CHANGES_ANNOTATION], words);
                        assert!(json["alerts"][1]["annotations"][tend_alert::CHANGES_ANNOTATION].is_null());
                    }
                    json.to_string()
                }
                Ok(Notification::Mail(mail)) => mail.message.replace("=\r\n", ""),
                Err(error) => panic!("{error}"),
            };
            let quoted: String = (words.bytes())
                .map(|byte| match byte.is_ascii() {
                    true => char::from(byte).to_string(),
                    false => format!("={byte:02X}"),
                })
                .collect();
            let words = if means == EMAIL { &quoted } else { words };
            assert!(text.contains(words), "means {means}: {text}");
        }
    }
}

#[test]
fn a_webhook_leaves_out_what_is_too_much_and_says_how_many() {
    let (_, json) = request(SHORT);
    assert_eq!(
        (json["alerts"].as_array().map(Vec::len), &json["truncatedAlerts"]),
        (Some(1), &json!(1))
    );
}

#[test]
fn slack_is_given_an_attachment() {
    let (request, json) = request(SLACK);
    assert_eq!(json["channel"], "#c");
    let attachment = &json["attachments"][0];
    assert_eq!(attachment["title"], "[FIRING:1] Slow (api critical)");
    assert_eq!(attachment["color"], "danger");
    assert_eq!(
        attachment["fields"],
        json!([{ "title": "t", "value": "firing", "short": true }])
    );
    assert_eq!(attachment["title_link"], "http://tend/#/alerts?receiver=a%5C.b");
    assert_eq!(request.accepted, Accepted::Status);
    let text = attachment["text"].as_str().expect("a text");
    assert!(text.starts_with("🔴 p95 < 2 s & bad\ninstance=x:1, job=api, severity=critical\nsince 2023-11-14 22:11:49 UTC\n\n🟢 resolved: 慢\n"), "{text}");
    assert!(text.contains(", until 22:13:19, for 1m 30s"), "{text}");
}

#[test]
fn dingtalk_is_signed_in_the_address() {
    let (request, json) = request(DINGTALK);
    // HMAC-SHA256 of "1700000000000\nSEC" under "SEC", computed with Python's hmac.
    assert_eq!(
        request.url.expose(),
        "http://ding/send?access_token=T&timestamp=1700000000000&sign=r%2B2we0q01lkZqz38LA5IPNbHN81U1leRf3Au4PSQb6Q%3D"
    );
    assert_eq!(json["msgtype"], "markdown");
    assert_eq!(json["at"], json!({ "atMobiles": ["138"], "isAtAll": false }));
    assert!(
        json["markdown"]["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("#### [FIRING:1] Slow") && text.ends_with("@138"))
    );
    assert_eq!(request.accepted, Accepted::Code("errcode"));
}

#[test]
fn feishu_is_signed_in_the_body() {
    let (request, json) = request(FEISHU);
    assert_eq!(json["timestamp"], "1700000000");
    // HMAC-SHA256 of nothing under "1700000000\nSEC", computed with Python's hmac.
    assert_eq!(json["sign"], "yKzlnG5gJbbUvULgjP0QN/V99n1fNH31XG8Rrvl9pfk=");
    assert_eq!(json["card"]["header"]["template"], "red");
    assert_eq!(request.accepted, Accepted::Code("code"));
}

#[test]
fn wecom_telegram_and_pagerduty_have_their_shapes() {
    let (_, json) = request(WECOM);
    assert_eq!(json["msgtype"], "markdown");
    let error = written(WECHAT, Language::English)
        .expect_err("an application needs a token")
        .to_string();
    assert!(error.contains("wecom_configs"), "{error}");
    let (telegram, json) = request(TELEGRAM);
    assert_eq!(telegram.url.expose(), "https://api.telegram.org/botT:1/sendMessage");
    assert_eq!((&json["chat_id"], &json["parse_mode"]), (&json!(-100), &json!("HTML")));
    assert!(
        json["text"]
            .as_str()
            .is_some_and(|text| text.contains("p95 &lt; 2 s &amp; bad")),
        "values are escaped: {json}"
    );
    let (_, json) = request(PAGERDUTY);
    assert_eq!(json["event_action"], "trigger");
    assert_eq!(json["payload"]["severity"], "critical");
    assert_eq!(json["payload"]["custom_details"]["num_firing"], "1");
    assert_eq!(json["payload"]["custom_details"]["more"], "x");
    assert_eq!(json["links"], json!([{ "href": "http://x", "text": "y" }]));
    // SHA-256 of the group key, as Alertmanager has it; computed with sha256sum.
    assert_eq!(
        json["dedup_key"],
        "cad65463d11e13d83ed22ad561d73269e67fe33734367787065cd4e397bf771c"
    );
}

#[test]
fn a_mail_is_mime_and_no_value_can_end_its_header() {
    let Ok(Notification::Mail(mail)) = written(EMAIL, Language::Chinese) else {
        panic!("a mail")
    };
    assert_eq!(mail.from, "tend@example");
    assert_eq!(mail.to, ["ann@example", "bob@example"]);
    assert_eq!(mail.password.as_ref().map(Secret::expose), Some("from-file"));
    let (head, body) = mail.message.split_once("\r\n\r\n").expect("a head and a body");
    for line in [
        "X-Team: api",
        "From: Tend <tend@example>",
        "To: Ann <ann@example>, =?UTF-8?B?546L?= <bob@example>",
        "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        "Message-Id: <tend.0000000000000abc@example>",
        "MIME-Version: 1.0",
    ] {
        assert!(head.lines().any(|one| one == line), "{line} is not in {head}");
    }
    assert!(head.contains("Subject: =?UTF-8?B?"), "{head}");
    assert!(mail.message.lines().all(|line| line.len() <= 998));
    assert!(body.lines().all(|line| line.len() <= 76), "{body}");
    assert!(
        body.contains("Content-Type: text/html; charset=UTF-8")
            && body.contains("Content-Type: text/plain; charset=UTF-8")
    );
    assert!(body.contains("p95 &lt; 2 s &amp; bad"), "{body}");
}

#[test]
fn an_answer_says_whether_it_was_taken() {
    for (accepted, status, body, expected) in [
        (Accepted::Status, 202, "", "taken"),
        (Accepted::Status, 503, "busy", "later"),
        (Accepted::Status, 429, "", "later"),
        (Accepted::Status, 404, "no", "never"),
        (
            Accepted::Code("errcode"),
            200,
            r#"{"errcode":0,"errmsg":"ok"}"#,
            "taken",
        ),
        (
            Accepted::Code("errcode"),
            200,
            r#"{"errcode":310000,"errmsg":"sign not match"}"#,
            "never",
        ),
        (
            Accepted::Code("errcode"),
            200,
            r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute: rate limit"}"#,
            "later",
        ),
        (Accepted::Code("code"), 200, "<html>", "later"),
        (Accepted::Flag("ok"), 200, r#"{"ok":true}"#, "taken"),
        (
            Accepted::Flag("ok"),
            200,
            r#"{"ok":false,"error":"channel_not_found"}"#,
            "never",
        ),
    ] {
        let got = match accepted.verdict(status, body) {
            Verdict::Taken => "taken",
            Verdict::Later(_) => "later",
            Verdict::Never(_) => "never",
        };
        assert_eq!(got, expected, "{status} {body}");
    }
}
