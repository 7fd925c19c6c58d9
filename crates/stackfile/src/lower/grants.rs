//! The secrets of a process: which it is given, in which way, and the values of those that are not in tend's store.
//!
//! A secret is Compose's: `external` is one of tend's store, by its name there; `file` and `environment` are read where the stack file is
//! loaded, and the store keeps what was found. One in a Vault is read by the daemon (`vault`).

use std::collections::BTreeSet;
use std::path::PathBuf;

use tend_base::Secret;
use tend_core::model::{Grant, Port, SecretDelivery, Service, Workload, is_secret_name};

use crate::error::Findings;
use crate::load::{Session, Setting};
use crate::yaml::{Entry, Node};

/// Where Compose shows secrets to a container.
const FOLDER: &str = "/run/secrets/";

/// Reads what a process is given; nothing of a container, whose secrets are its engine's.
pub(super) fn lower(
    session: &mut Session<'_>,
    tree: &Node,
    entry: &Entry,
    service: &Service,
    setting: &Setting,
) -> Vec<Grant> {
    let Workload::Process(process) = &service.workload else {
        return Vec::new();
    };
    let mut grants = Vec::new();
    let mut taken = BTreeSet::new();
    for item in entry.value.get("secrets").map_or(&[][..], Node::items) {
        let Some(source) = item.get("source").and_then(Node::as_text) else {
            continue;
        };
        // One that is not defined was noted.
        let Some(defined) = tree.at(&["secrets", source]) else {
            continue;
        };
        let (Some(secret), Some(delivery)) = (
            find(session, source, defined, setting),
            delivery(item, source, &entry.key, &mut session.findings),
        ) else {
            continue;
        };
        let findings = &mut session.findings;
        match &delivery {
            SecretDelivery::Environment(variable) if process.environment.contains_key(variable) => {
                findings
                    .error(
                        item.place,
                        format!("`{variable}` of `{}` is set twice: `environment` has it too", entry.key),
                    )
                    .help("delete one of the two");
            }
            SecretDelivery::Environment(variable)
                if variable.starts_with("TEND_") || service.port == Port::Variable(variable.clone()) =>
            {
                findings
                    .error(
                        item.place,
                        format!("`{variable}` is set by tend, and cannot hold a secret"),
                    )
                    .help("choose another variable");
            }
            SecretDelivery::Descriptor(number) if service.port == Port::Descriptor(*number) => {
                findings
                    .error(
                        item.place,
                        format!("the open file {number} of `{}` is its listening socket", entry.key),
                    )
                    .help("choose another number");
            }
            _ => {}
        }
        if !taken.insert(delivery.clone()) {
            findings
                .error(
                    item.place,
                    format!("`{}` is given two secrets in the same place", entry.key),
                )
                .help("give each a `target`, `environment` or `fd` of its own");
        }
        grants.push(Grant {
            secret,
            version: 0,
            also: None,
            delivery,
        });
    }
    grants
}

/// Returns the name under which the store has a secret.
pub(super) fn name(session: &mut Session<'_>, source: &str, defined: &Node) -> Option<String> {
    let text = |key: &str| defined.get(key).and_then(Node::as_text);
    let outside = external(defined)
        .and_then(|external| external.get("name"))
        .and_then(Node::as_text);
    let name = outside.or_else(|| text("name")).unwrap_or(source).to_owned();
    if !is_secret_name(&name) {
        session
            .findings
            .error(defined.place, format!("`{name}` cannot be the name of a secret"))
            .help("letters, digits, `_`, `-` and `.`, beginning with a letter or digit; at most 64");
        return None;
    }
    Some(name)
}

/// Returns `external`, where it does not say that it is not.
fn external(defined: &Node) -> Option<&Node> {
    let written = defined.get("external");
    written.filter(|external| external.as_bool() != Some(false))
}

/// Returns the name under which the store has a secret, having read it where it is in a file or a variable.
pub(super) fn find(session: &mut Session<'_>, source: &str, defined: &Node, setting: &Setting) -> Option<String> {
    let text = |key: &str| defined.get(key).and_then(Node::as_text);
    let name = name(session, source, defined)?;
    // The daemon reads it.
    if defined.get("vault").is_some() {
        return Some(name);
    }
    let value = match (external(defined), text("file"), text("environment")) {
        (Some(_), ..) => return Some(name),
        (None, Some(path), _) => read(session, source, defined, &PathBuf::from(path))?,
        (None, None, Some(variable)) => match setting.variables.get(variable) {
            Some(value) => value.clone(),
            None => {
                session
                    .findings
                    .error(
                        defined.place,
                        format!("the variable `{variable}` of secret `{source}` is not set"),
                    )
                    .help("set it where tend is run, or keep the secret in tend's store: `external: true`");
                return None;
            }
        },
        (None, None, None) => {
            // One that comes from nowhere was noted.
            if defined.get("driver").is_some() {
                session
                    .findings
                    .error(
                        defined.place,
                        format!("secret `{source}` is of a driver, and a process has none"),
                    )
                    .help("keep it in tend's store: `external: true`");
            }
            return None;
        }
    };
    session.secrets.insert(name.clone(), Secret::new(value));
    Some(name)
}

/// Reads the file of a secret, as it is: Compose takes nothing away from it either.
fn read(session: &mut Session<'_>, source: &str, defined: &Node, path: &std::path::Path) -> Option<String> {
    let why = match session.input.files.read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            Err(_) => "it is not UTF-8".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    session
        .findings
        .error(
            defined.place,
            format!("`{}` of secret `{source}` could not be read: {why}", path.display()),
        )
        .help("check the path and who may read the file; or keep the secret in tend's store: `external: true`");
    None
}

/// Returns the way in which a process is given a secret; nothing when it is none, which was noted then.
fn delivery(item: &Node, source: &str, service: &str, findings: &mut Findings) -> Option<SecretDelivery> {
    let text = |key: &str| item.get(key).and_then(Node::as_text);
    for key in ["uid", "gid", "mode"] {
        if let Some(value) = item.get(key) {
            findings
                .warning(
                    value.place,
                    format!("`{key}` of a secret has no effect on `{service}`, which is a process"),
                )
                .help("its file has mode 0400 and belongs to the user it runs as");
        }
    }
    let variable = text("environment");
    let fd = text("fd");
    if [text("target").is_some(), variable.is_some(), fd.is_some()]
        .iter()
        .filter(|said| **said)
        .count()
        > 1
    {
        findings
            .error(
                item.place,
                format!("secret `{source}` of `{service}` is given in several ways at once"),
            )
            .help("keep one of `target`, `environment` and `fd`; to give it in two ways, name it twice");
        return None;
    }
    if let Some(variable) = variable {
        let good = !variable.is_empty() && !variable.contains(['=', '\0']);
        if !good {
            findings
                .error(
                    item.place,
                    format!("secret `{source}` of `{service}` has a variable whose name is none"),
                )
                .help("a name has no `=` and is not empty");
        }
        return good.then(|| SecretDelivery::Environment(variable.to_owned()));
    }
    if let Some(fd) = fd {
        // The limit of open files of a process is rarely below this.
        let number = fd.parse::<i32>().ok().filter(|number| (3..256).contains(number));
        if number.is_none() {
            findings
                .error(
                    item.place,
                    format!("secret `{source}` of `{service}` cannot be the open file {fd}"),
                )
                .help("write a number from 3 to 255");
        }
        return number.map(SecretDelivery::Descriptor);
    }
    let target = text("target").unwrap_or(source);
    let name = target.strip_prefix(FOLDER).unwrap_or(target);
    if !is_secret_name(name) {
        findings
            .error(
                item.place,
                format!("a process cannot find secret `{source}` at `{target}`"),
            )
            .help("write the name of a file; it is in the folder that the variable TEND_SECRETS names");
        return None;
    }
    Some(SecretDelivery::File(name.to_owned()))
}
