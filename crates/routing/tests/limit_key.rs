//! Who is counted as one: which requests share a key and which do not.

use std::hash::{BuildHasherDefault, DefaultHasher};

use tend_core::model::LimitKey;
use tend_routing::limit_key;

type Hasher = BuildHasherDefault<DefaultHasher>;

pub(crate) fn key(key: &LimitKey, client: &str, fields: &[(&str, &str)]) -> Option<u64> {
    let get = |name: &str, see: &mut dyn FnMut(&[u8]) -> bool| {
        let mut values = fields.iter().filter(|(field, _)| *field == name);
        values.any(|(_, value)| see(value.as_bytes()))
    };
    limit_key(key, client.parse().unwrap(), &get, &Hasher::default())
}

/// Returns a token with these claims, signed by nobody.
pub(crate) fn token(claims: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = "Bearer e30.".to_owned();
    for group in claims.as_bytes().chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text + ".sig"
}

#[test]
fn an_ipv4_address_is_a_client_and_of_ipv6_a_64() {
    let client = |address| key(&LimitKey::Client, address, &[]).unwrap();
    assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
    assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
    assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
}

#[test]
fn a_header_counts_where_it_is() {
    let by = LimitKey::Header("x-api-key".to_owned());
    let one = key(&by, "192.0.2.1", &[("x-api-key", "a")]);
    assert!(one.is_some());
    assert_eq!(one, key(&by, "192.0.2.2", &[("x-api-key", "a")]));
    assert_ne!(one, key(&by, "192.0.2.1", &[("x-api-key", "b")]));
    assert_eq!(key(&by, "192.0.2.1", &[]), None);
    assert_eq!(key(&by, "192.0.2.1", &[("x-api-key", "")]), None);
}

#[test]
fn all_requests_of_a_route_count_together() {
    assert_eq!(
        key(&LimitKey::Route, "192.0.2.1", &[]),
        key(&LimitKey::Route, "::1", &[])
    );
}

#[test]
fn a_claim_tells_accounts_apart() {
    let by = LimitKey::Claim("sub".to_owned());
    let of = |claims: &str| key(&by, "192.0.2.1", &[("authorization", &token(claims))]).unwrap();
    let address = key(&LimitKey::Client, "192.0.2.1", &[]).unwrap();
    let mut seen = vec![address];
    for claims in [
        r#"{"sub":"a"}"#,
        r#"{"sub":"b"}"#,
        r#"{"sub":7}"#,
        r#"{"sub":"7"}"#,
        r#"{"sub":-7}"#,
        r#"{"sub":7.5}"#,
        r#"{"sub":true}"#,
    ] {
        let hash = of(claims);
        assert!(!seen.contains(&hash), "{claims}");
        seen.push(hash);
    }
    // Where it stands, how it is written and what else there is does not matter.
    for claims in [
        r#"{"iat":1,"sub":"a","aud":["x",{"sub":"b"}]}"#,
        r#"{ "\u0073ub" : "\u0061" }"#,
        r#"{"sub":"b","sub":"a"}"#,
    ] {
        assert_eq!(of(claims), of(r#"{"sub":"a"}"#), "{claims}");
    }
}

#[test]
fn without_a_claim_the_address_counts() {
    let by = LimitKey::Claim("sub".to_owned());
    let address = key(&LimitKey::Client, "192.0.2.1", &[]);
    assert_eq!(key(&by, "192.0.2.1", &[]), address);
    let long = format!(r#"{{"sub":"{}"}}"#, "a".repeat(8000));
    let whole = token(r#"{"sub":"a"}"#);
    for value in [
        "",
        "Basic YTpi",
        "Bearer",
        "Bearer abc",
        "Bearer a.b",
        "Bearer e30.!!.sig",
        "Bearer e30.e30.sig",
        &format!("{whole}.more"),
        &token(r#"{"sub":"#),
        &token(r#"{"sub":"a"} x"#),
        &token(r#"{"sub":null}"#),
        &token(r#"{"sub":["a"]}"#),
        &token(r#"{"sub":{"a":1}}"#),
        &token(r#"{"sub":""}"#),
        &token(r#"["sub","a"]"#),
        &token(&format!(r#"{{"sub":{}1{}}}"#, "[".repeat(2000), "]".repeat(2000))),
        &token(&long),
    ] {
        assert_eq!(key(&by, "192.0.2.1", &[("authorization", value)]), address, "{value}");
    }
    assert_ne!(
        key(
            &by,
            "192.0.2.1",
            &[("authorization", &whole.replace("Bearer", "bearer"))]
        ),
        address
    );
}
