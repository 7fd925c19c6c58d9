//! What looks like a secret, and what does not.

use tend_redact::Rules;

use crate::{in_pieces, patterns};

const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEowIBAAKCAQEA0Z3VS5JJcds3xfn\n/ygWyF8PbnGy0AHB7\n-----END RSA PRIVATE KEY-----\n";

/// Each line and what becomes of it.
#[test]
fn rules_replace_the_secret_and_leave_the_rest() {
    for (line, wanted) in [
        ("password=hunter2 user=bob", "password=[redacted] user=bob"),
        ("DB_PASSWORD: hunter2", "DB_PASSWORD: [redacted]"),
        (r#"{"password":"a\"b","x":1}"#, r#"{"password":"[redacted]","x":1}"#),
        (
            r#"{\"token\": \"abc\", \"x\": 1}"#,
            r#"{\"token\": \"[redacted]\", \"x\": 1}"#,
        ),
        ("GET /a?token=abc&b=1", "GET /a?token=[redacted]&b=1"),
        ("accessToken='a b c' x", "accessToken='[redacted]' x"),
        ("'secret' => 'abc'", "'secret' => '[redacted]'"),
        ("clientSecretKey = abc", "clientSecretKey = [redacted]"),
        ("api-key: abc", "api-key: [redacted]"),
        ("aws_secret_access_key=a/b+c", "aws_secret_access_key=[redacted]"),
        ("passwd=a", "passwd=[redacted]"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic [redacted]"),
        (
            r#""authorization": "Bearer abc", x"#,
            r#""authorization": "Bearer [redacted]", x"#,
        ),
        ("sent bearer 0123456789abcdef.x to it", "sent bearer [redacted] to it"),
        ("postgres://bob:s3cr3t@db/x?y", "postgres://bob:[redacted]@db/x?y"),
        ("redis://:p@ss:w@db", "redis://:[redacted]@db"),
        ("card 4111 1111 1111 1111.", "card [redacted card]."),
        ("card 4111-1111-1111-1111, x", "card [redacted card], x"),
        ("pan=378282246310005", "pan=[redacted card]"),
        ("3782 822463 10005", "[redacted card]"),
        // Ordinary text.
        ("invalid token: connection refused", "invalid token: connection refused"),
        (
            "tokens=5 token_count=7 secret_name=x",
            "tokens=5 token_count=7 secret_name=x",
        ),
        ("password=null token=*** x", "password=null token=*** x"),
        (
            "password=[secret DB] token=[redacted]",
            "password=[secret DB] token=[redacted]",
        ),
        ("the bearer of bad news", "the bearer of bad news"),
        ("authorization: denied for bob", "authorization: denied for bob"),
        ("http://host:80/a@b x@y.z 12:30://", "http://host:80/a@b x@y.z 12:30://"),
        (
            "1763770000000 1763770000000000 1763770000000000000",
            "1763770000000 1763770000000000 1763770000000000000",
        ),
        (
            "4111 1111 1111 1112 41111111111111110 x4111111111111111",
            "4111 1111 1111 1112 41111111111111110 x4111111111111111",
        ),
        (
            "0.4111111111111111 4111111111111111.5 2026-11-22",
            "0.4111111111111111 4111111111111111.5 2026-11-22",
        ),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
        (
            "-----BEGIN PRIVATE KEY----- is the first line",
            "-----BEGIN PRIVATE KEY-----[redacted private key]",
        ),
    ] {
        let rules = patterns(&[], Rules::All);
        for length in [1, 2, 7, 1000] {
            for end in ["\n", ""] {
                let text = format!("{line}{end}");
                let out = String::from_utf8(in_pieces(&rules, text.as_bytes(), &[length])).unwrap();
                if line.ends_with("first line") {
                    // Letters may be a key's: until something is not.
                    assert!(out.starts_with(wanted), "{out}");
                    continue;
                }
                assert_eq!(out, format!("{wanted}{end}"), "{line} in pieces of {length}");
            }
        }
    }
}

#[test]
fn a_private_key_goes_as_a_whole_also_within_json() {
    let rules = patterns(&[], Rules::All);
    let wanted = "a\n-----BEGIN RSA PRIVATE KEY-----[redacted private key]-----END RSA PRIVATE KEY-----\nb";
    for length in [1, 10, 64, 4096] {
        let out = in_pieces(&rules, format!("a\n{KEY}b").as_bytes(), &[length]);
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
        let json = serde_json::to_string(&format!("{KEY}.")).unwrap();
        let out = String::from_utf8(in_pieces(&rules, json.as_bytes(), &[length])).unwrap();
        assert!(
            !out.contains("MIIE") && out.contains("-----END") && out.len() < 110,
            "{out}"
        );
    }
}

#[test]
fn a_known_value_goes_before_a_rule() {
    let known = patterns(&[("DB", b"hunter2hunter2")], Rules::All);
    let out = known.redact("password=hunter2hunter2 postgres://u:hunter2hunter2@h/ password=xhunter2hunter2");
    assert_eq!(
        out,
        "password=[secret DB] postgres://u:[secret DB]@h/ password=[secret DB]"
    );
}
