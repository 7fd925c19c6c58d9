//! How programs write a value: as it is, and in base64, hexadecimal, URLs and JSON.
//!
//! Not covered, and said so in docs/reference/redaction.md: base64 broken into lines, two encodings on top of one another other than
//! JSON in JSON, and a value that was cut, hashed, compressed or encrypted.

use std::collections::BTreeMap;
use std::fmt;

use crate::value::VALUE_BYTES_MIN;

/// A value longer than this is looked for in pieces of this length, so that no form is longer than a window can hold back.
pub(crate) const PIECE_BYTES_MAX: usize = 1024;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How a program wrote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// As it is.
    Plain,
    /// As text in JSON, where that is another text.
    Json,
    /// As text in JSON that is itself text in JSON.
    JsonInJson,
    /// Encoded for a URL or a form, where that is another text.
    Url,
    /// In hexadecimal.
    Hexadecimal,
    /// In base64, with so many bytes before it in its group of three: 0, 1 or 2.
    Base64(u8),
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::Json => f.write_str("json"),
            Self::JsonInJson => f.write_str("json in json"),
            Self::Url => f.write_str("url"),
            Self::Hexadecimal => f.write_str("hexadecimal"),
            Self::Base64(0) => f.write_str("base64"),
            Self::Base64(offset) => write!(f, "base64 at {offset}"),
        }
    }
}

/// Returns every form of a value that is looked for, each once, in no order that matters.
///
/// A value of several lines is looked for as a whole and line by line, since programs log it both ways.
#[must_use]
pub fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    named_forms(value).into_keys().collect()
}

/// Returns the form of a value that stands in some bytes; the longest of several, and none when none does.
#[must_use]
pub fn form_in(value: &[u8], bytes: &[u8]) -> Option<Form> {
    let named = named_forms(value);
    let stands = named
        .iter()
        .filter(|(text, _)| bytes.windows(text.len()).any(|part| part == text.as_slice()));
    stands.max_by_key(|(text, _)| text.len()).map(|(_, form)| *form)
}

/// As [`forms`], with what each is; where one text is several forms, the plainest.
fn named_forms(value: &[u8]) -> BTreeMap<Vec<u8>, Form> {
    let mut forms = BTreeMap::new();
    for piece in pieces(value) {
        of_piece(piece, &mut |form, text| {
            if text.len() >= VALUE_BYTES_MIN {
                let known = forms.entry(text).or_insert(form);
                *known = form.min(*known);
            }
        });
    }
    forms
}

/// Returns what of a value is encoded as one.
fn pieces(value: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let add = |whole: &'_ [u8]| -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut from = 0;
        while whole.len() - from > PIECE_BYTES_MAX {
            // The last piece must not be too short to be looked for.
            let left = whole.len() - from - PIECE_BYTES_MAX;
            let length = if left < VALUE_BYTES_MIN {
                PIECE_BYTES_MAX - VALUE_BYTES_MIN
            } else {
                PIECE_BYTES_MAX
            };
            found.push((from, from + length));
            from += length;
        }
        found.push((from, whole.len()));
        found
    };
    let whole = value.strip_suffix(b"\n").unwrap_or(value);
    for (from, to) in add(whole) {
        pieces.push(&whole[from..to]);
    }
    if whole.contains(&b'\n') {
        for line in whole.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // The first and last line of a key in PEM say nothing, and stand in every such key.
            if line.len() >= 2 * VALUE_BYTES_MIN && !line.starts_with(b"-----") {
                for (from, to) in add(line) {
                    pieces.push(&line[from..to]);
                }
            }
        }
    }
    pieces.retain(|piece| piece.len() >= VALUE_BYTES_MIN);
    pieces
}

fn of_piece(value: &[u8], add: &mut impl FnMut(Form, Vec<u8>)) {
    add(Form::Plain, value.to_vec());
    for alphabet in [STANDARD, URL_SAFE] {
        for offset in 0..3u8 {
            add(Form::Base64(offset), base64_core(value, offset.into(), alphabet));
        }
    }
    add(Form::Hexadecimal, hexadecimal(value, b"0123456789abcdef"));
    add(Form::Hexadecimal, hexadecimal(value, b"0123456789ABCDEF"));
    // What stays as it is: of RFC 3986, of JavaScript's encodeURIComponent, of a form, and of Python's quote; and all else.
    for (plain, plus) in [
        (&b"-._~"[..], false),
        (b"-._~!*'()", false),
        (b"-._*", true),
        (b"-._~", true),
        (b"-._~/", false),
    ] {
        for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
            add(Form::Url, url(value, plain, plus, digits));
        }
    }
    // JSON is text: of bytes that are none there is no such form.
    if let Ok(text) = std::str::from_utf8(value) {
        for slash in [false, true] {
            for unicode in [Unicode::AsItIs, Unicode::Lower, Unicode::Upper] {
                for html in [false, true] {
                    let once = json(text, slash, unicode, html);
                    if let Ok(once) = std::str::from_utf8(&once) {
                        add(Form::JsonInJson, json(once, false, unicode, false));
                    }
                    add(Form::Json, once);
                }
            }
        }
    }
}

/// Returns the characters of base64 that a value fixes wherever it stands, with `offset` bytes before it in its group of three.
fn base64_core(value: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bit = |at: usize| -> u8 { value[at / 8] >> (7 - at % 8) & 1 };
    // Bits of the first character that is the value's alone, counted from the group's begin.
    let first = (offset * 8).div_ceil(6);
    let last = (offset + value.len()) * 8 / 6;
    (first..last)
        .map(|character| {
            let six = (0..6).fold(0u8, |six, n| six << 1 | bit(character * 6 + n - offset * 8));
            alphabet[usize::from(six)]
        })
        .collect()
}

fn hexadecimal(value: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    value
        .iter()
        .flat_map(|&byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]])
        .collect()
}

fn url(value: &[u8], plain: &[u8], plus: bool, digits: &[u8; 16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 3);
    for &byte in value {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(byte);
        } else if plus && byte == b' ' {
            out.push(b'+');
        } else {
            out.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unicode {
    AsItIs,
    Lower,
    Upper,
}

/// Writes a value as it stands between the quotes of JSON.
///
/// `slash`: `/` as `\/`, as PHP does. `html`: `<`, `>`, `&` and `'` as `\u003c` …, as Go and Rails do.
fn json(value: &str, slash: bool, unicode: Unicode, html: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 2);
    for c in value.chars() {
        match c {
            '"' => out.extend(b"\\\""),
            '\\' => out.extend(b"\\\\"),
            '/' if slash => out.extend(b"\\/"),
            '\n' => out.extend(b"\\n"),
            '\r' => out.extend(b"\\r"),
            '\t' => out.extend(b"\\t"),
            '\u{8}' => out.extend(b"\\b"),
            '\u{c}' => out.extend(b"\\f"),
            '<' | '>' | '&' | '\'' if html => escape(&mut out, c, unicode),
            c if c < ' ' || (c > '~' && unicode != Unicode::AsItIs) => escape(&mut out, c, unicode),
            c => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    out
}

fn escape(out: &mut Vec<u8>, c: char, unicode: Unicode) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let text = if unicode == Unicode::Upper {
            format!("\\u{unit:04X}")
        } else {
            format!("\\u{unit:04x}")
        };
        out.extend(text.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_of_base64_stands_in_the_encoding_of_anything_around_it() {
        let value = b"s3cr3t?>value~\xff\xfe";
        for (offset, before) in [(0, ""), (1, "a"), (2, "ab"), (0, "abc"), (1, "abcd")] {
            for after in ["", "x", "xy", "xyz"] {
                let whole = [before.as_bytes(), value, after.as_bytes()].concat();
                // Padding to a whole group: the encoding of all is then what the core of all is.
                let padded = [&whole[..], &[0; 3][..(3 - whole.len() % 3) % 3]].concat();
                for alphabet in [STANDARD, URL_SAFE] {
                    let encoded = base64_core(&padded, 0, alphabet);
                    let core = base64_core(value, offset, alphabet);
                    let found = encoded.windows(core.len()).any(|part| part == core);
                    assert!(found, "{offset} {after}");
                }
            }
        }
        assert_eq!(base64_core(b"foobar", 0, STANDARD), b"Zm9vYmFy");
    }

    #[test]
    fn the_form_that_stands_somewhere_is_named() {
        let value = b"p@ss/w\"rd-1";
        let is = |text: &str| form_in(value, text.as_bytes());
        assert_eq!(is("x p@ss/w\"rd-1 x"), Some(Form::Plain));
        assert_eq!(is(r#"{"a":"p@ss/w\"rd-1"}"#), Some(Form::Json));
        assert_eq!(is(r#""{\"a\":\"p@ss/w\\\"rd-1\"}""#), Some(Form::JsonInJson));
        assert_eq!(is("p%40ss%2fw%22rd-1"), Some(Form::Url));
        assert_eq!(is("704073732f772272642d31"), Some(Form::Hexadecimal));
        // `x` before it.
        assert_eq!(is("eHBAc3MvdyJyZC0x"), Some(Form::Base64(1)));
        assert_eq!(is("something else"), None);
    }

    #[test]
    fn a_long_value_is_cut_into_pieces_that_cover_it() {
        for length in [1024, 1025, 1031, 1032, 1033, 2050, 5000] {
            let value: Vec<u8> = (0..length).map(|n| b'a' + (n % 26) as u8).collect();
            let pieces = pieces(&value);
            assert_eq!(pieces.concat(), value);
            assert!(
                pieces
                    .iter()
                    .all(|piece| (VALUE_BYTES_MIN..=PIECE_BYTES_MAX).contains(&piece.len()))
            );
        }
    }

    #[test]
    fn lines_of_a_value_are_looked_for_by_themselves() {
        let forms = forms(b"-----BEGIN X-----\nMIIabcdefghijklmnop\nshort\n-----END X-----\n");
        assert!(forms.contains(&b"MIIabcdefghijklmnop".to_vec()));
        assert!(!forms.contains(&b"-----BEGIN X-----".to_vec()));
    }
}
