//! The files of a replica's output: their names, their time index, and finding a moment in them.
//!
//! Owns the layout described in `docs/reference/format-replica-log.md`. The shim writes it, everybody else reads it here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tend_base::Wall;

use crate::error::Error;

/// One of a replica's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl StreamKind {
    /// Returns the name its files begin with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One file of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The bytes, exactly as the replica wrote them, but for marker lines where some were dropped.
    pub path: PathBuf,
    /// When they came.
    pub index: TimeIndex,
}

/// From which offset on bytes came at which time or later; at most one record per 100 ms, in order of offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeIndex(Vec<(Wall, u64)>);

impl TimeIndex {
    /// Reads the content of an index file; a record cut short at its end is ignored.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self(
            bytes
                .chunks_exact(16)
                .map(|record| {
                    let number = |half: &[u8]| half.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
                    (Wall(number(&record[..8])), number(&record[8..]))
                })
                .collect(),
        )
    }

    /// Returns an offset before which every byte came before `since`; nothing when the whole file did.
    ///
    /// Bytes from up to 100 ms before `since` may follow the offset. Clocks jump: the first record at or after `since` decides.
    #[must_use]
    pub fn offset_since(&self, since: Wall) -> Option<u64> {
        let first = self.0.iter().position(|(wall, _)| *wall >= since);
        match first {
            Some(0) => Some(0),
            // Bytes between two records came after the earlier one, at a time not known more closely.
            Some(at) => Some(self.0[at - 1].1),
            None => self.0.last().map(|(_, offset)| *offset),
        }
    }

    /// Returns when the byte at `offset` came, to 100 ms; nothing when the index does not reach back so far.
    #[must_use]
    pub fn time_at(&self, offset: u64) -> Option<Wall> {
        let after = self.0.partition_point(|(_, start)| *start <= offset);
        after.checked_sub(1).map(|at| self.0[at].0)
    }
}

/// Returns the files of a stream that are there, oldest first; the last is the one being written.
///
/// A rotation meanwhile may show one file twice or not at all: a reader that follows compares inodes.
///
/// # Errors
/// When an index is there and cannot be read.
pub fn log_files(directory: &Path, stream: StreamKind) -> Result<Vec<LogFile>, Error> {
    let mut files = Vec::new();
    for number in 0.. {
        let log = path(directory, stream.name(), "log", number);
        if !log.exists() {
            // Between two renames of a rotation one number is missing, so one gap does not end the list.
            if number > 1 && !path(directory, stream.name(), "log", number + 1).exists() {
                break;
            }
            continue;
        }
        let index = path(directory, stream.name(), "idx", number);
        let index = match fs::read(&index) {
            Ok(bytes) => TimeIndex::parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => TimeIndex::default(),
            Err(source) => {
                return Err(Error::Read { path: index, source });
            }
        };
        files.push(LogFile { path: log, index });
    }
    files.reverse();
    Ok(files)
}

/// Returns the path of a file of a stream; 0 is the one being written.
pub(crate) fn path(directory: &Path, stream: &str, extension: &str, number: u32) -> PathBuf {
    directory.join(match number {
        0 => format!("{stream}.{extension}"),
        _ => format!("{stream}.{extension}.{number}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_found_and_never_too_late() {
        let mut bytes = Vec::new();
        for (wall, offset) in [(1000u64, 0u64), (1100, 50), (1500, 90)] {
            bytes.extend(wall.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.extend([1, 2, 3]);
        let index = TimeIndex::parse(&bytes);
        for (since, offset) in [
            (0, Some(0)),
            (1000, Some(0)),
            (1001, Some(0)),
            (1100, Some(0)),
            (1200, Some(50)),
            (1500, Some(50)),
            (1501, Some(90)),
        ] {
            assert_eq!(index.offset_since(Wall(since)), offset, "{since}");
        }
        for (offset, wall) in [(0, 1000), (49, 1000), (50, 1100), (500, 1500)] {
            assert_eq!(index.time_at(offset), Some(Wall(wall)));
        }
        assert_eq!(TimeIndex::default().offset_since(Wall(0)), None);
        assert_eq!(TimeIndex::default().time_at(0), None);
    }
}
