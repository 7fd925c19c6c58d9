//! Messages to chats: Slack, DingTalk, Feishu, WeCom, Telegram; two of them signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Map, Value, json};
use tend_base::Secret;

use crate::config::Setting;
use crate::notify::data::status;
use crate::notify::webhook::authorization;
use crate::notify::{Accepted, Means, NotifyError, Request, shortened, shortened_bytes};

const TITLE: &str = r#"{{ template "tend.title" . }}"#;
const TEXT: &str = r#"{{ template "tend.text" . }}"#;
/// Characters that Slack shows of a title.
const SLACK_TITLE_MAX: usize = 1024;
/// Bytes that DingTalk takes.
const DINGTALK_MAX: usize = 19_000;
/// Bytes that Feishu takes of a card, with room for what surrounds the text.
const FEISHU_MAX: usize = 27_000;
/// Bytes that WeCom takes of markdown and of a plain text.
const WECOM_MARKDOWN_MAX: usize = 4096;
const WECOM_TEXT_MAX: usize = 2048;
/// Characters that Telegram takes.
const TELEGRAM_MAX: usize = 4096;

pub(super) fn slack(means: &mut Means<'_>) -> Result<Request, NotifyError> {
    let mut message = Map::new();
    for (key, otherwise) in [
        ("channel", ""),
        ("username", r#"{{ template "slack.default.username" . }}"#),
        ("icon_emoji", r#"{{ template "slack.default.iconemoji" . }}"#),
        ("icon_url", r#"{{ template "slack.default.iconurl" . }}"#),
    ] {
        put(&mut message, key, means.text(key, otherwise)?);
    }
    let above = means.text("message_text", "")?;
    put(&mut message, "text", above);
    let mut attachment = Map::new();
    for (key, otherwise) in [
        ("title", r#"{{ template "slack.default.title" . }}"#),
        ("title_link", r#"{{ template "slack.default.titlelink" . }}"#),
        ("pretext", r#"{{ template "slack.default.pretext" . }}"#),
        ("text", r#"{{ template "slack.default.text" . }}"#),
        ("fallback", r#"{{ template "slack.default.fallback" . }}"#),
        ("callback_id", r#"{{ template "slack.default.callbackid" . }}"#),
        ("image_url", ""),
        ("thumb_url", ""),
        ("footer", r#"{{ template "slack.default.footer" . }}"#),
        ("color", r#"{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}"#),
    ] {
        let text = means.text(key, otherwise)?;
        put(
            &mut attachment,
            key,
            if key == "title" {
                shortened(&text, SLACK_TITLE_MAX)
            } else {
                text
            },
        );
    }
    let integration = means.integration;
    if let Some(Setting::Maps(fields)) = integration.settings.get("fields") {
        let mut out = Vec::new();
        for field in fields {
            let mut part = |name: &str| {
                let template = field.get(name).map_or("", String::as_str);
                means
                    .renderer
                    .text(template)
                    .map_err(|error| means.failed("fields", &error))
            };
            let (title, value) = (part("title")?, part("value")?);
            let short = field
                .get("short")
                .map_or(integration.flag("short_fields", false), |short| short == "true");
            out.push(json!({ "title": title, "value": value, "short": short }));
        }
        attachment.insert("fields".to_owned(), Value::Array(out));
    }
    let marked = match integration.settings.get("mrkdwn_in") {
        Some(Setting::List(names)) => names.clone(),
        _ => ["fallback", "pretext", "text"].map(str::to_owned).to_vec(),
    };
    attachment.insert("mrkdwn_in".to_owned(), json!(marked));
    if integration.flag("link_names", false) {
        message.insert("link_names".to_owned(), json!(true));
    }
    message.insert("attachments".to_owned(), json!([attachment]));
    let (url, headers, accepted) = match means.secret("app_token") {
        Some(token) => {
            let url = integration
                .text("app_url")
                .unwrap_or("https://slack.com/api/chat.postMessage");
            let header = ("Authorization", Secret::new(format!("Bearer {}", token.expose())));
            (Secret::new(url.to_owned()), vec![header], Accepted::Flag("ok"))
        }
        None => (
            means.needed("api_url")?.clone(),
            authorization(integration, means.secrets),
            Accepted::Status,
        ),
    };
    Ok(Request {
        url,
        headers,
        body: Value::Object(message).to_string(),
        accepted,
    })
}

fn put(map: &mut Map<String, Value>, key: &str, text: String) {
    if !text.is_empty() {
        map.insert(key.to_owned(), text.into());
    }
}

pub(super) fn dingtalk(means: &mut Means<'_>) -> Result<Request, NotifyError> {
    let title = means.text("title", TITLE)?;
    let text = means.text("text", TEXT)?;
    let mobiles = match means.integration.settings.get("at_mobiles") {
        Some(Setting::List(mobiles)) => mobiles.clone(),
        _ => Vec::new(),
    };
    // Who is called has to stand in the text as well.
    let called: Vec<String> = mobiles.iter().map(|mobile| format!("@{mobile}")).collect();
    // A single line feed is none in markdown.
    let body = format!(
        "#### {title}\n\n{}\n\n{}",
        text.trim().replace('\n', "  \n"),
        called.join(" ")
    );
    let message = json!({
        "msgtype": "markdown",
        "markdown": { "title": title, "text": shortened_bytes(body.trim_end(), DINGTALK_MAX) },
        "at": { "atMobiles": mobiles, "isAtAll": means.integration.flag("at_all", false) },
    });
    let mut url = means.needed("url")?.expose().to_owned();
    if let Some(secret) = means.secret("secret") {
        let text = format!("{}\n{}", means.now, secret.expose());
        let signature = STANDARD.encode(sign(
            &Key::new(HMAC_SHA256, secret.expose().as_bytes()),
            text.as_bytes(),
        ));
        let escaped = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        url = format!(
            "{url}{}timestamp={}&sign={escaped}",
            if url.contains('?') { '&' } else { '?' },
            means.now
        );
    }
    Ok(Request {
        url: Secret::new(url),
        headers: authorization(means.integration, means.secrets),
        body: message.to_string(),
        accepted: Accepted::Code("errcode"),
    })
}

pub(super) fn feishu(means: &mut Means<'_>) -> Result<Request, NotifyError> {
    let title = means.text("title", TITLE)?;
    let text = means.text("text", TEXT)?;
    let colour = if status(means.delivery) == "firing" {
        "red"
    } else {
        "green"
    };
    let mut message = json!({
        "msg_type": "interactive",
        "card": {
            "config": { "wide_screen_mode": true },
            "header": { "title": { "tag": "plain_text", "content": title }, "template": colour },
            "elements": [{ "tag": "markdown", "content": shortened_bytes(text.trim(), FEISHU_MAX) }],
        },
    });
    if let Some(secret) = means.secret("secret") {
        let seconds = means.now.div_euclid(1000);
        // Feishu signs nothing, with the text as the key.
        let key = Key::new(HMAC_SHA256, format!("{seconds}\n{}", secret.expose()).as_bytes());
        message["timestamp"] = seconds.to_string().into();
        message["sign"] = STANDARD.encode(sign(&key, b"")).into();
    }
    Ok(Request {
        url: means.needed("url")?.clone(),
        headers: authorization(means.integration, means.secrets),
        body: message.to_string(),
        accepted: Accepted::Code("code"),
    })
}

pub(super) fn wecom(means: &mut Means<'_>) -> Result<Request, NotifyError> {
    let text = means.text("text", r#"{{ template "wechat.default.message" . }}"#)?;
    let message = match means.integration.settings.get("at_mobiles") {
        // Only a plain text can call somebody.
        Some(Setting::List(mobiles)) if !mobiles.is_empty() => json!({
            "msgtype": "text",
            "text": { "content": shortened_bytes(text.trim(), WECOM_TEXT_MAX), "mentioned_mobile_list": mobiles },
        }),
        _ => {
            json!({ "msgtype": "markdown", "markdown": { "content": shortened_bytes(text.trim(), WECOM_MARKDOWN_MAX) } })
        }
    };
    Ok(Request {
        url: means.needed("url")?.clone(),
        headers: authorization(means.integration, means.secrets),
        body: message.to_string(),
        accepted: Accepted::Code("errcode"),
    })
}

pub(super) fn telegram(means: &mut Means<'_>) -> Result<Request, NotifyError> {
    let integration = means.integration;
    let mode = integration.text("parse_mode").unwrap_or("HTML");
    let template = integration
        .text("message")
        .unwrap_or(r#"{{ template "telegram.default.message" . }}"#);
    let rendered = if mode == "HTML" {
        means.renderer.html(template)
    } else {
        means.renderer.text(template)
    };
    let text = rendered.map_err(|error| means.failed("message", &error))?;
    let chat = match integration.text("chat_id") {
        Some(chat) => chat.to_owned(),
        None => means.needed("chat_id")?.expose().trim().to_owned(),
    };
    let mut message = json!({
        "chat_id": chat.parse::<i64>().map_or_else(|_| Value::from(chat.as_str()), Value::from),
        "text": shortened(text.trim(), TELEGRAM_MAX),
        "disable_web_page_preview": true,
        "disable_notification": integration.flag("disable_notifications", false),
    });
    if !mode.is_empty() {
        message["parse_mode"] = mode.into();
    }
    if let Some(thread) = integration
        .text("message_thread_id")
        .and_then(|text| text.parse::<i64>().ok())
    {
        message["message_thread_id"] = thread.into();
    }
    let api = integration
        .text("api_url")
        .unwrap_or("https://api.telegram.org")
        .trim_end_matches('/');
    Ok(Request {
        url: Secret::new(format!(
            "{api}/bot{}/sendMessage",
            means.needed("bot_token")?.expose().trim()
        )),
        headers: authorization(integration, means.secrets),
        body: message.to_string(),
        accepted: Accepted::Flag("ok"),
    })
}
