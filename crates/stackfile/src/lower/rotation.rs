//! How the secrets of a stack are rotated. Which class a secret has is kept with it and not in the file, so what is here is only used
//! when its class asks for it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use tend_core::model::{Issuer, Port, Reencryption, RotationPolicy, Service, ServiceName};

use super::grants;
use super::probe::duration;
use super::process::command_words;
use super::update::check_range;
use crate::load::Session;
use crate::schema::did_you_mean;
use crate::yaml::Node;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// Longer than five minutes, and a daemon that waits for an answer would take the step as lost.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(240);
/// What is shown for longer than a year is no token.
const OVERLAP: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(366 * 24 * 3600);

/// Reads `rotation` of every secret, by the name that the secret has in the store.
pub(super) fn lower(
    session: &mut Session<'_>,
    tree: &Node,
    services: &BTreeMap<ServiceName, Service>,
) -> BTreeMap<String, RotationPolicy> {
    let mut found = BTreeMap::new();
    for secret in tree.get("secrets").map_or(&[][..], Node::entries) {
        let Some(node) = secret.value.get("rotation") else {
            continue;
        };
        let Some(name) = grants::name(session, &secret.key, &secret.value) else {
            continue;
        };
        let policy = policy(session, &secret.key, &name, node, services);
        found.insert(name, policy);
    }
    found
}

fn policy(
    session: &mut Session<'_>,
    key: &str,
    name: &str,
    node: &Node,
    services: &BTreeMap<ServiceName, Service>,
) -> RotationPolicy {
    let findings = &mut session.findings;
    check_range(node, "overlap", &OVERLAP, findings);
    check_range(node, "timeout", &TIMEOUT, findings);
    let mut command = |key: &str| {
        let written = node.get(key)?;
        command_words(written, &format!("rotation.{key}"), findings)
    };
    let (prove, register, revoke) = (command("prove"), command("register"), command("revoke"));
    if node.get("prove").is_none()
        && let Some(alone) = node.get("register").or(node.get("revoke"))
    {
        findings
            .error(
                alone.place,
                format!("nothing says whether the provider of `{key}` accepts a value"),
            )
            .help("write `prove:` with a command that uses the value once, and ends with 0 or, where it is refused, with 1");
    }
    let text = |node: &Node, key: &str| node.get(key).and_then(Node::as_text).map(str::to_owned);
    let reencryption = node.get("reencrypt").and_then(|node| {
        Some(Reencryption {
            begin: text(node, "post"),
            left: text(node, "left")?,
            metric: text(node, "metric"),
        })
    });
    let asks = prove.is_some() || reencryption.is_some();
    let service = service(session, key, name, node, services, asks);
    if let (Some(written), Some(asked)) = (
        node.get("reencrypt"),
        service.as_ref().and_then(|name| services.get(name)),
    ) && asked.port == Port::None
    {
        session
            .findings
            .error(
                written.place,
                format!(
                    "`reencrypt` asks `{}` at its own port, and it has `port: none`",
                    asked.name
                ),
            )
            .help("say how the service learns its port: `port: PORT`");
    }
    RotationPolicy {
        service,
        overlap: duration(node, "overlap"),
        issuer: prove.map(|prove| Issuer {
            register,
            prove,
            revoke,
            timeout: duration(node, "timeout").unwrap_or(TIMEOUT_DEFAULT),
        }),
        reencryption,
    }
}

/// Returns the service that is named, or the only one that is given the secret.
fn service(
    session: &mut Session<'_>,
    key: &str,
    name: &str,
    node: &Node,
    services: &BTreeMap<ServiceName, Service>,
    needed: bool,
) -> Option<ServiceName> {
    let findings = &mut session.findings;
    if let Some(written) = node.get("service") {
        let text = written.as_text()?;
        let named = text.parse::<ServiceName>().ok().and_then(|name| services.get(&name));
        let known = named.filter(|service| service.is_process());
        if known.is_none() {
            let near = findings.nearest(text, services.keys().map(ServiceName::as_str));
            findings
                .error(
                    written.place,
                    format!("`rotation` of `{key}` names `{text}`, which is no service that runs as a process"),
                )
                .help_if(near.map(did_you_mean));
        }
        return known.map(|service| service.name.clone());
    }
    let mut given = services
        .values()
        .filter(|service| service.secrets.iter().any(|grant| grant.secret == name));
    let (first, second) = (given.next(), given.next());
    if needed && (first.is_none() || second.is_some()) {
        let how_many = if first.is_none() {
            "no service is"
        } else {
            "several services are"
        };
        findings
            .error(
                node.place,
                format!(
                    "{how_many} given `{key}`, so it is not known whose replicas are asked and whose commands these are"
                ),
            )
            .help("write `service: NAME` below `rotation`");
    }
    first.filter(|_| second.is_none()).map(|service| service.name.clone())
}
