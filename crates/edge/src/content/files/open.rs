//! Opens a file inside a folder and nothing outside of it, whatever symbolic links say.
//!
//! The kernel sees to it (`openat2` with `RESOLVE_BENEATH`, Linux 5.6): links that stay inside are followed, the others are as if
//! there were nothing. Where it may not be called, the real path is compared first; between that and the opening somebody who may
//! write into the folder could exchange a part of it, so the last name is not followed then.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// The kernel gives up when something is renamed meanwhile; so often it is asked again.
const TRIES: u32 = 4;

/// Waits for no pipe and becomes nobody's terminal.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Set when the kernel, or a filter before it, does not know `openat2`.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens what `path` names in `root`, which may itself be a link: a folder that is exchanged is seen at once.
pub(super) fn open(root: &Path, path: &[u8]) -> io::Result<File> {
    if !WITHOUT_OPENAT2.load(Ordering::Relaxed) {
        match beneath(root, path) {
            Err(Errno::NOSYS | Errno::PERM) => WITHOUT_OPENAT2.store(true, Ordering::Relaxed),
            outcome => return outcome.map_err(io::Error::from),
        }
    }
    compared(root, path)
}

fn beneath(root: &Path, path: &[u8]) -> Result<File, Errno> {
    let folder = rustix::fs::openat(
        CWD,
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let path = if path.is_empty() { b"." } else { path };
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 1..TRIES {
        match rustix::fs::openat2(&folder, path, FLAGS, Mode::empty(), inside) {
            Err(Errno::AGAIN) => {}
            outcome => return outcome.map(File::from),
        }
    }
    rustix::fs::openat2(&folder, path, FLAGS, Mode::empty(), inside).map(File::from)
}

fn compared(root: &Path, path: &[u8]) -> io::Result<File> {
    let root = std::fs::canonicalize(root)?;
    let real = std::fs::canonicalize(root.join(OsStr::from_bytes(path)))?;
    if !real.starts_with(&root) {
        return Err(Errno::XDEV.into());
    }
    Ok(rustix::fs::open(real, FLAGS | OFlags::NOFOLLOW, Mode::empty()).map(File::from)?)
}

/// Says whether an error means that there is no such file for a client; the others are the machine's trouble.
pub(super) fn is_absence(error: &io::Error) -> bool {
    let absent = [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::XDEV,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::ACCESS,
        Errno::INVAL,
        Errno::ILSEQ,
        // A socket, or a device without a driver.
        Errno::NXIO,
        Errno::NODEV,
    ];
    Errno::from_io_error(error).is_some_and(|errno| absent.contains(&errno))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Opens in one of the two ways.
    type Way = fn(&Path, &[u8]) -> io::Result<File>;

    #[test]
    fn both_ways_open_what_is_inside_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("tend-edge-open-{}", std::process::id()));
        let root = folder.join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(folder.join("secret"), "secret").unwrap();
        std::fs::write(root.join("sub/a"), "a").unwrap();
        symlink("sub/a", root.join("inside")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(&folder, root.join("up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink(&root, folder.join("current")).unwrap();
        let ways: [(&str, Way); 3] = [
            ("kernel", |root, path| Ok(beneath(root, path)?)),
            ("compared", compared),
            ("whichever", open),
        ];
        for (name, way) in ways {
            for (path, wanted) in [
                ("sub/a", Some("a")),
                ("inside", Some("a")),
                ("out", None),
                ("up/secret", None),
                ("../secret", None),
                ("loop", None),
                ("none", None),
                ("sub/a/b", None),
            ] {
                for root in [&root, &folder.join("current")] {
                    let opened = way(root, path.as_bytes());
                    let read = opened.as_ref().ok().map(|file| {
                        let mut text = String::new();
                        let mut file = file;
                        file.read_to_string(&mut text).unwrap();
                        text
                    });
                    assert_eq!(read.as_deref(), wanted, "{name}: {path}");
                    assert!(opened.err().as_ref().is_none_or(is_absence), "{name}: {path}");
                }
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
