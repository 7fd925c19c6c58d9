//! What is sent: pure functions from a delivery to the request or the mail that says it.
//!
//! Owns the shape each service wants, its signature and its limits on length. Sends nothing, and reads no file: secrets that stand in files are
//! handed in beside the settings.
//!
//! A request's address and headers may be secret; they are kept so that they cannot be printed.

mod chat;
mod data;
mod mail;
mod pagerduty;
mod texts;
mod webhook;
mod wire;

use std::collections::BTreeMap;

use tend_base::Secret;
use tend_template::World;

use crate::config::{Config, Integration, Kind};
use crate::notify::data::Renderer;
use crate::pipeline::Delivery;

pub use data::Language;
pub use mail::Mail;
pub use wire::Wire;

/// Something ready to be sent.
#[derive(Clone, Debug)]
pub enum Notification {
    /// A POST.
    Http(Request),
    /// A mail.
    Mail(Mail),
}

impl Notification {
    /// How it is carried.
    pub fn wire_mut(&mut self) -> &mut Wire {
        match self {
            Self::Http(request) => &mut request.wire,
            Self::Mail(mail) => &mut mail.wire,
        }
    }
}

/// A POST and how its answer is read.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to; it often holds a key.
    pub url: Secret,
    /// Headers beside the usual ones; a value may be secret.
    pub headers: Vec<(&'static str, Secret)>,
    /// JSON.
    pub body: String,
    /// How the answer says whether it was taken.
    pub accepted: Accepted,
    /// How it is carried.
    pub wire: Wire,
}

/// How an answer says whether a message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// By its status alone.
    Status,
    /// By a number in its JSON under this name, which has to be 0.
    Code(&'static str),
    /// By `true` in its JSON under this name.
    Flag(&'static str),
}

/// What happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Taken,
    /// Not now: ask again.
    Later(String),
    /// Not ever: asking again helps nothing.
    Never(String),
}

/// What a notification needs beside the delivery.
pub struct Context<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Templates of the files of `templates:`; the default ones are there without.
    pub templates: &'a [(String, String)],
    /// The time, time zones and the address of this.
    pub world: &'a mut dyn World,
    /// In which language the default texts are.
    pub language: Language,
    /// Secrets that were read from files, by the key that they stand under (`auth_password` for `auth_password_file`).
    pub secrets: BTreeMap<String, Secret>,
    /// The moment, in milliseconds since 1970: robots' signatures have it.
    pub now: i64,
}

/// Why there is no notification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// A template failed.
    #[error("receiver `{receiver}`, `{setting}`: {cause}")]
    Template {
        /// Whose.
        receiver: String,
        /// Which setting has it.
        setting: String,
        /// What is wrong.
        cause: String,
    },
    /// The receiver is not in the configuration any more.
    #[error("receiver `{receiver}` has no means number {integration}")]
    Gone {
        /// Whose.
        receiver: String,
        /// Which.
        integration: usize,
    },
    /// A secret or a setting is missing.
    #[error("receiver `{receiver}` has no `{setting}`")]
    Missing {
        /// Whose.
        receiver: String,
        /// Which setting.
        setting: &'static str,
    },
    /// It is configured in a way that cannot be sent.
    #[error("receiver `{receiver}`: {what}")]
    Unsendable {
        /// Whose.
        receiver: String,
        /// Why.
        what: String,
    },
}

/// Writes what is sent for a delivery.
///
/// # Errors
/// Where a template of the receiver fails or a secret is missing; the delivery is then refused, and people see why.
pub fn notification(delivery: &Delivery, context: &mut Context<'_>) -> Result<Notification, NotifyError> {
    let gone = || NotifyError::Gone {
        receiver: delivery.receiver.clone(),
        integration: delivery.integration,
    };
    let receiver = context.config.receivers.get(&delivery.receiver).ok_or_else(gone)?;
    let integration = receiver.integrations.get(delivery.integration).ok_or_else(gone)?;
    let delivery = &with_changes(delivery, context.language);
    let mut means = Means {
        renderer: Renderer::new(delivery, context.templates, &mut *context.world, context.language)?,
        delivery,
        integration,
        secrets: &context.secrets,
        now: context.now,
    };
    match integration.kind {
        Kind::Webhook => webhook::request(&mut means).map(Notification::Http),
        Kind::Slack => chat::slack(&mut means).map(Notification::Http),
        Kind::DingTalk => chat::dingtalk(&mut means).map(Notification::Http),
        Kind::Feishu => chat::feishu(&mut means).map(Notification::Http),
        Kind::WeCom => chat::wecom(&mut means).map(Notification::Http),
        Kind::WeChat => Err(NotifyError::Unsendable {
            receiver: delivery.receiver.clone(),
            what: "an application of WeCom needs a token first, which is not supported yet; use a robot of a group (`wecom_configs`)".to_owned(),
        }),
        Kind::Telegram => chat::telegram(&mut means).map(Notification::Http),
        Kind::PagerDuty => pagerduty::request(&mut means).map(Notification::Http),
        Kind::Email => mail::mail(&mut means).map(Notification::Mail),
    }
}

/// The annotation under which what changed before an alert is told.
pub const CHANGES_ANNOTATION: &str = "tend_changes";

/// Puts what changed before an alert among its texts, a line each, unless a rule of the user's has a text of that name.
fn with_changes(delivery: &Delivery, language: Language) -> Delivery {
    let mut delivery = delivery.clone();
    for alert in &mut delivery.alerts {
        if let Some(changes) = delivery.changes.get(&alert.fingerprint()) {
            let lines: Vec<String> = changes.iter().map(|change| change.told(language)).collect();
            (alert.annotations.entry(CHANGES_ANNOTATION.to_owned())).or_insert_with(|| lines.join("\n"));
        }
    }
    delivery
}

/// One means of a receiver with what it is to say.
struct Means<'a> {
    renderer: Renderer<'a>,
    delivery: &'a Delivery,
    integration: &'a Integration,
    secrets: &'a BTreeMap<String, Secret>,
    now: i64,
}

impl Means<'_> {
    /// The text of a setting, or the default one, with its template filled.
    fn text(&mut self, setting: &str, otherwise: &str) -> Result<String, NotifyError> {
        let template = self.integration.text(setting).unwrap_or(otherwise);
        self.renderer
            .text(template)
            .map_err(|error| self.failed(setting, &error))
    }

    fn failed(&self, setting: &str, error: &tend_template::TemplateError) -> NotifyError {
        NotifyError::Template {
            receiver: self.delivery.receiver.clone(),
            setting: setting.to_owned(),
            cause: error.to_string(),
        }
    }

    /// A secret of the settings or of a file.
    fn secret(&self, setting: &'static str) -> Option<&Secret> {
        self.integration.secret(setting).or_else(|| self.secrets.get(setting))
    }

    /// How it is carried; `prefix` is where the settings of TLS stand.
    fn wire(&self, prefix: &str) -> Wire {
        Wire::new(self.integration, prefix, self.secrets)
    }

    fn needed(&self, setting: &'static str) -> Result<&Secret, NotifyError> {
        self.secret(setting).ok_or_else(|| NotifyError::Missing {
            receiver: self.delivery.receiver.clone(),
            setting,
        })
    }
}

impl Accepted {
    /// Reads an answer.
    #[must_use]
    pub fn verdict(self, status: u16, body: &str) -> Verdict {
        let said = || {
            let start: String = body.trim().chars().take(200).collect();
            format!("status {status}: {start}")
        };
        match status {
            200..=299 => {}
            // Too many requests, or a fault of theirs.
            408 | 425 | 429 | 500..=599 => return Verdict::Later(said()),
            _ => return Verdict::Never(said()),
        }
        let json = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
        let taken = match self {
            Self::Status => true,
            Self::Code(name) => json[name] == 0,
            Self::Flag(name) => json[name] == true,
        };
        if taken {
            return Verdict::Taken;
        }
        let text = ["errmsg", "msg", "error", "description"]
            .iter()
            .find_map(|name| json[name].as_str())
            .unwrap_or_default();
        let slow = ["limit", "too many", "frequen", "busy", "限流"]
            .iter()
            .any(|word| text.to_lowercase().contains(word));
        if slow || json.is_null() {
            Verdict::Later(said())
        } else {
            Verdict::Never(said())
        }
    }
}

/// A text of at most so many characters; a cut one ends with `…`.
fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
            format!("{kept}…")
        }
    }
}

/// A text of at most so many bytes; a cut one ends with `…`.
fn shortened_bytes(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
