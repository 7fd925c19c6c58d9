//! The corpus: requests and responses as data, with what is expected of whoever forwards them.
//!
//! Owns the format of `tests/corpus/*/*.http`, which `tests/corpus/README.md` explains. Knows no socket and judges nothing.

use std::path::{Path, PathBuf};

/// What is expected of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing of it reaches an upstream but the requests of `reads`, which stand before it.
    Refuse,
    /// All of `reads` reaches the upstream, and the request behind it.
    Forward,
    /// Either; the standard or the peers leave the choice.
    Either,
}

/// A request as it has to be read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = &self.body[..self.body.len().min(60)];
        let target = &self.target[..self.target.len().min(60)];
        write!(f, "{} {target} {:?}", self.method, body.escape_ascii().to_string())
    }
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// `file/name`.
    pub(crate) name: String,
    /// Where it is from: a section of a standard, or what was attacked so.
    pub(crate) from: String,
    pub(crate) want: Want,
    pub(crate) reads: Vec<Read>,
    /// Nothing follows it: the client closes its side.
    pub(crate) alone: bool,
    /// Nothing follows it: the bytes have their own end.
    pub(crate) last: bool,
    /// The request behind it may be answered although this one was refused: where it ends is certain.
    pub(crate) next_may: bool,
    /// Why the edge may forward what both peers refuse.
    pub(crate) why: Option<String>,
    /// For responses: the method it answers.
    pub(crate) asked: String,
    pub(crate) bytes: Vec<u8>,
}

/// Reads all cases of a folder of the corpus, in the order of their files.
pub(crate) fn read(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    files.sort();
    let cases: Vec<Case> = files.iter().flat_map(|path| read_file(path)).collect();
    let mut names: Vec<&str> = cases.iter().map(|case| &case.name[..]).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1], "two cases of one name");
    }
    cases
}

fn read_file(path: &Path) -> Vec<Case> {
    let file = path.file_stem().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = format!("{}:{}: {line}", path.display(), number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case {
                name: format!("{file}/{name}"),
                from: String::new(),
                want: Want::Either,
                reads: Vec::new(),
                alone: false,
                last: false,
                next_may: false,
                why: None,
                asked: "GET".to_owned(),
                bytes: Vec::new(),
            });
            continue;
        }
        let case = cases
            .last_mut()
            .unwrap_or_else(|| panic!("{at}: before the first case"));
        match line.split_once(' ').unwrap_or((line, "")) {
            ("|", bytes) => case.bytes.extend(unescape(bytes, &at)),
            ("from:", from) => case.from = from.to_owned(),
            ("why:", why) => case.why = Some(why.to_owned()),
            ("asked:", method) => case.asked = method.to_owned(),
            ("alone", "") => case.alone = true,
            ("last", "") => case.last = true,
            ("next-may", "") => case.next_may = true,
            ("want:", "refuse") => case.want = Want::Refuse,
            ("want:", "forward") => case.want = Want::Forward,
            ("want:", "either") => case.want = Want::Either,
            ("reads:", read) => {
                let mut parts = read.splitn(3, ' ');
                case.reads.push(Read {
                    method: parts.next().unwrap().to_owned(),
                    target: target(parts.next().unwrap_or_else(|| panic!("{at}: no target")), &at),
                    body: unescape(parts.next().unwrap_or_default(), &at),
                });
            }
            _ => panic!("{at}: not understood"),
        }
    }
    for case in &cases {
        assert!(!case.from.is_empty(), "{}: no source", case.name);
        assert!(!case.bytes.is_empty(), "{}: no bytes", case.name);
    }
    cases
}

/// A target as `strict` shows it, which is text.
fn target(text: &str, at: &str) -> String {
    String::from_utf8_lossy(&unescape(text, at)).into_owned()
}

/// Reads `\r`, `\n`, `\t`, `\0`, `\\`, `\xHH`, and `\{TEXT*N}` for a text that is repeated.
fn unescape(text: &str, at: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..backslash]);
        rest = &rest[backslash + 1..];
        let kind = rest
            .chars()
            .next()
            .unwrap_or_else(|| panic!("{at}: ends with a backslash"));
        rest = &rest[kind.len_utf8()..];
        match kind {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'x' => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap_or_else(|_| panic!("{at}: two digits")));
                rest = &rest[2..];
            }
            '{' => {
                let (inner, after) = rest.split_once('}').unwrap_or_else(|| panic!("{at}: no }}"));
                let (piece, count) = inner.rsplit_once('*').unwrap_or_else(|| panic!("{at}: no *"));
                let count = count.parse().unwrap_or_else(|_| panic!("{at}: no number"));
                bytes.extend(unescape(piece, at).repeat(count));
                rest = after;
            }
            other => panic!("{at}: \\{other}"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes_become_bytes() {
        assert_eq!(
            unescape("a\\r\\n\\0\\xff\\\\\\{b\\t*3}c", "here"),
            b"a\r\n\0\xff\\b\tb\tb\tc"
        );
    }
}
