//! Where a secret lies in a KV v2 engine. Asks nobody.

use std::fmt;
use std::fmt::Write as _;

use crate::VaultError;

/// What stands between mount and name in the address of a secret's values.
const DATA: &str = "data";

/// `MOUNT/data/NAME`, as the HTTP API and policies write it: `kv/data/mps`, `team/kv/data/prod/mps`.
///
/// The command line writes `kv/mps`; there it looks up where the mount ends, which takes a right that readers often lack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KvPath {
    mount: String,
    name: String,
}

impl KvPath {
    /// Reads a path. Where the mount itself has a part named `data`, the first one counts.
    ///
    /// # Errors
    /// When it has no mount, no `data` or no name, or parts that cannot be one.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let wrong = || VaultError::Path { text: text.to_owned() };
        let parts: Vec<&str> = text.trim_matches('/').split('/').collect();
        let at = parts.iter().position(|part| *part == DATA).ok_or_else(wrong)?;
        let (mount, name) = (&parts[..at], &parts[at + 1..]);
        // A name that ends with a period is refused by the server; parts of dots alone would leave the engine.
        let good = |part: &&str| {
            !part.is_empty() && !part.chars().any(char::is_control) && !part.bytes().all(|byte| byte == b'.')
        };
        let fits = !mount.is_empty() && !name.is_empty() && mount.iter().all(good) && name.iter().all(good);
        if !fits || text.ends_with('.') {
            return Err(wrong());
        }
        Ok(Self {
            mount: mount.join("/"),
            name: name.join("/"),
        })
    }

    /// Returns the address of its values below `/v1/`.
    pub(crate) fn data(&self) -> String {
        format!("{}/{DATA}/{}", escaped(&self.mount), escaped(&self.name))
    }

    /// Returns the address of what is known of all its versions, below `/v1/`.
    pub(crate) fn metadata(&self) -> String {
        format!("{}/metadata/{}", escaped(&self.mount), escaped(&self.name))
    }
}

impl fmt::Display for KvPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{DATA}/{}", self.mount, self.name)
    }
}

/// Returns a path as it stands in an address: what is neither plain nor a slash is written in hexadecimal.
pub(crate) fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_mount_and_name() {
        for (text, data, metadata) in [
            ("kv/data/mps", "kv/data/mps", "kv/metadata/mps"),
            (
                "/team/kv/data/prod/mps/",
                "team/kv/data/prod/mps",
                "team/kv/metadata/prod/mps",
            ),
            ("kv/data/data/x", "kv/data/data/x", "kv/metadata/data/x"),
            (
                "kv/data/a b?c#d%",
                "kv/data/a%20b%3Fc%23d%25",
                "kv/metadata/a%20b%3Fc%23d%25",
            ),
        ] {
            let path = KvPath::parse(text).unwrap();
            assert_eq!((path.data().as_str(), path.metadata().as_str()), (data, metadata));
            assert_eq!(KvPath::parse(&path.to_string()).unwrap(), path, "{text}");
        }
        for text in [
            "",
            "kv/mps",
            "data/mps",
            "kv/data",
            "kv/data/",
            "kv//data/x",
            "kv/data/../x",
            "kv/data/x.",
            "kv/data/a\nb",
        ] {
            assert!(KvPath::parse(text).is_err(), "{text:?}");
        }
    }
}
