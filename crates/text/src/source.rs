//! The texts that were handed in and the places in them. Knows nothing of YAML and reads no disk.

use std::path::{Path, PathBuf};

use crate::shown::Shows;

/// Which of the texts, in the order of handing in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(u32);

/// A stretch of one line of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In which text.
    pub source: SourceId,
    /// From 1; 0 means the text as a whole.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// In characters, at least 1, never past the end of the line.
    pub length: u32,
}

/// One text.
#[derive(Debug)]
pub struct Source {
    /// What it is called in messages: a path, as the caller wants it shown.
    pub name: PathBuf,
    /// Without a byte order mark.
    pub text: String,
    /// Where relative paths written in it start from.
    pub directory: PathBuf,
    /// What of its lines may be shown.
    pub shows: Shows,
    /// Byte offset of each line.
    line_starts: Vec<usize>,
}

/// All texts of one piece of work.
#[derive(Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Takes in a text whose relative paths start from its own folder, and returns its number.
    pub fn add(&mut self, name: impl Into<PathBuf>, text: &str, shows: Shows) -> SourceId {
        let name = name.into();
        let directory = name.parent().unwrap_or(Path::new("/")).to_owned();
        self.add_in(directory, name, text, shows)
    }

    /// Takes in a text whose relative paths start from `directory`, and returns its number.
    ///
    /// # Panics
    /// With the 2^32nd text.
    pub fn add_in(&mut self, directory: PathBuf, name: PathBuf, text: &str, shows: Shows) -> SourceId {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        self.0.push(Source {
            name,
            text,
            directory,
            shows,
            line_starts,
        });
        SourceId(u32::try_from(self.0.len() - 1).expect("fewer than 2^32 texts are read"))
    }

    /// Returns how many texts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the text.
    #[must_use]
    pub fn get(&self, id: SourceId) -> &Source {
        &self.0[id.0 as usize]
    }

    /// Returns the place of `part` inside the value that starts at `place`, or `place` when it is not written there as such
    /// (an escape or a folded line hides it).
    #[must_use]
    pub fn narrow(&self, place: Place, part: &str) -> Place {
        let source = self.get(place.source);
        let mut skip = place.column.saturating_sub(1) as usize;
        // A block scalar starts at its `|`, its text is on the lines below it.
        for line in place.line..place.line.saturating_add(64) {
            let Some(text) = source.line(line) else { break };
            let from = text.char_indices().nth(skip).map_or(text.len(), |(at, _)| at);
            if let Some(at) = text[from..].find(part) {
                let column = text[..from + at].chars().count() + 1;
                return Place {
                    length: number(part.chars().count().max(1)),
                    ..place.source.at(line, number(column))
                };
            }
            skip = 0;
        }
        place
    }
}

impl SourceId {
    /// Returns the place that means the text as a whole.
    #[must_use]
    pub fn whole(self) -> Place {
        self.at(0, 0)
    }

    /// Returns the place of one character.
    #[must_use]
    pub fn at(self, line: u32, column: u32) -> Place {
        Place {
            source: self,
            line,
            column,
            length: 1,
        }
    }
}

impl Source {
    /// Returns a line without its end, counted from 1.
    #[must_use]
    pub fn line(&self, number: u32) -> Option<&str> {
        let index = (number as usize).checked_sub(1)?;
        let start = *self.line_starts.get(index)?;
        let end = self.line_starts.get(index + 1).map_or(self.text.len(), |next| next - 1);
        Some(self.text[start..end].trim_end_matches('\r'))
    }

    /// Returns how many lines there are.
    #[must_use]
    pub fn lines(&self) -> u32 {
        number(self.line_starts.len())
    }
}

/// Returns a count as a line or column.
pub(crate) fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_value_is_found_where_it_was_written() {
        let mut sources = Sources::default();
        let source = sources.add("/s", "\u{feff}a: \"x ${Y}\"\nb: |\n  é ${Z}\n", Shows::Lines);
        let found = sources.narrow(source.at(1, 4), "${Y}");
        assert_eq!((found.line, found.column, found.length), (1, 7, 4));
        let found = sources.narrow(source.at(2, 4), "${Z}");
        assert_eq!((found.line, found.column), (3, 5));
        assert_eq!(sources.narrow(source.at(1, 4), "${Q}"), source.at(1, 4));
    }

    #[test]
    fn lines_are_counted_from_one_and_have_no_end() {
        let mut sources = Sources::default();
        let source = sources.add("/s", "a\r\n\nb", Shows::Lines);
        let source = sources.get(source);
        let lines: Vec<_> = (0..5).map(|line| source.line(line)).collect();
        assert_eq!(lines, [None, Some("a"), Some(""), Some("b"), None]);
        assert_eq!((source.lines(), source.directory.as_path()), (3, Path::new("/")));
    }
}
