//! Reads a `prometheus.yml`: what it says, and everything that is wrong with it at once. Opens no file; knows what each chapter is in `job`,
//! `http` and `relabel`, and what is known by name but not done in `undone`.
//!
//! Prometheus refuses a key that it does not know, and so do we. A key that Prometheus knows and we do nothing for is a warning at its line.

mod http;
mod job;
mod relabel;
mod undone;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tend_promql::{Labels, is_label_name};
use tend_text::{Dialect, Findings, Keys, Kind, Node, Place, Report, Severity, Shows, Value, read};

use crate::config::{Alertmanager, BODY_BYTES_MAX, Config, Global, Group, Limits, Protocol};

const DIALECT: Dialect = Dialect {
    depth_max: 64,
    entries_max: 20_000,
    plain: Kind::of_plain,
    kinds: &[
        ("str", Kind::Text),
        ("int", Kind::Integer),
        ("float", Kind::Float),
        ("bool", Kind::Bool),
        ("null", Kind::Null),
    ],
    merge_tags: false,
    file: "a configuration of Prometheus",
    inside: "such a file",
    help_document: "delete the `---`, or put the document into a file of its own",
    help_depth: "is the indentation right?",
    help_entries: "divide it into several files",
    help_tag: "leave it out, or put a text that starts with `!` in quotes",
    help_empty: None,
};

/// Reads a `prometheus.yml`. Paths in it that are relative begin with the folder of `file`.
///
/// The second part of the result holds the warnings: what the file says and is not done.
///
/// # Errors
/// Everything that is wrong, with the warnings. No value that may be secret is shown.
pub fn read_config(file: &Path, text: &str) -> Result<(Config, Report), Report> {
    document(file, text, config)
}

/// Reads a file that `file_sd_configs` names: YAML, of which JSON is a part.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_targets(file: &Path, text: &str) -> Result<Vec<Group>, Report> {
    let groups = document(file, text, |findings, root| match root.as_list() {
        Some(items) => Some(groups(items, findings)),
        None if root.entries().is_empty() => Some(Vec::new()),
        None => {
            let message = format!("a file of targets is a list, and this is {}", root.noun());
            findings
                .error(root.place, message)
                .help("write `- targets: ['host:port']`");
            None
        }
    });
    groups.map(|(groups, _)| groups)
}

fn document<T>(file: &Path, text: &str, take: fn(&mut Findings, &Node) -> Option<T>) -> Result<(T, Report), Report> {
    let mut findings = Findings::default();
    // Passwords, tokens and addresses with either may stand anywhere, so of a line only the name is shown where it is not known better.
    let source = findings.sources.add(file, text, Shows::Names);
    let root = match read(source, &DIALECT, &mut findings) {
        Some(root) => root,
        None if findings.failed() => return Err(Report(findings.into_diagnostics())),
        // An empty file is a mapping without keys.
        None => Node::new(source.whole(), Value::Map(tend_text::Map(Vec::new()))),
    };
    let taken = take(&mut findings, &root);
    let report = Report(findings.into_diagnostics());
    match taken {
        Some(taken) if report.0.iter().all(|one| one.severity != Severity::Error) => Ok((taken, report)),
        _ => Err(report),
    }
}

/// What the readers of chapters need beside the keys.
struct Reading<'a> {
    findings: &'a mut Findings,
    /// The folder that relative paths begin with.
    folder: PathBuf,
}

impl Reading<'_> {
    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    /// A length of time such as `15s`, in milliseconds.
    fn duration(&mut self, keys: &mut Keys<'_>, key: &'static str) -> Option<(i64, Place)> {
        let help = "write a number and a unit, such as 30s, 5m or 1h30m";
        keys.parsed(
            key,
            self.findings,
            "a length of time",
            help,
            tend_promql::parse_duration,
        )
    }

    /// A limit, where 0 is none.
    fn limit(&mut self, keys: &mut Keys<'_>, key: &'static str, before: Option<usize>) -> Option<usize> {
        match keys.count(key, self.findings) {
            None => before,
            Some(0) => None,
            Some(limit) => Some(usize::try_from(limit).unwrap_or(usize::MAX)),
        }
    }

    fn limits(&mut self, keys: &mut Keys<'_>, before: Limits) -> Limits {
        let help = "write a number and a unit, such as 10MB";
        let bytes = keys.parsed("body_size_limit", self.findings, "a size", help, parse_size);
        Limits {
            body_bytes: match bytes {
                None => before.body_bytes,
                Some((0, _)) => BODY_BYTES_MAX,
                Some((bytes, _)) => bytes,
            },
            samples: self.limit(keys, "sample_limit", before.samples),
            targets: self.limit(keys, "target_limit", before.targets),
            labels: self.limit(keys, "label_limit", before.labels),
            label_name_bytes: self.limit(keys, "label_name_length_limit", before.label_name_bytes),
            label_value_bytes: self.limit(keys, "label_value_length_limit", before.label_value_bytes),
            // Prometheus keeps all where nothing is said; a bound stays here.
            dropped_shown: self
                .limit(keys, "keep_dropped_targets", Some(before.dropped_shown))
                .unwrap_or(Limits::default().dropped_shown),
        }
    }

    fn protocols(&mut self, keys: &mut Keys<'_>, before: &[Protocol]) -> Vec<Protocol> {
        let Some(words) = keys.texts("scrape_protocols", self.findings) else {
            return before.to_vec();
        };
        let mut out = Vec::new();
        for (word, place) in words {
            match word.as_str() {
                "OpenMetricsText1.0.0" => out.push(Protocol::OpenMetrics1),
                "OpenMetricsText0.0.1" => out.push(Protocol::OpenMetrics0),
                "PrometheusText1.0.0" => out.push(Protocol::Text1),
                "PrometheusText0.0.4" => out.push(Protocol::Text),
                "PrometheusProto" => {
                    self.findings
                        .warning(place, "`PrometheusProto` is not asked for: metrics are read as text")
                        .help("leave it out; classic histograms and all else come as text too")
                        .plainly();
                }
                _ => {
                    self.findings
                        .error(place, format!("there is no scrape protocol `{word}`"))
                        .help("write PrometheusText0.0.4, PrometheusText1.0.0, OpenMetricsText0.0.1 or OpenMetricsText1.0.0")
                        .plainly();
                }
            }
        }
        if out.is_empty() { before.to_vec() } else { out }
    }

    /// Says that a key means nothing here.
    fn undone(&mut self, keys: &mut Keys<'_>, table: &[(&'static str, &'static str)]) {
        for (key, why) in table {
            if let Some(entry) = keys.entry(key)
                && entry.value.as_bool() != Some(false)
            {
                self.findings
                    .warning(entry.place, format!("`{key}` is not done: {why}"));
            }
        }
    }
}

fn config(findings: &mut Findings, root: &Node) -> Option<Config> {
    let mut keys = Keys::of(root, "a configuration of Prometheus", findings)?;
    let folder = findings.sources.get(root.place.source).directory.clone();
    let mut reading = Reading { findings, folder };
    let global = match keys.node("global") {
        Some(node) => global(&mut reading, node),
        None => Global::default(),
    };
    let mut rule_files = Vec::new();
    for (pattern, place) in keys.texts("rule_files", reading.findings).unwrap_or_default() {
        if let Err(why) = crate::paths::judge(&pattern) {
            reading
                .findings
                .error(place, format!("`{pattern}` is no pattern: {why}"))
                .plainly();
        }
        rule_files.push(reading.path(&pattern));
    }
    let jobs = job::all(&mut reading, &mut keys, &global);
    let (alertmanagers, alert_relabel) = match keys.node("alerting") {
        Some(node) => alerting(&mut reading, node),
        None => Default::default(),
    };
    reading.undone(&mut keys, undone::TOP);
    keys.finish(reading.findings);
    Some(Config {
        global,
        rule_files,
        jobs,
        alertmanagers,
        alert_relabel,
    })
}

fn global(reading: &mut Reading<'_>, node: &Node) -> Global {
    let mut global = Global::default();
    let Some(mut keys) = Keys::of(node, "`global`", reading.findings) else {
        return global;
    };
    let interval = reading.duration(&mut keys, "scrape_interval").filter(|(ms, _)| *ms > 0);
    let timeout = reading.duration(&mut keys, "scrape_timeout").filter(|(ms, _)| *ms > 0);
    if let Some((ms, _)) = interval {
        global.scrape_interval_ms = ms;
    }
    match timeout {
        Some((ms, place)) if ms > global.scrape_interval_ms => {
            reading
                .findings
                .error(place, "`scrape_timeout` is longer than `scrape_interval`")
                .help("a scrape has to end before the next one begins")
                .plainly();
        }
        Some((ms, _)) => global.scrape_timeout_ms = ms,
        None => global.scrape_timeout_ms = global.scrape_timeout_ms.min(global.scrape_interval_ms),
    }
    if let Some((ms, _)) = reading
        .duration(&mut keys, "evaluation_interval")
        .filter(|(ms, _)| *ms > 0)
    {
        global.evaluation_interval_ms = ms;
    }
    if let Some((ms, _)) = reading.duration(&mut keys, "rule_query_offset") {
        global.rule_query_offset_ms = ms;
    }
    let labels = keys.texts_by_name("external_labels", reading.findings);
    for (name, (_, place)) in labels.iter().filter(|(_, (value, _))| value.contains('$')) {
        let message = format!("the external label `{name}` is taken as it is written: no variable is put into it");
        reading.findings.warning(*place, message);
    }
    let labels = self::labels(labels, reading.findings);
    global.external_labels = Labels::from_pairs(labels);
    global.limits = reading.limits(&mut keys, global.limits);
    global.protocols = reading.protocols(&mut keys, &global.protocols);
    reading.undone(&mut keys, undone::GLOBAL);
    undone::schemes(reading, &mut keys);
    keys.finish(reading.findings);
    global
}

fn alerting(reading: &mut Reading<'_>, node: &Node) -> (Vec<Alertmanager>, Vec<tend_relabel::Rule>) {
    let Some(mut keys) = Keys::of(node, "`alerting`", reading.findings) else {
        return Default::default();
    };
    let rules = relabel::rules(reading, &mut keys, "alert_relabel_configs");
    let items = keys.items("alertmanagers", reading.findings);
    let managers = items.iter().filter_map(|item| alertmanager(reading, item)).collect();
    keys.finish(reading.findings);
    (managers, rules)
}

fn alertmanager(reading: &mut Reading<'_>, node: &Node) -> Option<Alertmanager> {
    let mut keys = Keys::of(node, "an item of `alertmanagers`", reading.findings)?;
    let scheme = http::scheme(reading, &mut keys);
    let prefix = keys
        .text("path_prefix", reading.findings)
        .map_or(String::new(), |(text, _)| text);
    let prefix = prefix.trim_matches('/');
    let timeout = reading.duration(&mut keys, "timeout").map_or(10_000, |(ms, _)| ms);
    if let Some((version, place)) = keys.text("api_version", reading.findings)
        && version != "v2"
    {
        reading
            .findings
            .error(
                place,
                format!("the API `{version}` of Alertmanager is gone, only v2 is spoken"),
            )
            .help("write `api_version: v2`, or leave it out")
            .plainly();
    }
    let mut urls = Vec::new();
    for group in groups(keys.items("static_configs", reading.findings), reading.findings) {
        for target in group.targets {
            urls.push(match prefix {
                "" => format!("{scheme}://{target}"),
                _ => format!("{scheme}://{target}/{prefix}"),
            });
        }
    }
    let http = http::settings(reading, &mut keys);
    let undone = undone::discoveries(&mut keys);
    if let Some((place, kind)) = undone.first() {
        let message = format!("Alertmanagers are not found by `{kind}`");
        let warning = reading.findings.warning(*place, message);
        warning.help("list them in `static_configs`");
    }
    reading.undone(&mut keys, undone::ALERTMANAGER);
    keys.finish(reading.findings);
    Some(Alertmanager {
        urls,
        timeout_ms: timeout,
        http,
    })
}

/// Groups of targets, as in `static_configs` and in files of targets.
fn groups(items: &[Node], findings: &mut Findings) -> Vec<Group> {
    let mut out = Vec::new();
    for item in items {
        let Some(mut keys) = Keys::of(item, "a group of targets", findings) else {
            continue;
        };
        let targets = keys.texts("targets", findings).unwrap_or_default();
        let labels = labels(keys.texts_by_name("labels", findings), findings);
        keys.finish(findings);
        out.push(Group {
            targets: targets.into_iter().map(|(target, _)| target).collect(),
            labels,
        });
    }
    out
}

fn labels(named: BTreeMap<String, (String, Place)>, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (name, (value, place)) in named {
        if is_label_name(&name) {
            out.insert(name, value);
        } else {
            findings
                .error(place, format!("`{name}` cannot be the name of a label"))
                .help("a name has letters, digits and _, and begins with no digit");
        }
    }
    out
}

/// Reads `10MB`. Units are powers of 1024, as in Prometheus.
fn parse_size(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let shift = match text[end..].trim_end_matches("iB").trim_end_matches('B') {
        "" if number == 0.0 || end < text.len() => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        _ => return None,
    };
    let bytes = number * f64::from(1_u32 << (shift % 30)) * if shift >= 30 { f64::from(1 << 30) } else { 1.0 };
    // Sizes of a file are far below what a double holds exactly.
    (bytes < 9e15).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_are_read_as_prometheus_reads_them() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("10MB", Some(10 << 20)),
            ("1.5KiB", Some(1536)),
            ("512B", Some(512)),
            ("2G", Some(2 << 30)),
            ("1TB", Some(1 << 40)),
            ("512", None),
            ("MB", None),
            ("1XB", None),
            ("1.2.3MB", None),
            ("9999PB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }
}
