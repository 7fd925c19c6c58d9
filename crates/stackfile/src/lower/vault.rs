//! The chapter `vault`, and which secrets are in it.
//!
//! What makes an address or a path one is known to `tend-vault`, which asks servers and so is none of this crate's: what a person most
//! often gets wrong is said here, with its place, and the rest by the daemon before it changes anything.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tend_core::model::{Vault, VaultCredential, VaultLogin, VaultSecret};

use super::grants;
use super::probe::duration;
use super::update::check_range;
use crate::load::{Session, Setting};
use crate::yaml::Node;

const EVERY_DEFAULT: Duration = Duration::from_secs(30);
/// More often is load without a gain: nothing changes a password every second. Later than an hour nobody would call it a source.
const EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const MOUNT: &str = "approle";

/// Reads the chapter and the secrets that are in it.
pub(super) fn lower(session: &mut Session<'_>, tree: &Node, setting: &Setting) -> Option<Vault> {
    let secrets = tree.get("secrets").map_or(&[][..], Node::entries);
    let from_vault = secrets.iter().filter(|secret| secret.value.get("vault").is_some());
    let Some(chapter) = tree.get("vault") else {
        for secret in from_vault {
            session
                .findings
                .error(
                    secret.value.get("vault").map_or(secret.place, |node| node.place),
                    format!("the secret `{}` is in a Vault, and the stack names none", secret.key),
                )
                .help("say at the top level where it is: `vault: {address: https://…, auth: …}`");
        }
        return None;
    };
    check_range(chapter, "every", &EVERY, &mut session.findings);
    let mut found = BTreeMap::new();
    for secret in from_vault {
        if let Some((name, place)) = one(session, &secret.key, &secret.value) {
            found.insert(name, place);
        }
    }
    let text = |key: &str| chapter.get(key).and_then(Node::as_text);
    let address = text("address").map(str::to_owned);
    if let Some(address) = &address {
        check_address(session, chapter, address);
    }
    let login = chapter.get("auth").and_then(|auth| login(session, tree, auth, setting));
    Some(Vault {
        address: address?,
        namespace: text("namespace").map(str::to_owned),
        ca: text("ca").map(PathBuf::from),
        login: login?,
        every: duration(chapter, "every").unwrap_or(EVERY_DEFAULT),
        secrets: found,
    })
}

fn check_address(session: &mut Session<'_>, chapter: &Node, address: &str) {
    if !address.starts_with("https://") && !address.starts_with("http://") {
        let place = chapter.get("address").map_or(chapter.place, |node| node.place);
        session
            .findings
            .error(place, "the address of a Vault begins with https://".to_owned())
            .help("write https://HOST:PORT; http:// is for 127.0.0.1, ::1 and localhost alone");
    }
}

/// Reads one secret: its name in the store, and where it is.
fn one(session: &mut Session<'_>, key: &str, defined: &Node) -> Option<(String, VaultSecret)> {
    let node = defined.get("vault")?;
    for other in ["file", "environment", "external"] {
        if let Some(written) = defined.get(other).filter(|written| written.as_bool() != Some(false)) {
            session
                .findings
                .error(
                    written.place,
                    format!("the secret `{key}` comes from a Vault and from `{other}` at once"),
                )
                .help("delete one of the two");
        }
    }
    let (path, field) = (node.get("path")?, node.get("field")?.as_text()?);
    let text = path.as_text()?;
    let mut parts = text.trim_matches('/').split('/');
    let has_mount = parts.next().is_some_and(|mount| !mount.is_empty());
    if !has_mount || !parts.clone().any(|part| part == "data") || parts.next_back() == Some("data") {
        let remedy = match text.trim_matches('/').split_once('/') {
            Some((mount, name)) if !name.contains("data") => {
                format!("write it with `data` behind the mount, as policies do: {mount}/data/{name}")
            }
            _ => "write MOUNT/data/NAME, such as kv/data/mps".to_owned(),
        };
        session
            .findings
            .error(
                path.place,
                format!("`{text}` is no path of a secret in a KV engine of version 2"),
            )
            .help(remedy);
    }
    let name = grants::name(session, key, defined)?;
    let place = VaultSecret {
        path: text.to_owned(),
        field: field.to_owned(),
    };
    Some((name, place))
}

fn login(session: &mut Session<'_>, tree: &Node, auth: &Node, setting: &Setting) -> Option<VaultLogin> {
    match (auth.get("token"), auth.get("approle")) {
        (Some(token), None) => credential(session, tree, token, setting).map(VaultLogin::Token),
        (None, Some(role)) => {
            // Both before either is given up: all that is wrong is told at once.
            let mut of = |key| role.get(key).map(|node| credential(session, tree, node, setting));
            let (role_id, secret_id) = (of("role_id"), of("secret_id"));
            Some(VaultLogin::AppRole {
                mount: role.get("mount").and_then(Node::as_text).unwrap_or(MOUNT).to_owned(),
                role_id: role_id??,
                secret_id: match secret_id {
                    Some(credential) => Some(credential?),
                    None => None,
                },
            })
        }
        _ => {
            session
                .findings
                .error(auth.place, "one logs in at a Vault in one way".to_owned())
                .help("write `token: {file: PATH}`, or `approle: {role_id: {file: PATH}, secret_id: {file: PATH}}`");
            None
        }
    }
}

fn credential(session: &mut Session<'_>, tree: &Node, node: &Node, setting: &Setting) -> Option<VaultCredential> {
    let text = |key: &str| node.get(key).and_then(Node::as_text);
    match (text("file"), text("secret")) {
        (Some(path), None) => Some(VaultCredential::File(PathBuf::from(path))),
        (None, Some(source)) => {
            let defined = tree.at(&["secrets", source]);
            let Some(defined) = defined.filter(|defined| defined.get("vault").is_none()) else {
                let (what, remedy) = match defined {
                    Some(_) => (
                        "is in the Vault that it opens",
                        "keep it in tend's store: `external: true`",
                    ),
                    None => (
                        "is not defined",
                        "write it below `secrets:`, as `external: true` or with its `environment:`",
                    ),
                };
                session
                    .findings
                    .error(node.place, format!("the secret `{source}` {what}"))
                    .help(remedy);
                return None;
            };
            grants::find(session, source, defined, setting).map(VaultCredential::Secret)
        }
        _ => {
            session
                .findings
                .error(node.place, "a token or an id is in one place".to_owned())
                .help("write `{file: PATH}`, or `{secret: NAME}` with a name of `secrets`");
            None
        }
    }
}
