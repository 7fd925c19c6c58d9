//! Another place: the target a replica gets instead of the client's, and where a client is sent.
//!
//! Invariant: nothing a client writes changes the host it is sent to (test `a_client_cannot_choose_the_host_it_is_sent_to`).

use std::borrow::Cow;

use tend_core::model::{Redirect, Rewrite};

/// Returns what follows the route's prefix in a target or path: empty, or beginning with `/` or `?`.
pub(super) fn rest<'a>(prefix: &str, target: &'a str) -> Option<&'a str> {
    let rest = target.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
}

/// Returns a target that begins with exactly one slash: behind two, and browsers take `\` for `/`, a host may be read.
pub(super) fn rooted(target: &str) -> Cow<'_, str> {
    let behind = target.trim_start_matches(['/', '\\']);
    if target.len() - behind.len() == 1 && target.starts_with('/') {
        Cow::Borrowed(target)
    } else {
        Cow::Owned(format!("/{behind}"))
    }
}

/// Returns the target that the service is asked for.
pub(super) fn rewritten<'a>(rewrite: &Rewrite, prefix: &str, target: &'a str) -> Cow<'a, str> {
    let Some(rest) = rest(prefix, target) else {
        return Cow::Borrowed(target);
    };
    match rewrite {
        Rewrite::StripPrefix => rooted(rest),
        Rewrite::ReplacePrefix(other) => {
            let whole = format!("{}{rest}", other.trim_end_matches('/'));
            Cow::Owned(rooted(&whole).into_owned())
        }
    }
}

/// Returns the value of `Location`; none when it needs a host and the request names none.
pub(super) fn location(redirect: &Redirect, prefix: &str, host: &str, target: &str) -> Option<String> {
    let mut location = String::with_capacity(redirect.to.len() + target.len());
    let mut left = redirect.to.as_str();
    while let Some(begin) = left.find('{') {
        location.push_str(&left[..begin]);
        left = &left[begin..];
        if let Some(behind) = left.strip_prefix("{host}") {
            let name = without_port(host);
            if name.is_empty() {
                return None;
            }
            location.push_str(name);
            left = behind;
        } else if let Some(behind) = left.strip_prefix("{path}") {
            location.push_str(&rooted(target));
            left = behind;
        } else if let Some(behind) = left.strip_prefix("{rest}") {
            let rest = rest(prefix, target).unwrap_or_default();
            if rest.starts_with('/') {
                location.push_str(&rooted(rest));
            } else {
                location.push_str(rest);
            }
            left = behind;
        } else {
            location.push('{');
            left = &left[1..];
        }
    }
    location.push_str(left);
    // `/{path}` would begin with two slashes.
    if location.starts_with('/') {
        location = rooted(&location).into_owned();
    }
    Some(printable(&location))
}

/// Percent-encodes what does not belong into a header.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A colon is part of a host only inside the brackets of an IPv6 address.
fn without_port(host: &str) -> &str {
    match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_asked_for_another_target() {
        let replace = |other: &str| Rewrite::ReplacePrefix(other.to_owned());
        for (rewrite, prefix, target, wanted) in [
            (Rewrite::StripPrefix, "/api", "/api/pay?a=1", "/pay?a=1"),
            (Rewrite::StripPrefix, "/api/", "/api/pay", "/pay"),
            (Rewrite::StripPrefix, "/api", "/api", "/"),
            (Rewrite::StripPrefix, "/api", "/api/", "/"),
            (Rewrite::StripPrefix, "/api", "/api?a=1", "/?a=1"),
            (Rewrite::StripPrefix, "/", "/pay", "/pay"),
            (Rewrite::StripPrefix, "/api", "/api//evil.test", "/evil.test"),
            (Rewrite::StripPrefix, "/api", "/api/%2e%2e/x", "/%2e%2e/x"),
            (replace("/v2"), "/api", "/api/pay", "/v2/pay"),
            (replace("/v2/"), "/api", "/api/pay", "/v2/pay"),
            (replace("/v2"), "/api", "/api", "/v2"),
            (replace("/v2"), "/", "/pay?a=1", "/v2/pay?a=1"),
            (replace("/"), "/api", "/api/pay", "/pay"),
            (replace("/"), "/api", "/api", "/"),
            // The table matches whole segments, so this is not asked; and if it were, nothing is changed.
            (Rewrite::StripPrefix, "/api", "/apix", "/apix"),
            (Rewrite::StripPrefix, "/api", "*", "*"),
        ] {
            assert_eq!(rewritten(&rewrite, prefix, target), wanted, "{rewrite:?} {target}");
        }
    }

    fn sent(to: &str, prefix: &str, host: &str, target: &str) -> Option<String> {
        let redirect = Redirect {
            to: to.to_owned(),
            status: 301,
        };
        location(&redirect, prefix, host, target)
    }

    #[test]
    fn a_client_is_sent_where_the_route_says() {
        for (to, prefix, target, wanted) in [
            ("https://{host}{path}", "/", "/a?b=c", "https://shop.test/a?b=c"),
            ("https://new.test{rest}", "/old", "/old/a?b", "https://new.test/a?b"),
            ("https://new.test{rest}", "/old", "/old", "https://new.test"),
            ("https://new.test{rest}", "/old", "/old?b", "https://new.test?b"),
            ("/new{rest}", "/old/", "/old/a", "/new/a"),
            ("/fixed", "/", "/a", "/fixed"),
            ("/{a}{path", "/", "/a", "/{a}{path"),
            ("/a b", "/", "/", "/a%20b"),
        ] {
            assert_eq!(sent(to, prefix, "shop.test:8080", target).as_deref(), Some(wanted));
        }
        assert_eq!(sent("//{host}/", "/", "[::1]:80", "/").as_deref(), Some("/[::1]/"));
        assert_eq!(
            sent("https://{host}/", "/", "[::1]:80", "/").as_deref(),
            Some("https://[::1]/")
        );
        assert_eq!(sent("https://{host}/", "/", "", "/"), None);
    }

    #[test]
    fn a_client_cannot_choose_the_host_it_is_sent_to() {
        for (to, prefix, target, wanted) in [
            ("{path}", "/", "//evil.test/x", "/evil.test/x"),
            ("{path}", "/", "/\\evil.test", "/evil.test"),
            ("/{path}", "/", "/evil.test", "/evil.test"),
            ("{rest}", "/a", "/a//evil.test", "/evil.test"),
            (
                "https://new.test{rest}",
                "/a",
                "/a/.evil.test",
                "https://new.test/.evil.test",
            ),
            (
                "https://new.test{path}",
                "/",
                "//evil.test",
                "https://new.test/evil.test",
            ),
            (
                "https://new.test{path}",
                "/",
                "/x\r\nset-cookie: a",
                "https://new.test/x%0D%0Aset-cookie:%20a",
            ),
        ] {
            assert_eq!(
                sent(to, prefix, "shop.test", target).as_deref(),
                Some(wanted),
                "{to} {target}"
            );
        }
    }
}
