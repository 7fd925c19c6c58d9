//! The short form of who is told, made into the text of an `alertmanager.yml`.
//!
//! The text is JSON, which is YAML: nothing in it needs a second reading. A file with a secret is named by Alertmanager's own keys,
//! `url_file` and the like; a secret of tend's store stands there as `secret:NAME`. So of what is referred to, no value is in it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tend_core::model::{Routing, SECRET_FILE, SecretText};

use super::super::{secret_text, texts};
use crate::error::Findings;
use crate::load::{Session, Setting};
use crate::schema::SEVERITIES;
use crate::source::Place;
use crate::yaml::Node;

/// The means, and how Alertmanager calls a list of each.
const MEANS: [(&str, &str); 8] = [
    ("webhook", "webhook_configs"),
    ("mail", "email_configs"),
    ("dingtalk", "dingtalk_configs"),
    ("feishu", "feishu_configs"),
    ("wecom", "wecom_configs"),
    ("telegram", "telegram_configs"),
    ("slack", "slack_configs"),
    ("pagerduty", "pagerduty_configs"),
];

/// How alerts of a severity are told: how long a new group waits for others, how soon one that changed is told again, how soon one that
/// did not. The guides ask for an answer at once, within an hour and within a day.
const PACES: [[&str; 3]; 3] = [["0s", "1m", "1h"], ["30s", "5m", "4h"], ["5m", "1h", "24h"]];

const CRITICAL: usize = 0;
/// What an alert is taken for that has no severity, or one of its own.
const WARNING: usize = 1;
/// The receiver of what no other takes.
const NOBODY: &str = "nobody";

/// One receiver, read.
struct Receiver {
    name: String,
    /// For each severity, whether it is told.
    told: [bool; 3],
    section: &'static str,
    settings: Vec<Value>,
    place: Place,
}

/// Makes the text.
pub(super) fn lower(
    session: &mut Session<'_>,
    tree: &Node,
    chapter: &Node,
    items: &[Node],
    setting: &Setting,
) -> Routing {
    let mut reader = Reader {
        session,
        tree,
        setting,
        secrets: BTreeSet::new(),
    };
    let smtp = chapter.get("smtp").map(|smtp| reader.smtp(smtp));
    let mut receivers: Vec<Receiver> = Vec::new();
    for item in items {
        let Some(mut receiver) = reader.receiver(item, smtp.as_ref()) else {
            continue;
        };
        let is_named = item.get("name").is_some();
        if receiver.name == NOBODY {
            reader
                .session
                .findings
                .error(
                    item.place,
                    format!("a receiver cannot be called `{NOBODY}`: that is who is told where no other is"),
                )
                .help("choose another name");
        }
        let first = receivers.iter().find(|other| other.name == receiver.name);
        match first {
            Some(first) if is_named => {
                let first = first.place;
                reader
                    .session
                    .findings
                    .error(item.place, format!("two receivers are called `{}`", receiver.name))
                    .also(first, "the other")
                    .help("give each a name of its own");
            }
            // The second webhook without a name is `webhook-2`.
            Some(_) => {
                let numbered = (2..).map(|number| format!("{}-{number}", receiver.name));
                let free = |name: &String| receivers.iter().all(|other| other.name != *name);
                receiver.name = numbered.into_iter().find(free).unwrap_or_default();
            }
            None => {}
        }
        receivers.push(receiver);
    }
    let mails = receivers.iter().any(|receiver| receiver.section == "email_configs");
    if let (Some(written), false) = (chapter.get("smtp"), mails) {
        reader
            .session
            .findings
            .warning(written.place, "`smtp` has no effect: no receiver is told by mail")
            .help("write `{mail: ops@example.com}` among the receivers, or delete it");
    }
    check_severities(chapter, &receivers, &mut reader.session.findings);
    let text = serde_json::to_string_pretty(&written(&receivers)).expect("it is made of texts");
    Routing::Text {
        text,
        secrets: reader.secrets,
    }
}

/// Says which alerts nobody is told of.
fn check_severities(chapter: &Node, receivers: &[Receiver], findings: &mut Findings) {
    let place = chapter.get("receivers").map_or(chapter.place, |node| node.place);
    for (at, severity) in SEVERITIES.iter().enumerate() {
        if !receivers.is_empty() && !receivers.iter().any(|receiver| receiver.told[at]) {
            let more = if at == WARNING { " or without a severity" } else { "" };
            findings
                .warning(place, format!("nobody is told of alerts of severity {severity}{more}"))
                .help("leave `severity` out at one of the receivers, or add it there");
        }
    }
}

/// The configuration: of each severity a route to each receiver that is told of it. What none takes goes to nobody.
fn written(receivers: &[Receiver]) -> Value {
    let matchers = [
        "severity=\"critical\"",
        "severity!~\"critical|info\"",
        "severity=\"info\"",
    ];
    let mut routes = Vec::new();
    for (at, [wait, interval, repeat]) in PACES.into_iter().enumerate() {
        for receiver in receivers.iter().filter(|receiver| receiver.told[at]) {
            routes.push(json!({
                "receiver": receiver.name,
                "matchers": [matchers[at]],
                "group_wait": wait,
                "group_interval": interval,
                "repeat_interval": repeat,
                "continue": true,
            }));
        }
    }
    let mut found = vec![json!({ "name": NOBODY })];
    found.extend(
        receivers
            .iter()
            .map(|receiver| json!({ "name": receiver.name, receiver.section: receiver.settings })),
    );
    json!({
        "route": { "receiver": NOBODY, "group_by": ["alertname", "stack", "service"], "routes": routes },
        "inhibit_rules": [{
            "source_matchers": [matchers[CRITICAL]],
            "target_matchers": ["severity!=\"critical\""],
            "equal": ["alertname", "stack", "service", "instance"],
        }],
        "receivers": found,
    })
}

/// Reads receivers, and remembers the secrets they need.
struct Reader<'a, 'b> {
    session: &'a mut Session<'b>,
    tree: &'a Node,
    setting: &'a Setting,
    secrets: BTreeSet<String>,
}

impl Reader<'_, '_> {
    fn receiver(&mut self, item: &Node, smtp: Option<&Map<String, Value>>) -> Option<Receiver> {
        item.as_map()?;
        let named: Vec<_> = MEANS
            .into_iter()
            .filter(|(means, _)| item.get(means).is_some_and(|node| !node.is_null()))
            .collect();
        let [(means, section)] = named[..] else {
            let what = match named[..] {
                [] => "a receiver names nobody who could be told".to_owned(),
                _ => "a receiver is told by one means".to_owned(),
            };
            self.session
                .findings
                .error(item.place, what)
                .help("write one of webhook, mail, dingtalk, feishu, wecom, telegram, slack and pagerduty for each entry of the list");
            return None;
        };
        let node = item.get(means)?;
        let settings = match means {
            "mail" => self.mails(node, smtp)?,
            _ => vec![Value::Object(self.settings(means, node))],
        };
        let written = texts(item.get("severity"));
        let told = [0, 1, 2].map(|at| written.is_empty() || written.iter().any(|word| word == SEVERITIES[at]));
        Some(Receiver {
            name: item.get("name").and_then(Node::as_text).unwrap_or(means).to_owned(),
            told,
            section,
            settings,
            place: item.place,
        })
    }

    /// The settings of all means but mail.
    fn settings(&mut self, means: &str, node: &Node) -> Map<String, Value> {
        let mut settings = Map::from_iter([("send_resolved".to_owned(), json!(true))]);
        match means {
            "slack" => self.put(node, "url", "api_url", &mut settings),
            "telegram" => self.put(node, "bot_token", "bot_token", &mut settings),
            "pagerduty" => self.put(node, "routing_key", "routing_key", &mut settings),
            _ => self.put(node, "url", "url", &mut settings),
        }
        self.put(node, "sign_key", "secret", &mut settings);
        let mut bearer = Map::new();
        self.put(node, "bearer", "credentials", &mut bearer);
        if !bearer.is_empty() {
            settings.insert("http_config".to_owned(), json!({ "authorization": bearer }));
        }
        for key in ["channel", "chat_id"] {
            if let Some(text) = node.get(key).and_then(Node::as_text) {
                settings.insert(key.to_owned(), text.into());
            }
        }
        if let Some(mobiles) = node.get("at_mobiles") {
            settings.insert("at_mobiles".to_owned(), texts(Some(mobiles)).into());
        }
        if let Some(all) = node.get("at_all").and_then(Node::as_bool) {
            settings.insert("at_all".to_owned(), all.into());
        }
        settings
    }

    fn mails(&mut self, node: &Node, smtp: Option<&Map<String, Value>>) -> Option<Vec<Value>> {
        let Some(smtp) = smtp else {
            self.session
                .findings
                .error(
                    node.place,
                    "mails are to be sent, and it is not said through which server",
                )
                .help("write beside `receivers`: `smtp: {server: mail.example.com:587, from: tend@example.com}`");
            return None;
        };
        let one = |to: String| {
            let mut settings = smtp.clone();
            settings.insert("to".to_owned(), to.into());
            Value::Object(settings)
        };
        Some(texts(Some(node)).into_iter().map(one).collect())
    }

    fn smtp(&mut self, node: &Node) -> Map<String, Value> {
        let mut settings = Map::from_iter([("send_resolved".to_owned(), json!(true))]);
        for (key, theirs) in [("server", "smarthost"), ("from", "from"), ("username", "auth_username")] {
            if let Some(text) = node.get(key).and_then(Node::as_text) {
                settings.insert(theirs.to_owned(), text.into());
            }
        }
        self.put(node, "password", "auth_password", &mut settings);
        if node.get("username").is_some() != node.get("password").is_some() {
            self.session
                .findings
                .error(
                    node.place,
                    "who logs in at a mail server has a `username` and a `password`",
                )
                .help("write both, or neither");
        }
        let tls = node.get("tls").and_then(Node::as_text).unwrap_or("starttls");
        settings.insert("require_tls".to_owned(), (tls == "starttls").into());
        if tls == "implicit" {
            settings.insert("force_implicit_tls".to_owned(), true.into());
        }
        if tls == "none"
            && let Some(password) = node.get("password")
        {
            self.session
                .findings
                .warning(password.place, "the password goes to the mail server in clear")
                .help("delete `tls: none` unless the server is on this machine");
        }
        settings
    }

    /// Puts what may be secret under Alertmanager's key: itself, or the file it is in under that key with `_file`.
    fn put(&mut self, node: &Node, key: &str, theirs: &str, settings: &mut Map<String, Value>) {
        let (key, value) = match secret_text::at(self.session, self.tree, node, key, self.setting) {
            None => return,
            Some(SecretText::Written(text)) => (theirs.to_owned(), text),
            Some(SecretText::File(path)) => (format!("{theirs}_file"), path.to_string_lossy().into_owned()),
            Some(SecretText::Secret(name)) => {
                self.secrets.insert(name.clone());
                (format!("{theirs}_file"), format!("{SECRET_FILE}{name}"))
            }
        };
        settings.insert(key, value.into());
    }
}
