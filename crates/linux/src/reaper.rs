//! Collecting processes that have become this one's children without being started by it.
//!
//! With its shim killed, a replica is handed to the nearest reaper above it. The daemon makes itself that one, so it
//! learns exactly how such a replica ended.
#![allow(unsafe_code)] // waitid(2) without taking the child's status has a safe form, which does not say whose it is.

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
    let mut collected = Vec::new();
    while let Some(ended) = first_ended() {
        if own(ended) {
            // The kernel shows this one until its owner has collected it, and none behind it.
            collect_by_looking(own, &mut collected)?;
            break;
        }
        if !collect(ended, &mut collected) {
            break;
        }
    }
    Ok(collected)
}

/// Returns a child that has ended, and leaves it as it is. One system call, where a look at all processes of the machine takes two
/// for each: shims end while their replica's successor is being started, and that must not wait.
fn first_ended() -> Option<i32> {
    // SAFETY: the structure is plain numbers, for which zeroes are valid; the pointer to it outlives the call.
    let information = unsafe {
        let mut information: libc::siginfo_t = std::mem::zeroed();
        let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, &raw mut information, how) != 0 {
            return None;
        }
        information
    };
    // SAFETY: after a success the field is set, or zero as it was when no child has ended.
    Some(unsafe { information.si_pid() }).filter(|pid| *pid > 0)
}

fn collect_by_looking(own: impl Fn(i32) -> bool, collected: &mut Vec<(i32, Exit)>) -> Result<(), Error> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let all = all_processes().map_err(|source| Error::Process { pid: me, source })?;
    for ended in all
        .iter()
        .filter(|stat| stat.parent == me && stat.is_zombie() && !own(stat.pid))
    {
        collect(ended.pid, collected);
    }
    Ok(())
}

fn collect(pid: i32, collected: &mut Vec<(i32, Exit)>) -> bool {
    let Ok(Some((pid, status))) = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG) else {
        return false;
    };
    collected.push((pid.as_raw_nonzero().get(), Exit::from_wait_status(status.as_raw())));
    true
}
