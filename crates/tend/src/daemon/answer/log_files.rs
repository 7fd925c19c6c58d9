//! Reading the output a shim kept: `STREAM.log`, `STREAM.log.1`, … with the time index beside each.
//!
//! The format is that of `docs/reference/format-replica-log.md`. Knows no client: it turns files into lines, oldest first,
//! holding one line and one index in memory at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tend_base::Wall;

/// A line longer than this is cut: a reader must not need more memory than a writer.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// How far back the end of a file is searched at once.
const BLOCK: u64 = 64 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// When it was captured, to the precision of the index (100 ms).
    pub(crate) at: Option<Wall>,
    /// Without its line end.
    pub(crate) text: String,
}

/// One stream of one replica, read from a chosen place to its end, and on as it grows.
pub(crate) struct Stream {
    folder: PathBuf,
    name: &'static str,
    current: Option<Open>,
    /// Files after the current one, oldest last.
    newer: Vec<PathBuf>,
}

struct Open {
    reader: BufReader<File>,
    inode: u64,
    offset: u64,
    index: Vec<(Wall, u64)>,
    index_path: PathBuf,
    /// A line whose end was not written yet.
    partial: Vec<u8>,
    /// So many bytes of it stood in the file before, with their time.
    begun_before: Option<(u64, Option<Wall>)>,
}

impl Stream {
    /// Opens `name` (`stdout` or `stderr`) in `folder` at the first line captured at `since` or later, and not more than `tail`
    /// lines before the end.
    ///
    /// # Errors
    /// When files are there and cannot be read; a stream that never wrote is empty and no error.
    pub(crate) fn open(folder: &Path, name: &'static str, since: Option<Wall>, tail: Option<u32>) -> io::Result<Self> {
        let mut stream = Self {
            folder: folder.to_owned(),
            name,
            current: None,
            newer: Vec::new(),
        };
        let mut files = stream.files();
        // Newest first: go back until there are enough lines, or until a file begins before `since`.
        let mut wanted = tail.map(u64::from);
        let mut chosen: Vec<(PathBuf, u64)> = Vec::new();
        for path in files.drain(..) {
            let index = read_index(&index_path(&path));
            let begin = since.map_or(0, |since| first_since(&index, since, &path));
            let (from, found) = match wanted {
                Some(wanted) => last_lines(&path, begin, wanted)?,
                None => (begin, 0),
            };
            let before_since = since.is_some_and(|since| index.first().is_some_and(|(at, _)| *at < since));
            chosen.push((path, from));
            wanted = wanted.map(|wanted| wanted.saturating_sub(found));
            if wanted == Some(0) || before_since {
                break;
            }
        }
        if let Some((path, from)) = chosen.pop() {
            stream.current = Open::at(&path, from)?;
            stream.newer = chosen.into_iter().map(|(path, _)| path).collect();
        }
        Ok(stream)
    }

    /// Returns the next line, or none when all that is there was read; a line still being written is none yet.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(path) = self.newer.pop() else {
                    return self.first_file();
                };
                self.current = Open::at(&path, 0)?;
                continue;
            };
            if let Some(line) = current.line()? {
                return Ok(Some(line));
            }
            if let Some(path) = self.newer.pop() {
                // A file may have been rotated away in the middle of a line: its end is the beginning of the next file.
                let begun = current.take_begun();
                self.current = Open::at(&path, 0)?;
                if let (Some(current), Some(begun)) = (&mut self.current, begun) {
                    current.begin_with(begun);
                }
                continue;
            }
            if !self.rotated()? {
                return Ok(None);
            }
        }
    }

    /// Opens the first file of a stream that had none before.
    fn first_file(&mut self) -> io::Result<Option<Line>> {
        self.newer = self.files();
        let Some(path) = self.newer.pop() else { return Ok(None) };
        self.current = Open::at(&path, 0)?;
        match &mut self.current {
            Some(current) => current.line(),
            None => Ok(None),
        }
    }

    /// Finds what came after the file being read, if it was rotated away meanwhile. Returns whether there is more.
    fn rotated(&mut self) -> io::Result<bool> {
        let files = self.files();
        let Some(newest) = files.first() else { return Ok(false) };
        let inode_of = |path: &PathBuf| std::fs::metadata(path).map(|data| data.ino()).ok();
        let Some(current) = self
            .current
            .as_mut()
            .filter(|current| inode_of(newest) != Some(current.inode))
        else {
            return Ok(false);
        };
        // Written between the last read and the rotation.
        if current.has_more()? {
            return Ok(true);
        }
        let place = files
            .iter()
            .position(|path| inode_of(path) == Some(current.inode))
            .unwrap_or(files.len());
        self.newer = files.into_iter().take(place).collect();
        Ok(!self.newer.is_empty())
    }

    /// Returns the stream's files, newest first.
    fn files(&self) -> Vec<PathBuf> {
        let first = self.folder.join(format!("{}.log", self.name));
        let older = (1..).map(|number| self.folder.join(format!("{}.log.{number}", self.name)));
        std::iter::once(first)
            .chain(older)
            .take_while(|path| path.exists())
            .collect()
    }
}

impl Open {
    fn at(path: &Path, offset: u64) -> io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = file.metadata()?.ino();
        file.seek(SeekFrom::Start(offset))?;
        let index_path = index_path(path);
        let index = read_index(&index_path);
        Ok(Some(Self {
            reader: BufReader::new(file),
            inode,
            offset,
            index,
            index_path,
            partial: Vec::new(),
            begun_before: None,
        }))
    }

    fn line(&mut self) -> io::Result<Option<Line>> {
        let room = LINE_BYTES_MAX.saturating_sub(self.partial.len() as u64).max(1);
        (&mut self.reader).take(room).read_until(b'\n', &mut self.partial)?;
        let ended = self.partial.last() == Some(&b'\n');
        if !ended && (self.partial.len() as u64) < LINE_BYTES_MAX {
            return Ok(None);
        }
        Ok(Some(self.take_line()))
    }

    /// Takes the line whose end is not in this file.
    fn take_begun(&mut self) -> Option<(Vec<u8>, Option<Wall>)> {
        let at = self.time_at(self.offset);
        (!self.partial.is_empty()).then(|| (std::mem::take(&mut self.partial), at))
    }

    /// Goes on with a line begun in the file before.
    fn begin_with(&mut self, (begun, at): (Vec<u8>, Option<Wall>)) {
        self.begun_before = Some((begun.len() as u64, at));
        self.partial = begun;
    }

    fn take_line(&mut self) -> Line {
        let bytes = std::mem::take(&mut self.partial);
        let (before, at) = match self.begun_before.take() {
            Some((before, at)) => (before, at),
            None => (0, self.time_at(self.offset)),
        };
        self.offset += bytes.len() as u64 - before;
        let text = String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes));
        Line {
            at,
            text: text.strip_suffix('\r').unwrap_or(&text).to_owned(),
        }
    }

    fn time_at(&mut self, offset: u64) -> Option<Wall> {
        if self.index.last().is_none_or(|(_, last)| *last <= offset) {
            self.index = read_index(&self.index_path);
        }
        let after = self.index.partition_point(|(_, start)| *start <= offset);
        self.index.get(after.checked_sub(1)?).map(|(at, _)| *at)
    }

    fn has_more(&mut self) -> io::Result<bool> {
        Ok(!self.reader.fill_buf()?.is_empty())
    }
}

fn index_path(log: &Path) -> PathBuf {
    PathBuf::from(log.to_string_lossy().replacen(".log", ".idx", 1))
}

/// Reads an index: pairs of time in milliseconds and offset, both 8 bytes little-endian. A torn last record is left out.
fn read_index(path: &Path) -> Vec<(Wall, u64)> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    bytes
        .chunks_exact(16)
        .map(|record| (Wall(number(&record[..8])), number(&record[8..])))
        .collect()
}

/// Returns where the first line captured at `since` or later begins; the end of the file when all are older.
fn first_since(index: &[(Wall, u64)], since: Wall, path: &Path) -> u64 {
    let place = index.partition_point(|(at, _)| *at < since);
    match index.get(place) {
        Some((_, offset)) => *offset,
        None if index.is_empty() => 0,
        None => std::fs::metadata(path).map_or(0, |data| data.len()),
    }
}

/// Returns where the last `wanted` lines of a file begin, but not before `begin`, and how many lines that is.
fn last_lines(path: &Path, begin: u64, wanted: u64) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    if wanted == 0 {
        return Ok((end, 0));
    }
    let mut from = end;
    let mut found = 0;
    let mut buffer = vec![0; usize::try_from(BLOCK).unwrap_or(usize::MAX)];
    while from > begin {
        let start = from.saturating_sub(BLOCK).max(begin);
        let block = &mut buffer[..usize::try_from(from - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        for (place, byte) in block.iter().enumerate().rev() {
            let after = start + place as u64 + 1;
            // The end of the file's last line ends a line and does not begin one.
            if *byte == b'\n' && after != end {
                found += 1;
                if found == wanted {
                    return Ok((after, found));
                }
            }
        }
        from = start;
    }
    Ok((begin, found + u64::from(end > begin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tend-log-files-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str, index: &[(u64, u64)]) {
            std::fs::write(self.0.join(name), text).unwrap();
            let records: Vec<u8> = index
                .iter()
                .flat_map(|(at, offset)| [at.to_le_bytes(), offset.to_le_bytes()].concat())
                .collect();
            std::fs::write(index_path(&self.0.join(name)), records).unwrap();
        }

        fn read(&self, since: Option<u64>, tail: Option<u32>) -> Vec<(Option<u64>, String)> {
            let mut stream = Stream::open(&self.0, "stdout", since.map(Wall), tail).unwrap();
            std::iter::from_fn(|| stream.next().unwrap())
                .map(|line| (line.at.map(|at| at.0), line.text))
                .collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn texts(lines: &[(Option<u64>, String)]) -> Vec<&str> {
        lines.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn lines_come_oldest_first_over_rotated_files_with_their_times() {
        let folder = Folder::new("order");
        folder.write("stdout.log.1", "one\ntwo\n", &[(100, 0)]);
        folder.write("stdout.log", "three\nfour\n", &[(200, 0), (300, 6)]);
        let lines = folder.read(None, None);
        assert_eq!(texts(&lines), ["one", "two", "three", "four"]);
        assert_eq!(
            lines.iter().map(|(at, _)| at.unwrap()).collect::<Vec<_>>(),
            [100, 100, 200, 300]
        );
    }

    #[test]
    fn tail_and_since_choose_where_to_begin() {
        let folder = Folder::new("tail");
        folder.write("stdout.log.1", "one\ntwo\n", &[(100, 0)]);
        folder.write("stdout.log", "three\nfour\n", &[(200, 0), (300, 6)]);
        assert_eq!(texts(&folder.read(None, Some(3))), ["two", "three", "four"]);
        assert_eq!(texts(&folder.read(None, Some(1))), ["four"]);
        assert_eq!(texts(&folder.read(None, Some(99))), ["one", "two", "three", "four"]);
        assert!(folder.read(None, Some(0)).is_empty());
        assert_eq!(texts(&folder.read(Some(250), None)), ["four"]);
        assert_eq!(texts(&folder.read(Some(100), None)), ["one", "two", "three", "four"]);
        assert!(folder.read(Some(400), None).is_empty());
    }

    #[test]
    fn what_is_written_later_is_read_later_even_across_rotations() {
        let folder = Folder::new("follow");
        folder.write("stdout.log", "one\nhal", &[(100, 0)]);
        let mut stream = Stream::open(&folder.0, "stdout", None, None).unwrap();
        let mut next = || stream.next().unwrap().map(|line| line.text);
        assert_eq!(next().as_deref(), Some("one"));
        assert_eq!(next(), None, "half a line is not a line yet");
        std::fs::write(folder.0.join("stdout.log"), "one\nhalf\n").unwrap();
        assert_eq!(next().as_deref(), Some("half"));
        std::fs::rename(folder.0.join("stdout.log"), folder.0.join("stdout.log.2")).unwrap();
        folder.write("stdout.log.1", "three\n", &[(200, 0)]);
        folder.write("stdout.log", "four\n", &[(300, 0)]);
        assert_eq!(next().as_deref(), Some("three"));
        assert_eq!(next().as_deref(), Some("four"));
        assert_eq!(next(), None);
    }

    #[test]
    fn a_line_cut_by_a_rotation_is_one_line() {
        let folder = Folder::new("cut");
        folder.write("stdout.log.1", "one\ntw", &[(100, 0)]);
        folder.write("stdout.log", "o\nthree\n", &[(200, 0), (300, 2)]);
        let lines = folder.read(None, None);
        assert_eq!(texts(&lines), ["one", "two", "three"]);
        assert_eq!(
            lines.iter().map(|(at, _)| at.unwrap()).collect::<Vec<_>>(),
            [100, 100, 300]
        );
    }

    #[test]
    fn a_stream_that_never_wrote_is_empty_until_it_does() {
        let folder = Folder::new("empty");
        let mut stream = Stream::open(&folder.0, "stdout", None, Some(10)).unwrap();
        assert_eq!(stream.next().unwrap(), None);
        folder.write("stdout.log", "one\n", &[]);
        assert_eq!(
            stream.next().unwrap(),
            Some(Line {
                at: None,
                text: "one".to_owned()
            })
        );
    }
}
