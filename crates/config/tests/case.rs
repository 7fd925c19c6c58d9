//! A case as data: the texts of all layers in one file, divided by lines `#--- WHAT`, and what comes of them as text.
//!
//! `#--- schema`, `#--- environment NAME`, `#--- file PATH`, `#--- dotenv PATH`, `#--- process` (`NAME=value` lines), `#--- secrets`
//! (`name version value`), `#--- rows` (`key | json | yes or no | when | who`), `#--- set` (`key=text`, or `key` alone to unset).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tend_base::{Secret, Wall, fnv64};
use tend_config::{Layers, Origin, Report, Row, Schema, Set, SetEntry, SetLayer, StoredSecret};

/// The layers of a case.
pub(crate) struct Case {
    /// The schema's text.
    pub(crate) schema: String,
    /// What the set is made for.
    pub(crate) environment: String,
    /// The rest.
    pub(crate) origins: Vec<Origin>,
}

/// Returns the folder of these tests.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Returns the root of the repository.
pub(crate) fn repository() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .ancestors()
        .nth(2)
        .expect("the crate is two folders down")
        .to_path_buf()
}

/// Reads a file of the repository.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The schema most cases are about.
pub(crate) fn common() -> Schema {
    let text = std::fs::read_to_string(folder().join("common.schema.yaml")).unwrap();
    Schema::parse("config/schema.yaml", &text).unwrap_or_else(|report| panic!("{report}"))
}

/// A mark that tells values apart and is not the value.
pub(crate) fn mark(value: &Secret) -> String {
    format!("{:016x}", fnv64(value.expose().as_bytes()))
}

/// Makes the layers of an environment.
pub(crate) fn layers(environment: &str, origins: Vec<Origin>) -> Layers<'static> {
    Layers {
        environment: environment.to_owned(),
        origins,
        mark: &mark,
    }
}

impl Case {
    /// Divides a text into the layers it stands for.
    pub(crate) fn parse(text: &str, schema: &str) -> Self {
        let mut case = Self {
            schema: schema.to_owned(),
            environment: "production".to_owned(),
            origins: Vec::new(),
        };
        let mut parts: Vec<(String, String)> = Vec::new();
        for line in text.split_inclusive('\n') {
            match line.strip_prefix("#--- ") {
                Some(head) => parts.push((head.trim().to_owned(), String::new())),
                None => {
                    if let Some((_, part)) = parts.last_mut() {
                        part.push_str(line);
                    }
                }
            }
        }
        for (head, text) in parts {
            let (what, name) = head.split_once(' ').unwrap_or((&head, ""));
            let path = name.to_owned();
            match what {
                "schema" => case.schema = text,
                "environment" => case.environment = path,
                "file" => case.origins.push(Origin::File { path, text }),
                "dotenv" => case.origins.push(Origin::Dotenv { path, text }),
                "process" => {
                    let pairs = text.lines().filter_map(|line| line.split_once('='));
                    let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                    case.origins.push(Origin::Process(variables));
                }
                "secrets" => case.origins.push(Origin::Secrets(text.lines().map(secret).collect())),
                "rows" => case.origins.push(Origin::Table {
                    name: "system_config".to_owned(),
                    rows: text.lines().map(row).collect(),
                }),
                "set" => {
                    let entry = |text: Option<&str>| SetEntry {
                        text: text.map(str::to_owned),
                        who: "ana".to_owned(),
                        when: Wall(1_795_305_600_000),
                    };
                    let pairs = text.lines().map(|line| match line.split_once('=') {
                        Some((key, value)) => (key.to_owned(), entry(Some(value))),
                        None => (line.to_owned(), entry(None)),
                    });
                    case.origins
                        .push(Origin::Set(SetLayer(pairs.collect::<BTreeMap<_, _>>())));
                }
                other => panic!("a case has no part `{other}`"),
            }
        }
        case
    }

    /// Makes the set.
    pub(crate) fn build(self) -> Result<Set, Report> {
        let schema = Schema::parse("config/schema.yaml", &self.schema)?;
        Set::build(&schema, &layers(&self.environment, self.origins))
    }
}

fn secret(line: &str) -> StoredSecret {
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    StoredSecret {
        name: word(),
        version: word().parse().unwrap_or(1),
        value: Some(word()).filter(|value| !value.is_empty()).map(Secret::new),
    }
}

fn row(line: &str) -> Row {
    let mut parts = line.split(" | ").map(str::trim);
    let mut part = || parts.next().unwrap_or_default().to_owned();
    Row {
        key: part(),
        value: part(),
        is_active: part() != "no",
        updated_at: Some(part()).filter(|text| !text.is_empty()),
        updated_by: Some(part()).filter(|text| !text.is_empty()),
    }
}
