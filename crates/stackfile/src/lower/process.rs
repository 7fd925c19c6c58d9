//! The process of a service: its command, folder, environment and user.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use tend_core::model::{Process, Replicas};
use tend_text::Shows;

use crate::dotenv;
use crate::error::Findings;
use crate::load::{Session, Setting};
use crate::schema::SERVICE;
use crate::words;
use crate::yaml::{Entry, Node, Value};

/// Reads a command: a text is split as a shell does, a list is taken as it is.
pub(super) fn command_words(node: &Node, what: &str, findings: &mut Findings) -> Option<Vec<String>> {
    let words = match &node.value {
        Value::Scalar(scalar) => {
            if let Some(operator) = words::operator(&scalar.text) {
                let place = findings.sources.narrow(node.place, operator);
                findings
                    .warning(
                        place,
                        format!("`{operator}` in `{what}` is passed on as a word, since no shell is run"),
                    )
                    .help("for a shell write [\"sh\", \"-c\", \"…\"]");
            }
            words::split(&scalar.text)?
        }
        Value::List(items) => items
            .iter()
            .map(|item| item.as_text().unwrap_or_default().to_owned())
            .collect(),
        Value::Map(_) => return None,
    };
    if words.first().is_none_or(String::is_empty) {
        findings
            .error(node.place, format!("`{what}` names no program"))
            .help("write the program and its arguments");
        return None;
    }
    Some(words)
}

/// Reads everything of a process but what other services and the edge have to do with it.
pub(super) fn lower(
    session: &mut Session<'_>,
    entry: &Entry,
    environment: BTreeMap<String, String>,
) -> Option<Process> {
    let node = &entry.value;
    let name = &entry.key;
    let command = full_command(session, entry)?;
    let directory = PathBuf::from(node.get("working_dir").and_then(Node::as_text)?);
    let prepare = node
        .get("prepare")
        .and_then(|prepare| command_words(prepare, "prepare", &mut session.findings));
    let open_files_max = node.at(&["ulimits", "nofile"]).and_then(|limit| {
        let number = limit.get("hard").unwrap_or(limit);
        number.as_text()?.parse().ok()
    });
    let user = node.get("user").and_then(|user| {
        let text = user.as_text()?;
        let mut parts = text.split(':');
        let good =
            parts.clone().count() <= 2 && parts.all(|part| !part.is_empty() && !part.contains(char::is_whitespace));
        if !good {
            session
                .findings
                .error(user.place, format!("`{name}` has a `user` that is none"))
                .help("write USER, UID, USER:GROUP or UID:GID");
        }
        Some(text.to_owned())
    });
    Some(Process {
        command,
        directory,
        environment,
        user,
        prepare,
        open_files_max,
        artifact: artifact(node),
        artifact_digest: None,
    })
}

/// Returns the paths of `artifact`; empty when it is left out, and `.` alone when it is the whole folder: a service that names it is
/// built, also without a `prepare` command.
fn artifact(node: &Node) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for text in node
        .get("artifact")
        .map_or(&[][..], Node::items)
        .iter()
        .filter_map(Node::as_text)
    {
        let plain: PathBuf = Path::new(text)
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        if plain.as_os_str().is_empty() {
            return vec![PathBuf::from(".")];
        }
        if !paths.contains(&plain) {
            paths.push(plain);
        }
    }
    paths
}

fn full_command(session: &mut Session<'_>, entry: &Entry) -> Option<Vec<String>> {
    let node = &entry.value;
    let findings = &mut session.findings;
    let words = |key: &str, findings: &mut Findings| match node.get(key) {
        None => Some(Vec::new()),
        Some(value) if value.as_list().is_some_and(<[Node]>::is_empty) => Some(Vec::new()),
        Some(value) if key == "command" && node.get("entrypoint").is_some() => Some(arguments(value)),
        Some(value) => command_words(value, key, findings),
    };
    let entrypoint = words("entrypoint", findings)?;
    let command = words("command", findings)?;
    let whole = [entrypoint, command].concat();
    // What has another form, extends what could not be had, or has a slip in a key, was noted.
    let misspelt = |entry: &Entry| !entry.key.starts_with("x-") && SERVICE.key(&entry.key).is_none();
    if whole.is_empty()
        && (node.as_map().is_none() || node.get("extends").is_some() || node.entries().iter().any(misspelt))
    {
        return None;
    }
    if whole.is_empty() {
        findings
            .error(entry.place, format!("service `{}` has nothing to run", entry.key))
            .help("write `command:` for a process, or `image:` or `build:` for a container");
        return None;
    }
    Some(whole)
}

/// Reads a command that follows an entrypoint, so that it may start with anything.
fn arguments(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Scalar(scalar) => words::split(&scalar.text).unwrap_or_default(),
        _ => node
            .items()
            .iter()
            .map(|item| item.as_text().unwrap_or_default().to_owned())
            .collect(),
    }
}

/// Returns the environment: the files first, then what the service says itself; a name without a value is taken from outside
/// and left out where it is not set there.
pub(super) fn environment(
    session: &mut Session<'_>,
    node: &Node,
    service: &str,
    setting: &Setting,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for file in node.get("env_file").map_or(&[][..], Node::items) {
        environment.extend(env_file(session, file, setting));
    }
    for entry in node.get("environment").map_or(&[][..], Node::entries) {
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            session
                .findings
                .error(entry.place, format!("`{service}` has a variable whose name is none"))
                .help("a name has no `=` and is not empty");
        }
        match entry.value.as_scalar() {
            Some(scalar) => {
                environment.insert(entry.key.clone(), scalar.text.clone());
            }
            None => match setting.variables.get(&entry.key) {
                Some(value) => {
                    environment.insert(entry.key.clone(), value.clone());
                }
                None => {
                    environment.remove(&entry.key);
                }
            },
        }
    }
    environment
}

fn env_file(session: &mut Session<'_>, file: &Node, setting: &Setting) -> BTreeMap<String, String> {
    let Some(path) = file.get("path") else {
        return BTreeMap::new();
    };
    let absolute = PathBuf::from(path.as_text().unwrap_or_default());
    let required = file.get("required").and_then(Node::as_bool) != Some(false);
    if !required && !session.input.files.is_file(&absolute) {
        return BTreeMap::new();
    }
    let raw = file.get("format").and_then(Node::as_text) == Some("raw");
    let Some(source) = session.read(&absolute, &setting.directory, Shows::Variables, Some(path.place)) else {
        return BTreeMap::new();
    };
    if raw {
        dotenv::parse_raw(source, &setting.variables, &mut session.findings)
    } else {
        dotenv::parse(source, &setting.variables, &mut session.findings)
    }
}

/// Reads how many replicas: `replicas`, `scale` and `deploy.replicas` mean the same.
pub(super) fn replicas(node: &Node, service: &str, findings: &mut Findings) -> Replicas {
    let said: Vec<(&str, &Node)> = [
        ("replicas", node.get("replicas")),
        ("scale", node.get("scale")),
        ("deploy.replicas", node.at(&["deploy", "replicas"])),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect();
    if let [(first, one), .., (second, other)] = said[..]
        && said.iter().any(|(_, value)| value.as_text() != one.as_text())
    {
        findings
            .error(other.place, format!("`{first}` and `{second}` of `{service}` differ"))
            .also(one.place, "the other")
            .help("keep one of them");
    }
    match said.first().and_then(|(_, value)| value.as_text()) {
        Some("max") => Replicas::Max,
        Some(text) => Replicas::Count(text.parse().unwrap_or(1)),
        None => Replicas::Count(1),
    }
}
