//! The text that daemon and shim exchange, and that stands in a replica's folder: a word and `key=value` pairs.
//!
//! Owns the encoding. Knows no key and no file. A frame is one line, `word key=value key=value`; a record is the same
//! with each pair on its own line under a first line `word version`. Values are bytes, percent-encoded where they are
//! not plain, so that a frame can be read by a person and holds any environment. A reader ignores keys it does not know.

use std::fmt::Write as _;

use zeroize::Zeroize as _;

/// Keys with their values, in order; a key may stand several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs(Vec<(String, Vec<u8>)>);

impl Pairs {
    pub(crate) fn push(&mut self, key: &str, value: impl AsRef<[u8]>) {
        self.0.push((key.to_owned(), value.as_ref().to_vec()));
    }

    pub(crate) fn push_number(&mut self, key: &str, value: impl std::fmt::Display) {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = write!(text, "{value}");
        self.0.push((key.to_owned(), text.into_bytes()));
    }

    /// Overwrites all values, for pairs that hold secrets.
    pub(crate) fn wipe(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.zeroize());
    }

    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| &v[..])
    }

    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| &v[..])
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        std::str::from_utf8(self.get(key)?).ok()?.parse().ok()
    }
}

/// One message on the shim's socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) word: String,
    pub(crate) pairs: Pairs,
}

impl Frame {
    pub(crate) fn new(word: &str) -> Self {
        Self {
            word: word.to_owned(),
            pairs: Pairs::default(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut line = self.word.clone();
        for (key, value) in &self.pairs.0 {
            line.push(' ');
            encode_pair(&mut line, key, value);
        }
        line.into_bytes()
    }

    /// Returns nothing for bytes that are no frame: not UTF-8, no word, a pair without `=` or with a broken escape.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut parts = text.trim_end_matches('\n').split(' ');
        let word = parts.next().filter(|word| !word.is_empty())?;
        let mut frame = Self::new(word);
        for part in parts.filter(|part| !part.is_empty()) {
            frame.pairs.0.push(decode_pair(part)?);
        }
        Some(frame)
    }
}

/// Writes `word version` and a line for each pair.
pub(crate) fn encode_record(word: &str, version: u32, pairs: &Pairs) -> Vec<u8> {
    let mut text = String::new();
    let _ = writeln!(text, "{word} {version}");
    for (key, value) in &pairs.0 {
        encode_pair(&mut text, key, value);
        text.push('\n');
    }
    text.into_bytes()
}

/// Reads a record back; the error says in a few words why it is none. Any version is read: keys are only ever added.
pub(crate) fn decode_record(word: &str, bytes: &[u8]) -> Result<Pairs, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = text.lines();
    let (first, version) = lines
        .next()
        .and_then(|line| line.split_once(' '))
        .ok_or("its first line is not a name and a version")?;
    if first != word {
        return Err("its first line names another format");
    }
    version.parse::<u32>().map_err(|_| "its version is not a number")?;
    // Every record is written with a newline at its end: one without was cut short.
    if !text.ends_with('\n') {
        return Err("it was cut short");
    }
    let mut pairs = Pairs::default();
    for line in lines.filter(|line| !line.is_empty()) {
        pairs.0.push(decode_pair(line).ok_or("a line is not key=value")?);
    }
    Ok(pairs)
}

fn encode_pair(out: &mut String, key: &str, value: &[u8]) {
    out.push_str(key);
    out.push('=');
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"_-./:@,+=".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
}

fn decode_pair(text: &str) -> Option<(String, Vec<u8>)> {
    let (key, encoded) = text.split_once('=')?;
    let mut value = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            value.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            value.push(byte);
        }
    }
    Some((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive_a_frame_and_a_record() {
        let every: Vec<u8> = (0..=255).collect();
        let mut frame = Frame::new("signal");
        frame.pairs.push("bytes", &every);
        frame.pairs.push("empty", "");
        frame.pairs.push_number("n", 15);
        assert_eq!(Frame::decode(&frame.encode()), Some(frame.clone()));
        assert!(!frame.encode().contains(&b'\n'));
        let record = encode_record("tend-test", 1, &frame.pairs);
        assert_eq!(decode_record("tend-test", &record), Ok(frame.pairs));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [&b""[..], b" a=1", b"word pair", b"word a=%2", b"word a=%zz", b"\xff"] {
            assert_eq!(Frame::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_a_reason() {
        for (bytes, why) in [
            (&b""[..], "its first line is not a name and a version"),
            (b"tend-other 1\n", "its first line names another format"),
            (b"tend-test x\n", "its version is not a number"),
            (b"tend-test 1\na=1", "it was cut short"),
            (b"tend-test 1\na\n", "a line is not key=value"),
        ] {
            assert_eq!(decode_record("tend-test", bytes), Err(why));
        }
    }
}
