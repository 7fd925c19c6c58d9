//! Reads how HTTP is spoken to somebody: authorization, TLS, redirects, headers. Knows no path and no interval.

use tend_base::Secret;
use tend_fetch::{Identity, TlsSettings};
use tend_text::{Keys, Node, Place};

use super::{Reading, undone};
use crate::config::{Authorization, Given, Http};

/// `scheme`.
pub(super) fn scheme(reading: &mut Reading<'_>, keys: &mut Keys<'_>) -> String {
    match keys.text("scheme", reading.findings) {
        Some((scheme, place)) if scheme != "http" && scheme != "https" => {
            reading
                .findings
                .error(place, format!("`scheme: {scheme}` is not spoken"))
                .help("write http or https")
                .plainly();
            "http".to_owned()
        }
        Some((scheme, _)) => scheme,
        None => "http".to_owned(),
    }
}

/// What a job, and an Alertmanager, say of HTTP.
pub(super) fn settings(reading: &mut Reading<'_>, keys: &mut Keys<'_>) -> Http {
    let mut http = Http::default();
    if let Some(follow) = keys.switch("follow_redirects", reading.findings) {
        http.follow_redirects = follow;
    }
    _ = keys.switch("enable_http2", reading.findings);
    let mut ways: Vec<(Place, Authorization)> = Vec::new();
    if let Some(entry) = keys.entry("basic_auth") {
        ways.extend(basic(reading, &entry.value).map(|way| (entry.place, way)));
    }
    if let Some(entry) = keys.entry("authorization") {
        ways.extend(credentials(reading, &entry.value).map(|way| (entry.place, way)));
    }
    if let Some((given, place)) = given(reading, keys, "bearer_token", "bearer_token_file") {
        let scheme = "Bearer".to_owned();
        let credentials = given;
        ways.push((place, Authorization::Credentials { scheme, credentials }));
    }
    if let [_, (place, _), ..] = &ways[..] {
        reading
            .findings
            .error(*place, "there is more than one way to say who asks")
            .help("keep one of `basic_auth`, `authorization` and `bearer_token`");
    }
    http.authorization = ways.into_iter().next().map(|(_, way)| way);
    if let Some(node) = keys.node("tls_config") {
        http.tls = tls(reading, node);
    }
    if let Some(node) = keys.node("http_headers") {
        http.headers = headers(reading, node);
    }
    reading.undone(keys, undone::HTTP);
    http
}

fn basic(reading: &mut Reading<'_>, node: &Node) -> Option<Authorization> {
    let mut keys = Keys::of(node, "`basic_auth`", reading.findings)?;
    let username = given(reading, &mut keys, "username", "username_file");
    let password = given(reading, &mut keys, "password", "password_file");
    keys.finish(reading.findings);
    let or_nothing = |given: Option<(Given, Place)>| given.map_or(Given::Value(Secret::default()), |(given, _)| given);
    Some(Authorization::Basic {
        username: or_nothing(username),
        password: or_nothing(password),
    })
}

fn credentials(reading: &mut Reading<'_>, node: &Node) -> Option<Authorization> {
    let mut keys = Keys::of(node, "`authorization`", reading.findings)?;
    let scheme = keys.text("type", reading.findings);
    let credentials = given(reading, &mut keys, "credentials", "credentials_file");
    keys.finish(reading.findings);
    let scheme = match scheme {
        Some((scheme, place)) if scheme.eq_ignore_ascii_case("basic") => {
            reading
                .findings
                .error(place, "`authorization` cannot be of the type Basic")
                .help("write `basic_auth` with `username` and `password`");
            return None;
        }
        Some((scheme, _)) => scheme,
        None => "Bearer".to_owned(),
    };
    let credentials = credentials.map_or(Given::Value(Secret::default()), |(given, _)| given);
    Some(Authorization::Credentials { scheme, credentials })
}

/// A value that may stand in a file of its own.
fn given(
    reading: &mut Reading<'_>,
    keys: &mut Keys<'_>,
    key: &'static str,
    file_key: &'static str,
) -> Option<(Given, Place)> {
    let value = keys.text(key, reading.findings);
    let file = keys.text(file_key, reading.findings);
    match (value, file) {
        (Some(_), Some((_, place))) => {
            reading
                .findings
                .error(place, format!("`{key}` and `{file_key}` are both there"))
                .help("keep one of them");
            None
        }
        (Some((value, place)), None) => Some((Given::Value(Secret::new(value)), place)),
        (None, Some((path, place))) => Some((Given::File(reading.path(&path)), place)),
        (None, None) => None,
    }
}

fn tls(reading: &mut Reading<'_>, node: &Node) -> TlsSettings {
    let mut tls = TlsSettings::default();
    let Some(mut keys) = Keys::of(node, "`tls_config`", reading.findings) else {
        return tls;
    };
    let mut path = |keys: &mut Keys<'_>, key| {
        keys.text(key, reading.findings)
            .map(|(path, _)| reading.folder.join(path))
    };
    tls.ca_file = path(&mut keys, "ca_file");
    match (path(&mut keys, "cert_file"), path(&mut keys, "key_file")) {
        (Some(cert_file), Some(key_file)) => tls.identity = Some(Identity { cert_file, key_file }),
        (None, None) => {}
        _ => {
            reading
                .findings
                .error(node.place, "a certificate needs its key, and a key its certificate")
                .help("write both `cert_file` and `key_file`");
        }
    }
    reading.undone(&mut keys, undone::TLS);
    tls.server_name = keys.text("server_name", reading.findings).map(|(name, _)| name);
    tls.insecure_skip_verify = keys
        .switch("insecure_skip_verify", reading.findings)
        .unwrap_or_default();
    for key in ["min_version", "max_version"] {
        let Some((version, place)) = keys.text(key, reading.findings) else {
            continue;
        };
        let message = match version.as_str() {
            "TLS12" | "TLS13" => {
                format!("`{key}: {version}` is not done: TLS 1.2 and 1.3 are spoken, the newer where both can")
            }
            "TLS10" | "TLS11" => format!("`{key}: {version}` is not done: nothing older than TLS 1.2 is spoken"),
            _ => {
                let findings = &mut *reading.findings;
                findings
                    .error(place, format!("there is no `{version}`"))
                    .help("write TLS12 or TLS13")
                    .plainly();
                continue;
            }
        };
        // What is spoken anyway needs no word.
        if (key, version.as_str()) != ("min_version", "TLS12") && (key, version.as_str()) != ("max_version", "TLS13") {
            reading.findings.warning(place, message).plainly();
        }
    }
    keys.finish(reading.findings);
    tls
}

fn headers(reading: &mut Reading<'_>, node: &Node) -> Vec<(String, Given)> {
    let mut out = Vec::new();
    if node.as_map().is_none() {
        let message = format!("`http_headers` is a mapping, and this is {}", node.noun());
        reading.findings.error(node.place, message);
    }
    for entry in node.entries() {
        let name = &entry.key;
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            reading
                .findings
                .error(entry.place, format!("`{name}` cannot be the name of a header"));
            continue;
        }
        let Some(mut keys) = Keys::of(&entry.value, "a header", reading.findings) else {
            continue;
        };
        for key in ["values", "secrets"] {
            for (value, _) in keys.texts(key, reading.findings).unwrap_or_default() {
                out.push((name.clone(), Given::Value(Secret::new(value))));
            }
        }
        for (path, _) in keys.texts("files", reading.findings).unwrap_or_default() {
            out.push((name.clone(), Given::File(reading.path(&path))));
        }
        keys.finish(reading.findings);
    }
    out
}
