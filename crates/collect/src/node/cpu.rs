//! Processors: `/proc/stat`, `/proc/schedstat` and `/proc/net/softnet_stat`. Opens nothing.

use crate::families::Families;
use crate::files::number;

/// `/proc/stat` counts in hundredths of a second wherever Linux runs (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// The lines of processors in `/proc/stat`.
pub(super) fn cpu(text: &str, out: &mut Families) -> Option<()> {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(cpu) = words.next().and_then(|word| word.strip_prefix("cpu")) else {
            continue;
        };
        // The first line is the sum of all.
        if cpu.is_empty() {
            continue;
        }
        let ticks: Vec<f64> = words.map(number).collect::<Option<_>>()?;
        for (mode, ticks) in MODES.iter().zip(&ticks) {
            out.counter(
                "node_cpu_seconds_total",
                "Seconds the CPUs spent in each mode.",
                &[("cpu", cpu), ("mode", mode)],
                ticks / TICKS_PER_SECOND,
            );
        }
        for (mode, ticks) in ["user", "nice"].iter().zip(ticks.iter().skip(MODES.len())) {
            out.counter(
                "node_cpu_guest_seconds_total",
                "Seconds the CPUs spent in guests (VMs) for each mode.",
                &[("cpu", cpu), ("mode", mode)],
                ticks / TICKS_PER_SECOND,
            );
        }
    }
    Some(())
}

/// The other lines of `/proc/stat`.
pub(super) fn stat(text: &str, out: &mut Families) -> Option<()> {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        match name {
            "intr" => out.counter(
                "node_intr_total",
                "Total number of interrupts serviced.",
                &[],
                number(value)?,
            ),
            "ctxt" => out.counter(
                "node_context_switches_total",
                "Total number of context switches.",
                &[],
                number(value)?,
            ),
            "btime" => out.gauge(
                "node_boot_time_seconds",
                "Node boot time, in unixtime.",
                &[],
                number(value)?,
            ),
            "processes" => out.counter("node_forks_total", "Total number of forks.", &[], number(value)?),
            "procs_running" => out.gauge(
                "node_procs_running",
                "Number of processes in runnable state.",
                &[],
                number(value)?,
            ),
            "procs_blocked" => out.gauge(
                "node_procs_blocked",
                "Number of processes blocked waiting for I/O to complete.",
                &[],
                number(value)?,
            ),
            _ => {}
        }
    }
    Some(())
}

/// `/proc/schedstat`.
pub(super) fn schedstat(text: &str, out: &mut Families) -> Option<()> {
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some(cpu) = words.first().and_then(|word| word.strip_prefix("cpu")) else {
            continue;
        };
        let [running, waiting, slices] = words.get(7..10)? else {
            return None;
        };
        let labels = [("cpu", cpu)];
        out.counter(
            "node_schedstat_running_seconds_total",
            "Number of seconds CPU spent running a process.",
            &labels,
            number(running)? / 1e9,
        );
        out.counter(
            "node_schedstat_waiting_seconds_total",
            "Number of seconds spent by processing waiting for this CPU.",
            &labels,
            number(waiting)? / 1e9,
        );
        out.counter(
            "node_schedstat_timeslices_total",
            "Number of timeslices executed by CPU.",
            &labels,
            number(slices)?,
        );
    }
    Some(())
}

/// `/proc/net/softnet_stat`: a line for each processor, hexadecimal.
pub(super) fn softnet(text: &str, out: &mut Families) -> Option<()> {
    for (cpu, line) in text.lines().enumerate() {
        let cpu = cpu.to_string();
        let mut words = line.split_ascii_whitespace();
        for (name, help) in [
            ("node_softnet_processed_total", "Number of processed packets"),
            ("node_softnet_dropped_total", "Number of dropped packets"),
            (
                "node_softnet_times_squeezed_total",
                "Number of times processing packets ran out of quota",
            ),
        ] {
            let count = u32::from_str_radix(words.next()?, 16).ok()?;
            out.counter(name, help, &[("cpu", &cpu)], f64::from(count));
        }
    }
    Some(())
}
