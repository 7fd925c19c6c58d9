//! A value that is kept on disk, also on a full one: beside its file lies one with room for twice as much, which is written in place when there is no
//! room for a new file.
//!
//! Without it a monitor that is killed on a full disk forgets whom it told of what, and nobody is told of the end of an alert that began there.
//!
//! Invariant: what is read is what was kept last, or where a kill came while it was written what was kept before (test
//! `what_a_full_disk_does_not_take_lies_in_the_spare`). File systems that write nothing in place keep what they can.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tend_base::Fnv64;

/// Bytes of each half of the spare, at least and at most: some hundred alerts, and some ten thousand. They are written in turn, so that one is whole
/// whenever a kill comes.
const HALF_MIN: usize = 256 << 10;
const HALF_MAX: usize = 8 << 20;

/// Bytes before the value in a half: its length, its number, their sum.
const HEAD: usize = 24;

/// A value on disk.
#[derive(Debug)]
pub(crate) struct KeptFile {
    path: PathBuf,
    spare: PathBuf,
    /// What was last kept, so that nothing is written that did not change.
    last: Vec<u8>,
    /// The number of the newest half; 0 where there is none.
    number: u64,
    /// Whether the newest is in the spare alone.
    only_spare: bool,
    /// Whether the newest is in memory alone.
    unkept: bool,
    /// Bytes of each half of the spare.
    half: usize,
}

impl KeptFile {
    /// The value at a path, of which nothing is read yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        let spare = path.with_extension("spare");
        let length = std::fs::metadata(&spare).map_or(0, |about| about.len());
        let mut kept = Self {
            path,
            spare,
            last: Vec::new(),
            number: 0,
            only_spare: false,
            unkept: false,
            half: usize::try_from(length / 2).unwrap_or(0).min(HALF_MAX),
        };
        // What is in one that is there is still to be read.
        if length == 0 {
            kept.make_room(0);
        }
        kept
    }

    /// Reads what was kept last; nothing where nothing was, or it is no such value.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        if let Some((number, bytes)) = self.newest_half() {
            self.number = number;
            self.only_spare = true;
            if let Ok(value) = serde_json::from_slice(&bytes) {
                return Some(value);
            }
        }
        serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()
    }

    /// Keeps a value where it changed, or is in the spare alone. What the disk does not take at all is tried again with the next call.
    pub(crate) fn keep(&mut self, value: &impl Serialize) {
        let Ok(bytes) = serde_json::to_vec(value) else {
            return;
        };
        if bytes == self.last && !self.is_unsettled() {
            return;
        }
        if tend_base::write_atomically(&self.path, &bytes, 0o600).is_ok() {
            // Killed before this, the value before is read: somebody is told again, and nothing is forgotten.
            if self.number > 0 && self.empty().is_ok() {
                self.number = 0;
            }
            (self.only_spare, self.unkept) = (false, false);
            if self.number == 0 {
                self.make_room(bytes.len());
            }
            self.last = bytes;
        } else if bytes != self.last {
            let written = self.write_half(&bytes).is_ok();
            (self.only_spare, self.unkept) = (written, !written);
            if written {
                self.last = bytes;
            }
        }
    }

    /// Whether it is to be kept again although it did not change.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.only_spare || self.unkept
    }

    /// Has the spare take room on the disk for twice so many bytes, while nothing is in it.
    fn make_room(&mut self, bytes: usize) {
        let wanted = (2 * bytes).next_power_of_two().clamp(HALF_MIN, HALF_MAX);
        // Not each time that the value grows a little.
        if self.half >= wanted || (self.half >= HALF_MIN && self.half >= bytes + bytes / 4 + HEAD) {
            return;
        }
        let Ok(mut file) = self.open() else { return };
        let made = file.write_all(&vec![0; 2 * wanted]).and_then(|()| file.sync_all());
        if made.is_ok() {
            self.half = wanted;
        } else {
            // Who reads it takes half of its length for a half.
            let _ = file.set_len(2 * self.half as u64);
        }
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(&self.spare)
    }

    fn write_half(&mut self, bytes: &[u8]) -> io::Result<()> {
        if HEAD + bytes.len() > self.half {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let number = self.number + 1;
        let mut half = Vec::with_capacity(HEAD + bytes.len());
        for part in [bytes.len() as u64, number, sum(number, bytes)] {
            half.extend_from_slice(&part.to_le_bytes());
        }
        half.extend_from_slice(bytes);
        let mut file = self.open()?;
        file.seek(SeekFrom::Start(number % 2 * self.half as u64))?;
        file.write_all(&half)?;
        file.sync_data()?;
        self.number = number;
        Ok(())
    }

    /// Takes both halves back.
    fn empty(&self) -> io::Result<()> {
        let mut file = self.open()?;
        for half in [0, self.half as u64] {
            file.seek(SeekFrom::Start(half))?;
            file.write_all(&[0; HEAD])?;
        }
        file.sync_data()
    }

    /// The half with the greater number that is whole.
    fn newest_half(&self) -> Option<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        File::open(&self.spare)
            .ok()?
            .take(2 * HALF_MAX as u64)
            .read_to_end(&mut all)
            .ok()?;
        all.chunks(self.half.max(HEAD))
            .filter_map(half)
            .max_by_key(|(number, _)| *number)
    }
}

fn half(half: &[u8]) -> Option<(u64, Vec<u8>)> {
    let number = |at: usize| Some(u64::from_le_bytes(half.get(at..at + 8)?.try_into().ok()?));
    let (length, count, known) = (number(0)?, number(8)?, number(16)?);
    let bytes = half.get(HEAD..)?.get(..usize::try_from(length).ok()?)?;
    (count > 0 && sum(count, bytes) == known).then(|| (count, bytes.to_vec()))
}

fn sum(number: u64, bytes: &[u8]) -> u64 {
    let mut hash = Fnv64::default();
    hash.number(number);
    hash.bytes(bytes);
    hash.value()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tend_testkit::Folder;

    use super::KeptFile;

    #[test]
    fn what_a_full_disk_does_not_take_lies_in_the_spare() {
        let folder = Folder::new();
        let path = folder.path().join("alerts.json");
        let mut kept = KeptFile::new(path.clone());
        kept.keep(&1);
        // Nothing can be renamed over a folder: as with no room, the file is not written and the spare is.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        kept.keep(&2);
        kept.keep(&3);
        assert!(kept.is_unsettled());
        assert_eq!(KeptFile::new(path.clone()).read::<i32>(), Some(3));

        // Half written: the one before.
        let spare = path.with_extension("spare");
        let whole = fs::read(&spare).unwrap();
        let mut torn = whole.clone();
        torn[24] ^= 1;
        fs::write(&spare, &torn).unwrap();
        let one = KeptFile::new(path.clone()).read::<i32>();
        torn = whole;
        let second = torn.len() / 2 + 24;
        torn[second] ^= 1;
        fs::write(&spare, &torn).unwrap();
        let other = KeptFile::new(path.clone()).read::<i32>();
        assert!(
            [(Some(2), Some(3)), (Some(3), Some(2))].contains(&(one, other)),
            "{one:?} {other:?}"
        );

        // There is room: the spare is of no account any more, and grows with the value.
        fs::remove_dir(&path).unwrap();
        let mut kept = KeptFile::new(path.clone());
        kept.read::<i32>();
        kept.keep(&4);
        assert!(!kept.is_unsettled());
        assert_eq!(KeptFile::new(path.clone()).read::<i32>(), Some(4));
        let large = "x".repeat(300_000);
        kept.keep(&large);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let larger = "y".repeat(500_000);
        kept.keep(&larger);
        assert_eq!(KeptFile::new(path).read::<String>(), Some(larger));
    }
}
