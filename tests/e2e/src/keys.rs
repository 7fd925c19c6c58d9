//! What the service does with the keys it is given: it signs and judges, and keeps rows under a key. A hash stands for a cipher: what
//! matters is which key it was made with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;

/// The key that is used, and the one that is accepted beside it.
struct Keys {
    own: u64,
    also: Option<u64>,
}

/// Returns the keys as this process was given them: in `KEY` and `KEY_ALSO`, or in files of these names in lower case.
fn keys() -> Keys {
    let folder = std::env::var("TEND_SECRETS").unwrap_or_default();
    let read = |variable: &str, file: &str| {
        let value = std::env::var(variable).ok();
        value.or_else(|| std::fs::read_to_string(format!("{folder}/{file}")).ok())
    };
    let mark = |value: String| {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    };
    Keys {
        own: read("KEY", "key").map_or(0, mark),
        also: read("KEY_ALSO", "key.also").map(mark),
    }
}

impl Keys {
    fn knows(&self, mark: u64) -> bool {
        self.own == mark || self.also == Some(mark)
    }
}

/// Returns what is signed with the key that is used.
pub(crate) fn sign() -> String {
    keys().own.to_string()
}

/// Returns whether this was signed with a key that is known.
pub(crate) fn verify(signed: u64) -> bool {
    keys().knows(signed)
}

/// Returns the folder with the rows, which all replicas share; one file each, with the mark of its key.
fn rows() -> io::Result<Vec<(PathBuf, u64)>> {
    let folder = PathBuf::from(std::env::var("E2E_ROWS").unwrap_or_default());
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // One that is being replaced has another name for a moment.
        if path.extension().is_none() {
            let mark = std::fs::read_to_string(&path)?.trim().parse().unwrap_or(0);
            rows.push((path, mark));
        }
    }
    Ok(rows)
}

fn put(path: &std::path::Path, mark: u64) -> io::Result<()> {
    let new = path.with_extension(std::process::id().to_string());
    std::fs::write(&new, mark.to_string())?;
    std::fs::rename(new, path)
}

/// Adds a row under the key that is used.
pub(crate) fn write(number: u64) -> io::Result<()> {
    let folder = PathBuf::from(std::env::var("E2E_ROWS").unwrap_or_default());
    put(&folder.join(number.to_string()), keys().own)
}

/// Returns whether every row can be read.
pub(crate) fn all_readable() -> bool {
    let keys = keys();
    rows().is_ok_and(|rows| rows.iter().all(|(_, mark)| keys.knows(*mark)))
}

/// Encrypts one row more with the key that is used, and returns how many are left after it: each look finds a little more done.
pub(crate) fn move_one() -> io::Result<usize> {
    let own = keys().own;
    let mut behind = rows()?.into_iter().filter(|(_, mark)| *mark != own);
    if let Some((path, _)) = behind.next() {
        put(&path, own)?;
    }
    Ok(behind.count())
}

/// Returns how many rows are not under the key that is used.
pub(crate) fn left() -> io::Result<usize> {
    let own = keys().own;
    Ok(rows()?.iter().filter(|(_, mark)| *mark != own).count())
}
