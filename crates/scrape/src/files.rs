//! Files of targets: `file_sd_configs`. Owns which were read and whether one changed; what stands in them is read by `read`.
//!
//! A file that cannot be read, is empty or is wrong leaves its targets as they were, and is told; one that is gone takes its targets with it.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tend_base::read_owned;

use crate::config::Group;
use crate::paths::expand;
use crate::read::read_targets;

/// The label of a target that says which file named it.
pub(crate) const FILE_LABEL: &str = "__meta_filepath";

/// The largest file of targets that is read: some hundred thousand targets.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// The files of one job. A copy is cheap: it is made so that nobody waits for a disk while files are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    patterns: Vec<PathBuf>,
    /// Whose files count, where it is looked at.
    owner: Option<u32>,
    known: BTreeMap<PathBuf, Known>,
    /// Folders that cannot be listed.
    faults: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// By what a change is seen; nothing where it is to be read again in any case.
    stamp: Option<Stamp>,
    groups: Arc<Vec<Group>>,
    fault: Option<String>,
}

/// What is different once a file was written or another took its place.
type Stamp = (u64, i64, i64, u64);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec(), metadata.len())
}

impl Files {
    /// Looks at the files of these patterns from now on; where an owner is named, at his alone.
    pub(crate) fn of(mut self, patterns: &[PathBuf], owner: Option<u32>) -> Self {
        patterns.clone_into(&mut self.patterns);
        self.owner = owner;
        self
    }

    /// Whether both are of the same patterns.
    pub(crate) fn is_of_same(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }

    /// Looks at the files, reads those that changed, and says whether any did.
    pub(crate) fn look(&mut self) -> bool {
        let (mut paths, mut faults) = (Vec::new(), Vec::new());
        let mut unlisted = false;
        for pattern in &self.patterns {
            match expand(pattern) {
                Ok(found) => paths.extend(found),
                Err(error) => {
                    unlisted = true;
                    faults.push(format!("could not list the files of `{}`: {error}", pattern.display()));
                }
            }
        }
        let mut changed = faults != self.faults;
        self.faults = faults;
        let before = self.known.len();
        // What cannot be listed is not gone.
        self.known.retain(|path, _| unlisted || paths.contains(path));
        changed |= self.known.len() != before;
        for path in paths {
            let known = self.known.entry(path.clone()).or_insert_with(|| {
                changed = true;
                Known::default()
            });
            changed |= known.look(&path, self.owner);
        }
        changed
    }

    /// The groups, each with its file.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Path, &Group)> {
        let known = self.known.iter();
        known.flat_map(|(path, known)| known.groups.iter().map(move |group| (path.as_path(), group)))
    }

    /// What is wrong with files, for a person.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &str> {
        let of_files = self.known.values().filter_map(|known| known.fault.as_deref());
        of_files.chain(self.faults.iter().map(String::as_str))
    }
}

impl Known {
    fn look(&mut self, path: &Path, owner: Option<u32>) -> bool {
        let shown = path.display();
        let now = match fs::metadata(path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return self.fail(None, format!("`{shown}` is larger than {FILE_BYTES_MAX} bytes"));
            }
            // Who writes a file begins with an empty one; `[]` is how a file says that there are no targets.
            Ok(metadata) if metadata.len() == 0 => return self.fail(None, format!("`{shown}` is empty")),
            Ok(metadata) => stamp(&metadata),
            Err(error) => {
                // Gone, its targets go too; not to be read, they stay.
                if error.kind() == std::io::ErrorKind::NotFound {
                    self.groups = Arc::default();
                }
                return self.fail(None, format!("could not read `{shown}`: {error}"));
            }
        };
        if self.stamp == Some(now) {
            return false;
        }
        let text = read_owned(path, owner, FILE_BYTES_MAX)
            .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
        let text = match text {
            Ok(text) => text,
            Err(error) => return self.fail(None, format!("could not read `{shown}`: {error}")),
        };
        match read_targets(path, &text) {
            Ok(groups) => {
                let changed = groups != *self.groups || self.fault.is_some();
                *self = Self {
                    stamp: Some(now),
                    groups: Arc::new(groups),
                    fault: None,
                };
                changed
            }
            Err(report) => self.fail(Some(now), report.to_string()),
        }
    }

    fn fail(&mut self, stamp: Option<Stamp>, fault: String) -> bool {
        self.stamp = stamp;
        let changed = self.fault.as_ref() != Some(&fault);
        self.fault = Some(fault);
        changed
    }
}
