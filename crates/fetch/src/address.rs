//! Where a request goes, as people write it. Opens nothing.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tend_base::Secret;

use crate::FetchError;

/// `http://HOST:PORT/PATH?QUERY`, `https://…`, or `unix:/PATH/OF/SOCKET:/PATH?QUERY`.
///
/// It prints as its origin alone: paths and queries of addresses hold keys more often than not. A user and a password in it
/// are taken as basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) origin: Origin,
    /// Path and query, as they are sent.
    target: String,
    /// The value of a header `Authorization`.
    pub(crate) credentials: Option<Secret>,
}

/// With whom a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A host, without brackets.
    Tcp { host: String, port: u16, tls: bool },
    /// A socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none; the error shows no password and no path.
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let text = text.trim();
        let wrong = |why: &'static str| FetchError::Address {
            shown: shown(text),
            why,
        };
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(wrong("it begins with neither http:// nor https://"));
        };
        if scheme == "unix" {
            let (socket, target) = rest.split_once(':').unwrap_or((rest, "/"));
            let socket = socket.strip_prefix("//").unwrap_or(socket);
            if !socket.starts_with('/') {
                return Err(wrong("the path of a socket begins with `/`"));
            }
            return Ok(Self {
                origin: Origin::Unix(PathBuf::from(socket)),
                target: written(target).ok_or_else(|| wrong("its path is no line of text"))?,
                credentials: None,
            });
        }
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("it begins with neither http:// nor https://")),
        };
        let rest = rest
            .strip_prefix("//")
            .ok_or_else(|| wrong("`//` is missing behind its first word"))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (user, host_port) = match authority.rsplit_once('@') {
            Some((user, host_port)) => (Some(user), host_port),
            None => (None, authority),
        };
        let (host, port) = match host_port.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(None) => return Err(wrong("a `[` is not closed")),
            Some(Some((host, port))) if host.parse::<IpAddr>().is_ok() => (host, port),
            Some(Some(_)) => return Err(wrong("what stands in brackets is no address of IPv6")),
            None => host_port.split_at(host_port.find(':').unwrap_or(host_port.len())),
        };
        if !host.is_ascii() {
            return Err(wrong(
                "its host has letters that DNS has not: write it as DNS does, `xn--…`",
            ));
        }
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(letter) {
            return Err(wrong("it has no host name"));
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => usual_port(tls),
            Some("") => usual_port(tls),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| wrong("its port is no number from 1 to 65535"))?,
            _ => return Err(wrong("its port is no number from 1 to 65535")),
        };
        Ok(Self {
            origin: Origin::Tcp {
                host: host.to_ascii_lowercase(),
                port,
                tls,
            },
            target: written(target).ok_or_else(|| wrong("its path is no line of text"))?,
            credentials: user.map(|user| {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                basic(&decoded(name), &Secret::new(decoded(password)))
            }),
        })
    }

    /// Returns the host, without brackets; of a socket `localhost`.
    #[must_use]
    pub fn host(&self) -> &str {
        match &self.origin {
            Origin::Tcp { host, .. } => host,
            Origin::Unix(_) => "localhost",
        }
    }

    /// Returns the port; none of a socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match &self.origin {
            Origin::Tcp { port, .. } => Some(*port),
            Origin::Unix(_) => None,
        }
    }

    /// Returns whether the connection is under TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.origin, Origin::Tcp { tls: true, .. })
    }

    /// Returns the path of a socket, where it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Unix(path) => Some(path),
            Origin::Tcp { .. } => None,
        }
    }

    /// Returns path and query as they are sent. Either may hold a key: for those who know that it does not.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns host and port for a message: `10.0.0.7:9100`, or the path of a socket.
    #[must_use]
    pub fn at(&self) -> String {
        match &self.origin {
            Origin::Tcp { host, port, .. } => bracketed(host, &format!(":{port}")),
            Origin::Unix(path) => path.display().to_string(),
        }
    }

    /// Returns what a `Host` header has.
    pub(crate) fn authority(&self) -> String {
        match &self.origin {
            Origin::Tcp { host, port, tls } if *port == usual_port(*tls) => bracketed(host, ""),
            Origin::Tcp { host, port, .. } => bracketed(host, &format!(":{port}")),
            Origin::Unix(_) => "localhost".to_owned(),
        }
    }

    /// Returns where a `Location` leads from here. A user and a password are not taken from one.
    pub(crate) fn follow(&self, location: &str) -> Result<Self, FetchError> {
        let absolute = location.split_once(':').is_some_and(|(scheme, rest)| {
            rest.starts_with("//") && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
        });
        if absolute {
            let mut there = Self::parse(location)?;
            there.credentials = None;
            return match there.origin {
                Origin::Unix(_) => Err(FetchError::Address {
                    shown: "unix:".to_owned(),
                    why: "no answer leads to a socket",
                }),
                Origin::Tcp { .. } => Ok(there),
            };
        }
        if location.starts_with("//") {
            let scheme = if self.is_tls() { "https:" } else { "http:" };
            return self.follow(&format!("{scheme}{location}"));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let joined = match location.as_bytes().first() {
            Some(b'/') => location.to_owned(),
            Some(b'?') => format!("{path}{location}"),
            _ => format!("{}/{location}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        let (path, query) = joined.split_at(joined.find(['?', '#']).unwrap_or(joined.len()));
        let target = format!("{}{query}", without_dots(path));
        Ok(Self {
            origin: self.origin.clone(),
            target: written(&target).ok_or_else(|| FetchError::Address {
                shown: shown(location),
                why: "its path is no line of text",
            })?,
            credentials: None,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Tcp { tls, .. } => {
                write!(f, "{}://{}", if *tls { "https" } else { "http" }, self.authority())
            }
            Origin::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// The value of `Authorization` for a name and a password.
pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
    let both = Secret::new(format!("{user}:{}", password.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(both.expose())))
}

fn usual_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn bracketed(host: &str, port: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]{port}"),
        false => format!("{host}{port}"),
    }
}

/// Returns path and query as a request line takes them, without the fragment; nothing where there are control characters.
fn written(target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or_default();
    let mut out = String::with_capacity(target.len() + 1);
    if !target.starts_with('/') {
        out.push('/');
    }
    for byte in target.bytes() {
        match byte {
            0..=0x1f | 0x7f => return None,
            b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                out.push_str(&format!("%{byte:02X}"));
            }
            _ => out.push(char::from(byte)),
        }
    }
    Some(out)
}

/// Resolves `.` and `..` of a path.
fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut open = false;
    for part in path.split('/').skip(1) {
        open = matches!(part, "." | "..");
        match part {
            "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let end = if open && !parts.is_empty() { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

/// `%41` as `A`; what is no such triple stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What may be shown of something that should be an address: no user, no path, no query.
fn shown(text: &str) -> String {
    let (scheme, rest) = text
        .split_once("://")
        .map_or(("", text), |(scheme, rest)| (scheme, rest));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (hidden, host) = authority
        .rsplit_once('@')
        .map_or(("", authority), |(_, host)| ("***@", host));
    let start: String = host
        .chars()
        .filter(|character| !character.is_control())
        .take(100)
        .collect();
    let tail = if authority.len() < rest.len() { "/…" } else { "" };
    let slashes = if scheme.is_empty() { "" } else { "://" };
    let scheme: String = scheme.chars().take(20).collect();
    format!("{scheme}{slashes}{hidden}{start}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shows_its_origin_alone() {
        for (text, shown, at, target) in [
            (
                "http://127.0.0.1:9100/metrics",
                "http://127.0.0.1:9100",
                "127.0.0.1:9100",
                "/metrics",
            ),
            (
                "https://Hooks.example/a/KEY?b=c#d",
                "https://hooks.example",
                "hooks.example:443",
                "/a/KEY?b=c",
            ),
            ("http://h:80", "http://h", "h:80", "/"),
            ("http://[::1]:81?q=1", "http://[::1]:81", "[::1]:81", "/?q=1"),
            ("https://u:p@h/x y/é", "https://h", "h:443", "/x%20y/%C3%A9"),
            (
                "unix:/run/x.sock:/metrics",
                "unix:/run/x.sock",
                "/run/x.sock",
                "/metrics",
            ),
            ("unix:///run/x.sock", "unix:/run/x.sock", "/run/x.sock", "/"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
            assert_eq!(address.at(), at, "{text}");
            assert_eq!(address.target(), target, "{text}");
            assert_eq!(format!("{address:?}"), format!("Address({shown})"));
        }
    }

    #[test]
    fn what_is_no_address_is_told_without_its_secrets() {
        for text in [
            "",
            "hooks.example/KEY",
            "ftp://u:KEY@h/KEY",
            "http:/h/KEY",
            "http://u:KEY@:80/KEY",
            "http://h:0/KEY",
            "http://h:+80/KEY",
            "http://h:http/KEY",
            "http://[::1/KEY",
            "http://[KEY-not]/x",
            "http://h/KEY\nX: y",
            "http://\u{e9}.example/KEY",
            "unix:run/KEY.sock",
            "KEY@",
        ] {
            let error = Address::parse(text).unwrap_err();
            let told = format!("{error} {error:?} {}", error.hint());
            // What was meant for a host stands in the message, so that it can be found.
            assert!(
                !told.contains("KEY") || ["http://[KEY-not]/x", "unix:run/KEY.sock"].contains(&text),
                "{told}"
            );
        }
    }

    #[test]
    fn a_password_in_an_address_is_basic_authentication() {
        let address = Address::parse("http://ann:p%40ss@h/").unwrap();
        assert_eq!(address.credentials.unwrap().expose(), "Basic YW5uOnBAc3M=");
    }

    #[test]
    fn locations_lead_where_they_say() {
        let from = Address::parse("https://ann:secret@h:444/a/b?c=d").unwrap();
        for (location, to) in [
            ("/x/../y?z", "https://h:444/y?z"),
            ("e/f", "https://h:444/a/e/f"),
            ("..", "https://h:444/"),
            ("./", "https://h:444/a/"),
            ("?q", "https://h:444/a/b?q"),
            ("//other/x", "https://other/x"),
            ("http://u:p@other:81/x", "http://other:81/x"),
        ] {
            let there = from.follow(location).unwrap();
            assert_eq!(format!("{there}{}", there.target()), to, "{location}");
            assert!(there.credentials.is_none(), "{location}");
        }
        assert!(from.follow("unix:///run/x").is_err());
        assert!(from.follow("ftp://x/").is_err());
    }
}
