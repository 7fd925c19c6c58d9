//! Watching a set of files, which may not exist yet: one change for what was written in one go, with every text read whole.
//!
//! ```text
//!  quiet ──something happened──► settling ──quiet, nobody writing, or long enough──► read all ──a text differs──► Change
//!    ▲                                                                                  │
//!    └──────────────────────────────── no text differs ─────────────────────────────────┘
//! ```
//!
//! The kernel tells of changes (`notify`), at the points where a change of the path can be seen (`points`). Beside that the
//! files are looked at now and then, for file systems that tell nothing (NFS), and each second while a folder is not watched.
//! Knows nothing of what is in a file.

mod notify;
mod points;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::error::{Error, Result};
use notify::Notify;
pub use read::Content;
use read::{changed_ms_ago, read};

/// From one look to the next at files that were changed just before they were watched.
const LOOK_FIRST: Duration = Duration::from_millis(1);

/// Rounds of finding folders to watch while they change; another follows with the next event anyhow.
const ROUNDS: usize = 10;

/// Times of watching.
#[derive(Debug, Clone, Copy)]
pub struct FileWatchSettings {
    /// A change has settled when nothing happened for this long.
    pub quiet: Duration,
    /// It counts as settled after this, however much goes on happening.
    pub bound: Duration,
    /// While somebody has a file open that was begun to be written, this bound instead: half a text is worth waiting for.
    pub writer_bound: Duration,
    /// From one look at all files to the next, where the kernel tells of changes.
    pub look: Duration,
    /// The same where it does not: a limit was reached, or a folder may not be read.
    pub look_unwatched: Duration,
    /// To whom files have to belong, where it is not everybody's to name any file: root reads for other users.
    pub owner: Option<u32>,
    /// Whether the kernel is asked at all; without, files are looked at each `look_unwatched`.
    pub notifications: bool,
}

impl Default for FileWatchSettings {
    fn default() -> Self {
        Self {
            // Editors take one to three milliseconds from their first call to their last.
            quiet: Duration::from_millis(5),
            bound: Duration::from_millis(50),
            writer_bound: Duration::from_millis(500),
            look: Duration::from_secs(10),
            look_unwatched: Duration::from_secs(1),
            owner: None,
            notifications: true,
        }
    }
}

/// A settled change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The files whose content is another than in the change before, or than at first.
    pub changed: BTreeSet<PathBuf>,
    /// All files of the set, as they are now.
    pub files: BTreeMap<PathBuf, Content>,
}

/// What [`FileWatch::next`] came back with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Something else is in the files.
    Changed(Change),
    /// The time is over.
    Nothing,
    /// [`Waker::wake`] was called.
    Woken,
}

/// Ends a [`FileWatch::next`] that waits on another thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Has the wait under way, or else the next one, return [`Seen::Woken`].
    pub fn wake(&self) {
        // Fails only when it is woken four billion times over already.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

/// Watches a set of files; asked by one thread.
pub struct FileWatch {
    files: BTreeMap<PathBuf, Content>,
    settings: FileWatchSettings,
    notify: Option<Notify>,
    unwatched: Option<Error>,
    wake: Arc<OwnedFd>,
    looked: Instant,
    /// Something that has not been read yet.
    happened: bool,
}

impl FileWatch {
    /// Reads the files and watches them from then on: no change after this is missed. What was changed a moment ago may be half
    /// written, and is waited for within the bounds of the settings; so this is not for a thread that others wait for.
    ///
    /// # Errors
    /// [`Error::RelativePath`], [`Error::Wait`]. Not where the kernel does not tell of changes: see [`FileWatch::unwatched`].
    pub fn new(paths: impl IntoIterator<Item = PathBuf>, settings: FileWatchSettings) -> Result<FileWatch> {
        let mut files = BTreeMap::new();
        for path in paths {
            if !path.is_absolute() || path.file_name().is_none() {
                return Err(Error::RelativePath { path });
            }
            files.insert(path, Content::Absent);
        }
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| Error::Wait { source: errno.into() })?;
        let mut watch = FileWatch {
            files,
            settings,
            notify: None,
            unwatched: None,
            wake: Arc::new(wake),
            looked: Instant::now(),
            happened: false,
        };
        watch.place();
        watch.let_settle();
        watch
            .files
            .iter_mut()
            .for_each(|(path, content)| *content = read(path, settings.owner));
        Ok(watch)
    }

    /// Waits until nobody seems to be writing. Of what was begun before it was watched the kernel tells nothing, so the times of the files
    /// have to: one that was emptied a moment ago is about to be filled.
    fn let_settle(&self) {
        let begun = Instant::now();
        let is_new = |path: &PathBuf| {
            let bound = |empty| match empty {
                true => self.settings.writer_bound,
                false => self.settings.bound,
            };
            changed_ms_ago(path).is_some_and(|(age, empty)| u128::from(age) < bound(empty).as_millis())
        };
        while begun.elapsed() < self.settings.writer_bound && self.files.keys().any(is_new) {
            std::thread::sleep(LOOK_FIRST);
        }
    }

    /// Returns what is in the files, as of the last change or the beginning.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<PathBuf, Content> {
        self.files.clone()
    }

    /// Returns why the kernel does not tell of every change, in which case files are looked at each second; it is tried again
    /// each time, so that a raised limit is found by itself.
    #[must_use]
    pub fn unwatched(&self) -> Option<&Error> {
        self.unwatched.as_ref()
    }

    /// Returns what ends a wait.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    /// Waits until the files hold something else and it has settled, or for `timeout`; without one, as long as it takes. What has
    /// begun before the time is over is waited for, within the bounds of the settings.
    ///
    /// # Errors
    /// [`Error::Wait`].
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Seen> {
        let end = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            if self.happened {
                let Some(texts) = self.settled()? else {
                    return Ok(Seen::Woken);
                };
                if let Some(change) = self.replace(texts) {
                    return Ok(Seen::Changed(change));
                }
            }
            let look_at = self.looked
                + if self.notify.is_none() || self.unwatched.is_some() {
                    self.settings.look_unwatched
                } else {
                    self.settings.look
                };
            match self.wait(end.map_or(look_at, |end| end.min(look_at)))? {
                Woke::Hand => return Ok(Seen::Woken),
                Woke::Kernel => self.happened = self.notify.as_mut().is_some_and(Notify::take),
                Woke::Time => {}
            }
            if Instant::now() >= look_at {
                self.looked = Instant::now();
                self.place();
                self.happened |= self
                    .files
                    .iter()
                    .any(|(path, content)| read(path, self.settings.owner) != *content);
            }
            if !self.happened && end.is_some_and(|end| Instant::now() >= end) {
                return Ok(Seen::Nothing);
            }
        }
    }

    /// Waits until what happens has settled and reads all files; none when woken.
    fn settled(&mut self) -> Result<Option<BTreeMap<PathBuf, Content>>> {
        let begun = Instant::now();
        loop {
            if self.settle(begun)? == Settled::Interrupted {
                return Ok(None);
            }
            self.place();
            let texts: BTreeMap<_, _> = self
                .files
                .keys()
                .map(|path| (path.clone(), read(path, self.settings.owner)))
                .collect();
            // What somebody wrote while it was read may have been read by half, or one file before and one after it.
            self.happened = self.notify.as_mut().is_some_and(Notify::take);
            // The kernel tells of a file that is cut to nothing, as writing in place begins, only a little later.
            let emptied = texts
                .iter()
                .any(|(path, text)| is_nothing(text) && !is_nothing(&self.files[path]));
            if !(self.happened || emptied) || begun.elapsed() >= self.settings.writer_bound {
                return Ok(Some(texts));
            }
        }
    }

    /// Takes what was read for what there is; returns the change, if it is one.
    fn replace(&mut self, texts: BTreeMap<PathBuf, Content>) -> Option<Change> {
        let before = std::mem::replace(&mut self.files, texts);
        let is_new = |(path, content): &(&PathBuf, &Content)| before.get(*path) != Some(*content);
        let changed: BTreeSet<PathBuf> = self.files.iter().filter(is_new).map(|(path, _)| path.clone()).collect();
        (!changed.is_empty()).then(|| Change {
            changed,
            files: self.contents(),
        })
    }

    /// Waits until nothing happens any more and nothing is half done.
    fn settle(&mut self, begun: Instant) -> Result<Settled> {
        loop {
            // A writer says when it has finished, and editors that move the old file away put the new one there a little later.
            let half_done = self.notify.as_ref().is_some_and(Notify::is_written) || self.is_emptied();
            let (bound, quiet) = if half_done {
                (self.settings.writer_bound, self.settings.writer_bound)
            } else {
                (self.settings.bound, self.settings.quiet)
            };
            let end = begun + bound;
            if Instant::now() >= end {
                break;
            }
            match self.wait(end.min(Instant::now() + quiet))? {
                Woke::Hand => return Ok(Settled::Interrupted),
                Woke::Time => break,
                Woke::Kernel => {
                    if let Some(notify) = &mut self.notify {
                        notify.take();
                    }
                }
            }
        }
        if let Some(notify) = &mut self.notify {
            notify.forget_writers();
        }
        Ok(Settled::Quiet)
    }

    /// Tells whether a file that held something is away or empty.
    fn is_emptied(&self) -> bool {
        let mut held = self.files.iter().filter(|(_, content)| !is_nothing(content));
        held.any(|(path, _)| std::fs::metadata(path).map_or(true, |found| found.is_file() && found.len() == 0))
    }

    /// Watches the folders where a change of a file can be seen.
    fn place(&mut self) {
        if !self.settings.notifications {
            return;
        }
        if self.notify.is_none() {
            match Notify::new() {
                Ok(notify) => self.notify = Some(notify),
                Err(error) => {
                    self.unwatched = Some(error);
                    return;
                }
            }
        }
        let Some(notify) = &mut self.notify else { return };
        let mut points = points::points_of(self.files.keys().map(PathBuf::as_path));
        for _ in 0..ROUNDS {
            self.unwatched = notify.watch(&points);
            // What came between finding a folder and watching it was not told.
            let found = points::points_of(self.files.keys().map(PathBuf::as_path));
            if found == points {
                return;
            }
            points = found;
        }
    }

    fn wait(&self, until: Instant) -> Result<Woke> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: 3600,
                tv_nsec: 0,
            });
            let mut waited = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
            waited.extend(
                self.notify
                    .as_ref()
                    .map(|notify| PollFd::from_borrowed_fd(notify.as_fd(), PollFlags::IN)),
            );
            match poll(&mut waited, Some(&left)) {
                Ok(0) => return Ok(Woke::Time),
                Ok(_) if !waited[0].revents().is_empty() => {
                    // It was readable a moment ago and nobody else reads it.
                    let _ = rustix::io::read(&*self.wake, &mut [0_u8; 8]);
                    return Ok(Woke::Hand);
                }
                Ok(_) => return Ok(Woke::Kernel),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::Wait { source: errno.into() }),
            }
        }
    }
}

/// Tells whether a file is away or empty, as one is for a moment while it is saved.
fn is_nothing(content: &Content) -> bool {
    match content {
        Content::Absent => true,
        Content::Text(text) => text.is_empty(),
        Content::Unreadable(_) => false,
    }
}

#[derive(PartialEq, Eq)]
enum Woke {
    Hand,
    Kernel,
    Time,
}

#[derive(PartialEq, Eq)]
enum Settled {
    Quiet,
    Interrupted,
}

impl std::fmt::Debug for FileWatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files: Vec<&Path> = self.files.keys().map(PathBuf::as_path).collect();
        formatter
            .debug_struct("FileWatch")
            .field("files", &files)
            .finish_non_exhaustive()
    }
}
