//! The files in which the edge is told who is let in nowhere: one for each set of bans, never written twice, removed once another is served.
//!
//! Knows neither who may be banned nor what the edge does with a file.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tend_base::write_atomically;
use tend_core::ban::Bans;
use tend_core::model::Prefix;
use tend_routing::{Ban, BansFile, ban_file};

/// The files of a folder.
pub(crate) struct BanFiles {
    folder: PathBuf,
    current: Mutex<Option<Written>>,
}

/// What snapshots say of bans at the moment. Nothing is known before the first that this daemon puts together.
struct Written {
    bans: Arc<Bans>,
    hops: Vec<Prefix>,
    /// None where nobody is banned.
    path: Option<PathBuf>,
    /// The first snapshot that says so.
    generation: u64,
}

impl BanFiles {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            current: Mutex::default(),
        }
    }

    /// Returns the file with these bans for the snapshot of a generation, written where there is none yet; nothing where nobody is banned.
    ///
    /// A generation is given out once, also by the next daemon, so no file is ever written over one that an edge may have read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn file_of(&self, bans: &Arc<Bans>, hops: Vec<Prefix>, generation: u64) -> io::Result<Option<BansFile>> {
        let mut current = self.current();
        let same = |written: &&Written| Arc::ptr_eq(&written.bans, bans) && written.hops == hops;
        if let Some(written) = current.as_ref().filter(same) {
            return Ok(written.path.clone().map(|path| BansFile { path }));
        }
        let path = match bans.is_empty() {
            true => None,
            false => Some(self.write(bans, &hops, generation)?),
        };
        *current = Some(Written {
            bans: Arc::clone(bans),
            hops,
            path: path.clone(),
            generation,
        });
        Ok(path.map(|path| BansFile { path }))
    }

    fn write(&self, bans: &Bans, hops: &[Prefix], generation: u64) -> io::Result<PathBuf> {
        let banned: Vec<Ban> = (bans.iter())
            .map(|(prefix, ban)| Ban {
                prefix: *prefix,
                until: ban.until,
            })
            .collect();
        let allowed: Vec<Ban> = (hops.iter())
            .map(|prefix| Ban {
                prefix: *prefix,
                until: None,
            })
            .collect();
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{generation}.bans"));
        write_atomically(&path, &ban_file(&allowed, &banned), 0o600)?;
        Ok(path)
    }

    /// Removes the files that no edge reads any more: the one that serves this generation has its own on record, and each that starts
    /// begins with that.
    pub(crate) fn served(&self, generation: u64) {
        let current = self.current();
        let Some(written) = current.as_ref().filter(|written| written.generation <= generation) else {
            return;
        };
        let keep = written.path.as_deref();
        let entries = std::fs::read_dir(&self.folder);
        for path in entries.into_iter().flatten().flatten().map(|entry| entry.path()) {
            if Some(path.as_path()) != keep {
                // One that stays is removed the next time.
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Written>> {
        // Set whole, after the file was written.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use tend_base::Wall;
    use tend_core::ban::BanChange;
    use tend_routing::BanSet;

    fn banned(text: &str) -> Arc<Bans> {
        let mut bans = Bans::default();
        let change = BanChange::Begin {
            prefixes: vec![text.parse().unwrap()],
            until: Some(Wall(2_000)),
            reason: None,
            forced: false,
        };
        bans.change(&change, "ana", Wall(1_000));
        Arc::new(bans)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn each_set_of_bans_has_a_file_of_its_own_that_goes_when_the_next_is_served() {
        let folder = std::env::temp_dir().join(format!("tend-ban-files-{}", std::process::id()));
        let files = BanFiles::new(folder.clone());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("6.bans"), "of an earlier daemon").unwrap();
        files.served(6);
        assert_eq!(names(&folder), ["6.bans"], "the edge may begin with it");
        let first = banned("10.0.0.0/8");
        let hop: Prefix = "10.0.0.5".parse().unwrap();
        let named = files.file_of(&first, vec![hop], 7).unwrap().unwrap();
        let set = BanSet::read(&std::fs::read(&named.path).unwrap(), 1).unwrap();
        assert!(set.is_banned("10.0.0.6".parse().unwrap(), Wall(1_500)));
        assert!(
            !set.is_banned("10.0.0.5".parse().unwrap(), Wall(1_500)),
            "a trusted hop"
        );
        assert!(!set.is_banned("10.0.0.6".parse().unwrap(), Wall(2_500)), "it has ended");
        // The same bans again are the same file.
        assert_eq!(files.file_of(&first, vec![hop], 8).unwrap(), Some(named));
        files.file_of(&banned("192.0.2.1"), Vec::new(), 9).unwrap().unwrap();
        files.served(8);
        assert_eq!(
            names(&folder),
            ["6.bans", "7.bans", "9.bans"],
            "an edge may still read it"
        );
        files.served(9);
        assert_eq!(names(&folder), ["9.bans"]);
        assert_eq!(files.file_of(&Arc::default(), Vec::new(), 10).unwrap(), None);
        files.served(10);
        assert_eq!(names(&folder), Vec::<String>::new());
        std::fs::remove_dir(&folder).unwrap();
    }
}
