//! The tree of routes: who is told of which alerts, grouped how and how often.

use std::collections::{BTreeMap, BTreeSet};

use tend_promql::{MatchOp, Matcher, is_label_name};
use tend_text::{Findings, Node, did_you_mean};

use crate::config::receiver::Receiver;
use crate::interval::TimeInterval;
use crate::matching::{all_match, new_matcher, parse_matchers, written};
use crate::read::Keys;

/// A route with what it inherits from the one above it.
#[derive(Clone, Debug)]
pub struct Route {
    /// What it is known by in state that is kept: the matchers from the root on.
    pub key: String,
    /// The place of its children in [`super::Config::routes`].
    pub children: Vec<usize>,
    /// What has to be true of an alert.
    pub matchers: Vec<Matcher>,
    /// Whether routes after this one are asked too.
    pub goes_on: bool,
    /// Who is told.
    pub receiver: String,
    /// The labels by which alerts are told together.
    pub group_by: BTreeSet<String>,
    /// Every alert is told alone: `group_by: ['...']`.
    pub group_by_all: bool,
    /// Milliseconds a new group waits for more alerts.
    pub group_wait: i64,
    /// Milliseconds until a group that changed is told again.
    pub group_interval: i64,
    /// Milliseconds until a group that did not change is told again.
    pub repeat_interval: i64,
    /// Names of time intervals in which nothing is told.
    pub mute: Vec<String>,
    /// Names of time intervals outside of which nothing is told; none for any time.
    pub active: Vec<String>,
}

/// Finds the routes that take an alert: the deepest that match, going on where a route says so.
pub(crate) fn matching(routes: &[Route], labels: &BTreeMap<String, String>) -> Vec<usize> {
    let mut out = Vec::new();
    if !routes.is_empty() {
        descend(routes, 0, labels, &mut out);
    }
    out
}

fn descend(routes: &[Route], at: usize, labels: &BTreeMap<String, String>, out: &mut Vec<usize>) -> bool {
    let Some(route) = routes.get(at).filter(|route| all_match(&route.matchers, labels)) else {
        return false;
    };
    let before = out.len();
    for child in &route.children {
        if descend(routes, *child, labels, out) && !routes[*child].goes_on {
            break;
        }
    }
    if out.len() == before {
        out.push(at);
    }
    true
}

/// Reads a route and those below it; returns its place among `routes`.
pub(super) fn route(
    findings: &mut Findings,
    node: &Node,
    parent: Option<usize>,
    routes: &mut Vec<Route>,
    receivers: &BTreeMap<String, Receiver>,
    intervals: &BTreeMap<String, Vec<TimeInterval>>,
) {
    let Some(mut keys) = Keys::of(node, "a route", findings) else {
        return;
    };
    let place = keys.place;
    let mut route = match parent.and_then(|parent| routes.get(parent)) {
        Some(parent) => parent.clone(),
        None => Route {
            key: String::new(),
            children: Vec::new(),
            matchers: Vec::new(),
            goes_on: false,
            receiver: String::new(),
            group_by: BTreeSet::new(),
            group_by_all: false,
            group_wait: 30_000,
            group_interval: 300_000,
            repeat_interval: 4 * 3_600_000,
            mute: Vec::new(),
            active: Vec::new(),
        },
    };
    route.children.clear();
    if let Some((name, at)) = keys.text("receiver", findings) {
        if !receivers.contains_key(&name) {
            let near = findings
                .nearest(&name, receivers.keys().map(String::as_str))
                .map(did_you_mean);
            findings
                .error(at, format!("there is no receiver `{name}`"))
                .help_if(near);
        }
        route.receiver = name;
    } else if parent.is_none() {
        findings
            .error(place, "the first route has no receiver")
            .help("write `receiver:` and the name of one: it takes what no other route takes");
    }
    group_by(&mut keys, findings, &mut route);
    if let Some((millis, _)) = keys.duration("group_wait", findings) {
        route.group_wait = millis;
    }
    for (key, target) in [
        ("group_interval", &mut route.group_interval),
        ("repeat_interval", &mut route.repeat_interval),
    ] {
        if let Some((millis, at)) = keys.duration(key, findings) {
            if millis == 0 {
                findings
                    .error(at, format!("`{key}` cannot be zero"))
                    .help("write a length of time, such as 5m");
            }
            *target = millis;
        }
    }
    if route.repeat_interval < route.group_interval {
        findings.warning(
            place,
            "`repeat_interval` is shorter than `group_interval`; nothing is repeated more often than that",
        );
    }
    route.matchers = matchers(&mut keys, findings, ["match", "match_re", "matchers"]);
    route.goes_on = keys.switch("continue", findings).unwrap_or(false);
    for (key, target) in [
        ("mute_time_intervals", &mut route.mute),
        ("active_time_intervals", &mut route.active),
    ] {
        target.clear();
        for (name, at) in keys.texts(key, findings).unwrap_or_default() {
            if !intervals.contains_key(&name) {
                let near = findings
                    .nearest(&name, intervals.keys().map(String::as_str))
                    .map(did_you_mean);
                findings
                    .error(at, format!("there is no time interval `{name}`"))
                    .help_if(near);
            }
            if parent.is_none() {
                findings.error(
                    at,
                    format!("the first route has no `{key}`: it has to take every alert at any time"),
                );
            }
            target.push(name);
        }
    }
    if parent.is_none() {
        if !route.matchers.is_empty() {
            findings
                .error(place, "the first route has no matchers: it has to take every alert")
                .help("put them on a route below it");
        }
        if route.goes_on {
            findings
                .error(place, "the first route has no `continue`: nothing comes after it")
                .help("delete the line");
        }
    }
    route.matchers.sort_by_key(written);
    let own: Vec<String> = route.matchers.iter().map(written).collect();
    let above = parent.map_or_else(String::new, |parent| format!("{}/", routes[parent].key));
    route.key = format!("{above}{{{}}}", own.join(","));
    let at = routes.len();
    routes.push(route);
    for child in keys.items("routes", findings) {
        let before = routes.len();
        self::route(findings, child, Some(at), routes, receivers, intervals);
        if routes.len() > before {
            routes[at].children.push(before);
        }
    }
    keys.finish(findings);
}

fn group_by(keys: &mut Keys<'_>, findings: &mut Findings, route: &mut Route) {
    let Some(names) = keys.texts("group_by", findings) else {
        return;
    };
    route.group_by.clear();
    route.group_by_all = false;
    let mut all = None;
    for (name, at) in names {
        if name == "..." {
            route.group_by_all = true;
            all = Some(at);
        } else if !is_label_name(&name) {
            findings.error(at, format!("`{name}` in `group_by` is not a name of a label"));
        } else if !route.group_by.insert(name.clone()) {
            findings.error(at, format!("the label `{name}` stands twice in `group_by`"));
        }
    }
    if let Some(at) = all
        && !route.group_by.is_empty()
    {
        findings
            .error(at, "`...` stands for every label, and stands alone")
            .help("write `group_by: ['...']`");
    }
}

/// Reads matchers under the two old keys and the new one.
pub(super) fn matchers(keys: &mut Keys<'_>, findings: &mut Findings, names: [&'static str; 3]) -> Vec<Matcher> {
    let mut out = Vec::new();
    for (key, op) in [(names[0], MatchOp::Equal), (names[1], MatchOp::Regex)] {
        for (name, (value, place)) in keys.texts_by_name(key, findings) {
            if !is_label_name(&name) {
                findings.error(place, format!("`{name}` in `{key}` is not a name of a label"));
                continue;
            }
            match new_matcher(&name, op, &value) {
                Ok(matcher) => out.push(matcher),
                Err(what) => _ = findings.error(place, what),
            }
        }
    }
    for (text, place) in keys.texts(names[2], findings).unwrap_or_default() {
        match parse_matchers(&text) {
            Ok(found) => out.extend(found),
            Err(error) => _ = findings.error(place, error.to_string()).help(error.hint()),
        }
    }
    out
}
