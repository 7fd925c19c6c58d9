//! Says of rules what is wrong with them before they are needed: what does not exist, what can never be true, what is compared with the wrong unit.
//!
//! Owns the findings and their order. Each part looks at one kind of fault: `names` at what does not exist, `never` at what is decided before
//! it is evaluated, `joins` at series that cannot meet, `units` at numbers of different kinds, with `wording` for what the rule's texts say.
//! `catalogue` is what there is; without one, only what the rule itself shows is found.
//!
//! Invariant: nothing that works is called an error (test `the_guides_other_rules_raise_no_error`).

mod bounds;
mod catalogue;
mod joins;
mod names;
mod never;
mod shape;
mod units;
mod wording;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

use tend_alert::{Group, Rule, RuleKind};
use tend_promql::{Span, format_duration, parse_duration};

pub use catalogue::{Catalogue, MetricKind};

use crate::engine::Source;
use crate::twin::TWIN_ANNOTATION;

/// How sure it is that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The rule does not do what it is there for.
    Error,
    /// It probably does not.
    Warning,
    /// It may be as meant, and is worth a look.
    Note,
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Severity {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A metric that does not exist.
    Metric,
    /// A label, or a value of one, that does not exist.
    Label,
    /// Something that is always, or never, true.
    Decided,
    /// Series that are divided by themselves.
    SelfRatio,
    /// Series that cannot meet.
    Join,
    /// Numbers of different kinds.
    Unit,
    /// Times that do not fit each other.
    Time,
}

impl Serialize for About {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl About {
    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Label => "label",
            Self::Decided => "decided",
            Self::SelfRatio => "self-ratio",
            Self::Join => "join",
            Self::Unit => "unit",
            Self::Time => "time",
        }
    }
}

/// Something that is wrong with a rule; in JSON as `tend rules check --json` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How sure it is.
    pub severity: Severity,
    /// What kind of fault it is.
    pub about: About,
    /// The file of the rule.
    pub file: String,
    /// The group of the rule.
    pub group: String,
    /// The name of the rule.
    pub rule: String,
    /// The line the rule starts at.
    pub line: u32,
    /// What is wrong.
    pub what: String,
    /// What was probably meant: an expression where it can be written, else what to do.
    pub meant: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}:{}: rule `{}` of group `{}`: {}",
            self.severity.as_str(),
            self.file,
            self.line,
            self.rule,
            self.group,
            self.what
        )?;
        if let Some(meant) = &self.meant {
            write!(f, "\n  probably meant: {meant}")?;
        }
        Ok(())
    }
}

/// What rules are judged over.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// What there is; nothing when it is not known.
    pub catalogue: Option<&'a Catalogue>,
    /// Milliseconds between evaluations of a group that says nothing else.
    pub interval: i64,
    /// Milliseconds between scrapes, where they are known.
    pub scrape_interval: Option<i64>,
}

/// One rule that is being looked at.
pub(crate) struct Looking<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) ground: Ground<'a>,
    /// Names that rules of these files record.
    pub(crate) made: &'a BTreeSet<&'a str>,
    file: &'a str,
    group: &'a Group,
    found: &'a mut Vec<Finding>,
}

impl Looking<'_> {
    pub(crate) fn say(&mut self, severity: Severity, about: About, what: String, meant: Option<String>) {
        let finding = Finding {
            severity,
            about,
            file: self.file.to_owned(),
            group: self.group.name.clone(),
            rule: self.rule.name().to_owned(),
            line: self.rule.line,
            what,
            meant,
        };
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    /// The rule's expression with a part of it written otherwise.
    pub(crate) fn with(&self, part: Span, instead: &str) -> String {
        let text = &self.rule.expression;
        let (before, behind) = (text.get(..part.start), text.get(part.end..));
        format!("{}{instead}{}", before.unwrap_or_default(), behind.unwrap_or_default())
    }

    /// A part of the rule's expression as it is written.
    pub(crate) fn written(&self, part: Span) -> &str {
        self.rule.expression.get(part.start..part.end).unwrap_or_default()
    }
}

/// Judges all rules of some files; what is found stands in the order of the files, errors of a rule first.
#[must_use]
pub fn check(sources: &[Source], ground: Ground<'_>) -> Vec<Finding> {
    let rules = sources
        .iter()
        .flat_map(|source| &source.groups)
        .flat_map(|group| &group.rules);
    let made: BTreeSet<&str> = rules
        .filter(|rule| matches!(rule.kind, RuleKind::Record { .. }))
        .map(Rule::name)
        .chain(["ALERTS", "ALERTS_FOR_STATE"])
        .collect();
    let mut all = Vec::new();
    for source in sources {
        for group in &source.groups {
            for rule in &group.rules {
                let mut found = Vec::new();
                let mut looking = Looking {
                    rule,
                    ground,
                    made: &made,
                    file: &source.file,
                    group,
                    found: &mut found,
                };
                names::look(&mut looking);
                never::look(&mut looking);
                joins::look(&mut looking);
                units::look(&mut looking);
                times(&mut looking);
                found.sort_by_key(|finding| finding.severity);
                all.append(&mut found);
            }
        }
    }
    all
}

/// Looks at times that do not fit each other.
fn times(looking: &mut Looking<'_>) {
    let RuleKind::Alert { hold, annotations, .. } = &looking.rule.kind else {
        return;
    };
    let interval = looking.group.interval.unwrap_or(looking.ground.interval);
    if *hold > 0 && *hold < interval {
        let what = format!(
            "it has to hold for {}, and is looked at each {}: it fires at the second look, whatever was between",
            format_duration(*hold),
            format_duration(interval)
        );
        let meant = format!("for: {}, or a shorter interval of the group", format_duration(interval));
        looking.say(Severity::Warning, About::Time, what, Some(meant));
    }
    if let Some(text) = annotations.get(TWIN_ANNOTATION)
        && text.trim() != "off"
        && parse_duration(text.trim()).is_none()
    {
        let what = format!("`{TWIN_ANNOTATION}: {text}` is neither `off` nor a length of time, so the default holds");
        looking.say(
            Severity::Warning,
            About::Time,
            what,
            Some("off, or for example 30m".to_owned()),
        );
    }
}
