//! The texts that were handed in and the places in them. Knows nothing of YAML or of keys.

use std::path::PathBuf;

/// Which of the texts, in the order of handing in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceId(u32);

/// A stretch of one line of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// In which text.
    pub(crate) source: SourceId,
    /// From 1; 0 means the text as a whole.
    pub(crate) line: u32,
    /// In characters, from 1.
    pub(crate) column: u32,
    /// In characters, at least 1.
    pub(crate) length: u32,
}

/// What of a text's lines may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Whole lines: a schema holds no secrets.
    Lines,
    /// What stands before the first `:` or `=`, unless the value is known to be none.
    Names,
}

/// One text.
#[derive(Debug)]
pub(crate) struct Source {
    /// What it is called in messages: a path, as the caller wants it shown.
    pub(crate) name: PathBuf,
    /// Without a byte order mark.
    pub(crate) text: String,
    /// What of it may be shown.
    pub(crate) shows: Shows,
    /// Byte offset of each line.
    line_starts: Vec<usize>,
}

/// All texts of one piece of work.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// Takes in a text and returns its number.
    pub(crate) fn add(&mut self, name: PathBuf, text: &str, shows: Shows) -> SourceId {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        self.0.push(Source {
            name,
            text,
            shows,
            line_starts,
        });
        SourceId(number(self.0.len() - 1))
    }

    /// Returns the text.
    pub(crate) fn get(&self, id: SourceId) -> &Source {
        &self.0[id.0 as usize]
    }
}

impl SourceId {
    /// Returns the place that means the text as a whole.
    pub(crate) fn whole(self) -> Place {
        self.at(0, 0)
    }

    /// Returns the place of one character.
    pub(crate) fn at(self, line: u32, column: u32) -> Place {
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
    pub(crate) fn line(&self, number: u32) -> Option<&str> {
        let index = (number as usize).checked_sub(1)?;
        let start = *self.line_starts.get(index)?;
        let end = self.line_starts.get(index + 1).map_or(self.text.len(), |next| next - 1);
        Some(self.text[start..end].trim_end_matches('\r'))
    }

    /// Returns how many lines there are.
    pub(crate) fn lines(&self) -> u32 {
        number(self.line_starts.len())
    }
}

/// Returns a count as a line or column.
pub(crate) fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
