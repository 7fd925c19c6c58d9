//! Alertmanager's webhook, version 4, byte for byte; and the headers by which a server knows who asks.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tend_base::Secret;
use tend_template::Time;

use crate::config::Integration;
use crate::notify::data::{common, ended, quoted_pattern, status};
use crate::notify::{Accepted, Means, NotifyError, Request};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    receiver: String,
    status: &'a str,
    alerts: Vec<One<'a>>,
    group_labels: &'a BTreeMap<String, String>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'a str,
    group_key: &'a str,
    truncated_alerts: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    status: &'a str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

pub(super) fn request(means: &mut Means<'_>) -> Result<Request, NotifyError> {
    let delivery = means.delivery;
    let most = means
        .integration
        .text("max_alerts")
        .and_then(|text| text.parse().ok())
        .filter(|most| *most > 0);
    let shown = most.unwrap_or(delivery.alerts.len()).min(delivery.alerts.len());
    let alerts = delivery.alerts[..shown].iter().map(|alert| One {
        status: if alert.resolved(delivery.at) {
            "resolved"
        } else {
            "firing"
        },
        labels: &alert.labels,
        annotations: &alert.annotations,
        starts_at: Time::from_millis(alert.starts_at).rfc3339(),
        ends_at: ended(alert, delivery.at).rfc3339(),
        generator_url: &alert.generator_url,
        fingerprint: format!("{:016x}", alert.fingerprint()),
    });
    let message = Message {
        receiver: quoted_pattern(&delivery.receiver),
        status: status(delivery),
        alerts: alerts.collect(),
        group_labels: &delivery.group_labels,
        // What is common to all is so for those that are left out, too.
        common_labels: common(&delivery.alerts, |alert| &alert.labels),
        common_annotations: common(&delivery.alerts, |alert| &alert.annotations),
        external_url: means.renderer.external_url(),
        version: "4",
        group_key: &delivery.group_key,
        truncated_alerts: delivery.alerts.len() - shown,
    };
    let text = serde_json::to_string(&message).map_err(|error| NotifyError::Unsendable {
        receiver: delivery.receiver.clone(),
        what: error.to_string(),
    })?;
    // Go escapes what means something in HTML and ends with a line; so it is the same to the byte.
    let mut body = text
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    body.push('\n');
    Ok(Request {
        url: means.needed("url")?.clone(),
        headers: authorization(means.integration, means.secrets),
        body,
        accepted: Accepted::Status,
    })
}

/// The header that `http_config` asks for, if it asks for one.
pub(super) fn authorization(
    integration: &Integration,
    files: &BTreeMap<String, Secret>,
) -> Vec<(&'static str, Secret)> {
    let secret = |key: &str| integration.secret(key).or_else(|| files.get(key));
    let value = if let Some(user) = integration.text("http_config.basic_auth.username") {
        let password = secret("http_config.basic_auth.password")
            .map(Secret::expose)
            .unwrap_or_default();
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    } else if let Some(token) = secret("http_config.bearer_token") {
        format!("Bearer {}", token.expose())
    } else if let Some(credentials) = secret("http_config.authorization.credentials") {
        let kind = integration.text("http_config.authorization.type").unwrap_or("Bearer");
        format!("{kind} {}", credentials.expose())
    } else {
        return Vec::new();
    };
    vec![("Authorization", Secret::new(value))]
}
