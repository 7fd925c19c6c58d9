//! The texts that were read and the places in them.
//!
//! Owns every file of one load, each with the folder its relative paths start from. Knows nothing of YAML and reads no disk.

use std::path::{Component, Path, PathBuf};

/// Which of the files that were read, in the order of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceId(u32);

/// A stretch of one line of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// In which file.
    pub(crate) source: SourceId,
    /// From 1; 0 means the file as a whole.
    pub(crate) line: u32,
    /// In characters, from 1.
    pub(crate) column: u32,
    /// In characters, at least 1, never past the end of the line.
    pub(crate) length: u32,
}

/// One file that was read.
#[derive(Debug)]
pub(crate) struct Source {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// Without a byte order mark.
    pub(crate) text: String,
    /// Where relative paths written in it start from, absolute.
    pub(crate) directory: PathBuf,
    /// True for files of `NAME=value` lines, whose values are never shown.
    pub(crate) secret: bool,
    /// Byte offset of each line.
    line_starts: Vec<usize>,
}

/// All files of one load.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// Takes in a text and returns its number.
    pub(crate) fn add(&mut self, path: PathBuf, text: String, directory: PathBuf, secret: bool) -> SourceId {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        self.0.push(Source {
            path,
            text,
            directory,
            secret,
            line_starts,
        });
        SourceId(u32::try_from(self.0.len() - 1).expect("fewer than 2^32 files are read"))
    }

    /// Returns how many files there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the file.
    pub(crate) fn get(&self, id: SourceId) -> &Source {
        &self.0[id.0 as usize]
    }

    /// Returns the absolute path that `text` means when it was written at `place`.
    pub(crate) fn resolve(&self, place: Place, text: &str) -> PathBuf {
        absolute(&self.get(place.source).directory, Path::new(text))
    }

    /// Returns the place of `part` inside the value that starts at `place`, or `place` when it is not written there as such
    /// (an escape or a folded line hides it).
    pub(crate) fn narrow(&self, place: Place, part: &str) -> Place {
        let source = self.get(place.source);
        let mut skip = place.column.saturating_sub(1) as usize;
        // A block scalar starts at its `|`, its text is on the lines below it.
        for line in place.line..place.line.saturating_add(64) {
            let Some(text) = source.line(line) else { break };
            let from = text.char_indices().nth(skip).map_or(text.len(), |(at, _)| at);
            if let Some(at) = text[from..].find(part) {
                let column = text[..from + at].chars().count() + 1;
                return Place {
                    source: place.source,
                    line,
                    column: u32::try_from(column).unwrap_or(u32::MAX),
                    length: u32::try_from(part.chars().count()).unwrap_or(1).max(1),
                };
            }
            skip = 0;
        }
        place
    }
}

impl Source {
    /// Returns a line without its end, counted from 1.
    pub(crate) fn line(&self, number: u32) -> Option<&str> {
        let index = (number as usize).checked_sub(1)?;
        let start = *self.line_starts.get(index)?;
        let end = self.line_starts.get(index + 1).map_or(self.text.len(), |next| next - 1);
        Some(self.text[start..end].trim_end_matches('\r'))
    }

    /// Returns how many lines there are.
    pub(crate) fn lines(&self) -> u32 {
        u32::try_from(self.line_starts.len()).unwrap_or(u32::MAX)
    }
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

    #[test]
    fn a_part_of_a_value_is_found_where_it_was_written() {
        let mut sources = Sources::default();
        let text = "a: \"x ${Y}\"\nb: |\n  é ${Z}\n".to_owned();
        let source = sources.add("/s".into(), text, "/".into(), false);
        let at = |line, column| Place {
            source,
            line,
            column,
            length: 1,
        };
        let found = sources.narrow(at(1, 4), "${Y}");
        assert_eq!((found.line, found.column, found.length), (1, 7, 4));
        let found = sources.narrow(at(2, 4), "${Z}");
        assert_eq!((found.line, found.column), (3, 5));
        assert_eq!(sources.narrow(at(1, 4), "${Q}"), at(1, 4));
    }
}
