//! Files below a folder, as a sorted list: the digest over it, copying what is on it, removing a folder with all it holds.
//!
//! Everything is opened from the folder's descriptor, name by name, and never through a symbolic link: what is below may belong to
//! another user, who must not be able to have us read or remove something elsewhere. Knows nothing of git, builds or releases.
//! The digest is described in `docs/design/0100-releases.md`, with the shell commands that compute it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use ring::digest::{Context, SHA256};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use tend_base::to_hex;

use crate::error::Error;

/// First line of what is hashed; another number is another format.
const FORMAT: &[u8] = b"tend artifact 1\n";

/// How often a folder is emptied again because somebody still writes into it.
const EMPTIED_MAX: usize = 5;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File {
        /// Somebody may execute it; the other bits of the mode are not looked at, as git does it.
        executable: bool,
    },
    /// A symbolic link, taken as the text it holds.
    Link,
}

/// What lies below a folder, by its path relative to that folder.
pub(crate) type Entries = BTreeMap<PathBuf, Kind>;

/// With which modes a copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modes {
    /// For a build: the owner may write.
    Working,
    /// For keeping: nobody may write. The top folder is left to who moves it into its place.
    Sealed,
}

/// A folder that was opened.
#[derive(Debug)]
pub(crate) struct Tree {
    fd: OwnedFd,
    path: PathBuf,
}

impl Tree {
    /// Opens a folder.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty());
        let fd = fd.map_err(|errno| Error::file("open", path)(errno.into()))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Returns all that lies below `from`, a folder relative to this one, and that folder itself; what `leave_out` says yes to, with
    /// all below it, is left out. Paths are relative to this folder.
    pub(crate) fn below(&self, from: &Path, leave_out: &dyn Fn(&Path, bool) -> bool) -> Result<Entries, Error> {
        let mut entries = Entries::new();
        let fd = self.folder(from).map_err(|errno| self.failed("read", from, errno))?;
        if !from.as_os_str().is_empty() {
            entries.insert(from.to_owned(), Kind::Folder);
        }
        self.walk(&fd, from, leave_out, &mut entries)?;
        Ok(entries)
    }

    /// Returns all that lies below this folder.
    pub(crate) fn all(&self) -> Result<Entries, Error> {
        self.below(Path::new(""), &|_, _| false)
    }

    fn walk(
        &self,
        fd: &OwnedFd,
        at: &Path,
        leave_out: &dyn Fn(&Path, bool) -> bool,
        entries: &mut Entries,
    ) -> Result<(), Error> {
        for name in names(fd).map_err(|errno| self.failed("read", at, errno))? {
            let path = at.join(&name);
            let stat = rustix::fs::statat(fd, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| self.failed("read", &path, errno))?;
            let kind = kind(&stat);
            if leave_out(&path, kind == Some(Kind::Folder)) {
                continue;
            }
            let kind = kind.ok_or_else(|| Error::Unusual {
                path: self.path.join(&path),
            })?;
            if kind == Kind::Folder {
                let inner = openat(fd, &name, OFlags::RDONLY | OFlags::DIRECTORY)
                    .map_err(|errno| self.failed("read", &path, errno))?;
                self.walk(&inner, &path, leave_out, entries)?;
            }
            entries.insert(path, kind);
        }
        Ok(())
    }

    /// Returns what lies at a path; none when nothing does.
    ///
    /// A link on the way there is an error of its own, since what lies behind it may be anywhere.
    pub(crate) fn kind_at(&self, path: &Path) -> Result<Option<Kind>, Error> {
        let mut at = PathBuf::new();
        let mut fd = None;
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            at.push(component);
            let folder = fd.as_ref().unwrap_or(&self.fd);
            let stat = match rustix::fs::statat(folder, component.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(errno) => return Err(self.failed("read", &at, errno)),
            };
            let kind = kind(&stat).ok_or_else(|| Error::Unusual {
                path: self.path.join(&at),
            })?;
            if components.peek().is_none() {
                return Ok(Some(kind));
            }
            match kind {
                Kind::Folder => {
                    let next = openat(folder, component.as_os_str(), OFlags::PATH | OFlags::DIRECTORY);
                    fd = Some(next.map_err(|errno| self.failed("read", &at, errno))?);
                }
                Kind::Link => {
                    return Err(Error::ThroughLink {
                        path: path.to_owned(),
                        link: at,
                    });
                }
                Kind::File { .. } => return Ok(None),
            }
        }
        Ok(Some(Kind::Folder))
    }

    /// Returns the SHA-256 over the names, modes and contents of `entries`, in hexadecimal.
    pub(crate) fn digest(&self, entries: &Entries) -> Result<String, Error> {
        let mut lines = Vec::with_capacity(entries.len());
        for (path, kind) in entries {
            let (letter, hash) = match kind {
                Kind::Folder => ('d', None),
                Kind::File { executable } => (if *executable { 'x' } else { 'f' }, Some(self.hash_file(path)?)),
                Kind::Link => ('l', Some(hash(self.link(path)?.as_bytes()))),
            };
            let name = path.as_os_str().as_bytes();
            if name.contains(&b'\n') {
                return Err(Error::Name {
                    path: self.path.join(path),
                });
            }
            let mut line = letter.to_string().into_bytes();
            for part in hash.iter().map(String::as_bytes).chain([name]) {
                line.push(b' ');
                line.extend_from_slice(part);
            }
            line.push(b'\n');
            lines.push(line);
        }
        lines.sort_unstable();
        let mut context = Context::new(&SHA256);
        context.update(FORMAT);
        for line in &lines {
            context.update(line);
        }
        Ok(to_hex(context.finish().as_ref()))
    }

    /// Copies `entries` into the folder `to`, which only this process writes to; returns how many bytes their files hold.
    pub(crate) fn copy(&self, entries: &Entries, to: &Path, modes: Modes) -> Result<u64, Error> {
        let mut bytes = 0;
        for (path, kind) in entries {
            let target = to.join(path);
            let failed = || Error::file("write", &target);
            match kind {
                Kind::Folder => fs::create_dir_all(&target).map_err(failed())?,
                Kind::File { executable } => {
                    let mut from = self.file(path)?;
                    fs::create_dir_all(target.parent().unwrap_or(to)).map_err(failed())?;
                    let mut into = File::create_new(&target).map_err(failed())?;
                    bytes += io::copy(&mut from, &mut into).map_err(failed())?;
                    let mode = match (modes, executable) {
                        (Modes::Working, false) => 0o644,
                        (Modes::Working, true) => 0o755,
                        (Modes::Sealed, false) => 0o444,
                        (Modes::Sealed, true) => 0o555,
                    };
                    into.set_permissions(Permissions::from_mode(mode)).map_err(failed())?;
                }
                Kind::Link => {
                    fs::create_dir_all(target.parent().unwrap_or(to)).map_err(failed())?;
                    let text = self.link(path)?;
                    std::os::unix::fs::symlink(text, &target).map_err(failed())?;
                }
            }
        }
        if modes == Modes::Sealed {
            // Last, and from the inside out: nothing can be put into a sealed folder.
            for (path, _) in entries.iter().rev().filter(|(_, kind)| **kind == Kind::Folder) {
                let target = to.join(path);
                fs::set_permissions(&target, Permissions::from_mode(0o555)).map_err(Error::file("write", &target))?;
            }
        }
        Ok(bytes)
    }

    /// Opens a file for reading.
    pub(crate) fn file(&self, path: &Path) -> Result<File, Error> {
        // Not blocking, should it be a FIFO by now.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let (folder, name) = self.parent(path)?;
        let fd = openat(&folder, name, flags).map_err(|errno| self.failed("read", path, errno))?;
        let file = File::from(fd);
        let metadata = file.metadata().map_err(Error::file("read", &self.path.join(path)))?;
        if metadata.is_file() {
            Ok(file)
        } else {
            Err(Error::Unusual {
                path: self.path.join(path),
            })
        }
    }

    fn hash_file(&self, path: &Path) -> Result<String, Error> {
        hash_of(self.file(path)?).map_err(Error::file("read", &self.path.join(path)))
    }

    fn link(&self, path: &Path) -> Result<std::ffi::OsString, Error> {
        let (folder, name) = self.parent(path)?;
        let text = rustix::fs::readlinkat(&folder, name, Vec::new());
        let text = text.map_err(|errno| self.failed("read", path, errno))?;
        Ok(OsStr::from_bytes(text.as_bytes()).to_owned())
    }

    fn parent<'a>(&self, path: &'a Path) -> Result<(OwnedFd, &'a OsStr), Error> {
        let name = path.file_name().unwrap_or_default();
        let folder = self.folder(path.parent().unwrap_or(Path::new("")));
        Ok((folder.map_err(|errno| self.failed("read", path, errno))?, name))
    }

    fn folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut fd = openat(&self.fd, OsStr::new("."), flags)?;
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(Errno::INVAL);
            };
            fd = openat(&fd, name, flags)?;
        }
        Ok(fd)
    }

    fn failed(&self, act: &'static str, path: &Path, errno: Errno) -> Error {
        Error::file(act, &self.path.join(path))(errno.into())
    }
}

/// Removes a folder or file with all it holds, following no link; returns how many bytes of disk that frees. Nothing there is fine.
pub(crate) fn remove(path: &Path) -> Result<u64, Error> {
    let failed = |errno: Errno| Error::file("remove", path)(errno.into());
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(Errno::INVAL));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(folder) => remove_at(folder.as_fd(), name).map_err(failed),
        Err(Errno::NOENT) => Ok(0),
        Err(errno) => Err(failed(errno)),
    }
}

fn remove_at(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<u64> {
    let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(0),
        Err(errno) => return Err(errno),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        gone(rustix::fs::unlinkat(parent, name, AtFlags::empty()))?;
        // A file that has another name still takes its place.
        let freed = if stat.st_nlink == 1 { stat.st_blocks } else { 0 };
        return Ok(u64::try_from(freed).unwrap_or(0) * 512);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let folder = match openat(parent, name, flags) {
        Err(Errno::ACCESS) => {
            // Without the right to look into one's own folder.
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            openat(parent, name, flags)?
        }
        opened => opened?,
    };
    // A sealed folder lets nobody take anything out. Where it is not ours to change, removing says so.
    let _ = rustix::fs::fchmod(&folder, Mode::RWXU);
    let mut bytes = 0;
    for _ in 0..EMPTIED_MAX {
        for inner in names(&folder)? {
            bytes += remove_at(folder.as_fd(), &inner)?;
        }
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            removed => return gone(removed).map(|()| bytes),
        }
    }
    Err(Errno::NOTEMPTY)
}

fn gone(removed: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Returns the SHA-256 of all that can be read, in hexadecimal.
pub(crate) fn hash_of(mut from: impl Read) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(to_hex(context.finish().as_ref())),
            count => context.update(&buffer[..count]),
        }
    }
}

/// Returns the SHA-256 of bytes, in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    to_hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

fn kind(stat: &Stat) -> Option<Kind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Some(Kind::Folder),
        FileType::RegularFile => Some(Kind::File {
            executable: stat.st_mode & 0o111 != 0,
        }),
        FileType::Symlink => Some(Kind::Link),
        _ => None,
    }
}

fn openat(folder: impl AsFd, name: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

fn names(folder: &OwnedFd) -> rustix::io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_is_opened_or_removed_through_a_link() {
        let place = tend_testkit::Folder::new();
        place.write("outside/secret", "text");
        place.write("inside/file", "text");
        let inside = place.path().join("inside");
        symlink("../outside", inside.join("folder")).unwrap();
        symlink("../outside/secret", inside.join("link")).unwrap();
        let tree = Tree::open(&inside).unwrap();
        // As if the links had been put there after the list was made.
        assert!(tree.file(Path::new("file")).is_ok());
        for path in ["link", "folder/secret"] {
            assert!(tree.file(Path::new(path)).is_err(), "{path}");
        }
        assert!(tree.below(Path::new("folder"), &|_, _| false).is_err());
        assert!(matches!(
            tree.kind_at(Path::new("folder/secret")),
            Err(Error::ThroughLink { .. })
        ));
        let folder = rustix::fs::open(&inside, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        assert!(openat(&folder, OsStr::new("folder"), OFlags::RDONLY | OFlags::DIRECTORY).is_err());
        remove(&inside).unwrap();
        assert!(!inside.exists() && place.path().join("outside/secret").exists());
    }
}
