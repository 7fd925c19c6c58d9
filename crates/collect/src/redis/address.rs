//! Where a Redis is, as users write it. Opens nothing.

use std::fmt;
use std::path::PathBuf;

use tend_base::Secret;

use crate::CollectError;

/// Where a Redis is, and as whom it is asked. Formatting it shows neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub(super) place: Place,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl RedisAddress {
    /// Reads `redis://[[USER]:PASSWORD@]HOST[:PORT][/NUMBER]`, `valkey://` with the same, `unix://[[USER]:PASSWORD@]/PATH`, or `HOST[:PORT]`. The
    /// number of a database does not matter: metrics are of all of them.
    ///
    /// # Errors
    /// When it is none of these. The text of it is not in the error.
    pub fn parse(text: &Secret) -> Result<Self, CollectError> {
        let wrong = |why| CollectError::RedisAddress { why };
        let text = text.expose().trim();
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("redis", text));
        let is_unix = match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => false,
            "unix" | "redis+unix" | "redis+socket" => true,
            "rediss" | "valkeys" => {
                return Err(wrong("TLS is not spoken to a Redis; use its plain port or its socket"));
            }
            _ => return Err(wrong("its scheme is not known")),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        // A password with an @ that was not written as %40 is common; the last one ends it.
        let (login, place) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(login, place)| (Some(login), place));
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or(("", login))) {
            Some((user, password)) => {
                let user = decode(user)?;
                ((!user.is_empty()).then_some(user), Some(Secret::new(decode(password)?)))
            }
            None => (None, None),
        };
        let place = if is_unix {
            if !place.starts_with('/') {
                return Err(wrong("the path of its socket does not begin with /"));
            }
            Place::Unix(PathBuf::from(decode(place)?))
        } else {
            let place = place.split('/').next().unwrap_or_default();
            // [::1]:6379
            let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((host, rest)) => (host, rest.strip_prefix(':')),
                None => match place.rsplit_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (place, None),
                },
            };
            let port = port.map(str::parse).transpose();
            let port = port.map_err(|_| wrong("its port is not a number"))?.unwrap_or(6379);
            let host = if host.is_empty() { "localhost" } else { host };
            Place::Tcp(decode(host)?, port)
        };
        Ok(Self { place, user, password })
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(host, port) if host.contains(':') => write!(f, "Redis at [{host}]:{port}"),
            Place::Tcp(host, port) => write!(f, "Redis at {host}:{port}"),
            Place::Unix(path) => write!(f, "Redis at {}", path.display()),
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

/// Returns a text with its %XX replaced.
fn decode(text: &str) -> Result<String, CollectError> {
    let wrong = CollectError::RedisAddress {
        why: "a % in it is not followed by two hexadecimal digits of UTF-8; write %25 for a %",
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let digits = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(Ok(byte)) = digits.map(|digits| u8::from_str_radix(digits, 16)) else {
            return Err(wrong);
        };
        bytes.push(byte);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RedisAddress, CollectError> {
        RedisAddress::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn addresses_are_read_as_users_write_them() {
        for (text, shown, user, password) in [
            ("redis://localhost", "Redis at localhost:6379", None, None),
            ("redis://:p%40ss@db:6380/3", "Redis at db:6380", None, Some("p@ss")),
            ("redis://app:p@ss@db/0", "Redis at db:6379", Some("app"), Some("p@ss")),
            ("redis://secret@db", "Redis at db:6379", None, Some("secret")),
            ("valkey://[::1]:7000", "Redis at [::1]:7000", None, None),
            ("127.0.0.1:6379", "Redis at 127.0.0.1:6379", None, None),
            ("unix:///run/redis.sock", "Redis at /run/redis.sock", None, None),
            ("redis+unix://u:p@/run/a%20b", "Redis at /run/a b", Some("u"), Some("p")),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.user.as_deref(), user, "{text}");
            assert_eq!(address.password.as_ref().map(Secret::expose), password, "{text}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for text in [
            "redis://:hunter2@db:port",
            "redis://:hunter2%2@db",
            "redis://:hunter2%é@db",
            "rediss://:hunter2@db",
            "http://:hunter2@db",
            "unix://:hunter2@run/redis.sock",
        ] {
            let error = parse(text).unwrap_err();
            let shown = format!("{error} {error:?} {} {}", error.with_causes(), error.hint());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let address = parse("redis://app:hunter2@db").unwrap();
        assert!(!format!("{address} {address:?}").contains("hunter2"));
    }
}
