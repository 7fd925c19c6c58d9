//! Sends clients that speak plain HTTP to the same place over TLS, where the listener is there for that alone.

use bytes::Bytes;

use super::{Admission, challenges, refuse};
use crate::answer::{ErrorCode, OwnAnswer, OwnBody};
use crate::exchange::{Asked, Exchange};

/// The port that need not be written.
const HTTPS_PORT: u16 = 443;

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let port = exchange.door()?.redirect_to_https.filter(|_| !exchange.is_secure())?;
    if asked.path.starts_with(challenges::FOLDER) {
        // Not one of ours, but perhaps a service gets certificates of its own.
        return None;
    }
    let host = without_port(asked.host);
    if host.is_empty() || asked.target == "*" {
        return refuse(ErrorCode::BadRequest);
    }
    let target = asked.target;
    let location = match port {
        HTTPS_PORT => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    };
    Some(Admission::Answer(Box::new(OwnAnswer {
        // Keeps method and body, unlike 301: a payment that was posted to the wrong scheme is not turned into a GET.
        status: 308,
        code: None,
        fields: vec![("location".to_owned(), location)],
        body: OwnBody::Bytes(Bytes::new()),
        close: false,
    })))
}

/// Returns a host without its port. The colons of an IPv6 address stand in brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_off_and_nothing_else() {
        for (host, wanted) in [
            ("a.test", "a.test"),
            ("a.test:80", "a.test"),
            ("a.test:", "a.test"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), wanted);
        }
    }
}
