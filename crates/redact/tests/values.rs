//! Known values: their forms, and which of several wins.

use std::sync::Arc;

use tend_redact::{Redactor, Rules, VALUE_BYTES_MIN, forms};

use crate::{in_pieces, patterns, redact};

const PLANTED: &str = "p\"ass/w+örd <&> x~1\\";

#[test]
fn a_value_is_found_as_other_programs_write_it() {
    let known = patterns(&[("DB", PLANTED.as_bytes())], Rules::None);
    let json = serde_json::to_string(PLANTED).unwrap();
    let nested = serde_json::to_string(&json).unwrap();
    let form: String = form_urlencoded::byte_serialize(PLANTED.as_bytes()).collect();
    let hex: String = PLANTED.bytes().map(|byte| format!("{byte:02x}")).collect();
    for (written, around) in [
        (PLANTED, ""),
        (json.trim_matches('"'), ""),
        (&nested[3..nested.len() - 3], ""),
        (&form, ""),
        (&form.to_lowercase(), ""),
        (&hex, ""),
        (&hex.to_uppercase(), ""),
        // JavaScript's encodeURIComponent, PHP's json_encode, Python's json.dumps and Go's encoding/json.
        ("p%22ass%2Fw%2B%C3%B6rd%20%3C%26%3E%20x~1%5C", ""),
        ("p\\\"ass\\/w+\\u00f6rd <&> x~1\\\\", ""),
        ("p\\\"ass/w+\\u00f6rd <&> x~1\\\\", ""),
        ("p\\\"ass/w+örd \\u003c\\u0026\\u003e x~1\\\\", ""),
        // base64 of it with nothing, "a" and "ab" before it, from `base64`; the last characters of a group are the neighbours'.
        ("cCJhc3MvdyvDtnJkIDwmPiB4fjFc", ""),
        ("AiYXNzL3crw7ZyZCA8Jj4geH4xX", "YX"),
        ("wImFzcy93K8O2cmQgPCY-IHh-MV", "YWJ"),
    ] {
        let text = format!("at 12:00 {around}{written} end\n");
        let out = redact(&known, &text);
        assert_eq!(out, format!("at 12:00 {around}[secret DB] end\n"), "{written}");
    }
}

#[test]
fn the_longest_wins_and_overlapping_ones_leave_nothing() {
    let known = patterns(
        &[
            ("SHORT", b"abcdefgh"),
            ("LONG", b"abcdefghijkl"),
            ("LATER", b"ijklmnopqr"),
        ],
        Rules::None,
    );
    for (text, wanted) in [
        ("abcdefgh", "[secret SHORT]"),
        ("abcdefghijk", "[secret SHORT]ijk"),
        ("abcdefghijkl", "[secret LONG]"),
        ("abcdefghijklmnopqr.", "[secret LONG]."),
        ("abcdefghabcdefgh", "[secret SHORT][secret SHORT]"),
        ("xijklmnopqrx", "x[secret LATER]x"),
        ("abcdefg", "abcdefg"),
    ] {
        for length in [1, 2, 3, 5, 100] {
            let out = in_pieces(&known, text.as_bytes(), &[length]);
            assert_eq!(String::from_utf8(out).unwrap(), wanted, "{text} in pieces of {length}");
        }
    }
}

#[test]
fn short_values_are_told_and_not_looked_for() {
    let known = patterns(&[("PIN", b"1234567"), ("FINE", b"12345678")], Rules::None);
    assert_eq!(known.short(), ["PIN"]);
    assert_eq!(VALUE_BYTES_MIN, 8);
    assert_eq!(redact(&known, "1234567 12345678"), "1234567 [secret FINE]");
}

#[test]
fn a_name_does_not_tell_the_value() {
    let known = patterns(
        &[("postgres", b"postgres"), ("aa[secret]", b"other value")],
        Rules::None,
    );
    assert_eq!(redact(&known, "user postgres"), "user [secret]");
    assert_eq!(redact(&known, "other value"), "[secret aasecret]");
    assert!(!format!("{known:?}").contains("postgres"));
}

#[test]
fn what_is_held_back_is_no_more_than_what_may_be_a_secret() {
    let known = patterns(&[("K", b"hunter2hunter2")], Rules::All);
    let mut redactor = Redactor::new(known);
    let mut out = Vec::new();
    for (piece, held) in [
        ("a line\n", 0),
        ("a line without an end", 0),
        (" and hunter2", 7),
        ("\n", 0),
        ("pass", 4),
        ("word=abc", 12),
        ("\n", 0),
    ] {
        redactor.push(piece.as_bytes(), &mut out);
        assert_eq!(redactor.held(), held, "{piece:?}");
    }
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "a line\na line without an end and hunter2\npassword=[redacted]\n"
    );
}

#[test]
fn long_and_many_lined_values_leave_nothing() {
    let key: String = (0..60)
        .map(|line: u64| format!("{:064x}\n", u128::from(line + 1) * 0x9e37_79b9_7f4a_7c15_f39c_c060))
        .collect();
    let long: String = key.replace('\n', "").chars().cycle().take(9000).collect();
    let known = patterns(&[("KEY", key.as_bytes()), ("LONG", long.as_bytes())], Rules::None);
    for (text, value) in [(&key, &key), (&long, &long), (&key.replace('\n', "\n  "), &key)] {
        let out = String::from_utf8(in_pieces(&known, text.as_bytes(), &[700, 1, 40])).unwrap();
        for form in forms(value.as_bytes()) {
            assert!(!contains(out.as_bytes(), &form));
        }
        assert!(out.len() < text.len() / 2, "{out}");
    }
}

pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_thousand_values_are_looked_for_at_once() {
    let values: Vec<(String, String)> = (0..1000u64)
        .map(|n| {
            (
                format!("S{n}"),
                format!("{:016x}Zz", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            )
        })
        .collect();
    let borrowed: Vec<(&str, &[u8])> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let known = patterns(&borrowed, Rules::All);
    let text: String = values.iter().map(|(_, value)| format!("a {value} b\n")).collect();
    let wanted: String = values
        .iter()
        .map(|(name, _)| format!("a [secret {name}] b\n"))
        .collect();
    assert_eq!(
        String::from_utf8(in_pieces(&known, text.as_bytes(), &[4096, 17])).unwrap(),
        wanted
    );
    assert!(known.size() < 2 << 20, "{} bytes", known.size());
    let _shared = Arc::clone(&known);
}
