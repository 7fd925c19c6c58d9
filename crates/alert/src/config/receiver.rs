//! Receivers: who is told, by which means, with which settings. Values that are secret are kept so that they cannot be printed.
//!
//! Every key that Alertmanager knows is in the tables here: read, or said to be without effect.

use std::collections::BTreeMap;

use tend_base::Secret;
use tend_text::{Findings, Node, Place, Value};

use crate::read::Keys;

/// By which means somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Alertmanager's JSON to an address.
    Webhook,
    /// A mail.
    Email,
    /// Slack, or what takes its messages.
    Slack,
    /// A robot of a DingTalk group.
    DingTalk,
    /// A robot of a Feishu (Lark) group.
    Feishu,
    /// A robot of a WeCom group.
    WeCom,
    /// An application of WeCom: Alertmanager's `wechat_configs`.
    WeChat,
    /// A bot of Telegram.
    Telegram,
    /// PagerDuty, or what takes its Events v2.
    PagerDuty,
}

impl Kind {
    /// Returns its name, as the journal has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "mail",
            Self::Slack => "slack",
            Self::DingTalk => "dingtalk",
            Self::Feishu => "feishu",
            Self::WeCom => "wecom",
            Self::WeChat => "wechat",
            Self::Telegram => "telegram",
            Self::PagerDuty => "pagerduty",
        }
    }

    /// Returns how many messages a minute one of its kind is sent at most; what is beyond waits, the oldest first. What the services themselves
    /// take, by what they document (PagerDuty's is what its support says of a key); a mailbox is a person's. A webhook is the user's own
    /// program, which takes what there is: Alertmanager limits it neither.
    #[must_use]
    pub fn per_minute(self) -> Option<usize> {
        match self {
            Self::Webhook => None,
            // A robot of a group.
            Self::DingTalk | Self::WeCom | Self::Telegram | Self::Email => Some(20),
            Self::WeChat => Some(30),
            // One a second.
            Self::Slack => Some(60),
            Self::Feishu => Some(100),
            Self::PagerDuty => Some(120),
        }
    }
}

/// What a setting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A text, often a template.
    Text(String),
    /// A value nobody may see.
    Secret(Secret),
    /// Yes or no.
    Flag(bool),
    /// Texts by name: headers, details.
    Texts(BTreeMap<String, String>),
    /// Mappings in a list: fields, links.
    Maps(Vec<BTreeMap<String, String>>),
    /// Texts in a list.
    List(Vec<String>),
}

/// One way to tell somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// The means.
    pub kind: Kind,
    /// Whether it is told that something resolved.
    pub send_resolved: bool,
    /// Everything else, by the names of the file; of `http_config` as `http_config.KEY`.
    pub settings: BTreeMap<String, Setting>,
}

impl Integration {
    /// Returns the text of a setting, when it is there.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.settings.get(key) {
            Some(Setting::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns a secret, when it is there.
    #[must_use]
    pub fn secret(&self, key: &str) -> Option<&Secret> {
        match self.settings.get(key) {
            Some(Setting::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    /// Returns a switch; `otherwise` when nothing is said.
    #[must_use]
    pub fn flag(&self, key: &str, otherwise: bool) -> bool {
        match self.settings.get(key) {
            Some(Setting::Flag(flag)) => *flag,
            _ => otherwise,
        }
    }

    /// Returns texts by name; none when nothing is said.
    pub fn texts(&self, key: &str) -> impl Iterator<Item = (&str, &str)> {
        let found = match self.settings.get(key) {
            Some(Setting::Texts(texts)) => Some(texts),
            _ => None,
        };
        found
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the files that hold secrets, by the key that the secret would stand under. Those of TLS are not among them: who connects reads them.
    pub fn secret_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().filter_map(|(key, setting)| match setting {
            Setting::Text(file) if !key.contains("tls_config.") => {
                key.strip_suffix("_file").map(|key| (key, file.as_str()))
            }
            _ => None,
        })
    }
}

/// Somebody to be told.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    /// By all of these means.
    pub integrations: Vec<Integration>,
}

/// What holds for all receivers.
#[derive(Clone, Debug)]
pub struct Globals {
    /// Milliseconds after which an alert without an end counts as resolved when nothing is heard of it.
    pub resolve_timeout: i64,
    /// The others, by the names of the file.
    pub settings: BTreeMap<String, Setting>,
}

/// How a key is read.
#[derive(Clone, Copy, PartialEq)]
enum Read {
    Text,
    Secret,
    Flag,
    Count,
    Texts,
    Maps,
    List,
    /// Known, and without effect here.
    Not,
}

use Read::{Count, Flag, List, Maps, Not, Secret as Hidden, Text, Texts};

type Table = &'static [(&'static str, Read)];

const GLOBALS: Table = &[
    ("smtp_from", Text),
    ("smtp_hello", Text),
    ("smtp_smarthost", Text),
    ("smtp_auth_username", Text),
    ("smtp_auth_password", Hidden),
    ("smtp_auth_password_file", Text),
    ("smtp_auth_secret", Hidden),
    ("smtp_auth_secret_file", Text),
    ("smtp_auth_identity", Text),
    ("smtp_require_tls", Flag),
    ("smtp_force_implicit_tls", Flag),
    ("slack_api_url", Hidden),
    ("slack_api_url_file", Text),
    ("slack_app_token", Hidden),
    ("slack_app_token_file", Text),
    ("slack_app_url", Text),
    ("pagerduty_url", Text),
    ("wechat_api_url", Text),
    ("wechat_api_secret", Hidden),
    ("wechat_api_secret_file", Text),
    ("wechat_api_corp_id", Text),
    ("telegram_api_url", Text),
    ("telegram_bot_token", Hidden),
    ("telegram_bot_token_file", Text),
    ("opsgenie_api_url", Not),
    ("opsgenie_api_key", Not),
    ("opsgenie_api_key_file", Not),
    ("victorops_api_url", Not),
    ("victorops_api_key", Not),
    ("victorops_api_key_file", Not),
    ("webex_api_url", Not),
    ("jira_api_url", Not),
    ("rocketchat_api_url", Not),
    ("rocketchat_token", Not),
    ("rocketchat_token_file", Not),
    ("rocketchat_token_id", Not),
    ("rocketchat_token_id_file", Not),
    ("mattermost_webhook_url", Not),
    ("mattermost_webhook_url_file", Not),
];

/// The keys of a kind, and its section in the file.
fn table(kind: Kind) -> (&'static str, bool, Table) {
    match kind {
        Kind::Webhook => (
            "webhook_configs",
            true,
            &[
                ("url", Hidden),
                ("url_file", Text),
                ("max_alerts", Count),
                ("timeout", Text),
                ("payload", Not),
            ],
        ),
        Kind::Email => (
            "email_configs",
            false,
            &[
                ("to", Text),
                ("from", Text),
                ("hello", Text),
                ("smarthost", Text),
                ("auth_username", Text),
                ("auth_password", Hidden),
                ("auth_password_file", Text),
                ("auth_secret", Hidden),
                ("auth_secret_file", Text),
                ("auth_identity", Text),
                ("headers", Texts),
                ("html", Text),
                ("text", Text),
                ("require_tls", Flag),
                ("force_implicit_tls", Flag),
                ("threading", Not),
            ],
        ),
        Kind::Slack => (
            "slack_configs",
            false,
            &[
                ("api_url", Hidden),
                ("api_url_file", Text),
                ("app_token", Hidden),
                ("app_token_file", Text),
                ("app_url", Text),
                ("channel", Text),
                ("username", Text),
                ("color", Text),
                ("title", Text),
                ("title_link", Text),
                ("pretext", Text),
                ("text", Text),
                ("message_text", Text),
                ("fields", Maps),
                ("short_fields", Flag),
                ("footer", Text),
                ("fallback", Text),
                ("callback_id", Text),
                ("icon_emoji", Text),
                ("icon_url", Text),
                ("image_url", Text),
                ("thumb_url", Text),
                ("link_names", Flag),
                ("mrkdwn_in", List),
                ("actions", Not),
                ("timeout", Text),
                ("update_message", Not),
            ],
        ),
        Kind::DingTalk => (
            "dingtalk_configs",
            true,
            &[
                ("url", Hidden),
                ("url_file", Text),
                ("secret", Hidden),
                ("secret_file", Text),
                ("title", Text),
                ("text", Text),
                ("at_mobiles", List),
                ("at_all", Flag),
            ],
        ),
        Kind::Feishu => (
            "feishu_configs",
            true,
            &[
                ("url", Hidden),
                ("url_file", Text),
                ("secret", Hidden),
                ("secret_file", Text),
                ("title", Text),
                ("text", Text),
            ],
        ),
        Kind::WeCom => (
            "wecom_configs",
            true,
            &[
                ("url", Hidden),
                ("url_file", Text),
                ("text", Text),
                ("at_mobiles", List),
            ],
        ),
        Kind::WeChat => (
            "wechat_configs",
            false,
            &[
                ("api_secret", Hidden),
                ("api_secret_file", Text),
                ("corp_id", Text),
                ("message", Text),
                ("api_url", Text),
                ("to_user", Text),
                ("to_party", Text),
                ("to_tag", Text),
                ("agent_id", Text),
                ("message_type", Text),
            ],
        ),
        Kind::Telegram => (
            "telegram_configs",
            true,
            &[
                ("api_url", Text),
                ("bot_token", Hidden),
                ("bot_token_file", Text),
                ("chat_id", Text),
                ("chat_id_file", Text),
                ("message_thread_id", Text),
                ("message", Text),
                ("disable_notifications", Flag),
                ("parse_mode", Text),
            ],
        ),
        Kind::PagerDuty => (
            "pagerduty_configs",
            true,
            &[
                ("routing_key", Hidden),
                ("routing_key_file", Text),
                ("service_key", Not),
                ("service_key_file", Not),
                ("url", Text),
                ("client", Text),
                ("client_url", Text),
                ("description", Text),
                ("details", Texts),
                ("images", Maps),
                ("links", Maps),
                ("source", Text),
                ("severity", Text),
                ("class", Text),
                ("component", Text),
                ("group", Text),
                ("timeout", Text),
            ],
        ),
    }
}

const KINDS: [Kind; 9] = [
    Kind::Webhook,
    Kind::Email,
    Kind::Slack,
    Kind::DingTalk,
    Kind::Feishu,
    Kind::WeCom,
    Kind::WeChat,
    Kind::Telegram,
    Kind::PagerDuty,
];

/// Sections of Alertmanager's for which there is nothing here.
const OTHERS: [&str; 12] = [
    "discord_configs",
    "incidentio_configs",
    "jira_configs",
    "mattermost_configs",
    "msteams_configs",
    "msteamsv2_configs",
    "opsgenie_configs",
    "pushover_configs",
    "rocketchat_configs",
    "sns_configs",
    "victorops_configs",
    "webex_configs",
];

const HTTP: Table = &[
    ("follow_redirects", Flag),
    ("bearer_token", Hidden),
    ("bearer_token_file", Text),
    ("proxy_url", Hidden),
    ("enable_http2", Not),
    ("no_proxy", Not),
    ("proxy_from_environment", Not),
    ("proxy_connect_header", Not),
    ("oauth2", Not),
    ("http_headers", Not),
];

const TLS: Table = &[
    ("ca_file", Text),
    ("cert_file", Text),
    ("key_file", Text),
    ("server_name", Text),
    ("insecure_skip_verify", Flag),
    ("min_version", Not),
    ("max_version", Not),
    ("ca", Not),
    ("cert", Not),
    ("key", Not),
];

/// Of several keys at most one, or exactly one, is set.
const ALTERNATIVES: [(&str, &str); 7] = [
    ("api_url", "api_url_file"),
    ("auth_password", "auth_password_file"),
    ("auth_secret", "auth_secret_file"),
    ("bot_token", "bot_token_file"),
    ("routing_key", "routing_key_file"),
    ("url", "url_file"),
    ("secret", "secret_file"),
];

/// What a kind takes from `global` where it says nothing itself: its own key and the global one.
fn inherited(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Email => &[
            ("from", "smtp_from"),
            ("hello", "smtp_hello"),
            ("smarthost", "smtp_smarthost"),
            ("auth_username", "smtp_auth_username"),
            ("auth_password", "smtp_auth_password"),
            ("auth_password_file", "smtp_auth_password_file"),
            ("auth_secret", "smtp_auth_secret"),
            ("auth_secret_file", "smtp_auth_secret_file"),
            ("force_implicit_tls", "smtp_force_implicit_tls"),
            ("auth_identity", "smtp_auth_identity"),
            ("require_tls", "smtp_require_tls"),
        ],
        Kind::Slack => &[
            ("api_url", "slack_api_url"),
            ("api_url_file", "slack_api_url_file"),
            ("app_token", "slack_app_token"),
            ("app_url", "slack_app_url"),
        ],
        Kind::WeChat => &[
            ("api_url", "wechat_api_url"),
            ("api_secret", "wechat_api_secret"),
            ("corp_id", "wechat_api_corp_id"),
        ],
        Kind::Telegram => &[
            ("api_url", "telegram_api_url"),
            ("bot_token", "telegram_bot_token"),
            ("bot_token_file", "telegram_bot_token_file"),
        ],
        Kind::PagerDuty => &[("url", "pagerduty_url")],
        Kind::Webhook | Kind::DingTalk | Kind::Feishu | Kind::WeCom => &[],
    }
}

/// What a kind cannot do without; of several keys in a group one is enough.
fn required(kind: Kind) -> &'static [&'static [&'static str]] {
    match kind {
        Kind::Webhook | Kind::DingTalk | Kind::Feishu | Kind::WeCom => &[&["url", "url_file"]],
        Kind::Email => &[&["to"], &["from"], &["smarthost"]],
        Kind::Slack => &[&["api_url", "api_url_file", "app_token", "app_token_file"]],
        Kind::WeChat => &[&["api_secret", "api_secret_file"], &["corp_id"]],
        Kind::Telegram => &[&["bot_token", "bot_token_file"], &["chat_id", "chat_id_file"]],
        Kind::PagerDuty => &[&["routing_key", "routing_key_file"]],
    }
}

pub(super) fn globals(findings: &mut Findings, node: Option<&Node>) -> Globals {
    let defaults = [
        ("smtp_hello", Setting::Text("localhost".to_owned())),
        ("smtp_require_tls", Setting::Flag(true)),
        (
            "pagerduty_url",
            Setting::Text("https://events.pagerduty.com/v2/enqueue".to_owned()),
        ),
        (
            "wechat_api_url",
            Setting::Text("https://qyapi.weixin.qq.com/cgi-bin/".to_owned()),
        ),
        ("telegram_api_url", Setting::Text("https://api.telegram.org".to_owned())),
    ];
    let mut settings: BTreeMap<String, Setting> = defaults
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let mut resolve_timeout = 300_000;
    if let Some(mut keys) = node.and_then(|node| Keys::of(node, "`global`", findings)) {
        if let Some((millis, _)) = keys.duration("resolve_timeout", findings) {
            resolve_timeout = millis;
        }
        take(&mut keys, findings, GLOBALS, "", &mut settings);
        http(&mut keys, findings, &mut settings);
        tls(
            &mut keys,
            findings,
            "smtp_tls_config",
            "smtp_tls_config.",
            &mut settings,
        );
        let place = keys.place;
        for (one, two) in
            ["smtp_auth_password", "slack_api_url", "telegram_bot_token"].map(|key| (key, format!("{key}_file")))
        {
            both(findings, place, &settings, one, &two);
        }
        keys.finish(findings);
    }
    Globals {
        resolve_timeout,
        settings,
    }
}

fn both(findings: &mut Findings, place: Place, settings: &BTreeMap<String, Setting>, one: &str, two: &str) {
    if settings.contains_key(one) && settings.contains_key(two) {
        findings
            .error(place, format!("`{one}` and `{two}` are both set"))
            .help("keep one of the two");
    }
}

pub(super) fn receivers(findings: &mut Findings, node: &Node, globals: &Globals, out: &mut BTreeMap<String, Receiver>) {
    let Some(mut keys) = Keys::of(node, "a receiver", findings) else {
        return;
    };
    let place = keys.place;
    let name = keys.text("name", findings);
    let mut receiver = Receiver::default();
    for kind in KINDS {
        let (section, ..) = table(kind);
        for node in keys.items(section, findings) {
            receiver.integrations.extend(integration(findings, node, kind, globals));
        }
    }
    let mut unsupported = Vec::new();
    for section in OTHERS {
        if let Some(node) = keys.node(section) {
            unsupported.push((section, node.place));
        }
    }
    for (section, at) in unsupported {
        let help = "known means are webhook, e-mail, Slack, DingTalk, Feishu, WeCom, Telegram and PagerDuty";
        if receiver.integrations.is_empty() {
            findings
                .error(
                    at,
                    format!("`{section}` is not supported, and this receiver has nothing else: nobody would be told"),
                )
                .help(help);
        } else {
            findings
                .warning(
                    at,
                    format!("`{section}` is not supported: this receiver is told by its other means alone"),
                )
                .help(help);
        }
    }
    keys.finish(findings);
    match name {
        Some((name, _)) if !name.is_empty() => {
            if out.insert(name.clone(), receiver).is_some() {
                findings.error(place, format!("the receiver `{name}` stands here a second time"));
            }
        }
        _ => _ = findings.error(place, "a receiver has no name").help("write `name:`"),
    }
}

fn integration(findings: &mut Findings, node: &Node, kind: Kind, globals: &Globals) -> Option<Integration> {
    let (section, resolved, table) = table(kind);
    let mut keys = Keys::of(node, section, findings)?;
    let place = keys.place;
    let send_resolved = keys.switch("send_resolved", findings).unwrap_or(resolved);
    let mut settings = BTreeMap::new();
    take(&mut keys, findings, table, "", &mut settings);
    http(&mut keys, findings, &mut settings);
    if kind == Kind::Email && !tls(&mut keys, findings, "tls_config", "tls_config.", &mut settings) {
        // As a whole: half of one and half of the other would be neither.
        let all = globals.settings.iter();
        settings.extend(
            all.filter_map(|(key, value)| Some((key.strip_prefix("smtp_")?.to_owned(), value.clone())))
                .filter(|(key, _)| key.starts_with("tls_config.")),
        );
    }
    keys.finish(findings);
    for (one, two) in ALTERNATIVES {
        both(findings, place, &settings, one, two);
    }
    for (own, global) in inherited(kind) {
        // What is said here, in whichever of the two ways, wins over what holds for all.
        let other = own
            .strip_suffix("_file")
            .map_or_else(|| format!("{own}_file"), str::to_owned);
        if !settings.contains_key(*own)
            && !settings.contains_key(&other)
            && let Some(value) = globals.settings.get(*global)
        {
            settings.insert((*own).to_owned(), value.clone());
        }
    }
    for (key, value) in &globals.settings {
        if key.starts_with("http_config.") && !settings.contains_key(key) {
            settings.insert(key.clone(), value.clone());
        }
    }
    for group in required(kind) {
        if !group.iter().any(|key| settings.contains_key(*key)) {
            findings
                .error(place, format!("`{section}` has no `{}`", group[0]))
                .help("set it here, or for all under `global:` where that knows it");
        }
    }
    Some(Integration {
        kind,
        send_resolved,
        settings,
    })
}

fn http(keys: &mut Keys<'_>, findings: &mut Findings, settings: &mut BTreeMap<String, Setting>) {
    let Some(mut http) = keys
        .node("http_config")
        .and_then(|node| Keys::of(node, "`http_config`", findings))
    else {
        return;
    };
    take(&mut http, findings, HTTP, "http_config.", settings);
    let parts: [(&str, Table, &str); 2] = [
        (
            "basic_auth",
            &[
                ("username", Text),
                ("username_file", Text),
                ("password", Hidden),
                ("password_file", Text),
            ],
            "http_config.basic_auth.",
        ),
        (
            "authorization",
            &[("type", Text), ("credentials", Hidden), ("credentials_file", Text)],
            "http_config.authorization.",
        ),
    ];
    for (key, table, prefix) in parts {
        if let Some(mut inner) = http
            .node(key)
            .and_then(|node| Keys::of(node, "a part of `http_config`", findings))
        {
            take(&mut inner, findings, table, prefix, settings);
            inner.finish(findings);
        }
    }
    tls(&mut http, findings, "tls_config", "http_config.tls_config.", settings);
    http.finish(findings);
}

/// Reads settings of TLS; says whether there are any.
fn tls(
    keys: &mut Keys<'_>,
    findings: &mut Findings,
    key: &'static str,
    prefix: &str,
    settings: &mut BTreeMap<String, Setting>,
) -> bool {
    let Some(mut inner) = keys
        .node(key)
        .and_then(|node| Keys::of(node, "a part of `tls_config`", findings))
    else {
        return false;
    };
    take(&mut inner, findings, TLS, prefix, settings);
    inner.finish(findings);
    true
}

fn take(
    keys: &mut Keys<'_>,
    findings: &mut Findings,
    table: Table,
    prefix: &str,
    settings: &mut BTreeMap<String, Setting>,
) {
    for (key, read) in table {
        let value = match read {
            Text => keys.text(key, findings).map(|(text, _)| Setting::Text(text)),
            Hidden => keys
                .text(key, findings)
                .map(|(text, _)| Setting::Secret(Secret::new(text))),
            Flag => keys.switch(key, findings).map(Setting::Flag),
            Count => keys
                .count(key, findings)
                .map(|number| Setting::Text(number.to_string())),
            Texts => {
                let texts = keys.texts_by_name(key, findings);
                (!texts.is_empty())
                    .then(|| Setting::Texts(texts.into_iter().map(|(name, (text, _))| (name, text)).collect()))
            }
            List => keys
                .texts(key, findings)
                .map(|texts| Setting::List(texts.into_iter().map(|(text, _)| text).collect())),
            Maps => {
                let maps: Vec<_> = keys.items(key, findings).iter().map(flat).collect();
                (!maps.is_empty()).then_some(Setting::Maps(maps))
            }
            Not => {
                if let Some(node) = keys.node(key) {
                    findings.warning(node.place, format!("`{key}` is not supported and has no effect"));
                }
                None
            }
        };
        if let Some(value) = value {
            settings.insert(format!("{prefix}{key}"), value);
        }
    }
}

/// The texts of a mapping.
fn flat(node: &Node) -> BTreeMap<String, String> {
    match &node.value {
        Value::Map(map) => map
            .0
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), entry.value.as_text()?.to_owned())))
            .collect(),
        _ => BTreeMap::new(),
    }
}
