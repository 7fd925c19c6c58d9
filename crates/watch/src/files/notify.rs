//! inotify: tells that something happened to names in folders, and who has not finished writing.
//!
//! Through rustix, which the workspace has, without `unsafe`; why not the crate `notify`: `docs/design/0310-config-watch.md`. Owns watches; reads no file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

use super::points::Points;
use crate::error::Error;

/// What of a folder is asked for: names that come and go, texts that change, writers that finish, and its own end.
const ASKED: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Bytes of events read at once: some hundred.
const BUFFER_BYTES: usize = 16 << 10;

/// The watches of one set of files.
pub(super) struct Notify {
    inotify: OwnedFd,
    folders: HashMap<i32, Folder>,
    /// Names that somebody has begun to write and not closed yet.
    writing: HashSet<(i32, OsString)>,
}

/// A watched folder.
struct Folder {
    path: PathBuf,
    names: BTreeSet<OsString>,
}

impl Notify {
    pub(super) fn new() -> Result<Notify, Error> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| Error::NoNotifications { source: errno.into() })?;
        Ok(Notify {
            inotify,
            folders: HashMap::new(),
            writing: HashSet::new(),
        })
    }

    /// Watches these folders and no others. The kernel gives a folder that is watched already the same number again, so this
    /// also finds folders that were exchanged.
    ///
    /// Returns the first that could not be watched; the others are.
    pub(super) fn watch(&mut self, points: &Points) -> Option<Error> {
        let mut folders: HashMap<i32, Folder> = HashMap::new();
        let mut unwatched = None;
        for (path, names) in points {
            match add_watch(&self.inotify, path.as_path(), ASKED) {
                Ok(number) => {
                    let folder = folders.entry(number).or_insert_with(|| Folder {
                        path: path.clone(),
                        names: BTreeSet::new(),
                    });
                    folder.names.extend(names.iter().cloned());
                }
                // It went away since it was found; that is an event in its own folder.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => {
                    unwatched.get_or_insert_with(|| Error::FolderUnwatched {
                        folder: path.clone(),
                        source: errno.into(),
                    });
                }
            }
        }
        for number in self.folders.keys().filter(|number| !folders.contains_key(number)) {
            // Fails when the kernel has let go of it already, with its folder.
            let _ = remove_watch(&self.inotify, *number);
        }
        self.writing.retain(|(number, _)| folders.contains_key(number));
        self.folders = folders;
        unwatched
    }

    /// Takes what has happened so far; true when any of it concerns a name that matters.
    pub(super) fn take(&mut self) -> bool {
        let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER_BYTES];
        let mut concerned = false;
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                // Nothing more for now.
                Err(_) => return concerned,
            };
            let happened = event.events();
            if happened.contains(ReadFlags::QUEUE_OVERFLOW) {
                // Some were lost, the ends of writing among them.
                self.writing.clear();
                concerned = true;
                continue;
            }
            let Some(folder) = self.folders.get(&event.wd()) else {
                continue;
            };
            let Some(name) = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes())) else {
                // The folder itself has gone or moved.
                concerned |= happened.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT);
                continue;
            };
            if !folder.names.contains(name) {
                continue;
            }
            concerned = true;
            let at = (event.wd(), name.to_owned());
            if happened.contains(ReadFlags::MODIFY) || (happened.contains(ReadFlags::CREATE) && is_empty(folder, name))
            {
                self.writing.insert(at);
            } else if !happened.intersects(ReadFlags::ATTRIB | ReadFlags::CREATE) {
                self.writing.remove(&at);
            }
        }
    }

    /// Tells whether somebody has begun to write a file that matters and has not closed it.
    pub(super) fn is_written(&self) -> bool {
        !self.writing.is_empty()
    }

    /// Takes writers that never close for finished.
    pub(super) fn forget_writers(&mut self) {
        self.writing.clear();
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// A file just made with nothing in it is most likely about to be written.
fn is_empty(folder: &Folder, name: &OsStr) -> bool {
    fs::symlink_metadata(folder.path.join(name)).is_ok_and(|found| found.is_file() && found.len() == 0)
}
