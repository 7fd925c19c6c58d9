//! `alertmanager.yml`, read exactly: what Alertmanager takes is taken, what it refuses is refused, with file and line, and what is known and not
//! supported is said.
//!
//! Owns the keys and their meaning. Opens no file: those that hold secrets or templates are named in the result.

mod receiver;
mod route;

use std::collections::BTreeMap;
use std::path::Path;

use tend_promql::Matcher;
use tend_text::{Findings, Node, Report, Shows};

use crate::config::receiver::{globals, receivers};
use crate::config::route::{matchers, route};
use crate::interval::{self, TimeInterval};
use crate::read::{Keys, document};

pub use receiver::{Globals, Integration, Kind, Receiver, Setting};
pub use route::Route;
pub(crate) use route::matching;

/// What an `alertmanager.yml` says.
#[derive(Clone, Debug)]
pub struct Config {
    /// What holds for all.
    pub globals: Globals,
    /// The routes, a parent before its children; the first takes every alert.
    pub routes: Vec<Route>,
    /// Which alerts keep which others quiet.
    pub inhibit: Vec<Inhibit>,
    /// Who is told, by name.
    pub receivers: BTreeMap<String, Receiver>,
    /// Patterns of files with templates.
    pub templates: Vec<String>,
    /// Stretches of time by name; any of its parts makes one.
    pub intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// What is not supported, or may not be as meant.
    pub warnings: Report,
}

impl Config {
    /// Returns who is told of an alert with these labels, in the order of routes.
    #[must_use]
    pub fn receivers_of(&self, labels: &BTreeMap<String, String>) -> Vec<&str> {
        let routes = matching(&self.routes, labels).into_iter();
        routes.map(|at| self.routes[at].receiver.as_str()).collect()
    }
}

/// While an alert of the first kind fires, those of the second are not told.
#[derive(Clone, Debug)]
pub struct Inhibit {
    /// What keeps quiet.
    pub source: Vec<Matcher>,
    /// What is kept quiet.
    pub target: Vec<Matcher>,
    /// Labels that both have to have the same.
    pub equal: Vec<String>,
}

/// Reads an `alertmanager.yml`. `file` is how messages call it.
///
/// # Errors
/// Everything that is wrong with it, each with its line; what may be secret is not shown.
pub fn read_config(file: &Path, text: &str) -> Result<Config, Report> {
    let (mut config, warnings) = document(file, text, Shows::Names, config)?;
    config.warnings = warnings;
    Ok(config)
}

fn config(findings: &mut Findings, root: &Node) -> Option<Config> {
    let mut keys = Keys::of(root, "the configuration", findings)?;
    let place = keys.place;
    let globals = globals(findings, keys.node("global"));
    let mut intervals = BTreeMap::new();
    for key in ["mute_time_intervals", "time_intervals"] {
        for item in keys.items(key, findings) {
            named_interval(findings, item, &mut intervals);
        }
    }
    let mut receivers_found = BTreeMap::new();
    for item in keys.items("receivers", findings) {
        receivers(findings, item, &globals, &mut receivers_found);
    }
    let mut routes = Vec::new();
    match keys.node("route") {
        Some(node) => route(findings, node, None, &mut routes, &receivers_found, &intervals),
        None => {
            _ = findings
                .error(place, "there is no `route`")
                .help("write `route:` with a `receiver:` that takes every alert")
        }
    }
    let mut inhibit = Vec::new();
    for item in keys.items("inhibit_rules", findings) {
        inhibit.extend(inhibit_rule(findings, item));
    }
    let templates = keys
        .texts("templates", findings)
        .unwrap_or_default()
        .into_iter()
        .map(|(text, _)| text)
        .collect();
    if let Some(node) = keys.node("tracing") {
        findings.warning(node.place, "`tracing` is not supported and has no effect");
    }
    keys.finish(findings);
    Some(Config {
        globals,
        routes,
        inhibit,
        receivers: receivers_found,
        templates,
        intervals,
        warnings: Report(Vec::new()),
    })
}

fn named_interval(findings: &mut Findings, node: &Node, intervals: &mut BTreeMap<String, Vec<TimeInterval>>) {
    let Some(mut keys) = Keys::of(node, "a named time interval", findings) else {
        return;
    };
    let place = keys.place;
    let name = keys.text("name", findings);
    let parts = keys
        .items("time_intervals", findings)
        .iter()
        .filter_map(|node| interval::read(findings, node))
        .collect();
    keys.finish(findings);
    match name {
        Some((name, place)) if !name.is_empty() => {
            if intervals.insert(name.clone(), parts).is_some() {
                findings.error(place, format!("the time interval `{name}` stands here a second time"));
            }
        }
        _ => {
            _ = findings
                .error(place, "a time interval has no name")
                .help("write `name:`")
        }
    }
}

fn inhibit_rule(findings: &mut Findings, node: &Node) -> Option<Inhibit> {
    let mut keys = Keys::of(node, "a rule of inhibition", findings)?;
    let source = matchers(
        &mut keys,
        findings,
        ["source_match", "source_match_re", "source_matchers"],
    );
    let target = matchers(
        &mut keys,
        findings,
        ["target_match", "target_match_re", "target_matchers"],
    );
    let equal = keys
        .texts("equal", findings)
        .unwrap_or_default()
        .into_iter()
        .map(|(text, _)| text)
        .collect();
    // For people; Alertmanager knows it since 0.29.
    keys.node("name");
    keys.finish(findings);
    Some(Inhibit { source, target, equal })
}
