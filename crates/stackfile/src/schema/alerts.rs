//! The keys of the chapter `alerts`.

use super::metrics::{KEY, URL};
use super::{Form, Record, Shape, key};

const TEXT: Shape = Shape::One(Form::Text);
const TEXTS: Shape = Shape::Either(&[TEXT, Shape::List(&TEXT)]);
const MAIL: Shape = Shape::One(Form::Mail);
const WEB: Shape = Shape::One(Form::WebUrl);

/// The severities of the guides, the worst first.
pub(crate) const SEVERITIES: &[&str] = &["critical", "warning", "info"];

/// The chapter.
pub(super) static ALERTS: Record = Record {
    name: "alerts",
    required: &[],
    more: &[],
    keys: &[
        key(
            "rules",
            TEXTS,
            "files of rules in Prometheus' form, with `*` in the file's name where several are meant; default rules/*.yml",
        ),
        key(
            "alertmanager",
            TEXT,
            "an alertmanager.yml, read as Alertmanager reads it, that says who is told",
        ),
        key(
            "receivers",
            Shape::List(&Shape::Keys(&RECEIVER)),
            "who is told, where there is no `alertmanager`: critical alerts at once and each hour, warnings together and each 4 hours, the rest each day; `[]` for nobody",
        ),
        key(
            "smtp",
            Shape::Keys(&SMTP),
            "through which server mails of `receivers` go",
        ),
        key(
            "language",
            Shape::Words(&["en", "zh"]),
            "the language of texts of our own; default en",
        ),
        key(
            "external_url",
            WEB,
            "the address under which people reach what shows alerts; links in messages begin with it",
        ),
        key(
            "heartbeat",
            Shape::Keys(&HEARTBEAT),
            "a sign of life to somebody outside, who calls when it stays out",
        ),
        key(
            "quiet_deploys",
            Shape::Keys(&QUIET_DEPLOYS),
            "alerts that begin during a deployment are held back until it settled, but never critical ones, nor those of services it leaves alone; left out, none is",
        ),
        key(
            "absent",
            Shape::One(Form::Bool),
            "a rule whose series are gone raises an alert that says so; default true",
        ),
    ],
};

static RECEIVER: Record = Record {
    name: "receiver",
    required: &[],
    more: &[],
    keys: &[
        key("name", TEXT, "what it is called; default the means"),
        key(
            "severity",
            Shape::Either(&[Shape::Words(SEVERITIES), Shape::List(&Shape::Words(SEVERITIES))]),
            "which alerts it is told of, by the label `severity`; one without that label is a warning; default all",
        ),
        key(
            "webhook",
            Shape::Either(&[WEB, Shape::Keys(&WEBHOOK)]),
            "Alertmanager's JSON, by POST",
        ),
        key(
            "mail",
            Shape::Either(&[MAIL, Shape::List(&MAIL)]),
            "mails to these addresses, through `smtp`",
        ),
        key(
            "dingtalk",
            Shape::Either(&[WEB, Shape::Keys(&DINGTALK)]),
            "a robot of a DingTalk group",
        ),
        key(
            "feishu",
            Shape::Either(&[WEB, Shape::Keys(&FEISHU)]),
            "a robot of a Feishu (Lark) group",
        ),
        key(
            "wecom",
            Shape::Either(&[WEB, Shape::Keys(&WECOM)]),
            "a robot of a WeCom group",
        ),
        key("telegram", Shape::Keys(&TELEGRAM), "a bot of Telegram"),
        key(
            "slack",
            Shape::Either(&[WEB, Shape::Keys(&SLACK)]),
            "an incoming webhook of Slack, or of what takes its messages",
        ),
        key(
            "pagerduty",
            Shape::Either(&[TEXT, Shape::Keys(&PAGERDUTY)]),
            "PagerDuty, by its Events v2: the key of an integration",
        ),
    ],
};

static WEBHOOK: Record = Record {
    name: "webhook",
    required: &["url"],
    more: &[],
    keys: &[
        key("url", URL, "where to"),
        key("bearer", KEY, "what is sent as `Authorization: Bearer …`"),
    ],
};

static DINGTALK: Record = Record {
    name: "dingtalk",
    required: &["url"],
    more: &[],
    keys: &[
        key("url", URL, "the robot's address, with its access_token"),
        key("sign_key", KEY, "the key its messages are signed with, SEC…"),
        key("at_mobiles", TEXTS, "telephone numbers of who is called by name"),
        key(
            "at_all",
            Shape::One(Form::Bool),
            "everybody in the group is; default false",
        ),
    ],
};

static FEISHU: Record = Record {
    name: "feishu",
    required: &["url"],
    more: &[],
    keys: &[
        key("url", URL, "the robot's address"),
        key("sign_key", KEY, "the key its messages are signed with"),
    ],
};

static WECOM: Record = Record {
    name: "wecom",
    required: &["url"],
    more: &[],
    keys: &[
        key("url", URL, "the robot's address, with its key"),
        key("at_mobiles", TEXTS, "telephone numbers of who is called by name"),
    ],
};

static TELEGRAM: Record = Record {
    name: "telegram",
    required: &["bot_token", "chat_id"],
    more: &[],
    keys: &[
        key("bot_token", KEY, "the bot's token"),
        key("chat_id", TEXT, "the chat it writes to"),
    ],
};

static SLACK: Record = Record {
    name: "slack",
    required: &["url"],
    more: &[],
    keys: &[
        key("url", URL, "the webhook's address"),
        key("channel", TEXT, "where to, such as #ops; default what the webhook says"),
    ],
};

static PAGERDUTY: Record = Record {
    name: "pagerduty",
    required: &["routing_key"],
    more: &[],
    keys: &[key("routing_key", KEY, "the key of the integration")],
};

static SMTP: Record = Record {
    name: "smtp",
    required: &["server", "from"],
    more: &[],
    keys: &[
        key("server", Shape::One(Form::Server), "the server, with its port"),
        key("from", MAIL, "who the mails are from"),
        key("username", TEXT, "who logs in; left out, nobody does"),
        key("password", KEY, "with which password"),
        key(
            "tls",
            Shape::Words(&["starttls", "implicit", "none"]),
            "how the way to the server is kept private; default starttls",
        ),
    ],
};

static HEARTBEAT: Record = Record {
    name: "heartbeat",
    required: &["url"],
    more: &[],
    keys: &[
        key("url", URL, "who is asked, by GET"),
        key("every", Shape::One(Form::Duration), "how often; default 1m"),
        key(
            "proven_within",
            Shape::One(Form::Duration),
            "only while the way from a scrape to a receipt was proven so recently; default 10m",
        ),
        key(
            "watchdog",
            TEXTS,
            "names of receivers that are told of the alert TendWatchdog, some four times in that time: their receipts are needed for a proof",
        ),
    ],
};

static QUIET_DEPLOYS: Record = Record {
    name: "quiet_deploys",
    required: &[],
    more: &[],
    keys: &[key(
        "for",
        Shape::One(Form::Duration),
        "at most so long from the begin of the deployment; default 5m",
    )],
};
