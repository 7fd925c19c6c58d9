//! One watched file: what tells that it is another than before, and its text, read whole.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use tend_base::{Clock, SystemClock};

/// Largest file taken for configuration.
const BYTES_MAX: u64 = 4 << 20;
/// Reads of one file that changes under the reader, before the last is taken as it is; one more change follows it anyhow.
const TRIES: usize = 5;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Its text.
    Text(Arc<str>),
    /// There is none.
    Absent,
    /// There is something, and why it could not be read as a text.
    Unreadable(Arc<str>),
}

impl Content {
    /// Returns the text, where there is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Content::Text(text) => Some(text),
            Content::Absent | Content::Unreadable(_) => None,
        }
    }
}

/// What shows that a file was written to, or exchanged, while it was read.
#[derive(PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Fingerprint {
    fn from(found: &Metadata) -> Self {
        Fingerprint {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        }
    }
}

/// Reads a file as it was at one moment, as far as that can be seen from outside.
///
/// Where an owner is named, what belongs to somebody else counts as unreadable: it was not he who wrote it there, or it is not his to read.
pub(super) fn read(path: &Path, owner: Option<u32>) -> Content {
    let mut last = Content::Absent;
    for _ in 0..TRIES {
        match read_once(path, owner) {
            Ok((content, true)) => return content,
            Ok((content, false)) => last = content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Content::Absent,
            Err(error) => return Content::Unreadable(error.to_string().into()),
        }
    }
    last
}

/// Returns how many milliseconds ago a file was changed, and whether it is empty; of one that is away, when its folder was: it may have been
/// moved aside for a new one.
pub(super) fn changed_ms_ago(path: &Path) -> Option<(u64, bool)> {
    let found = fs::metadata(path)
        .or_else(|_| fs::metadata(path.parent().unwrap_or(path)))
        .ok()?;
    let changed =
        u64::try_from(found.mtime()).unwrap_or(0) * 1000 + u64::try_from(found.mtime_nsec()).unwrap_or(0) / 1_000_000;
    let now = SystemClock.now().wall.0;
    Some((now.saturating_sub(changed), found.is_file() && found.len() == 0))
}

/// Returns what a file holds, and whether it was left alone meanwhile.
fn read_once(path: &Path, owner: Option<u32>) -> io::Result<(Content, bool)> {
    // A FIFO without a writer would hold up whoever opens it.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let mut file: File = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if let Some(owner) = owner.filter(|owner| *owner != before.uid()) {
        let whose = before.uid();
        return Err(io::Error::other(format!(
            "it belongs to user {whose}, and has to belong to user {owner}"
        )));
    }
    let mut text = Vec::new();
    file.by_ref().take(BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
    }
    let after = Fingerprint::from(&file.metadata()?);
    let there = fs::metadata(path).ok().map(|there| Fingerprint::from(&there));
    let alone = Fingerprint::from(&before) == after && there == Some(after);
    let content = String::from_utf8(text).map_or_else(
        |_| Content::Unreadable("it is not a text in UTF-8".into()),
        |text| Content::Text(text.into()),
    );
    Ok((content, alone))
}
