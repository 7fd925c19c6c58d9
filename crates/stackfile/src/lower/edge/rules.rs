//! The rules of a route: what stands beside its host, path and service, over what `edge.defaults` says.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use tend_base::parse_bytes;
use tend_core::model::{
    Compress, Cors, ErrorPage, Files, InFlight, Limit, LimitKey, Money, Prefix, Rate, Redirect, ResponseHeaders, Retry,
    RetryMethods, Rewrite, RoutePolicy, Spool, Timeouts, UploadRate,
};

use crate::error::Findings;
use crate::lower::probe::{count, duration};
use crate::lower::texts;
use crate::schema::{parse_limit_key, parse_rate};
use crate::yaml::Node;

/// A year with sub-domains: what the guides set (E4), without `preload`, which cannot be taken back within months.
const HSTS: &str = "max-age=31536000; includeSubDomains";

/// For so long a client may send as slowly as it likes: the default of Apache's mod_reqtimeout (`body=20,MinRate=500`).
const UPLOAD_AFTER: Duration = Duration::from_secs(20);

/// What a route says itself, and for what it does not say, what all routes do.
#[derive(Clone, Copy)]
struct Rules<'a> {
    own: &'a Node,
    defaults: Option<&'a Node>,
}

impl<'a> Rules<'a> {
    fn get(self, key: &str) -> Option<&'a Node> {
        self.own
            .get(key)
            .or_else(|| self.defaults.and_then(|defaults| defaults.get(key)))
    }

    fn items(self, key: &str) -> &'a [Node] {
        self.get(key).map_or(&[], Node::items)
    }
}

/// Reads the rules of a route. `name` is that of limits that have none.
pub(super) fn read(own: &Node, defaults: Option<&Node>, name: &str, findings: &mut Findings) -> RoutePolicy {
    let rules = Rules { own, defaults };
    let mut limits: Vec<Limit> = Vec::new();
    for (number, item) in rules.items("limits").iter().enumerate() {
        limits.extend(limit(item, &format!("{name}#{}", number + 1)));
    }
    RoutePolicy {
        retry: rules.get("retry").map_or_else(Retry::default, retry),
        limits,
        in_flight: rules.items("in_flight").iter().filter_map(in_flight).collect(),
        body_bytes_max: rules
            .get("body_max")
            .and_then(|body| bytes(body).or_else(|| bytes_at(body, "max"))),
        body_shadow: rules.get("body_max").is_some_and(|body| is_true(body.get("shadow"))),
        min_upload_rate: rules.get("min_upload_rate").and_then(upload_rate),
        timeouts: rules.get("timeouts").map_or_else(Timeouts::default, timeouts),
        allow: prefixes(rules.get("allow")),
        deny: prefixes(rules.get("deny")),
        client_certificate: is_true(rules.get("client_certificate")),
        headers: rules.get("headers").map_or_else(ResponseHeaders::default, headers),
        cors: rules.get("cors").and_then(|cors| self::cors(cors, findings)),
        compress: rules.get("compress").map_or_else(Compress::default, compress),
        files: rules.get("files").and_then(files),
        rewrite: rewrite(rules, findings),
        redirect: rules.get("redirect").and_then(|node| redirect(node, findings)),
        error_pages: rules.items("error_pages").iter().filter_map(error_page).collect(),
        money: rules.get("money").and_then(money),
        health_paths: texts(rules.get("health_paths")),
    }
}

pub(super) fn prefixes(node: Option<&Node>) -> Vec<Prefix> {
    let items = node.map_or(&[][..], Node::items);
    items.iter().filter_map(|item| item.as_text()?.parse().ok()).collect()
}

fn names(node: Option<&Node>) -> Vec<String> {
    texts(node).into_iter().map(|name| name.to_ascii_lowercase()).collect()
}

pub(super) fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(Node::as_text).map(str::to_owned)
}

pub(super) fn is_true(node: Option<&Node>) -> bool {
    node.and_then(Node::as_bool).unwrap_or(false)
}

fn bytes(node: &Node) -> Option<u64> {
    parse_bytes(node.as_text()?).ok()
}

fn bytes_at(node: &Node, key: &str) -> Option<u64> {
    node.get(key).and_then(bytes)
}

fn statuses(node: &Node) -> Vec<u16> {
    let items = node.get("statuses").map_or(&[][..], Node::items);
    items.iter().filter_map(|item| item.as_text()?.parse().ok()).collect()
}

fn retry(node: &Node) -> Retry {
    let default = Retry::default();
    Retry {
        methods: match text(node, "methods").as_deref() {
            Some("none") => RetryMethods::None,
            Some("all") => RetryMethods::All,
            _ => RetryMethods::Idempotent,
        },
        statuses: statuses(node),
        tries: count(node, "tries").unwrap_or(default.tries),
        total: duration(node, "total").unwrap_or(default.total),
    }
}

fn key(node: &Node) -> LimitKey {
    let written = node.get("key").and_then(Node::as_text);
    written.and_then(parse_limit_key).unwrap_or(LimitKey::Client)
}

fn limit(node: &Node, name: &str) -> Option<Limit> {
    let (requests, per) = parse_rate(node.get("rate")?.as_text()?)?;
    Some(Limit {
        name: text(node, "name").unwrap_or_else(|| name.to_owned()),
        key: key(node),
        rate: Rate {
            requests,
            per,
            burst: count(node, "burst").unwrap_or(0),
            delay_after: count(node, "delay_after"),
        },
        shadow: is_true(node.get("shadow")),
        message: text(node, "message"),
    })
}

fn in_flight(node: &Node) -> Option<InFlight> {
    Some(InFlight {
        key: key(node),
        max: count(node, "max").and_then(NonZeroU32::new)?,
        upgraded: is_true(node.get("upgraded")),
        shadow: is_true(node.get("shadow")),
    })
}

/// Reads a number of bytes alone, or a mapping with it; none for 0.
fn upload_rate(node: &Node) -> Option<UploadRate> {
    let rate = bytes(node).or_else(|| bytes_at(node, "rate"))?;
    Some(UploadRate {
        rate: NonZeroU64::new(rate)?,
        after: duration(node, "after").unwrap_or(UPLOAD_AFTER),
        shadow: is_true(node.get("shadow")),
    })
}

fn timeouts(node: &Node) -> Timeouts {
    let time = |key| duration(node, key).filter(|time| !time.is_zero());
    Timeouts {
        connect: time("connect"),
        answer: time("answer"),
        read: time("read"),
        body: time("body"),
        send: time("send"),
        upgraded_idle: time("upgraded_idle"),
        events_idle: time("events_idle"),
        whole: time("whole"),
    }
}

fn headers(node: &Node) -> ResponseHeaders {
    let hsts = node.get("hsts").and_then(|hsts| match hsts.as_bool() {
        Some(true) => Some(HSTS.to_owned()),
        Some(false) => None,
        None => hsts.as_text().map(str::to_owned),
    });
    let set: BTreeMap<String, String> = node
        .get("set")
        .map_or(&[][..], Node::entries)
        .iter()
        .filter_map(|entry| Some((entry.key.to_ascii_lowercase(), entry.value.as_text()?.to_owned())))
        .collect();
    ResponseHeaders {
        security: node.get("security").and_then(Node::as_bool).unwrap_or(true),
        hsts,
        set,
        remove: names(node.get("remove")),
    }
}

fn cors(node: &Node, findings: &mut Findings) -> Option<Cors> {
    let origins = node.get("origins")?;
    for origin in origins.items() {
        let Some(written) = origin.as_text() else {
            continue;
        };
        let bare = written
            .strip_prefix("https://")
            .or_else(|| written.strip_prefix("http://"));
        let good = written == "*"
            || bare.is_some_and(|host| {
                !host.is_empty()
                    && !host.contains(['/', '?', '#'])
                    && !host.strip_prefix('*').unwrap_or(host).contains('*')
            });
        if !good {
            findings
                .error(origin.place, format!("`{written}` is no origin"))
                .help("write scheme, host and port alone, such as https://shop.example.com");
        }
    }
    let credentials = is_true(node.get("credentials"));
    let everybody = texts(Some(origins)).iter().any(|origin| origin == "*");
    if let (true, true, Some(written)) = (credentials, everybody, node.get("credentials")) {
        findings
            .error(written.place, "credentials cannot be allowed to every origin")
            .help("name the origins; browsers refuse `*` with credentials");
    }
    Some(Cors {
        origins: texts(Some(origins)),
        methods: texts(node.get("methods")),
        headers: names(node.get("headers")),
        expose: names(node.get("expose")),
        credentials,
        max_age: duration(node, "max_age"),
    })
}

fn compress(node: &Node) -> Compress {
    let default = Compress::default();
    if let Some(enabled) = node.as_bool() {
        return Compress { enabled, ..default };
    }
    let types = texts(node.get("types"));
    Compress {
        enabled: true,
        bytes_min: bytes_at(node, "min").unwrap_or(default.bytes_min),
        types: if types.is_empty() { default.types } else { types },
        secret_bearing: is_true(node.get("secret_bearing")),
    }
}

fn files(node: &Node) -> Option<Files> {
    let root = node.as_text().map(str::to_owned).or_else(|| text(node, "root"))?;
    Some(Files {
        root: PathBuf::from(root),
        index: text(node, "index").unwrap_or_else(|| "index.html".to_owned()),
        fallback: text(node, "fallback"),
        or_service: is_true(node.get("or_service")),
        max_age: duration(node, "max_age"),
        immutable: is_true(node.get("immutable")),
        precompressed: is_true(node.get("precompressed")),
    })
}

fn rewrite(rules: Rules<'_>, findings: &mut Findings) -> Option<Rewrite> {
    let strip = rules.get("strip_prefix").filter(|strip| strip.as_bool() == Some(true));
    let replace = rules.get("replace_prefix");
    match (strip, replace.and_then(Node::as_text)) {
        (Some(strip), Some(_)) => {
            findings
                .error(strip.place, "a route takes one of `strip_prefix` and `replace_prefix`")
                .help("`replace_prefix: /` strips it too");
            None
        }
        (Some(_), None) => Some(Rewrite::StripPrefix),
        (None, Some(prefix)) => Some(Rewrite::ReplacePrefix(prefix.to_owned())),
        (None, None) => None,
    }
}

fn redirect(node: &Node, findings: &mut Findings) -> Option<Redirect> {
    let to = node.as_text().map(str::to_owned).or_else(|| text(node, "to"))?;
    let status = text(node, "status")
        .and_then(|status| status.parse().ok())
        .unwrap_or(302);
    if let (Some(written), false) = (node.get("status"), [301, 302, 303, 307, 308].contains(&status)) {
        findings
            .error(written.place, format!("{status} sends nobody anywhere"))
            .help("write 301 or 308 for ever, 302, 303 or 307 for now");
    }
    Some(Redirect { to, status })
}

fn error_page(node: &Node) -> Option<ErrorPage> {
    Some(ErrorPage {
        statuses: statuses(node),
        file: PathBuf::from(text(node, "file")?),
        intercept: is_true(node.get("intercept")),
    })
}

fn money(node: &Node) -> Option<Money> {
    let default = Money::default();
    if let Some(on) = node.as_bool() {
        return on.then_some(default);
    }
    node.as_map()?;
    let header = |key| text(node, key).map(|name| name.to_ascii_lowercase());
    Some(Money {
        key_header: header("key_header").unwrap_or(default.key_header),
        key_required: is_true(node.get("key_required")),
        account_header: header("account_header"),
        window: duration(node, "window").unwrap_or(default.window),
        upstream_idempotent: is_true(node.get("upstream_idempotent")),
        wait: duration(node, "wait").unwrap_or(default.wait),
        request_bytes_max: bytes_at(node, "request_max").unwrap_or(default.request_bytes_max),
        answer_bytes_max: bytes_at(node, "answer_max").unwrap_or(default.answer_bytes_max),
        spool: node.get("spool").and_then(spool),
    })
}

fn spool(node: &Node) -> Option<Spool> {
    let default = Spool::default();
    if let Some(on) = node.as_bool() {
        return on.then_some(default);
    }
    node.as_map()?;
    let time = |key, or: Duration| duration(node, key).unwrap_or(or);
    Some(Spool {
        status: text(node, "status")
            .and_then(|status| status.parse().ok())
            .unwrap_or(default.status),
        content_type: text(node, "content_type").unwrap_or(default.content_type),
        body: text(node, "body").unwrap_or(default.body),
        signature_header: text(node, "signature_header").map(|name| name.to_ascii_lowercase()),
        entries_max: count(node, "max").map_or(default.entries_max, u64::from),
        bytes_max: bytes_at(node, "bytes_max").unwrap_or(default.bytes_max),
        retry_first: time("retry_first", default.retry_first),
        retry_max: time("retry_max", default.retry_max),
    })
}
