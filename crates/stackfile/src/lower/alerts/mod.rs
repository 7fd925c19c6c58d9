//! The chapter `alerts`: which rules, who is told, and how it is known that telling works. The short form of receivers is in `receivers`.

mod receivers;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tend_core::model::{Alerts, Heartbeat, Language, Routing};

use super::probe::duration;
use super::update::check_range;
use super::{secret_text, texts};
use crate::error::Findings;
use crate::load::{Session, Setting};
use crate::source::absolute;
use crate::yaml::Node;

const RULES: &str = "rules/*.yml";
const EVERY_DEFAULT: Duration = Duration::from_secs(60);
/// More often tells nobody anything new; later than a day nobody would call it a sign of life.
const EVERY: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(24 * 3600);
const PROVEN_DEFAULT: Duration = Duration::from_secs(600);
const PROVEN: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);
const QUIET_DEFAULT: Duration = Duration::from_secs(300);
/// A deployment that disturbs for longer is one to be told of.
const QUIET: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(3600);

/// Reads the chapter.
pub(super) fn lower(session: &mut Session<'_>, tree: &Node, setting: &Setting) -> Option<Alerts> {
    let chapter = tree.get("alerts")?;
    if tree.get("metrics").is_none() {
        session
            .findings
            .error(
                chapter.place,
                "the stack has rules and measures nothing they could be about",
            )
            .help("say at the top level what is measured; `metrics: {}` takes the defaults");
    }
    let rules = rules(chapter, setting, &mut session.findings);
    let routing = routing(session, tree, chapter, setting);
    let heartbeat = chapter.get("heartbeat").and_then(|node| {
        check_range(node, "every", &EVERY, &mut session.findings);
        check_range(node, "proven_within", &PROVEN, &mut session.findings);
        Some(Heartbeat {
            url: secret_text::at(session, tree, node, "url", setting)?,
            every: duration(node, "every").unwrap_or(EVERY_DEFAULT),
            proven_within: duration(node, "proven_within").unwrap_or(PROVEN_DEFAULT),
            watchdog: texts(node.get("watchdog")).into_iter().collect(),
        })
    });
    let quiet = chapter.get("quiet_deploys").filter(|node| node.as_map().is_some());
    if let Some(quiet) = quiet {
        check_range(quiet, "for", &QUIET, &mut session.findings);
    }
    let text = |key: &str| chapter.get(key).and_then(Node::as_text);
    Some(Alerts {
        rules,
        routing,
        language: match text("language") {
            Some("zh") => Language::Chinese,
            _ => Language::English,
        },
        external_url: text("external_url").map(|url| url.trim_end_matches('/').to_owned()),
        heartbeat,
        quiet_deploys: quiet.map(|quiet| duration(quiet, "for").unwrap_or(QUIET_DEFAULT)),
        absent: chapter.get("absent").and_then(Node::as_bool).unwrap_or(true),
    })
}

fn rules(chapter: &Node, setting: &Setting, findings: &mut Findings) -> Vec<PathBuf> {
    let Some(written) = chapter.get("rules").filter(|node| !node.is_null()) else {
        return vec![absolute(&setting.directory, RULES.as_ref())];
    };
    for pattern in written.items() {
        let folder = pattern.as_text().and_then(|text| Path::new(text).parent());
        if folder.is_some_and(|folder| folder.to_string_lossy().contains(['*', '?', '['])) {
            findings
                .error(
                    pattern.place,
                    "only the last part of a pattern may hold `*`, `?` or `[`",
                )
                .help("write one pattern for each folder");
        }
    }
    texts(Some(written)).into_iter().map(PathBuf::from).collect()
}

fn routing(session: &mut Session<'_>, tree: &Node, chapter: &Node, setting: &Setting) -> Routing {
    let file = chapter.get("alertmanager").filter(|node| !node.is_null());
    let short = chapter.get("receivers").filter(|node| !node.items().is_empty());
    if let (Some(file), Some(short)) = (file, short) {
        session
            .findings
            .error(
                file.place,
                "who is told stands in two places: `alertmanager` and `receivers`",
            )
            .also(short.place, "receivers here")
            .help("keep one of the two; an alertmanager.yml takes the same means");
    }
    if short.is_none()
        && let Some(smtp) = chapter.get("smtp")
    {
        session
            .findings
            .warning(
                smtp.place,
                "`smtp` has no effect: there are no `receivers` that are told by mail",
            )
            .help("in an alertmanager.yml the server stands below `global:`");
    }
    // Of both, what is wrong is told.
    let from_short = short.map(|short| receivers::lower(session, tree, chapter, short.items(), setting));
    match (file.and_then(Node::as_text), from_short) {
        (Some(path), _) => Routing::File(PathBuf::from(path)),
        (None, Some(routing)) => routing,
        (None, None) => {
            // An empty list says so on purpose.
            if file.is_none() && chapter.get("receivers").is_none_or(Node::is_null) {
                session
                    .findings
                    .warning(chapter.place, "alerts are raised, and nobody is told")
                    .help("say who: `receivers: [{webhook: https://…}]`, or `alertmanager: alertmanager.yml`; or nobody: `receivers: []`");
            }
            Routing::Nobody
        }
    }
}
