//! `edge.tls` and `edge.access_log`.

use std::path::PathBuf;

use tend_core::model::{AccessLog, Acme, CertificateFiles, Challenge, ClientCertificates, LogFormat, Tls, TlsVersion};

use super::rules::{is_true, text};
use crate::error::Findings;
use crate::schema::parse_share;
use crate::yaml::Node;

/// Reads `edge.tls`.
pub(super) fn read(tree: &Node, findings: &mut Findings) -> Tls {
    let Some(node) = tree.at(&["edge", "tls"]) else {
        return Tls::default();
    };
    let certificates = node.get("certificates").map_or(&[][..], Node::items);
    let file = |node: &Node, key| text(node, key).map(PathBuf::from);
    Tls {
        version_min: match text(node, "version_min").as_deref() {
            Some("1.3") => TlsVersion::V13,
            _ => TlsVersion::V12,
        },
        certificates: certificates
            .iter()
            .filter_map(|one| {
                Some(CertificateFiles {
                    chain: file(one, "chain")?,
                    key: file(one, "key")?,
                })
            })
            .collect(),
        acme: node.get("acme").and_then(|acme| self::acme(acme, findings)),
        clients: node.get("clients").and_then(|clients| {
            Some(ClientCertificates {
                roots: file(clients, "roots")?,
                optional: is_true(clients.get("optional")),
            })
        }),
    }
}

fn acme(node: &Node, findings: &mut Findings) -> Option<Acme> {
    let agreed = node.get("terms_agreed")?;
    if agreed.as_bool() == Some(false) {
        findings
            .error(
                agreed.place,
                "no authority gives certificates to who does not agree to its terms",
            )
            .help("read them (https://letsencrypt.org/repository for Let's Encrypt), then write `terms_agreed: true`");
    }
    let directory = text(node, "directory");
    if let (Some(written), Some(url)) = (node.get("directory"), &directory)
        && !url.starts_with("https://")
    {
        findings
            .error(written.place, "an ACME directory is a URL that starts with https://")
            .help("such as https://acme-v02.api.letsencrypt.org/directory");
    }
    let names = node.get("names").map_or(&[][..], Node::items);
    let challenge = match text(node, "challenge").as_deref() {
        Some("tls-alpn-01") => Challenge::TlsAlpn01,
        _ => Challenge::Http01,
    };
    for name in names {
        if name.as_text().is_some_and(|name| name.starts_with("*.")) {
            findings
                .error(
                    name.place,
                    "a certificate for a wildcard needs the challenge dns-01, which tend does not speak",
                )
                .help("name the hosts one by one, or bring the certificate in files");
        }
    }
    Some(Acme {
        email: text(node, "email"),
        staging_first: node
            .get("staging_first")
            .and_then(Node::as_bool)
            .unwrap_or(directory.is_none()),
        directory,
        challenge,
        names: names
            .iter()
            .filter_map(Node::as_text)
            .map(str::to_ascii_lowercase)
            .collect(),
        terms_agreed: is_true(Some(agreed)),
        root: text(node, "root").map(PathBuf::from),
    })
}

/// Reads `edge.access_log`.
pub(super) fn access_log(tree: &Node) -> AccessLog {
    let default = AccessLog::default();
    let Some(node) = tree.at(&["edge", "access_log"]) else {
        return default;
    };
    AccessLog {
        format: match text(node, "format").as_deref() {
            Some("combined") => LogFormat::Combined,
            _ => LogFormat::Json,
        },
        sample_permille: text(node, "sample")
            .and_then(|share| parse_share(&share))
            .unwrap_or(default.sample_permille),
    }
}
