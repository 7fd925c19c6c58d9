//! A mail: envelope and MIME message. Speaks no SMTP.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tend_base::Secret;
use tend_template::Time;

use crate::notify::{Means, NotifyError};

/// Octets of a line of an encoded word's text: 75 less what stands around it, in whole groups of base64.
const WORD_MAX: usize = 45;
/// Octets of a line of quoted-printable, without the `=` at its end.
const LINE_MAX: usize = 75;

/// A mail, ready to be given to a server.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The server, `host:port`.
    pub smarthost: String,
    /// The name to greet it with.
    pub hello: String,
    /// Who authenticates, when somebody does.
    pub username: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// Whether it goes out only encrypted.
    pub require_tls: bool,
    /// Whether the connection is encrypted from its first byte.
    pub implicit_tls: bool,
    /// The sender's address, without a name.
    pub from: String,
    /// The receivers' addresses.
    pub to: Vec<String>,
    /// Headers and body, lines ended with CR LF; dots at the start of lines are the sender's to double.
    pub message: String,
}

pub(super) fn mail(means: &mut Means<'_>) -> Result<Mail, NotifyError> {
    let from = means.text("from", "")?;
    let to = means.text("to", "")?;
    let bad = |what: String| NotifyError::Unsendable {
        receiver: means.delivery.receiver.clone(),
        what,
    };
    let from_address = addresses(&from)
        .into_iter()
        .next()
        .ok_or_else(|| bad(format!("`{from}` is not an address to send from")))?;
    let to_addresses = addresses(&to);
    if to_addresses.is_empty() {
        return Err(bad(format!("`{to}` is not an address to send to")));
    }
    let integration = means.integration;
    let mut headers: Vec<(String, String)> = Vec::new();
    let given: Vec<(String, String)> = integration
        .texts("headers")
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    for (name, template) in given {
        let text = means
            .renderer
            .text(&template)
            .map_err(|error| means.failed("headers", &error))?;
        if name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            headers.push((name, text));
        }
    }
    let subject = means.text("subject", r#"{{ template "email.default.subject" . }}"#)?;
    let host = from_address.rsplit('@').next().unwrap_or("localhost").to_owned();
    let delivery = means.delivery;
    for (name, value) in [
        ("Subject", subject),
        ("From", from.clone()),
        ("To", to),
        (
            "Date",
            Time::from_millis(delivery.at).format("Mon, 02 Jan 2006 15:04:05 -0700"),
        ),
        // The same for each try, so that a mailbox can tell a repetition.
        ("Message-Id", format!("<tend.{:016x}@{host}>", delivery.id)),
        ("MIME-Version", "1.0".to_owned()),
    ] {
        if !headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            headers.push((name.to_owned(), value));
        }
    }
    let html_template = integration
        .text("html")
        .unwrap_or(r#"{{ template "email.default.html" . }}"#);
    let html = means
        .renderer
        .html(html_template)
        .map_err(|error| means.failed("html", &error))?;
    let text = means.text("text", r#"{{ template "tend.text" . }}"#)?;
    let boundary = format!("=_tend_{:016x}", delivery.id);
    let mut message = String::new();
    for (name, value) in &headers {
        if !name.eq_ignore_ascii_case("content-type") && !name.eq_ignore_ascii_case("content-transfer-encoding") {
            // Writing to a string cannot fail.
            let _ = write!(message, "{name}: {}\r\n", header(name, value));
        }
    }
    let _ = write!(
        message,
        "Content-Type: multipart/alternative; boundary=\"{boundary}\"\r\n\r\n"
    );
    for (kind, body) in [("plain", text), ("html", html)] {
        if !body.trim().is_empty() {
            let _ = write!(
                message,
                "--{boundary}\r\nContent-Type: text/{kind}; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n",
                quoted_printable(&body)
            );
        }
    }
    let _ = write!(message, "--{boundary}--\r\n");
    Ok(Mail {
        smarthost: integration.text("smarthost").unwrap_or_default().to_owned(),
        hello: integration.text("hello").unwrap_or("localhost").to_owned(),
        username: integration.text("auth_username").map(str::to_owned),
        password: means.secret("auth_password").cloned(),
        require_tls: integration.flag("require_tls", true),
        implicit_tls: integration.flag("force_implicit_tls", false),
        from: from_address,
        to: to_addresses,
        message,
    })
}

/// The addresses of a list, without names: `Ann <a@b>, c@d`.
fn addresses(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let (mut start, mut quoted) = (0, false);
    let mut parts = Vec::new();
    for (at, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    for part in parts {
        let inner = part
            .rsplit_once('<')
            .map_or(part, |(_, rest)| rest.split('>').next().unwrap_or_default())
            .trim();
        // What could end the line of the command that names it, is no address.
        let plain = !inner.is_empty()
            && inner
                .chars()
                .all(|character| !character.is_control() && !character.is_whitespace() && !"<>".contains(character));
        if plain
            && inner
                .split_once('@')
                .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        {
            out.push(inner.to_owned());
        }
    }
    out
}

/// The value of a header on as many lines as it takes. No value can end its header.
fn header(name: &str, value: &str) -> String {
    let flat: String = value
        .split(|character: char| character.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let is_address = ["from", "to", "cc", "reply-to", "message-id"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known));
    if flat.is_ascii() && flat.len() + name.len() < 900 {
        return flat;
    }
    if is_address {
        // Only names of people are encoded; an address is ASCII.
        let parts: Vec<String> = flat
            .split(',')
            .map(|part| match part.rsplit_once('<') {
                Some((person, address)) if !person.is_ascii() => format!("{} <{address}", words(person.trim())),
                _ => part.trim().to_owned(),
            })
            .collect();
        return parts.join(", ");
    }
    words(&flat)
}

/// Encoded words, each of whole characters.
fn words(text: &str) -> String {
    let mut out = Vec::new();
    let mut piece = String::new();
    for character in text.chars() {
        if piece.len() + character.len_utf8() > WORD_MAX {
            out.push(std::mem::take(&mut piece));
        }
        piece.push(character);
    }
    out.push(piece);
    let encoded: Vec<String> = out
        .iter()
        .map(|piece| format!("=?UTF-8?B?{}?=", STANDARD.encode(piece)))
        .collect();
    encoded.join("\r\n ")
}

fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for (index, line) in text.replace("\r\n", "\n").split('\n').enumerate() {
        if index > 0 {
            out.push_str("\r\n");
        }
        let mut length = 0;
        let bytes = line.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            let last = at + 1 == bytes.len();
            let plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (matches!(byte, b' ' | b'\t') && !last);
            let piece = if plain {
                char::from(*byte).to_string()
            } else {
                format!("={byte:02X}")
            };
            if length + piece.len() > LINE_MAX {
                out.push_str("=\r\n");
                length = 0;
            }
            length += piece.len();
            out.push_str(&piece);
        }
    }
    out
}
