//! Host names of certificates: what is one, which certificate is for which host. Knows nothing of addresses and ports.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The host names one certificate is for: lower case, sorted, each once. `*.example.com` stands for one label.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Returns the names in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a certificate for these names can be shown to who asked for any host of `others`.
    #[must_use]
    pub fn cover(&self, others: &Names) -> bool {
        others
            .iter()
            .all(|host| self.0.contains(host) || self.iter().any(|name| covers(name, host)))
    }

    /// Returns a name for files and records: the first host and a number of all of them, the same for the same names.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = tend_base::Fnv64::default();
        for name in self.iter() {
            hash.bytes(name.as_bytes());
            hash.number(0x100);
        }
        let first = self.iter().next().unwrap_or("none");
        let first: String = first.chars().take(100).collect();
        format!("{}-{:016x}", first.replace('*', "_"), hash.value())
    }
}

impl<T: Into<String>> FromIterator<T> for Names {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let lower = |name: T| {
            let mut name = name.into();
            name.make_ascii_lowercase();
            name
        };
        Self(names.into_iter().map(lower).collect())
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, name) in self.iter().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// Returns whether a certificate's name is for a host: the same name, or a wildcard for its first label.
#[must_use]
pub fn covers(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(parent), Some((label, rest))) = (name.strip_prefix("*."), host.split_once('.')) else {
        return false;
    };
    !label.is_empty() && label != "*" && rest.eq_ignore_ascii_case(parent)
}

/// Returns whether a text is a host name that a certificate can be for: two labels or more, letters, digits and hyphens, with `*.`
/// before them at most.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // The last label of an IPv4 address is a number, of a host never.
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').count() >= 2
        && name.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_for_exactly_one_label() {
        for (name, host, wanted) in [
            ("pay.example.com", "pay.example.com", true),
            ("pay.example.com", "PAY.Example.com", true),
            ("*.example.com", "pay.example.com", true),
            ("*.example.com", "a.pay.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "*.example.com", true),
            ("*.com", "*.example.com", false),
            ("example.com", "pay.example.com", false),
        ] {
            assert_eq!(covers(name, host), wanted, "{name} {host}");
        }
    }

    #[test]
    fn only_host_names_are_names() {
        for name in [
            "example.com",
            "*.example.com",
            "xn--bcher-kva.example",
            "a.b",
            "3.example",
        ] {
            assert!(is_name(name), "{name}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for name in [
            "",
            "localhost",
            "*.",
            "*.*.example.com",
            "a..b",
            "-a.b",
            "a-.b",
            "127.0.0.1",
            "[::1]",
            "a_b.example",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn names_have_one_order_and_one_id() {
        let one: Names = ["B.example", "a.example", "a.example"].into_iter().collect();
        let two: Names = ["a.example", "b.example"].into_iter().collect();
        assert_eq!(one, two);
        assert_eq!(one.to_string(), "a.example, b.example");
        assert_eq!(one.id(), two.id());
        assert!(one.id().starts_with("a.example-"));
        let glued: Names = ["a.exampleb.example"].into_iter().collect();
        assert_ne!(one.id(), glued.id());
        let wild: Names = ["*.example.com"].into_iter().collect();
        assert!(wild.id().starts_with("_.example.com-"));
        assert!(wild.cover(&["pay.example.com"].into_iter().collect()));
        assert!(!wild.cover(&["pay.example.com", "example.com"].into_iter().collect()));
    }
}
