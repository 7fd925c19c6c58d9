//! Requests to the services, performed at a server that looks at them as the documentation of each says it does. The real services were not asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Value, json};
use tend_testkit::{Act, Scripted};

use crate::told::{AT, tell, word};

struct Asked {
    path: String,
    head: String,
    body: Value,
}

fn asked(server: &Scripted) -> Asked {
    let text = server.asked().remove(0);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Asked {
        path: head.split(' ').nth(1).unwrap().to_owned(),
        head: head.to_lowercase(),
        body: serde_json::from_str(body).unwrap(),
    }
}

fn signed(key: &str, text: &str) -> String {
    STANDARD.encode(sign(&Key::new(HMAC_SHA256, key.as_bytes()), text.as_bytes()))
}

/// Tells a service that answers so, and returns how it ended and what it was asked.
fn told(section: &str, means: &str, status: u16, answer: &str) -> (String, String, Asked) {
    let server = Scripted::start(vec![vec![Act::status(status, answer)]]);
    let heard = tell(section, &means.replace("HERE", &server.url("")));
    let asked = asked(&server);
    assert!(asked.head.contains("content-type: application/json"), "{}", asked.head);
    (word(&heard).to_owned(), heard.said, asked)
}

#[test]
fn dingtalk_is_signed_in_the_address() {
    let means = "{url: 'HERE/robot/send?access_token=TOKEN-OF-THE-ROBOT', secret: SECabcdef}";
    let (ended, said, asked) = told("dingtalk_configs", means, 200, r#"{"errcode":0,"errmsg":"ok"}"#);
    assert_eq!(ended, "confirmed", "{said}");
    let query: Vec<&str> = asked.path.split(['?', '&']).collect();
    let signature = signed("SECabcdef", &format!("{AT}\nSECabcdef"));
    let escaped = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let expected = [
        "/robot/send".to_owned(),
        "access_token=TOKEN-OF-THE-ROBOT".to_owned(),
        format!("timestamp={AT}"),
        format!("sign={escaped}"),
    ];
    assert_eq!(query, expected);
    assert_eq!(asked.body["msgtype"], "markdown");
    assert!(asked.body["markdown"]["text"].as_str().unwrap().contains("支付很慢"));
    let wrong = r#"{"errcode":310000,"errmsg":"sign not match, TOKEN-OF-THE-ROBOT"}"#;
    let (ended, said, _) = told("dingtalk_configs", means, 200, wrong);
    assert_eq!(ended, "refused");
    assert!(said.contains("310000") && !said.contains("TOKEN-OF"), "{said}");
    let slow = r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute, too many"}"#;
    assert_eq!(told("dingtalk_configs", means, 200, slow).0, "failed");
}

#[test]
fn feishu_is_signed_in_the_body() {
    let means = "{url: HERE/open-apis/bot/v2/hook/KEY-OF-THE-HOOK, secret: abcdef}";
    let (ended, said, asked) = told("feishu_configs", means, 200, r#"{"code":0,"msg":"success"}"#);
    assert_eq!(ended, "confirmed", "{said}");
    let seconds = (AT / 1000).to_string();
    assert_eq!(asked.path, "/open-apis/bot/v2/hook/KEY-OF-THE-HOOK");
    assert_eq!(asked.body["timestamp"], seconds.as_str());
    assert_eq!(asked.body["sign"], signed(&format!("{seconds}\nabcdef"), "").as_str());
    assert_eq!(asked.body["msg_type"], "interactive");
    let wrong = r#"{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}"#;
    assert_eq!(told("feishu_configs", means, 200, wrong).0, "refused");
    let slow = r#"{"code":9499,"msg":"too many request"}"#;
    assert_eq!(told("feishu_configs", means, 200, slow).0, "failed");
}

#[test]
fn wecom_is_told_in_markdown() {
    let means = "{url: 'HERE/cgi-bin/webhook/send?key=KEY-OF-THE-ROBOT'}";
    let (ended, said, asked) = told("wecom_configs", means, 200, r#"{"errcode":0,"errmsg":"ok"}"#);
    assert_eq!(ended, "confirmed", "{said}");
    assert_eq!(asked.path, "/cgi-bin/webhook/send?key=KEY-OF-THE-ROBOT");
    assert_eq!(asked.body["msgtype"], "markdown");
    let slow = r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#;
    assert_eq!(told("wecom_configs", means, 200, slow).0, "failed");
    let wrong = r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#;
    assert_eq!(told("wecom_configs", means, 200, wrong).0, "refused");
}

#[test]
fn slack_answers_a_webhook_with_its_status_and_a_bot_with_json() {
    let hook = "{api_url: HERE/services/T0/B0/KEY-OF-THE-HOOK, channel: '#c'}";
    let (ended, said, asked) = told("slack_configs", hook, 200, "ok");
    assert_eq!(ended, "confirmed", "{said}");
    assert_eq!(asked.body["channel"], "#c");
    assert!(asked.body["attachments"][0]["text"].is_string() || asked.body["attachments"][0]["title"].is_string());
    let (ended, said, _) = told("slack_configs", hook, 403, "invalid_token");
    assert_eq!(
        (ended.as_str(), said.as_str()),
        ("refused", "status 403: invalid_token")
    );
    let bot = "{app_token: xoxb-KEY-OF-THE-BOT, app_url: HERE/api/chat.postMessage, channel: c}";
    let (ended, said, asked) = told("slack_configs", bot, 200, r#"{"ok":true}"#);
    assert_eq!(ended, "confirmed", "{said}");
    assert!(
        asked.head.contains("authorization: bearer xoxb-key-of-the-bot"),
        "{}",
        asked.head
    );
    let (ended, said, _) = told("slack_configs", bot, 200, r#"{"ok":false,"error":"channel_not_found"}"#);
    assert!(ended == "refused" && said.contains("channel_not_found"), "{said}");
}

#[test]
fn telegram_says_in_its_json_when_to_come_again() {
    let means = "{api_url: HERE, bot_token: '123456:KEY-OF-THE-BOT', chat_id: -100}";
    let (ended, said, asked) = told("telegram_configs", means, 200, r#"{"ok":true,"result":{}}"#);
    assert_eq!(ended, "confirmed", "{said}");
    assert_eq!(asked.path, "/bot123456:KEY-OF-THE-BOT/sendMessage");
    assert_eq!(
        (&asked.body["chat_id"], &asked.body["parse_mode"]),
        (&json!(-100), &json!("HTML"))
    );
    let server = Scripted::start(vec![vec![Act::status(
        429,
        r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}"#,
    )]]);
    let heard = tell("telegram_configs", &means.replace("HERE", &server.url("")));
    assert!(
        matches!(
            heard.answer,
            tend_alert::Answer::Failed {
                after: Some(35_000),
                ..
            }
        ),
        "{heard:?}"
    );
    let unknown = r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#;
    assert_eq!(told("telegram_configs", means, 401, unknown).0, "refused");
}

#[test]
fn pagerduty_is_told_what_to_join_by() {
    let means = "{routing_key: KEY-OF-THE-SERVICE, url: HERE/v2/enqueue}";
    let taken = r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#;
    let (ended, said, asked) = told("pagerduty_configs", means, 202, taken);
    assert_eq!(ended, "confirmed", "{said}");
    assert_eq!(asked.path, "/v2/enqueue");
    for (key, value) in [("routing_key", "KEY-OF-THE-SERVICE"), ("event_action", "trigger")] {
        assert_eq!(asked.body[key], value);
    }
    for key in ["summary", "source", "severity"] {
        assert!(
            asked.body["payload"][key].as_str().is_some_and(|text| !text.is_empty()),
            "{}",
            asked.body
        );
    }
    assert_eq!(asked.body["dedup_key"].as_str().map(str::len), Some(64));
    let wrong = r#"{"status":"invalid event","message":"Event object is invalid: KEY-OF-THE-SERVICE"}"#;
    let (ended, said, _) = told("pagerduty_configs", means, 400, wrong);
    assert!(
        ended == "refused" && said.contains("invalid event") && !said.contains("KEY-OF"),
        "{said}"
    );
    assert_eq!(told("pagerduty_configs", means, 429, "").0, "failed");
}
