//! From the path of a request to a path inside a folder, without looking at the disk.
//!
//! Invariant: what comes out names nothing above the folder it is looked up in, and nothing hidden (test
//! `what_leads_out_of_the_folder_or_is_hidden_is_refused`).

/// What a request asks for inside a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Without a slash at either end; empty for the folder itself.
    pub(super) path: Vec<u8>,
    /// It ended in a slash: a folder is meant.
    pub(super) folder: bool,
}

/// The one hidden folder that is meant to be seen (RFC 8615).
const SEEN_THOUGH_HIDDEN: &[u8] = b".well-known";

/// Reads what follows the route's prefix in the path; none for what names no file that may be served.
///
/// Decoded once, then cut at slashes: an encoded slash belongs to a name, which no file can have, and what is encoded twice stays
/// encoded once.
pub(super) fn wanted(rest: &str) -> Option<Wanted> {
    let mut path = Vec::with_capacity(rest.len());
    for segment in rest.split('/').filter(|segment| !segment.is_empty()) {
        if !path.is_empty() {
            path.push(b'/');
        }
        let begin = path.len();
        decode(segment.as_bytes(), &mut path)?;
        let name = &path[begin..];
        let hidden = name.first() == Some(&b'.') && name != SEEN_THOUGH_HIDDEN;
        if hidden || name.contains(&b'/') || name.contains(&0) {
            return None;
        }
    }
    Some(Wanted {
        path,
        folder: rest.ends_with('/'),
    })
}

fn decode(segment: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut left = segment;
    while let [first, behind @ ..] = left {
        if *first == b'%' {
            let [high, low, behind @ ..] = behind else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16);
            out.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
            left = behind;
        } else {
            out.push(*first);
            left = behind;
        }
    }
    Some(())
}

/// Says whether a file's name has a hash in it, so that another content has another name: `app.3f9a1c2b.js`, `index-BxK3d9fA.js`.
///
/// Cautious: a date is none, and a hash that happens to have no letter or no digit is not known for one.
pub(super) fn has_hash(name: &[u8]) -> bool {
    let Some(end) = name.iter().rposition(|byte| *byte == b'.') else {
        return false;
    };
    let stem = &name[..end];
    // The first part is what people call it.
    let mut parts = stem.split(|byte| matches!(byte, b'.' | b'-')).skip(1);
    parts.any(is_hash) || last_eight(stem).is_some_and(is_hash)
}

/// Vite's hashes are eight letters of an alphabet in which `-` is one.
fn last_eight(stem: &[u8]) -> Option<&[u8]> {
    let (before, hash) = stem.split_at_checked(stem.len().checked_sub(8)?)?;
    (before.len() > 1 && before.ends_with(b"-")).then_some(hash)
}

fn is_hash(part: &[u8]) -> bool {
    let any = |test: fn(&u8) -> bool| part.iter().any(test);
    let digit = any(u8::is_ascii_digit);
    let hexadecimal = (8..=64).contains(&part.len())
        && part.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        && any(u8::is_ascii_lowercase);
    let mixed = matches!(part.len(), 8 | 20 | 22)
        && part
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && any(u8::is_ascii_lowercase)
        && any(u8::is_ascii_uppercase);
    digit && (hexadecimal || mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once_and_cut_at_slashes() {
        for (rest, path, folder) in [
            ("", "", false),
            ("/", "", true),
            ("/a/b.txt", "a/b.txt", false),
            ("/a//b.txt", "a/b.txt", false),
            ("/a/", "a", true),
            ("/a%20b", "a b", false),
            ("/%61%2Ejs", "a.js", false),
            ("/a%252e", "a%2e", false),
            ("/a..b/c..", "a..b/c..", false),
            ("/.well-known/security.txt", ".well-known/security.txt", false),
            ("/caf%C3%A9", "café", false),
        ] {
            let wanted = wanted(rest).unwrap();
            assert_eq!(
                (wanted.path.as_slice(), wanted.folder),
                (path.as_bytes(), folder),
                "{rest}"
            );
        }
    }

    #[test]
    fn what_leads_out_of_the_folder_or_is_hidden_is_refused() {
        for rest in [
            "/..",
            "/../etc/passwd",
            "/a/../../etc/passwd",
            "/a/..",
            "/.",
            "/./a",
            "/%2e%2e/etc/passwd",
            "/.%2E/etc/passwd",
            "/%2e",
            "/..%2fetc/passwd",
            "/a%2fb",
            "/a%2Fb",
            "/.env",
            "/a/.git/config",
            "/%2eenv",
            "/...",
            "/.well-known2/x",
            "/a%00.txt",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
        ] {
            assert_eq!(wanted(rest), None, "{rest}");
        }
    }

    #[test]
    fn hashes_in_names_are_known() {
        for (name, hashed) in [
            ("app.3f9a1c2b.js", true),
            ("app-3f9a1c2b.css", true),
            ("main.0123456789abcdef0123.chunk.js", true),
            ("index-BxK3d9fA.js", true),
            ("index-B-K3d_fA.js", true),
            ("app.js", false),
            ("report-20240131.pdf", false),
            ("app.deadbeef.js", false),
            ("photo-portrait.png", false),
            ("3f9a1c2b.js", false),
            ("3f9a1c2b", false),
            ("jquery-3.7.1.min.js", false),
            ("a-Settings.js", false),
        ] {
            assert_eq!(has_hash(name.as_bytes()), hashed, "{name}");
        }
    }
}
