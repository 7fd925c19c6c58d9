//! Restore points: copies of databases taken before a deploy changes them, each read back and counted before it counts.
//!
//! Owns a folder of them. Restores nothing: that is a separate act, which a person confirms. Knows no releases and no schedule.
//!
//! In the folder, `NAME.json` says what `NAME` holds and is written last; a copy without it is a left-over and is cleared.

mod postgres;
mod sqlite;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tend_base::{Clock, SystemClock, Wall, write_atomically};
use tend_core::model::Database;

use crate::error::Error;
use crate::lock::{Lock, PATIENCE};
use crate::source::Owner;
use crate::tree::{hash, hash_of};

/// A copy of a database as it was at one moment, which was read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePoint {
    /// Of which database: the path of its file, or its URL without password.
    pub of: String,
    /// The copy: an SQLite file, or a dump for `pg_restore`. None when there was no database yet.
    pub path: Option<PathBuf>,
    /// Size of the copy.
    pub bytes: u64,
    /// SHA-256 of the copy, in hexadecimal; none when there is none.
    pub sha256: Option<String>,
    /// Rows of each table, counted in the copy. Of PostgreSQL `schema.table`; of a partitioned table, its partitions.
    pub tables: BTreeMap<String, u64>,
    /// When it was begun: what was committed later may not be in it.
    pub taken_at: Wall,
}

/// How restore points are taken and kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many of a database are kept, the new one among them; at least one is.
    pub keep: usize,
    /// How long taking one and reading it back may take.
    pub timeout: Duration,
    /// By whom PostgreSQL's tools are run; this process's own user when absent.
    pub owner: Option<Owner>,
}

/// Takes a restore point of a database into a folder that only this user may enter, reads it back, and removes older ones.
///
/// The database goes on working meanwhile: SQLite in WAL mode and PostgreSQL let others write; SQLite in another mode lets them read.
/// An SQLite file that is not there gives a restore point without a copy: nothing is there yet.
///
/// # Errors
/// Whatever keeps it from being taken or makes it no good; then the ones before are still there.
pub fn take(database: &Database, folder: &Path, options: &Options) -> Result<RestorePoint, Error> {
    let deadline = Deadline::of(options.timeout);
    let taken_at = SystemClock.now().wall;
    let (of, extension) = match database {
        Database::Sqlite(path) => (path.display().to_string(), "sqlite"),
        Database::Postgres(url) => (postgres::Server::parse(url)?.url, "dump"),
    };
    let nothing = RestorePoint {
        of: of.clone(),
        path: None,
        bytes: 0,
        sha256: None,
        tables: BTreeMap::new(),
        taken_at,
    };
    if let Database::Sqlite(path) = database
        && !path.try_exists().map_err(Error::file("read", path))?
    {
        return Ok(nothing);
    }
    let _lock = open(folder)?;
    clear(folder)?;

    // Sorts by time. The database is in the name, since two of them may be copied within a millisecond.
    let moment = taken_at.to_rfc3339().replace([':', '.'], "-");
    let path = folder.join(format!("{moment}.{}.{extension}", &hash(of.as_bytes())[..8]));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(Error::file("make", &path))?;
    let taken = match database {
        Database::Sqlite(from) => sqlite::copy(from, &path, &of, deadline),
        Database::Postgres(url) => postgres::dump(&postgres::Server::parse(url)?, &path, file, options.owner, deadline),
    };
    let finished = taken.and_then(|tables| {
        let copy = File::open(&path).map_err(Error::file("read", &path))?;
        copy.sync_all().map_err(Error::file("write", &path))?;
        let point = RestorePoint {
            bytes: copy.metadata().map_err(Error::file("read", &path))?.len(),
            sha256: Some(hash_of(copy).map_err(Error::file("read", &path))?),
            path: Some(path.clone()),
            tables,
            ..nothing
        };
        let text = serde_json::to_vec_pretty(&point).expect("invariant: texts and numbers have a JSON form");
        let note = note_of(&path);
        write_atomically(&note, &text, 0o600).map_err(Error::file("write", &note))?;
        Ok(point)
    });
    match &finished {
        Ok(point) => prune(folder, point, options.keep)?,
        // The failure is what is to be told; what is left goes with the next one.
        Err(_) => drop(clear(folder)),
    }
    finished
}

/// Returns the restore points in a folder, newest first; none when there is no such folder.
///
/// # Errors
/// [`Error::File`] when the folder or a note in it cannot be read.
pub fn list(folder: &Path) -> Result<Vec<RestorePoint>, Error> {
    let mut points = Vec::new();
    for name in names(folder)? {
        let path = folder.join(&name);
        if !name.ends_with(".json") || name.starts_with('.') {
            continue;
        }
        let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<RestorePoint>(&text)?));
        let mut point = read.map_err(Error::file("read", &path))?;
        // Beside its note, also where the folder was moved.
        point.path = Some(path.with_extension(""));
        points.push(point);
    }
    points.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then_with(|| a.of.cmp(&b.of)));
    Ok(points)
}

/// Makes the folder, closes it to others, and holds it against another process that takes a restore point.
fn open(folder: &Path) -> Result<Lock, Error> {
    let failed = || Error::file("make", folder);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)))
        .map_err(failed())?;
    let lock = File::open(folder)
        .and_then(|file| Lock::take(file, PATIENCE))
        .map_err(Error::file("lock", folder))?;
    lock.ok_or_else(|| Error::TakingRestorePoint {
        path: folder.to_owned(),
    })
}

/// Removes copies that were not finished.
fn clear(folder: &Path) -> Result<(), Error> {
    let names = names(folder)?;
    let copies: Vec<String> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".json"))
        .map(str::to_owned)
        .collect();
    for name in &names {
        let is_copy = copies.contains(name);
        let is_note = name.ends_with(".json") && !name.starts_with('.');
        if !is_copy && !is_note {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes the oldest of the same database beyond the number to be kept; never the new one, wherever a clock that was set puts it.
fn prune(folder: &Path, new: &RestorePoint, keep: usize) -> Result<(), Error> {
    let points = list(folder)?.into_iter();
    let others = points.filter(|point| point.of == new.of && point.path != new.path);
    for path in others.skip(keep.saturating_sub(1)).filter_map(|point| point.path) {
        // The note first: a copy without one is a left-over, a note without copy would be a lie.
        for path in [note_of(&path), path] {
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
    }
    Ok(())
}

fn note_of(path: &Path) -> PathBuf {
    let mut note = path.as_os_str().to_owned();
    note.push(".json");
    note.into()
}

fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file("read", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(
            entry
                .map_err(Error::file("read", folder))?
                .file_name()
                .into_string()
                .ok(),
        );
    }
    Ok(names)
}

/// Until when something may take.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    fn of(limit: Duration) -> Self {
        Self {
            at: Instant::now() + limit,
            limit,
        }
    }

    fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    fn passed(self, of: &str) -> Error {
        Error::RestorePointTimeout {
            of: of.to_owned(),
            limit: self.limit,
        }
    }
}
