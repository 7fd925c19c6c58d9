//! Reads `scrape_configs`. Knows what a job is, and which jobs contradict themselves or each other.

use std::collections::BTreeMap;

use tend_text::{Keys, Node, Place};

use super::{Reading, groups, http, relabel, undone};
use crate::config::{Global, Job, Settings};

/// The jobs of a file.
pub(super) fn all(reading: &mut Reading<'_>, keys: &mut Keys<'_>, global: &Global) -> Vec<Job> {
    let mut names: BTreeMap<String, Place> = BTreeMap::new();
    let mut jobs = Vec::new();
    for item in keys.items("scrape_configs", reading.findings) {
        let Some((job, place)) = job(reading, item, global) else {
            continue;
        };
        if job.name.is_empty() {
            continue;
        }
        if let Some(first) = names.insert(job.name.clone(), place) {
            let message = format!("there are two jobs `{}`", job.name);
            let error = reading.findings.error(place, message).plainly();
            error.also(first, "the other").help("give each job a name of its own");
        }
        jobs.push(job);
    }
    jobs
}

fn job(reading: &mut Reading<'_>, node: &Node, global: &Global) -> Option<(Job, Place)> {
    let mut keys = Keys::of(node, "a job", reading.findings)?;
    let (name, name_place) = match keys.text("job_name", reading.findings) {
        Some((name, place)) if !name.is_empty() => (name, place),
        _ => {
            reading
                .findings
                .error(node.place, "a job has no name")
                .help("write `job_name: …`; it becomes the label `job` of all its series");
            (String::new(), node.place)
        }
    };
    let mut settings = Settings::of(global);
    times(reading, &mut keys, &mut settings);
    let findings = &mut *reading.findings;
    for (key, field) in [
        ("honor_labels", &mut settings.honor_labels),
        ("honor_timestamps", &mut settings.honor_timestamps),
        ("enable_compression", &mut settings.compression),
    ] {
        if let Some(switch) = keys.switch(key, findings) {
            *field = switch;
        }
    }
    if let Some((path, _)) = keys.text("metrics_path", findings) {
        settings.metrics_path = path;
    }
    settings.scheme = http::scheme(reading, &mut keys);
    settings.params = params(reading, &mut keys);
    settings.protocols = reading.protocols(&mut keys, &global.protocols);
    settings.limits = reading.limits(&mut keys, settings.limits);
    settings.relabel = relabel::rules(reading, &mut keys, "relabel_configs");
    settings.metric_relabel = relabel::rules(reading, &mut keys, "metric_relabel_configs");
    settings.http = http::settings(reading, &mut keys);
    let static_items = keys.items("static_configs", reading.findings);
    let groups = groups(static_items, reading.findings);
    if settings.relabel.is_empty() {
        addresses(reading, static_items);
    }
    let files = files(reading, &mut keys);
    let discoveries = undone::discoveries(&mut keys);
    say_undone(reading, &name, &discoveries, !groups.is_empty() || !files.is_empty());
    if groups.is_empty() && files.is_empty() && discoveries.is_empty() {
        let message = format!("job `{name}` has no targets, so nothing is scraped for it");
        let warning = reading.findings.warning(node.place, message);
        warning.help("write `static_configs: [{targets: ['host:port']}]`");
    }
    reading.undone(&mut keys, undone::JOB);
    undone::schemes(reading, &mut keys);
    keys.finish(reading.findings);
    let job = Job {
        name,
        settings,
        groups,
        files,
        built_in: Vec::new(),
        undone: discoveries.into_iter().map(|(_, kind)| kind).collect(),
    };
    Some((job, name_place))
}

/// `scrape_interval` and `scrape_timeout`, which follows the interval down where it says nothing itself.
fn times(reading: &mut Reading<'_>, keys: &mut Keys<'_>, settings: &mut Settings) {
    let interval = reading.duration(keys, "scrape_interval").filter(|(ms, _)| *ms > 0);
    let timeout = reading.duration(keys, "scrape_timeout").filter(|(ms, _)| *ms > 0);
    if let Some((ms, _)) = interval {
        settings.interval_ms = ms;
    }
    match timeout {
        Some((ms, place)) if ms > settings.interval_ms => {
            let error = reading
                .findings
                .error(
                    place,
                    "`scrape_timeout` is longer than the `scrape_interval` of the job",
                )
                .plainly();
            error.help("a scrape has to end before the next one begins");
        }
        Some((ms, _)) => settings.timeout_ms = ms,
        None => settings.timeout_ms = settings.timeout_ms.min(settings.interval_ms),
    }
}

/// `params`: lists of texts by names.
fn params(reading: &mut Reading<'_>, keys: &mut Keys<'_>) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    let Some(node) = keys.node("params") else { return out };
    if node.as_map().is_none() {
        let message = format!("`params` is a mapping, and this is {}", node.noun());
        reading
            .findings
            .error(node.place, message)
            .help("write `name: [value]`");
    }
    for entry in node.entries() {
        let values: Option<Vec<String>> = match entry.value.as_list() {
            Some(items) => items.iter().map(|item| item.as_text().map(str::to_owned)).collect(),
            None => None,
        };
        match values {
            Some(values) => _ = out.insert(entry.key.clone(), values),
            None => {
                let message = format!("the parameter `{}` is a list of texts", entry.key);
                reading
                    .findings
                    .error(entry.value.place, message)
                    .help("write `name: [value]`");
            }
        }
    }
    out
}

/// Prometheus' own check for a URL where an address belongs; rules of relabelling may make an address of anything.
fn addresses(reading: &mut Reading<'_>, items: &[Node]) {
    for target in items
        .iter()
        .filter_map(|item| item.get("targets"))
        .flat_map(Node::items)
    {
        if target.as_text().is_some_and(|text| text.contains('/')) {
            reading
                .findings
                .error(target.place, "a target is an address, and this has a `/`")
                .help("write `host:port`; the rest belongs into `scheme` and `metrics_path`");
        }
    }
}

/// `file_sd_configs`: patterns of paths.
fn files(reading: &mut Reading<'_>, keys: &mut Keys<'_>) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    for item in keys.items("file_sd_configs", reading.findings) {
        let Some(mut keys) = Keys::of(item, "an item of `file_sd_configs`", reading.findings) else {
            continue;
        };
        let patterns = keys.texts("files", reading.findings).unwrap_or_default();
        // A change is seen within seconds, whatever stands here.
        _ = reading.duration(&mut keys, "refresh_interval");
        keys.finish(reading.findings);
        if patterns.is_empty() {
            reading
                .findings
                .error(item.place, "an item of `file_sd_configs` names no files")
                .help("write `files: ['targets/*.json']`");
        }
        for (pattern, place) in patterns {
            let ending = pattern.rsplit('.').next().unwrap_or_default();
            if !["json", "yml", "yaml"].contains(&ending) {
                let message = format!("`{pattern}` is none of .json, .yml and .yaml");
                let error = reading.findings.error(place, message).plainly();
                error.help("files of targets have one of these endings");
            } else if let Err(why) = crate::paths::judge(&pattern) {
                reading
                    .findings
                    .error(place, format!("`{pattern}` is no pattern: {why}"))
                    .plainly();
            }
            out.push(reading.path(&pattern));
        }
    }
    out
}

fn say_undone(reading: &mut Reading<'_>, job: &str, discoveries: &[(Place, &'static str)], has_others: bool) {
    for (place, kind) in discoveries {
        let follows = if has_others {
            "only the targets of its static lists and files are scraped"
        } else {
            "nothing is scraped for it"
        };
        let message = format!("job `{job}`: targets are not found by `{kind}`, so {follows}");
        reading
            .findings
            .warning(*place, message)
            .help("list the targets in `static_configs`, or let what knows them write a file for `file_sd_configs`");
    }
}
