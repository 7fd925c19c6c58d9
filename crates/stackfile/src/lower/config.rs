//! The chapter `config`: where configuration comes from, and how services are given theirs.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tend_core::model::{ConfigSources, ConfigTable, Delivery, DeliveryForm, FileFormat};

use super::probe::duration;
use super::update::check_range;
use super::{one_or_several, texts};
use crate::error::Findings;
use crate::load::Setting;
use crate::schema::parse_signal;
use crate::source::absolute;
use crate::yaml::{Entry, Node};

/// The environment of a stack that names none: nobody should meet production's rules, or its values, by leaving a line out.
const ENVIRONMENT: &str = "development";
const SCHEMA: &str = "config/schema.yaml";
const TABLE: &str = "system_config";
const ACTIVE: &str = "is_active";
const EVERY_DEFAULT: Duration = Duration::from_secs(1);
/// More often is load without a gain; later than a minute nobody would call it live.
const EVERY: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

/// Reads the chapter.
pub(super) fn sources(tree: &Node, setting: &Setting, findings: &mut Findings) -> Option<ConfigSources> {
    let chapter = tree.get("config")?;
    let environment = tree.at(&["deploy", "environment"]).and_then(Node::as_text);
    let environment = environment.unwrap_or(ENVIRONMENT);
    let paths = |key: &str, default: &[String]| -> Vec<PathBuf> {
        let texts: Vec<String> = match chapter.get(key) {
            written @ Some(_) => texts(written),
            None => default.to_vec(),
        };
        let paths = texts.iter().map(|text| absolute(&setting.directory, text.as_ref()));
        paths.collect()
    };
    let schema = chapter.get("schema").and_then(Node::as_text).unwrap_or(SCHEMA);
    Some(ConfigSources {
        schema: absolute(&setting.directory, schema.as_ref()),
        files: paths("files", &[format!("config/environments/{environment}.yml")]),
        dotenv: paths(
            "dotenv",
            &[".env".to_owned(), format!("config/secrets/{environment}.env")],
        ),
        table: chapter.get("table").and_then(|node| table(node, findings)),
    })
}

fn table(node: &Node, findings: &mut Findings) -> Option<ConfigTable> {
    check_range(node, "every", &EVERY, findings);
    let text = |key: &str| node.get(key).and_then(Node::as_text);
    let named = |key: &str, default: &str| text(key).unwrap_or(default).to_owned();
    let active = match node.get("active") {
        None => Some(ACTIVE.to_owned()),
        Some(written) => written.as_text().and_then(|text| active(text, written, findings)),
    };
    Some(ConfigTable {
        url: text("url")?.to_owned(),
        name: named("name", TABLE),
        key: named("key", "key"),
        value: named("value", "value"),
        active,
        every: duration(node, "every").unwrap_or(EVERY_DEFAULT),
    })
}

/// Returns the column that says whether a row counts; none where all do.
fn active(text: &str, written: &Node, findings: &mut Findings) -> Option<String> {
    if text.eq_ignore_ascii_case("false") {
        return None;
    }
    // `yes` and its like would be columns that nobody has.
    if written.as_bool().is_some() {
        findings
            .error(
                written.place,
                format!("`active` takes the name of a column or `false`, not `{text}`"),
            )
            .help(format!(
                "write `false` when all rows count; leave it out when the column `{ACTIVE}` says which do"
            ));
    }
    Some(text.to_owned())
}

/// Reads `config` of a service.
pub(super) fn delivery(entry: &Entry, has_chapter: bool, findings: &mut Findings) -> Option<Delivery> {
    let node = entry.value.get("config").filter(|node| !node.is_null())?;
    if !has_chapter {
        findings
            .error(
                node.place,
                format!("`{}` is to be given a configuration, and the stack has none", entry.key),
            )
            .help("say at the top level where it comes from: `config: {schema: config/schema.yaml}`");
    }
    let form = node.as_text().or_else(|| node.get("as")?.as_text());
    let is_file = form == Some("file");
    for key in ["format", "signal"] {
        if let Some(written) = node.get(key).filter(|_| !is_file) {
            findings
                .error(written.place, format!("`{key}` is about a file, and none is written"))
                .help("write `as: file` beside it, or delete the line");
        }
    }
    let keys = node.get("keys");
    for written in one_or_several(keys) {
        if let Some(text) = written.as_text()
            && !is_key_or_prefix(text)
        {
            findings
                .error(written.place, format!("`{text}` is neither a key nor a prefix"))
                .help("write a key such as `payment.max_attempts`, or all below one as `payment.*`");
        }
    }
    Some(Delivery {
        form: match form {
            Some("file") => DeliveryForm::File {
                format: match node.get("format").and_then(Node::as_text) {
                    Some("dotenv") => FileFormat::Dotenv,
                    Some("yaml") => FileFormat::Yaml,
                    Some("toml") => FileFormat::Toml,
                    _ => FileFormat::Json,
                },
                signal: node.get("signal").and_then(Node::as_text).and_then(parse_signal),
            },
            Some("watch") => DeliveryForm::Watch,
            _ => DeliveryForm::Environment,
        },
        keys: texts(keys),
    })
}

/// `payment.max_attempts`, `payment.*`.
fn is_key_or_prefix(text: &str) -> bool {
    let word = |word: &str| {
        let mut letters = word.bytes();
        letters.next().is_some_and(|letter| letter.is_ascii_lowercase())
            && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
    };
    text.strip_suffix(".*").unwrap_or(text).split('.').all(word)
}
