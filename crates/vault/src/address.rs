//! Where the server is, as people write it. Opens nothing.

use std::fmt;
use std::net::IpAddr;

use crate::VaultError;

/// The port that Vault and OpenBao listen at when nobody says otherwise.
const PORT: u16 = 8200;

/// `https://HOST:PORT`, with a path in front of `/v1` where a proxy asks for one.
///
/// `http://` is for this very machine alone: the token and every value would be read by whoever listens on the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Without brackets.
    host: String,
    port: u16,
    tls: bool,
    /// Begins with `/`, or is empty.
    prefix: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none, holds a password, or would send secrets over a network in the clear.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let wrong = |why: &'static str| VaultError::Address {
            text: hidden(text),
            why,
        };
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(wrong("it begins with neither https:// nor http://")),
        };
        let (authority, prefix) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(wrong("it holds a user or a password, which Vault has no use for"));
        }
        if rest.contains(['?', '#']) {
            return Err(wrong("it has a query, and the path of an address has none"));
        }
        let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(None) => return Err(wrong("a `[` is not closed")),
            Some(Some((host, port))) if host.parse::<IpAddr>().is_ok() => (host, port.strip_prefix(':')),
            Some(Some(_)) => return Err(wrong("what stands in brackets is no address")),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(letter) {
            return Err(wrong("it has no host name"));
        }
        let port = match port {
            None => PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| wrong("its port is no number from 1 to 65535"))?,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~');
        if !prefix.bytes().all(plain) {
            return Err(wrong("its path has letters that would have to be written otherwise"));
        }
        let prefix = prefix.trim_end_matches('/');
        if prefix == "/v1" || prefix.ends_with("/v1") {
            return Err(wrong("`/v1` is added by itself"));
        }
        let address = Self {
            host: host.to_owned(),
            port,
            tls,
            prefix: prefix.to_owned(),
        };
        if !tls && !address.is_loopback() {
            return Err(wrong(
                "http:// would show the token and every value to whoever listens on the way",
            ));
        }
        Ok(address)
    }

    /// Returns the host, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether the connection is under TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Returns what stands in front of `/v1`.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns host and port as a `Host` field has them.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

/// Hides what may be a password in a text that should be an address.
fn hidden(text: &str) -> String {
    match text.rsplit_once('@') {
        None => text.to_owned(),
        Some((_, host)) => format!("***@{host}"),
    }
}

/// A namespace: `team`, `team/payments`. What it is called by is sent with every request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace(String);

impl Namespace {
    /// Reads the name of a namespace; slashes around it do not matter.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let name = text.trim_matches('/');
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%' | b'\\');
        let good =
            |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain);
        if !name.split('/').all(good) {
            return Err(VaultError::Namespace { text: text.to_owned() });
        }
        Ok(Self(name.to_owned()))
    }

    /// Returns it without slashes around it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("https://vault.example", "https://vault.example:8200"),
            ("https://vault.example:443/", "https://vault.example:443"),
            ("https://proxy.example/vault/", "https://proxy.example:8200/vault"),
            ("http://127.0.0.1:8200", "http://127.0.0.1:8200"),
            ("http://localhost:1", "http://localhost:1"),
            ("https://[::1]:8200", "https://[::1]:8200"),
            ("http://[::1]", "http://[::1]:8200"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (text, why) in [
            ("vault.example:8200", "neither https"),
            ("http://vault.example", "whoever listens"),
            ("http://10.0.0.1:8200", "whoever listens"),
            ("https://user:pass@vault.example", "password"),
            ("https://vault.example/v1", "by itself"),
            ("https://vault.example:0", "port"),
            ("https://vault.example:port", "port"),
            ("https://vault.example?x=1", "query"),
            ("https://", "no host"),
            ("https://[::1", "not closed"),
            ("https://[vault]", "no address"),
            ("https://va ult", "no host"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("pass@"), "{error}");
        }
    }

    #[test]
    fn namespaces_are_paths() {
        for (text, name) in [
            ("team", Some("team")),
            ("/team/pay/", Some("team/pay")),
            ("a-b_c", Some("a-b_c")),
        ] {
            assert_eq!(Namespace::parse(text).ok().as_ref().map(Namespace::as_str), name);
        }
        for text in ["", "/", "a//b", "..", "a/../b", "a b", "a\nb", "ü"] {
            assert!(Namespace::parse(text).is_err(), "{text:?}");
        }
    }
}
