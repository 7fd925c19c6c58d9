//! What the kernel says of processes: their processor time and memory, and what everybody else used meanwhile.

use std::collections::BTreeSet;
use std::fs;

use serde::Serialize;

/// Processor time, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

impl std::ops::Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }
}

/// Fields of `/proc/PID/stat` after the name, from the third of proc(5) on.
fn stat(pid: u32) -> Option<Vec<f64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(
        text.rsplit_once(") ")?
            .1
            .split(' ')
            .map(|field| field.parse().unwrap_or(0.0))
            .collect(),
    )
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Returns the processor time of processes, without their children's.
pub(crate) fn cpu(pids: &[u32]) -> Cpu {
    let mut sum = Cpu::default();
    for fields in pids.iter().filter_map(|pid| stat(*pid)) {
        sum.user += fields.get(11).copied().unwrap_or(0.0) / ticks_per_second();
        sum.system += fields.get(12).copied().unwrap_or(0.0) / ticks_per_second();
    }
    sum
}

/// Returns the processor time in seconds of all processes but these and the kernel's threads. What ended is counted with its parent.
pub(crate) fn cpu_of_others(own: &BTreeSet<u32>) -> f64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| !own.contains(pid))
        .filter_map(stat)
        // Field 4 is the parent: 2 is the kernel's own, which works for whoever sends packets.
        .filter(|fields| fields.get(1) != Some(&2.0))
        .map(|fields| fields.iter().skip(11).take(4).sum::<f64>() / ticks_per_second())
        .sum()
}

/// Returns the children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Memory of processes together, in kibibytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) pss_kib: u64,
    pub(crate) rss_kib: u64,
}

/// Returns what processes occupy.
pub(crate) fn memory(pids: &[u32]) -> Memory {
    let mut sum = Memory::default();
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kib = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        sum.pss_kib += kib("Pss:");
        sum.rss_kib += kib("Rss:");
    }
    sum
}

/// Returns the machine's load averages.
pub(crate) fn load_averages() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        let own = std::process::id();
        assert!(memory(&[own]).pss_kib > 0);
        let parent = stat(own).unwrap()[1];
        assert!(children(parent as u32).contains(&own));
    }
}
