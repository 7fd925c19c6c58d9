//! Control groups, version 2: what a shim and the daemon read of one, and ending all in it.

use std::fs;
use std::io;
use std::path::Path;

/// Returns the processes of a group.
pub(crate) fn processes(group: &Path) -> io::Result<Vec<i32>> {
    Ok(fs::read_to_string(group.join("cgroup.procs"))?
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect())
}

/// Sends SIGKILL to every process of a group and of the groups in it, at once (Linux 5.14).
pub(crate) fn kill(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.kill"), "1")
}

/// Returns how many processes of a group the kernel has killed for memory; 0 where it does not count.
pub(crate) fn oom_kills(group: &Path) -> u64 {
    fs::read_to_string(group.join("memory.events"))
        .ok()
        .and_then(|text| value_of(&text, "oom_kill"))
        .unwrap_or(0)
}

/// Reads one number of a file with a `key value` pair on each line.
fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        if name == key {
            value.trim().parse().ok()
        } else {
            None
        }
    })
}
