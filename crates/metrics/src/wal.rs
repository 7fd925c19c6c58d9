//! The log: segments of checksummed records, each segment whole in itself. Owns its files. Knows no record.
//!
//! A segment begins with [`MAGIC`] and its number; a record is its length and CRC-32 (little-endian, 4 bytes each) and its bytes. What
//! comes after the first record that is not whole is not read: it was being written when the process or the machine stopped.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;

const MAGIC: &[u8; 8] = b"tendwal1";
const HEADER_BYTES: usize = 16;

/// No record is longer: what claims to be is damage.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// What is buffered goes to the file beyond this, so that a sync has little left to do.
const BUFFER_BYTES: usize = 256 << 10;

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Wal {
    folder: PathBuf,
    number: u64,
    file: Option<Arc<File>>,
    buffer: Vec<u8>,
    written: u64,
    /// Why nothing is written at present.
    failed: Option<Arc<Error>>,
}

impl Wal {
    /// Begins a segment; `begin` appends what it must hold first. Where it cannot be made, the log is there and has failed.
    pub(crate) fn begin(folder: &Path, number: u64, begin: impl FnOnce(&mut Self)) -> Self {
        let mut wal = Self {
            folder: folder.to_owned(),
            number,
            file: None,
            buffer: Vec::new(),
            written: 0,
            failed: None,
        };
        // Two segments of one number are never written: one that failed half-way is not gone on with.
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(wal.path());
        match made {
            Ok(file) => {
                wal.file = Some(Arc::new(file));
                wal.buffer.extend_from_slice(MAGIC);
                wal.buffer.extend_from_slice(&number.to_le_bytes());
                begin(&mut wal);
                wal.write_out();
                // The first sync is of the file; that it is in its folder must survive a power cut too.
                if let Err(source) = File::open(folder).and_then(|folder| folder.sync_all()) {
                    wal.fail(source);
                }
                if wal.failed.is_some() {
                    // A full disk is tried again and again; what was begun each time is of no use to anybody.
                    let _ = std::fs::remove_file(wal.path());
                }
            }
            Err(source) => wal.fail(source),
        }
        wal
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(format!("wal-{:010}", self.number))
    }

    /// Returns why nothing is written at present.
    pub(crate) fn failed(&self) -> Option<&Arc<Error>> {
        self.failed.as_ref()
    }

    /// Returns how many bytes the segment has, what is buffered among them.
    pub(crate) fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends the record that `write` writes.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.failed.is_some() {
            return;
        }
        let begin = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 8]);
        write(&mut self.buffer);
        let length = self.buffer.len() - begin - 8;
        let sum = crc32fast::hash(&self.buffer[begin + 8..]);
        self.buffer[begin..begin + 4].copy_from_slice(&(length as u32).to_le_bytes());
        self.buffer[begin + 4..begin + 8].copy_from_slice(&sum.to_le_bytes());
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out();
        }
    }

    /// Gives what is buffered to the file and returns the file to sync, which is done without holding the log.
    pub(crate) fn flush(&mut self) -> Result<Arc<File>, Arc<Error>> {
        self.write_out();
        match (&self.failed, &self.file) {
            (None, Some(file)) => Ok(Arc::clone(file)),
            (Some(failed), _) => Err(Arc::clone(failed)),
            // A log without a file has failed.
            (None, None) => Err(Arc::new(self.error(io::Error::from(io::ErrorKind::NotFound)))),
        }
    }

    /// Says that nothing can be written to the segment any more.
    pub(crate) fn fail(&mut self, source: io::Error) {
        self.failed = Some(Arc::new(self.error(source)));
        self.buffer = Vec::new();
    }

    fn error(&self, source: io::Error) -> Error {
        Error::WriteLog {
            path: self.path(),
            source,
        }
    }

    fn write_out(&mut self) {
        if self.failed.is_some() {
            return;
        }
        let Some(file) = &self.file else { return };
        match (&**file).write_all(&self.buffer) {
            Ok(()) => {
                self.written += self.buffer.len() as u64;
                self.buffer.clear();
            }
            Err(source) => self.fail(source),
        }
    }
}

/// Returns the segments of a folder, the oldest first.
pub(crate) fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix("wal-"))
            .and_then(|number| number.parse().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The whole records of a segment, in order, out of all its bytes.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    /// The end of the last whole record; 0 where the begin is not that of a segment.
    pub(crate) used: usize,
}

/// Goes through the bytes of a segment.
pub(crate) fn records(bytes: &[u8]) -> Records<'_> {
    let is_segment = bytes.len() >= HEADER_BYTES && bytes.starts_with(MAGIC);
    Records {
        bytes,
        used: if is_segment { HEADER_BYTES } else { 0 },
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.used == 0 {
            return None;
        }
        let (frame, rest) = self.bytes.get(self.used..)?.split_at_checked(8)?;
        let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        let sum = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]);
        // Zeros are what a file system leaves where data did not get to the disk.
        if length == 0 || length > RECORD_BYTES_MAX {
            return None;
        }
        let record = rest.get(..length).filter(|record| crc32fast::hash(record) == sum)?;
        self.used += 8 + length;
        Some(record)
    }
}
