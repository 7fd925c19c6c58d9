//! Prometheus' files of rules, read exactly: what Prometheus takes is taken, what it refuses is refused, with file and line.
//!
//! Owns which keys there are and what is wrong with a rule as it is written. Does not know whether its series exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tend_promql::{Expr, is_label_name, is_metric_name, parse};
use tend_text::{Findings, Node, Place, Report, Shows};

use crate::read::{Keys, document};
use crate::rules::expand::check_template;

/// The groups of one file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// In the order of the file.
    pub groups: Vec<Group>,
    /// What is not an error and may not be as meant.
    pub warnings: Report,
}

/// Rules that are evaluated one after the other at the same moment.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name, once in a file.
    pub name: String,
    /// Milliseconds between two evaluations; nothing when it is that of all groups.
    pub interval: Option<i64>,
    /// How many series or alerts a rule may give; 0 for any number.
    pub limit: u64,
    /// Milliseconds by which evaluation looks back.
    pub query_offset: Option<i64>,
    /// Labels of every rule that does not set them itself.
    pub labels: BTreeMap<String, String>,
    /// In order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it does with its result.
    pub kind: RuleKind,
    /// The expression as it is written.
    pub expression: String,
    /// The expression as it was read.
    pub tree: Expr,
    /// Labels; templates in an alerting rule. Those of the group are among them.
    pub labels: BTreeMap<String, String>,
    /// The line it starts at.
    pub line: u32,
}

/// What a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Its result is a series of this name.
    Record {
        /// The name.
        name: String,
    },
    /// Its result are alerts.
    Alert {
        /// The name, label `alertname`.
        name: String,
        /// Milliseconds it has to hold before it fires.
        hold: i64,
        /// Milliseconds it goes on firing after it no longer holds.
        keep_firing: i64,
        /// Templates of texts for people.
        annotations: BTreeMap<String, String>,
    },
}

impl Rule {
    /// Returns the name of the series or the alert.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            RuleKind::Record { name } | RuleKind::Alert { name, .. } => name,
        }
    }
}

/// Reads a file of rules. `file` is how messages call it.
///
/// # Errors
/// Everything that is wrong with it, each with its line.
pub fn read_rules(file: &Path, text: &str) -> Result<RuleFile, Report> {
    let (groups, warnings) = document(file, text, Shows::Lines, groups)?;
    Ok(RuleFile { groups, warnings })
}

fn groups(findings: &mut Findings, root: &Node) -> Option<Vec<Group>> {
    let mut keys = Keys::of(root, "a file of rules", findings)?;
    let mut seen = BTreeMap::new();
    let mut out = Vec::new();
    for node in keys.items("groups", findings) {
        let Some((group, place)) = group(findings, node) else {
            continue;
        };
        if let Some(first) = seen.insert(group.name.clone(), place) {
            findings
                .error(place, format!("the group `{}` stands here a second time", group.name))
                .also(first, "first here")
                .help("a group's name is used once in a file");
        }
        out.push(group);
    }
    keys.finish(findings);
    Some(out)
}

fn group(findings: &mut Findings, node: &Node) -> Option<(Group, Place)> {
    let mut keys = Keys::of(node, "a group of rules", findings)?;
    let name = keys.text("name", findings);
    let interval = keys.duration("interval", findings).map(|(millis, _)| millis);
    let query_offset = keys.duration("query_offset", findings).map(|(millis, _)| millis);
    let limit = keys.count("limit", findings).unwrap_or(0);
    let labels = labels(&mut keys, findings, false);
    let rules = keys.items("rules", findings);
    let rules = rules.iter().filter_map(|node| rule(findings, node, &labels)).collect();
    // Prometheus 2 had this key for a time.
    keys.node("partial_response_strategy");
    let place = keys.place;
    keys.finish(findings);
    match name {
        Some((name, place)) if !name.is_empty() => Some((
            Group {
                name,
                interval,
                limit,
                query_offset,
                labels,
                rules,
            },
            place,
        )),
        _ => {
            findings
                .error(place, "a group of rules has no name")
                .help("write `name:` and how the group is called");
            None
        }
    }
}

fn labels(keys: &mut Keys<'_>, findings: &mut Findings, templates: bool) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (name, (value, place)) in keys.texts_by_name("labels", findings) {
        if !is_label_name(&name) || name == "__name__" {
            findings
                .error(place, format!("`{name}` is not a name of a label"))
                .help("letters, digits and low lines; not `__name__`");
        }
        if templates {
            template(findings, place, &format!("label `{name}`"), &value);
        }
        out.insert(name, value);
    }
    out
}

fn template(findings: &mut Findings, place: Place, of: &str, text: &str) {
    if let Err(error) = check_template(text) {
        let at = error.place().unwrap_or_default();
        findings
            .error(
                place,
                format!("the template of {of} cannot be read, at its {at}: {}", error.what()),
            )
            .help(error.hint());
    }
}

fn rule(findings: &mut Findings, node: &Node, group_labels: &BTreeMap<String, String>) -> Option<Rule> {
    let errors = findings.errors();
    let mut keys = Keys::of(node, "a rule", findings)?;
    let record = keys.text("record", findings);
    let alert = keys.text("alert", findings);
    let expression = keys.text("expr", findings);
    let hold = keys.duration("for", findings);
    let keep_firing = keys.duration("keep_firing_for", findings);
    let has_annotations = keys.has("annotations");
    let annotations = keys.texts_by_name("annotations", findings);
    let own = labels(&mut keys, findings, alert.is_some());
    let place = keys.place;
    keys.finish(findings);

    let Some((expression, at)) = expression.filter(|(text, _)| !text.trim().is_empty()) else {
        findings
            .error(place, "a rule has no expression")
            .help("write `expr:` and what is to be evaluated");
        return None;
    };
    let tree = match parse(&expression) {
        Ok(tree) => Some(tree),
        Err(error) => {
            let (line, column) = error.line_and_column();
            findings.error(
                at,
                format!("this is not PromQL, at its {line}:{column}: {}", error.text()),
            );
            None
        }
    };
    let mut all = group_labels.clone();
    let kind = match (record, alert) {
        (Some(_), Some((_, alert))) => {
            findings
                .error(alert, "a rule has `record` or `alert`, not both")
                .help("make two rules of it");
            return None;
        }
        (None, None) => {
            findings
                .error(place, "a rule has neither `record` nor `alert`")
                .help("write `alert:` and the name of the alert");
            return None;
        }
        (Some((name, at)), None) => {
            for (key, there) in [
                ("for", hold.map(|(_, place)| place)),
                ("keep_firing_for", keep_firing.map(|(_, place)| place)),
            ] {
                if let Some(place) = there {
                    findings
                        .error(place, format!("`{key}` has no meaning in a rule that records"))
                        .help("delete the line");
                }
            }
            if has_annotations {
                findings
                    .error(place, "annotations have no meaning in a rule that records")
                    .help("delete them");
            }
            if !is_metric_name(&name) {
                findings
                    .error(at, format!("`{name}` is not a name of a series"))
                    .help("letters, digits, low lines and colons, as in `job:requests:rate5m`");
            }
            RuleKind::Record { name }
        }
        (None, Some((name, _))) => {
            for (key, (text, place)) in &annotations {
                if !is_label_name(key) {
                    findings
                        .error(*place, format!("`{key}` is not a name of an annotation"))
                        .help("letters, digits and low lines");
                }
                template(findings, *place, &format!("annotation `{key}`"), text);
            }
            RuleKind::Alert {
                name,
                hold: hold.map_or(0, |(millis, _)| millis),
                keep_firing: keep_firing.map_or(0, |(millis, _)| millis),
                annotations: annotations.into_iter().map(|(key, (text, _))| (key, text)).collect(),
            }
        }
    };
    all.extend(own);
    if findings.errors() > errors {
        return None;
    }
    Some(Rule {
        kind,
        expression,
        tree: tree?,
        labels: all,
        line: place.line,
    })
}

impl RuleFile {
    /// Returns the names of all alerts, sorted, each once.
    #[must_use]
    pub fn alert_names(&self) -> BTreeSet<&str> {
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        rules
            .filter(|rule| matches!(rule.kind, RuleKind::Alert { .. }))
            .map(Rule::name)
            .collect()
    }
}
