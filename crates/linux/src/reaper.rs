//! Collecting processes that have become this one's children without being started by it.
//!
//! With its shim killed, a replica is handed to the nearest reaper above it. The daemon makes itself that one, so it
//! learns exactly how such a replica ended.

use rustix::process::{Pid, WaitOptions};

use crate::error::Error;
use crate::exit::Exit;
use crate::process::all_processes;

/// Makes this process the one to which orphans among its descendants are handed. Not inherited by children.
///
/// # Errors
/// [`Error::Subreaper`] on a kernel older than Linux 3.4.
pub fn become_subreaper() -> Result<(), Error> {
    // Any pid stands for «on».
    rustix::process::set_child_subreaper(Pid::from_raw(1)).map_err(|errno| Error::Subreaper { source: errno.into() })
}

/// Collects children that have ended, but for those in `own`, whom somebody else waits for; returns who they were and how they ended.
///
/// Shims are among them. To be called when SIGCHLD came. Waits by number and never for "any child", so it takes no
/// status away from a `std::process::Child` that is named in `own`.
///
/// # Errors
/// When the processes cannot be listed.
pub fn reap_orphans(own: impl Fn(i32) -> bool) -> Result<Vec<(i32, Exit)>, Error> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let all = all_processes().map_err(|source| Error::Process { pid: me, source })?;
    let mut collected = Vec::new();
    for ended in all
        .iter()
        .filter(|stat| stat.parent == me && stat.is_zombie() && !own(stat.pid))
    {
        if let Ok(Some((pid, status))) = rustix::process::waitpid(Pid::from_raw(ended.pid), WaitOptions::NOHANG) {
            collected.push((pid.as_raw_nonzero().get(), Exit::from_wait_status(status.as_raw())));
        }
    }
    Ok(collected)
}
