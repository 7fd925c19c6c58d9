//! The chapter `deploy`: what is wanted of deploys of the stack as a whole.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tend_base::parse_bytes;
use tend_core::model::{Database, DeployPolicy, Migrate, StackName};

use super::is_process;
use super::probe::{count, duration};
use super::process::command_words;
use super::update::check_range;
use crate::error::Findings;
use crate::schema::did_you_mean;
use crate::source::Place;
use crate::yaml::Node;

/// What the guides' migrations take at most, with room.
const MIGRATE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);
const MIGRATE_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
/// Less, and a release could go while somebody looks at what it broke.
const AGE: RangeInclusive<Duration> = Duration::from_secs(3600)..=Duration::from_secs(3650 * 24 * 3600);

/// Makes the model of the chapter.
pub(super) fn lower(tree: &Node, name: &StackName, findings: &mut Findings) -> DeployPolicy {
    let default = DeployPolicy::default();
    let Some(chapter) = tree.get("deploy") else {
        return default;
    };
    if let Some(keep) = chapter.get("keep") {
        check_range(keep, "age", &AGE, findings);
    }
    let named = |key| chapter.get(key).and_then(Node::as_text);
    let promote_from = named("promote_from").and_then(|from| from.parse::<StackName>().ok());
    if let (Some(from), Some(written)) = (&promote_from, chapter.get("promote_from"))
        && from == name
    {
        findings
            .error(written.place, format!("`{name}` cannot be promoted from itself"))
            .help("name the stack it is tried in first, such as `promote_from: staging`");
    }
    DeployPolicy {
        migrate: chapter
            .get("migrate")
            .and_then(|migrate| self::migrate(migrate, tree, findings)),
        databases: databases(chapter, findings),
        keep_count: chapter
            .get("keep")
            .and_then(|keep| count(keep, "count"))
            .unwrap_or(default.keep_count),
        keep_age: chapter.get("keep").and_then(|keep| duration(keep, "age")),
        notify: chapter
            .get("notify")
            .and_then(|notify| command_words(notify, "notify", findings)),
        environment: named("environment").map(str::to_owned),
        promote_from,
        approval: chapter
            .get("approval")
            .and_then(Node::as_bool)
            .unwrap_or(default.approval),
        disk_free_min: named("disk_free_min")
            .and_then(|size| parse_bytes(size).ok())
            .unwrap_or(default.disk_free_min),
    }
}

fn migrate(node: &Node, tree: &Node, findings: &mut Findings) -> Option<Migrate> {
    check_range(node, "timeout", &MIGRATE_TIMEOUT, findings);
    let command = node
        .get("command")
        .and_then(|command| command_words(command, "migrate.command", findings));
    let named = node.get("service")?;
    let text = named.as_text()?;
    let known = tree.get("services").map_or(&[][..], Node::entries);
    match known.iter().find(|entry| entry.key == text) {
        None => {
            let near = findings.nearest(text, known.iter().map(|entry| entry.key.as_str()));
            findings
                .error(
                    named.place,
                    format!("`deploy.migrate` names the undefined service `{text}`"),
                )
                .help_if(near.map(did_you_mean));
        }
        Some(entry) if !is_process(&entry.value) => {
            findings
                .error(
                    named.place,
                    format!("`deploy.migrate` names `{text}`, which is a container"),
                )
                .help("containers are not started in this version of tend; name a service that runs as a process");
        }
        Some(_) => {}
    }
    Some(Migrate {
        service: text.parse().ok()?,
        command: command?,
        timeout: duration(node, "timeout").unwrap_or(MIGRATE_TIMEOUT_DEFAULT),
        files: node.get("files").and_then(Node::as_text).map(str::to_owned),
    })
}

fn databases(chapter: &Node, findings: &mut Findings) -> Vec<Database> {
    let mut found: Vec<(Database, Place)> = Vec::new();
    for item in chapter.get("databases").map_or(&[][..], Node::items) {
        if item.as_map().is_none() {
            // Not a mapping; that was noted.
            continue;
        }
        let text = |key| item.get(key).and_then(Node::as_text);
        let database = match (text("sqlite"), text("postgres")) {
            (Some(path), None) => Database::Sqlite(PathBuf::from(path)),
            (None, Some(url)) => Database::Postgres(url.to_owned()),
            _ => {
                findings
                    .error(item.place, "a database takes one of `sqlite` and `postgres`")
                    .help("such as `{sqlite: data/app.db}` or `{postgres: \"${DATABASE_URL}\"}`");
                continue;
            }
        };
        if let Some((_, first)) = found.iter().find(|(other, _)| *other == database) {
            findings
                .error(item.place, "this database is named twice")
                .also(*first, "first here")
                .help("delete one of the two");
            continue;
        }
        found.push((database, item.place));
    }
    found.into_iter().map(|(database, _)| database).collect()
}
