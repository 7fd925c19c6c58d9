//! Processes as a test finds and ends them: by their id, and by a folder that they carry in their command or environment.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::wait_until;

/// How long what was killed may take to be gone.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Sends SIGKILL; to one that has ended already, nothing.
pub fn kill(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Returns whether a process is there and no zombie.
#[must_use]
pub fn is_alive(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Returns the processes that carry a folder in their command or environment, but for this one: whatever was started there.
#[must_use]
pub fn processes_of(folder: &Path) -> Vec<u32> {
    let folder = folder.as_os_str().as_encoded_bytes();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| *id != std::process::id())
        .filter(|id| {
            // Gone meanwhile, a zombie or not ours: then there is nothing to read, and nothing of ours to stop.
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            contains(&environment, folder) || contains(&command, folder)
        })
        .collect()
}

/// Kills all processes that carry a folder, each by its id, until none is left.
///
/// # Panics
/// When some are still there after ten seconds; not in a test that is failing already.
pub fn kill_all_of(folder: &Path) {
    // Again until none is left: what is killed first may have been about to start another.
    let killed = || {
        let left = processes_of(folder);
        left.iter().for_each(|id| kill(*id));
        left.is_empty()
    };
    if std::thread::panicking() {
        // A second panic would end the whole test program; the folder that is kept tells what is left.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(GONE_WITHIN, "killed", killed)
        }));
    } else {
        wait_until(GONE_WITHIN, "everything the test started is killed", killed);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
