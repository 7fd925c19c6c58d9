//! Finds the Debian mirror this machine uses, so that no host name stands in the repository.
//!
//! Reads apt's two formats, as much of them as names a mirror. Downloads nothing.

use std::fs;
use std::path::Path;

use crate::error::Error;

/// Returns the release this machine runs, such as `bookworm`: programs built here then find their C library inside.
pub(super) fn release() -> Result<String, Error> {
    let path = Path::new("/etc/os-release");
    let text = read(path)?;
    text.lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .ok_or_else(|| Error::NoMirror {
            release: "of this machine, which /etc/os-release does not name".to_owned(),
        })
}

/// Returns the address apt has `release` from.
pub(super) fn address(release: &str) -> Result<String, Error> {
    let mut texts = Vec::new();
    let list = Path::new("/etc/apt/sources.list");
    if list.exists() {
        texts.push(read(list)?);
    }
    let parts = Path::new("/etc/apt/sources.list.d");
    if let Ok(entries) = fs::read_dir(parts) {
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|kind| kind == "list" || kind == "sources") {
                texts.push(read(&path)?);
            }
        }
    }
    texts
        .iter()
        .find_map(|text| one_line(text, release).or_else(|| stanza(text, release)))
        .ok_or_else(|| Error::NoMirror {
            release: release.to_owned(),
        })
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// Reads `deb [options] ADDRESS RELEASE main …`.
fn one_line(text: &str, release: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_ascii_whitespace();
        let address = words.next()?;
        (words.next()? == release && words.any(|part| part == "main")).then(|| address.to_owned())
    })
}

/// Reads paragraphs of `Types:`, `URIs:`, `Suites:`, `Components:`.
fn stanza(text: &str, release: &str) -> Option<String> {
    let paragraphs = text.split("\n\n");
    paragraphs.into_iter().find_map(|paragraph| {
        let field = |name: &str| {
            paragraph
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
        };
        let has = |name: &str, word: &str| field(name).split_ascii_whitespace().any(|other| other == word);
        (has("Types", "deb") && has("Suites", release) && has("Components", "main"))
            .then(|| field("URIs").split_ascii_whitespace().next().map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_apt_are_read() {
        let lines = "# deb http://old.example/debian bookworm main\n\
            deb-src http://a.example/debian bookworm main\n\
            deb http://b.example/debian bookworm-updates main\n\
            deb [arch=amd64 signed-by=/x] http://c.example/debian bookworm main contrib\n";
        assert_eq!(one_line(lines, "bookworm").as_deref(), Some("http://c.example/debian"));
        assert_eq!(one_line(lines, "trixie"), None);
        let stanzas = "Types: deb\nURIs: http://s.example/security\nSuites: bookworm-security\nComponents: main\n\n\
            Types: deb deb-src\n# URIs: http://old.example/\nURIs: http://d.example/debian\n\
            Suites: bookworm bookworm-updates\nComponents: main\n";
        assert_eq!(stanza(stanzas, "bookworm").as_deref(), Some("http://d.example/debian"));
        assert_eq!(stanza(stanzas, "trixie"), None);
    }
}
