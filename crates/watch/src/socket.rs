//! A unix socket that one user alone can connect to, under its path from one moment to the next.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Longest path of a unix socket, without the byte that ends it.
const PATH_BYTES_MAX: usize = 107;

/// To whom a file or socket belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The place of a bound socket; taken away when dropped, unless somebody else has put theirs there.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let ours =
            fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours {
            // Whoever connects to one that stays is refused, as if it were gone.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`, mode 0600, for `owner` alone (this process's user where none is named). Takes the place of what is there.
///
/// Bound beside it and renamed, so that it is never there with other permissions and a client never finds nothing.
pub(crate) fn listen(replica: &str, path: &Path, owner: Option<Owner>) -> Result<(UnixListener, Place)> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("~");
    let beside = PathBuf::from(beside);
    if beside.as_os_str().len() > PATH_BYTES_MAX {
        return Err(Error::SocketPathTooLong {
            replica: replica.to_owned(),
            path: path.to_owned(),
        });
    }
    let failed = |act| {
        let (replica, path) = (replica.to_owned(), path.to_owned());
        move |source| Error::Socket {
            act,
            replica,
            path,
            source,
        }
    };
    let found = match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    found.map_err(failed("clear the place of"))?;
    let listener = UnixListener::bind(&beside).map_err(failed("listen on"))?;
    let placed = (|| {
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).map_err(failed("close to others"))?;
        if let Some(owner) = owner {
            std::os::unix::fs::lchown(&beside, Some(owner.uid), Some(owner.gid)).map_err(failed("give to its user"))?;
        }
        listener.set_nonblocking(true).map_err(failed("listen on"))?;
        let made = fs::symlink_metadata(&beside).map_err(failed("look at"))?;
        fs::rename(&beside, path).map_err(failed("put in its place"))?;
        Ok(Place {
            path: path.to_owned(),
            device: made.dev(),
            inode: made.ino(),
        })
    })();
    if placed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    placed.map(|place| (listener, place))
}
