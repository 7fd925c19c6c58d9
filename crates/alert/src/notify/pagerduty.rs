//! PagerDuty's Events v2: trigger and resolve under a key that stays the same for a group.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use tend_base::Secret;

use crate::config::Setting;
use crate::notify::data::status;
use crate::notify::webhook::authorization;
use crate::notify::{Accepted, Means, NotifyError, Request, shortened};

/// Characters of a summary, as PagerDuty documents.
const SUMMARY_MAX: usize = 1024;
/// Characters of a detail; a whole event may have 512 kB.
const DETAIL_MAX: usize = 20_000;

pub(super) fn request(means: &mut Means<'_>) -> Result<Request, NotifyError> {
    let summary = means.text("description", r#"{{ template "pagerduty.default.description" . }}"#)?;
    let client = means.text("client", r#"{{ template "pagerduty.default.client" . }}"#)?;
    let client_url = means.text("client_url", r#"{{ template "pagerduty.default.clientURL" . }}"#)?;
    let severity = means.text("severity", "error")?;
    let source = match means.text("source", "")? {
        text if text.is_empty() => client.clone(),
        text => text,
    };
    let mut payload = Map::new();
    payload.insert("summary".to_owned(), shortened(&summary, SUMMARY_MAX).into());
    payload.insert("source".to_owned(), source.into());
    payload.insert("severity".to_owned(), severity.to_lowercase().into());
    for key in ["class", "component", "group"] {
        let text = means.text(key, "")?;
        if !text.is_empty() {
            payload.insert(key.to_owned(), text.into());
        }
    }
    let mut details = Map::new();
    let defaults = [
        (
            "firing",
            r#"{{ template "pagerduty.default.instances" .Alerts.Firing }}"#,
        ),
        (
            "resolved",
            r#"{{ template "pagerduty.default.instances" .Alerts.Resolved }}"#,
        ),
        ("num_firing", "{{ .Alerts.Firing | len }}"),
        ("num_resolved", "{{ .Alerts.Resolved | len }}"),
    ];
    let integration = means.integration;
    let own = integration
        .texts("details")
        .filter(|(name, _)| !defaults.iter().any(|(known, _)| known == name));
    let overridden = |name: &str| {
        integration
            .texts("details")
            .find(|(known, _)| *known == name)
            .map(|(_, text)| text)
    };
    let all = defaults
        .iter()
        .map(|(name, text)| (*name, overridden(name).unwrap_or(text)))
        .chain(own);
    for (name, template) in all {
        let text = means
            .renderer
            .text(template)
            .map_err(|error| means.failed("details", &error))?;
        details.insert(name.to_owned(), shortened(&text, DETAIL_MAX).into());
    }
    payload.insert("custom_details".to_owned(), Value::Object(details));
    let mut body = json!({
        "routing_key": means.needed("routing_key")?.expose(),
        "event_action": if status(means.delivery) == "firing" { "trigger" } else { "resolve" },
        "dedup_key": hexadecimal(digest(&SHA256, means.delivery.group_key.as_bytes()).as_ref()),
        "client": client,
        "client_url": client_url,
        "payload": payload,
    });
    for key in ["images", "links"] {
        if let Some(Setting::Maps(maps)) = means.integration.settings.get(key) {
            let mut out = Vec::new();
            for map in maps {
                let mut filled = Map::new();
                for (name, template) in map {
                    let text = means
                        .renderer
                        .text(template)
                        .map_err(|error| means.failed(key, &error))?;
                    filled.insert(name.clone(), text.into());
                }
                out.push(Value::Object(filled));
            }
            body[key] = Value::Array(out);
        }
    }
    let url = means.text("url", "https://events.pagerduty.com/v2/enqueue")?;
    Ok(Request {
        url: Secret::new(url),
        headers: authorization(means.integration, means.secrets),
        body: body.to_string(),
        accepted: Accepted::Status,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
