//! Patterns of paths: `rules/*.yml`. Owns what `*`, `?` and `[a-z]` mean, as Go's `filepath.Glob` has it. Does not know what the files are.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Files that a pattern may name; beyond that something is wrong with it.
const FILES_MAX: usize = 10_000;

/// Says what is wrong with a pattern.
///
/// # Errors
/// With the reason, in words that follow «it is no pattern:».
pub(crate) fn judge(pattern: &str) -> Result<(), &'static str> {
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next().is_none() => return Err("it ends with a `\\`"),
            '[' => {
                // The first `]` may be one of the class.
                let mut count = 0;
                loop {
                    match rest.next() {
                        None => return Err("a `[` is not closed"),
                        Some(']') if count > 0 => break,
                        Some('\\') => _ = rest.next(),
                        Some('^') if count == 0 => continue,
                        Some(_) => {}
                    }
                    count += 1;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the files that a pattern names, sorted. A pattern without `*`, `?` and `[` names itself, whether the file is there or not, so that
/// whoever opens it can say that it is not.
///
/// # Errors
/// When a folder on the way cannot be read; one that is not there holds nothing.
pub fn expand(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    if !has_magic(pattern.as_os_str()) {
        return Ok(vec![pattern.to_owned()]);
    }
    let mut found = BTreeSet::from([PathBuf::new()]);
    let mut parts = pattern.components().peekable();
    while let Some(part) = parts.next() {
        let mut next = BTreeSet::new();
        for folder in &found {
            match part {
                Component::Normal(name) if has_magic(name) => list(folder, name, &mut next)?,
                part => _ = next.insert(folder.join(part)),
            }
        }
        let is_last = parts.peek().is_none();
        found = next;
        found.retain(|path| is_last || path.as_os_str().is_empty() || path.is_dir());
        found = found.into_iter().take(FILES_MAX).collect();
    }
    found.retain(|path| path.exists());
    Ok(found.into_iter().collect())
}

fn list(folder: &Path, pattern: &OsStr, into: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let entries = match std::fs::read_dir(here) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    let pattern: Vec<char> = pattern.to_string_lossy().chars().collect();
    for entry in entries {
        let name = entry?.file_name();
        let text: Vec<char> = name.to_string_lossy().chars().collect();
        if matches(&pattern, &text) {
            into.insert(folder.join(name));
        }
    }
    Ok(())
}

fn has_magic(text: &OsStr) -> bool {
    text.to_string_lossy().contains(['*', '?', '[', '\\'])
}

/// Whether a name is one of those that a pattern means. Goes back to the last `*` only, so time is bounded by the product of both lengths.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
                continue;
            }
            None if read == name.len() => return true,
            None => None,
            Some(_) => name.get(read).and_then(|c| one(&pattern[at..], *c)),
        };
        match (step, star) {
            (Some(length), _) => {
                at += length;
                read += 1;
            }
            (None, Some((begin, taken))) if taken < name.len() => {
                star = Some((begin, taken + 1));
                (at, read) = (begin + 1, taken + 1);
            }
            (None, _) => return false,
        }
    }
}

/// How many characters of a pattern mean this one character; nothing where they mean another.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', escaped, ..] => (*escaped == c).then_some(2),
        ['[', rest @ ..] => {
            let negated = rest.first() == Some(&'^');
            let mut at = usize::from(negated);
            let (mut found, mut count) = (false, 0);
            let literal = |at: &mut usize| {
                *at += usize::from(rest.get(*at) == Some(&'\\'));
                let c = rest.get(*at).copied();
                *at += 1;
                c
            };
            while rest.get(at) != Some(&']') || count == 0 {
                let from = literal(&mut at)?;
                let to = if rest.get(at) == Some(&'-') && rest.get(at + 1) != Some(&']') {
                    at += 1;
                    literal(&mut at)?
                } else {
                    from
                };
                found |= (from..=to).contains(&c);
                count += 1;
            }
            (found != negated).then_some(at + 2)
        }
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, name, is_match) in [
            ("*.yml", "a.yml", true),
            ("*.yml", ".yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?b", "ab", true),
            ("?b", "b", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("中*", "中文", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(matches(&chars(pattern), &chars(name)), is_match, "{pattern} {name}");
            assert_eq!(judge(pattern), Ok(()), "{pattern}");
        }
        for bad in ["[", "[]", "[a", "[^", "a\\"] {
            assert!(judge(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_goes_through_folders_and_a_plain_path_names_itself() {
        let folder = tend_testkit::Folder::new();
        for path in ["x/a.yml", "x/b.yml", "y/c.yml", "y/d.json", "e.yml"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let names = |pattern: &str| {
            let found = expand(&folder.path().join(pattern)).expect("folders can be read");
            let short = |path: &PathBuf| path.strip_prefix(folder.path()).expect("within").display().to_string();
            found.iter().map(short).collect::<Vec<_>>()
        };
        assert_eq!(names("*/*.yml"), ["x/a.yml", "x/b.yml", "y/c.yml"]);
        assert_eq!(names("[y]/*"), ["y/c.yml", "y/d.json"]);
        assert_eq!(names("*.yml"), ["e.yml"]);
        assert_eq!(names("*/none"), [""; 0]);
        assert_eq!(names("none/*"), [""; 0]);
        assert_eq!(names("e.yml/*"), [""; 0]);
        assert_eq!(names("none.yml"), ["none.yml"]);
    }
}
