//! A notification as a request: performed, and its answer read. Knows no service: how an answer is read stands in the request.

use std::path::PathBuf;
use std::time::Duration;

use tend_alert::{Request, Verdict, Wire};
use tend_base::{Clock, Secret, SystemClock};
use tend_fetch::{Address, Client, FetchError, Identity, TlsSettings};

use crate::Heard;
use crate::error::retried;

/// Bytes of an answer. Services answer with a line; more is a page of a proxy.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// As in Go's client, which Alertmanager has.
const REDIRECTS_MAX: u8 = 10;

/// How TLS is done, as the settings say.
pub(crate) fn tls_settings(wire: &Wire) -> TlsSettings {
    let identity = wire.cert_file.as_ref().zip(wire.key_file.as_ref());
    TlsSettings {
        ca_file: wire.ca_file.as_ref().map(PathBuf::from),
        server_name: wire.server_name.clone(),
        insecure_skip_verify: wire.insecure_skip_verify,
        owner: wire.owner,
        identity: identity.map(|(cert, key)| Identity {
            cert_file: cert.into(),
            key_file: key.into(),
        }),
    }
}

/// Asks, within a time.
pub(crate) async fn send(client: &Client, address: Address, request: &Request, within: Duration) -> Heard {
    let at = address.at();
    let mut hidden = hidden(&address, request);
    hidden.extend(request.wire.hidden.iter().cloned());
    let mut asking = tend_fetch::Request::post(address, "application/json", request.body.clone());
    asking.within = within;
    asking.connect_within = within;
    asking.answer_bytes_max = ANSWER_BYTES_MAX;
    asking.gzip = false;
    if request.wire.follow_redirects {
        asking.redirects = REDIRECTS_MAX;
    }
    for (name, value) in &request.headers {
        asking.secret_header(name, value);
    }
    let answer = match client.send(&asking).await {
        Ok(answer) => answer,
        Err(error) => return unheard(&at, &error, &hidden),
    };
    let text = answer.text();
    match request.accepted.verdict(answer.status, &text) {
        Verdict::Taken => Heard::confirmed(&at, &format!("status {}: {}", answer.status, text.trim()), &hidden),
        Verdict::Later(said) => {
            let told = answer
                .retry_after(SystemClock.now().wall)
                .or_else(|| in_the_body(&text));
            let after = told.map(|pause| i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
            Heard::failed(&at, &said, after, &hidden)
        }
        Verdict::Never(said) if (300..400).contains(&answer.status) => {
            let there = answer
                .header("location")
                .and_then(|location| Address::parse(location).ok());
            let there = there.map_or_else(String::new, |there| format!(" to {there}"));
            Heard::refused(
                &at,
                &format!("{said} it leads elsewhere{there}: name that address"),
                &hidden,
            )
        }
        Verdict::Never(said) => Heard::refused(&at, &said, &hidden),
    }
}

fn unheard(at: &str, error: &FetchError, hidden: &[Secret]) -> Heard {
    let said = format!("{} ({})", error.with_causes(), error.hint());
    match retried(error) {
        true => Heard::failed(at, &said, None, hidden),
        false => Heard::refused(at, &said, hidden),
    }
}

/// Telegram says how long to wait in its JSON.
fn in_the_body(text: &str) -> Option<Duration> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let seconds = json["parameters"]["retry_after"].as_u64()?;
    Some(Duration::from_secs(seconds.min(24 * 60 * 60)))
}

/// What of the request must not be told: parts of addresses that may be keys or passwords, and values of headers.
fn hidden(address: &Address, request: &Request) -> Vec<Secret> {
    let parts = address
        .target()
        .split(['/', '?', '&', '='])
        .filter(|part| part.len() >= 8);
    let mut hidden = vec![Secret::new(address.target().to_owned())];
    let proxy = request.wire.proxy_url.as_ref().map(Secret::expose).unwrap_or_default();
    let user = [request.url.expose(), proxy]
        .into_iter()
        .filter_map(|url| Some(url.split_once("://")?.1.rsplit_once('@')?.0));
    hidden.extend(
        user.flat_map(|user| user.split(':').skip(1))
            .map(|part| Secret::new(part.to_owned())),
    );
    hidden.extend(parts.map(|part| Secret::new(part.to_owned())));
    for (_, value) in &request.headers {
        hidden.push(value.clone());
        hidden.extend(
            value
                .expose()
                .split(' ')
                .skip(1)
                .map(|part| Secret::new(part.to_owned())),
        );
    }
    hidden.retain(|secret| secret.expose().len() >= 4);
    hidden
}
