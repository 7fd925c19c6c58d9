//! Places in the files of one load, and the paths written there.
//!
//! Owns what a relative path means. The files themselves and the places in them are `tend_text`'s; no disk is read.

use std::path::{Component, Path, PathBuf};

pub(crate) use tend_text::{Place, SourceId};

use crate::error::Findings;

/// Returns the absolute path that `text` means when it was written at `place`.
pub(crate) fn resolve(findings: &Findings, place: Place, text: &str) -> PathBuf {
    absolute(&findings.sources.get(place.source).directory, Path::new(text))
}

/// Joins `path` to the absolute `base` and removes `.` and `..` by the letter, as Compose does: no link is followed.
pub(crate) fn absolute(base: &Path, path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                whole.pop();
            }
            other => whole.push(other),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_joined_by_the_letter() {
        let base = Path::new("/srv/pay");
        for (path, whole) in [
            ("a", "/srv/pay/a"),
            ("./a/./b", "/srv/pay/a/b"),
            ("../a", "/srv/a"),
            ("../../../../a", "/a"),
            ("/etc/x/..", "/etc"),
            (".", "/srv/pay"),
        ] {
            assert_eq!(absolute(base, Path::new(path)), Path::new(whole), "{path}");
        }
    }
}
