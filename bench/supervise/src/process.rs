//! Looking at processes and ending them, by `/proc`. Knows nothing of supervisors.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::Serialize;

/// Memory of some processes, in kibibytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) rss_kb: u64,
    pub(crate) pss_kb: u64,
}

/// Returns the processes for which `is_wanted` says yes to their arguments and environment, both as the kernel has them: ended by NUL.
pub(crate) fn find(is_wanted: impl Fn(&[u8], &[u8]) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let read = |name| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let arguments = read("cmdline");
        !arguments.is_empty() && is_wanted(&arguments, &read("environ"))
    })
    .collect()
}

/// Returns whether `text` holds `part`.
pub(crate) fn holds(text: &[u8], part: &Path) -> bool {
    let part = part.as_os_str().as_encoded_bytes();
    text.windows(part.len()).any(|window| window == part)
}

/// Returns the processor time processes have used; what has ended meanwhile counts as nothing.
pub(crate) fn cpu_time(pids: &[i32]) -> Duration {
    pids.iter().map(|pid| cpu_time_of(*pid)).sum()
}

/// The scheduler's own count of each living thread is exact; the process's count has the ended ones too, in ticks. Neither is ever
/// too high, so the higher one is nearer.
fn cpu_time_of(pid: i32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let living: u64 = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    let ticks = || -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        // Fields 14 and 15 of proc(5), the third being the first after the name.
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    };
    let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Duration::from_nanos(living.max(ticks().unwrap_or(0) * tick))
}

/// Returns what processes occupy together.
pub(crate) fn memory(pids: &[i32]) -> Memory {
    let mut sum = Memory::default();
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kb = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        sum.rss_kb += kb("Rss:");
        sum.pss_kb += kb("Pss:");
    }
    sum
}

/// Kills a process. One that has ended by itself is as dead as it should be.
pub(crate) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}
