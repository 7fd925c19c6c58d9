//! The chapter `metrics`, and how services are asked for theirs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tend_base::{format_duration, parse_bytes, parse_duration};
use tend_core::model::{
    Collect, CollectFrom, Edge, Figure, FigureLimits, Metrics, Port, RemoteWrite, Replicas, Retention, ServiceMetrics,
    Unit,
};

use super::probe::duration;
use super::update::check_range;
use super::{is_process, secret_text};
use crate::error::Findings;
use crate::load::{Session, Setting};
use crate::schema::{parse_host_port, parse_percent};
use crate::source::Place;
use crate::yaml::{Entry, Node};

/// The guides' (M1).
const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);
/// More often is load without a gain; later than an hour every rule would take the series for ended.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// Prometheus' own.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// Prometheus' own.
const RETENTION_DEFAULT: Duration = Duration::from_secs(15 * 24 * 3600);
/// The store writes a block every two hours; what is older than that can go.
const RETENTION: RangeInclusive<Duration> = Duration::from_secs(2 * 3600)..=Duration::from_secs(3650 * 24 * 3600);
/// Less than the head of a small store takes.
const SIZE_MIN: u64 = 64 << 20;
const PATH: &str = "/metrics";
/// Labels that every series of a service has.
const TAKEN: [&str; 5] = ["stack", "service", "replica", "instance", "job"];

/// How often the targets of a stack are asked where they say nothing themselves, and how long their answer may take.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    interval: Duration,
    timeout: Option<Duration>,
}

impl Pace {
    /// Reads it of the chapter; nothing where there is none.
    pub(super) fn of(tree: &Node) -> Option<Self> {
        let chapter = tree.get("metrics")?;
        Some(Self {
            interval: duration(chapter, "interval").unwrap_or(INTERVAL_DEFAULT),
            timeout: duration(chapter, "timeout"),
        })
    }

    fn timeout(self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT_DEFAULT.min(self.interval))
    }
}

/// Reads the chapter.
pub(super) fn lower(session: &mut Session<'_>, tree: &Node, edge: &Edge, setting: &Setting) -> Option<Metrics> {
    let chapter = tree.get("metrics")?;
    let pace = Pace::of(tree)?;
    let findings = &mut session.findings;
    check_range(chapter, "interval", &INTERVAL, findings);
    check_range(chapter, "timeout", &TIMEOUT, findings);
    check_timeout(chapter, pace.timeout, pace.interval, findings);
    let listen = listen(chapter, edge, findings);
    let retention = retention(chapter, findings);
    let score = score(chapter, findings);
    let prometheus = secret_text::at(session, tree, chapter, "prometheus", setting);
    let mut remote_write = Vec::new();
    for target in chapter.get("remote_write").map_or(&[][..], Node::items) {
        let mut read = |key| secret_text::at(session, tree, target, key, setting);
        let (url, bearer) = (read("url"), read("bearer"));
        remote_write.extend(url.map(|url| RemoteWrite { url, bearer }));
    }
    let flag = |key: &str| chapter.at(&["collect", key]).and_then(Node::as_bool).unwrap_or(true);
    let mut servers = |kind| servers(session, tree, chapter, kind, setting);
    Some(Metrics {
        listen,
        prometheus,
        config: chapter.get("config").and_then(Node::as_text).map(PathBuf::from),
        interval: pace.interval,
        timeout: pace.timeout(),
        retention,
        remote_write,
        collect: Collect {
            node: flag("node"),
            processes: flag("processes"),
            edge: flag("edge"),
            postgres: servers("postgres"),
            mysql: servers("mysql"),
            redis: servers("redis"),
        },
        score,
    })
}

/// Notes an answer that may come later than the next question; Prometheus refuses that too.
fn check_timeout(node: &Node, timeout: Option<Duration>, interval: Duration, findings: &mut Findings) {
    if let (Some(timeout), Some(written)) = (timeout, node.get("timeout"))
        && timeout > interval
        // One that cannot be was noted.
        && INTERVAL.contains(&interval)
    {
        let text = format_duration(interval);
        findings
            .error(written.place, format!("`timeout` is longer than the interval, {text}"))
            .help(format!("write {text} or less"));
    }
}

fn listen(chapter: &Node, edge: &Edge, findings: &mut Findings) -> Option<SocketAddr> {
    let written = chapter.get("listen")?;
    let address = parse_host_port(written.as_text()?).ok()?;
    let public = chapter.get("listen_public").and_then(Node::as_bool) == Some(true);
    if !address.ip().is_loopback() && !public {
        findings
            .error(
                written.place,
                format!("the APIs at {address} would be open to others, who could silence alerts"),
            )
            .help(format!(
                "write 127.0.0.1:{}, or `listen_public: true` beside it where only those can reach it who may",
                address.port()
            ));
    }
    if edge.listeners.iter().any(|listener| listener.address == address) {
        findings
            .error(
                written.place,
                format!("{address} is taken in this stack already: the edge listens there"),
            )
            .help("choose another port");
    }
    Some(address)
}

fn retention(chapter: &Node, findings: &mut Findings) -> Retention {
    let node = chapter.get("retention");
    if let Some(node) = node {
        check_range(node, "time", &RETENTION, findings);
    }
    let size = node.and_then(|node| node.get("size"));
    let bytes_max = size.and_then(|size| parse_bytes(size.as_text()?).ok());
    if let (Some(size), Some(bytes)) = (size, bytes_max)
        && bytes < SIZE_MIN
    {
        findings
            .error(size.place, "`size` must be 64m or more")
            .help("leave it out when only the time is to count");
    }
    Retention {
        time: node
            .and_then(|node| duration(node, "time"))
            .unwrap_or(RETENTION_DEFAULT),
        bytes_max,
    }
}

fn servers(session: &mut Session<'_>, tree: &Node, chapter: &Node, kind: &str, setting: &Setting) -> Vec<CollectFrom> {
    let mut found: Vec<(CollectFrom, Place)> = Vec::new();
    for item in chapter.at(&["collect", kind]).map_or(&[][..], Node::items) {
        let name = item.get("name").and_then(Node::as_text).unwrap_or(kind).to_owned();
        let Some(url) = secret_text::at(session, tree, item, "url", setting) else {
            continue;
        };
        if let Some((_, first)) = found.iter().find(|(other, _)| other.name == name) {
            session
                .findings
                .error(item.place, format!("two servers of `{kind}` are called `{name}`"))
                .also(*first, "the other")
                .help("give each a `name` of its own");
            continue;
        }
        found.push((CollectFrom { name, url }, item.place));
    }
    found.into_iter().map(|(server, _)| server).collect()
}

fn score(chapter: &Node, findings: &mut Findings) -> BTreeMap<Figure, FigureLimits> {
    let mut score = BTreeMap::new();
    for figure in Figure::ALL {
        let Some(node) = chapter.at(&["score", figure.name()]) else {
            continue;
        };
        if node.as_map().is_none() {
            if node.as_bool() == Some(false) {
                score.insert(figure, FigureLimits::Off);
            }
            continue;
        }
        let limit = |key: &str| node.get(key).and_then(|node| amount(node.as_text()?, figure.unit()));
        let (warning, critical) = (limit("warning"), limit("critical"));
        check_order(node, figure, warning, critical, findings);
        score.insert(
            figure,
            FigureLimits::Set {
                warning,
                critical,
                query: node.get("query").and_then(Node::as_text).map(str::to_owned),
            },
        );
    }
    score
}

fn amount(text: &str, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Seconds => parse_duration(text).ok().map(|time| time.as_secs_f64()),
        Unit::Share => parse_percent(text),
        // Exact up to 2^53, which is 8 PiB.
        Unit::Bytes => parse_bytes(text).ok().map(|bytes| bytes as f64),
        Unit::Count => text.parse().ok(),
    }
}

/// Notes limits of which the critical one is met first; one of them may be the guide's.
fn check_order(node: &Node, figure: Figure, warning: Option<f64>, critical: Option<f64>, findings: &mut Findings) {
    let Some(place) = ["critical", "warning"].into_iter().find_map(|key| node.get(key)) else {
        return;
    };
    let reference = figure.reference();
    let (first, last) = (warning.unwrap_or(reference.0), critical.unwrap_or(reference.1));
    let (wrong, how) = match figure.less_is_worse() {
        true => (last > first, "at or below"),
        false => (last < first, "at or above"),
    };
    if wrong {
        let name = figure.name();
        findings
            .error(place.place, format!("`{name}` would be critical before it is a warning"))
            .help(format!(
                "write both: `critical` is {how} `warning`, and one that is left out is that of the table of reference values"
            ));
    }
}

/// Reads `metrics` of a service; `pace` is that of the chapter, nothing where there is none.
pub(super) fn service(
    entry: &Entry,
    port: &Port,
    replicas: Replicas,
    pace: Option<Pace>,
    findings: &mut Findings,
) -> Option<ServiceMetrics> {
    let node = entry.value.get("metrics").filter(|node| node.as_map().is_some())?;
    if !is_process(&entry.value) {
        return None;
    }
    let Some(pace) = pace else {
        findings
            .error(
                node.place,
                format!(
                    "`{}` is to be asked for its metrics, and the stack keeps none",
                    entry.key
                ),
            )
            .help("say at the top level what is measured; `metrics: {}` takes the defaults");
        return None;
    };
    let own = node.get("port").and_then(|port| port.as_text()?.parse::<u16>().ok());
    let several = !matches!(replicas, Replicas::Count(0 | 1));
    match own {
        None if *port == Port::None => {
            findings
                .error(
                    node.place,
                    format!(
                        "`metrics` asks `{}` at its own port, and it has `port: none`",
                        entry.key
                    ),
                )
                .help("say how the service learns its port: `port: PORT`");
        }
        Some(number) if several && *port != Port::Fixed(number) => {
            findings
                .error(
                    node.place,
                    format!("several replicas of `{}` cannot all listen at port {number}", entry.key),
                )
                .help("write `metrics: true` to have each asked at its own port");
        }
        _ => {}
    }
    check_range(node, "interval", &INTERVAL, findings);
    check_range(node, "timeout", &TIMEOUT, findings);
    let (interval, timeout) = (duration(node, "interval"), duration(node, "timeout"));
    check_timeout(node, timeout, interval.unwrap_or(pace.interval), findings);
    // The chapter's time may be longer than this service's interval.
    let timeout = timeout.or_else(|| interval.filter(|interval| *interval < pace.timeout()));
    let text = |key: &str| node.get(key).and_then(Node::as_text);
    Some(ServiceMetrics {
        port: own,
        path: text("path").unwrap_or(PATH).to_owned(),
        job: text("job").unwrap_or(&entry.key).to_owned(),
        interval,
        timeout,
        labels: labels(node, findings),
    })
}

fn labels(node: &Node, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for label in node.get("labels").map_or(&[][..], Node::entries) {
        let name = label.key.as_str();
        if !is_label_name(name) {
            findings
                .error(label.place, format!("`{name}` cannot be the name of a label"))
                .help("letters, digits and `_`, not beginning with a digit nor with `__`");
        } else if TAKEN.contains(&name) {
            findings
                .error(label.place, format!("the label `{name}` is set by tend"))
                .help(match name {
                    "job" => "write `job:` beside `labels:`",
                    _ => "choose another name",
                });
        }
        if let Some(value) = label.value.as_text() {
            labels.insert(name.to_owned(), value.to_owned());
        }
    }
    labels
}

/// As Prometheus takes it; what begins with `__` it keeps for itself.
fn is_label_name(text: &str) -> bool {
    !text.starts_with("__")
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
