//! Who belongs to a replica, and ending them all.
//!
//! A replica's processes are: its control group where it has one, its descendants, the descendants of its shim (which is
//! their reaper, so a daemonised grandchild stays among them), its session, and whoever writes to its FIFOs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::Timespec;

use crate::cgroup;
use crate::error::Error;
use crate::process::{ProcStat, all_processes, signal_exactly};
use crate::state::Evidence;

/// By what the processes of one replica are found.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The replica itself.
    pub replica: Evidence,
    /// Its shim, where one is alive.
    pub shim_pid: Option<i32>,
    /// The replica's folder, which holds its FIFOs.
    pub folder: PathBuf,
    /// Its control group.
    pub cgroup: Option<PathBuf>,
}

/// Returns a process and all its descendants, zombies left out.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn process_tree(pid: i32) -> Result<Vec<i32>, Error> {
    let all = all_processes().map_err(|source| Error::Process { pid, source })?;
    let mut pids = descendants(&all, pid);
    pids.insert(pid);
    Ok(all
        .iter()
        .filter(|stat| pids.contains(&stat.pid) && !stat.is_zombie())
        .map(|stat| stat.pid)
        .collect())
}

impl Tree {
    /// Returns the processes of the replica that are alive, itself included.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn members(&self) -> Result<Vec<ProcStat>, Error> {
        let pid = self.replica.pid;
        let all = all_processes().map_err(|source| Error::Process { pid, source })?;
        let mut pids = BTreeSet::new();
        // Once another process has the replica's number, nothing that goes by the number can be trusted any more.
        let recycled = all
            .iter()
            .any(|stat| stat.pid == pid && stat.start_time != self.replica.start_time);
        if !recycled {
            pids = descendants(&all, pid);
            pids.insert(pid);
            pids.extend(all.iter().filter(|s| s.session == pid).map(|s| s.pid));
        }
        if let Some(shim) = self.shim_pid {
            pids.extend(descendants(&all, shim));
        }
        if let Some(cgroup) = &self.cgroup {
            pids.extend(cgroup::processes(cgroup).unwrap_or_default());
        }
        let fifos = fifos_of(&self.folder);
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        Ok(all
            .into_iter()
            .filter(|stat| !stat.is_zombie() && stat.pid != me && Some(stat.pid) != self.shim_pid)
            .filter(|stat| pids.contains(&stat.pid) || writes_to(stat.pid, &fifos))
            .collect())
    }

    /// Ends every process of the replica by SIGKILL and returns once none is left.
    ///
    /// Takes a few milliseconds; up to five seconds where a process hangs in the kernel.
    ///
    /// # Errors
    /// [`Error::KillTree`] when some are still there after that.
    pub fn kill(&self) -> Result<(), Error> {
        if let Some(cgroup) = &self.cgroup {
            // Not every kernel has `cgroup.kill`; the scan below does the same, only slower.
            let _ = cgroup::kill(cgroup);
        }
        let mut waited = Duration::ZERO;
        let mut pause = Duration::from_millis(1);
        loop {
            let members = self.members()?;
            if members.is_empty() {
                return Ok(());
            }
            if waited > Duration::from_secs(5) {
                return Err(Error::KillTree {
                    pid: self.replica.pid,
                    left: members.len(),
                });
            }
            for member in &members {
                signal_exactly(member.pid, member.start_time, libc::SIGKILL).map_err(|source| Error::Signal {
                    pid: member.pid,
                    number: libc::SIGKILL,
                    source,
                })?;
            }
            sleep(pause);
            waited += pause;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Sends a signal to every process of the replica once.
    ///
    /// # Errors
    /// When the processes cannot be listed or one may not be signalled.
    pub fn signal(&self, number: i32) -> Result<(), Error> {
        for member in self.members()? {
            signal_exactly(member.pid, member.start_time, number).map_err(|source| Error::Signal {
                pid: member.pid,
                number,
                source,
            })?;
        }
        Ok(())
    }
}

/// Ends the whole tree of a replica; see [`Tree::kill`].
///
/// # Errors
/// As [`Tree::kill`].
pub fn kill_tree(tree: &Tree) -> Result<(), Error> {
    tree.kill()
}

pub(crate) fn sleep(pause: Duration) {
    let pause = Timespec {
        tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(pause.subsec_nanos()),
    };
    let _ = rustix::thread::nanosleep(&pause);
}

fn descendants(all: &[ProcStat], root: i32) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for stat in all {
            if stat.parent == root || found.contains(&stat.parent) {
                found.insert(stat.pid);
            }
        }
        if found.len() == before {
            // A process whose ancestor changed while the list was read may have become its own: never the root itself.
            found.remove(&root);
            return found;
        }
    }
}

/// Device and inode of the FIFOs of a replica's folder.
fn fifos_of(folder: &Path) -> Vec<(u64, u64)> {
    ["stdout.fifo", "stderr.fifo"]
        .iter()
        .filter_map(|name| rustix::fs::stat(folder.join(name)).ok())
        .map(|stat| (stat.st_dev, stat.st_ino))
        .collect()
}

/// Whether a process has one of the FIFOs as its standard output or error.
fn writes_to(pid: i32, fifos: &[(u64, u64)]) -> bool {
    [1, 2].iter().any(|descriptor| {
        rustix::fs::stat(format!("/proc/{pid}/fd/{descriptor}"))
            .is_ok_and(|stat| fifos.contains(&(stat.st_dev, stat.st_ino)))
    })
}

/// Whether a process writes to the FIFOs of a replica's folder.
pub(crate) fn holds_fifos(pid: i32, folder: &Path) -> bool {
    writes_to(pid, &fifos_of(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> ProcStat {
        ProcStat {
            pid,
            state: 'S',
            parent,
            group: pid,
            session: pid,
            cpu_ticks: 0,
            start_time: 1,
            resident_pages: 0,
            exit_status: 0,
        }
    }

    #[test]
    fn descendants_are_found_in_any_order_and_without_their_root() {
        let all = [
            process(9, 8),
            process(8, 7),
            process(7, 1),
            process(5, 1),
            process(6, 7),
        ];
        assert_eq!(descendants(&all, 7), BTreeSet::from([6, 8, 9]));
        assert_eq!(descendants(&all, 5), BTreeSet::new());
    }
}
