//! Memory: `/proc/meminfo`, `/proc/vmstat` and `/proc/pressure`. Opens nothing.

use crate::families::Families;
use crate::files::number;

/// `/proc/meminfo`: `Active(anon): 12 kB` becomes `node_memory_Active_anon_bytes`.
pub(super) fn meminfo(text: &str, out: &mut Families) -> Option<()> {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (name, rest) = line.split_once(':')?;
        let mut name = name.replace('(', "_").replace(')', "");
        let mut words = rest.split_ascii_whitespace();
        let mut value = number(words.next()?)?;
        if words.next().is_some() {
            // The only unit there is means 1024 bytes.
            value *= 1024.0;
            name.push_str("_bytes");
        }
        let help = format!("Memory information field {name}.");
        out.gauge(format!("node_memory_{name}"), help, &[], value);
    }
    Some(())
}

/// `/proc/vmstat`, as far as the exporter gives it by default.
pub(super) fn vmstat(text: &str, out: &mut Families) -> Option<()> {
    for line in text.lines() {
        let (name, value) = line.split_once(' ')?;
        let wanted = ["oom_kill", "pgpg", "pswp"].iter().any(|begin| name.starts_with(begin))
            || (name.starts_with("pg") && name.contains("fault"));
        if wanted {
            let help = format!("/proc/vmstat information field {name}.");
            out.untyped(format!("node_vmstat_{name}"), help, &[], number(value.trim())?);
        }
    }
    Some(())
}

/// A file of `/proc/pressure`: how long some, and all, waited.
pub(super) fn pressure(resource: &str, text: &str, out: &mut Families) -> Option<()> {
    let (waiting, stalled) = match resource {
        "cpu" => ("Total time in seconds that processes have waited for CPU time", None),
        "io" => (
            "Total time in seconds that processes have waited due to IO congestion",
            Some("Total time in seconds no process could make progress due to IO congestion"),
        ),
        _ => (
            "Total time in seconds that processes have waited for memory",
            Some("Total time in seconds no process could make progress due to memory congestion"),
        ),
    };
    for line in text.lines() {
        let (who, rest) = line.split_once(' ')?;
        let total = rest
            .split_ascii_whitespace()
            .find_map(|word| word.strip_prefix("total="));
        // Divided twice, as the exporter does: the last digit is the same.
        let seconds = number(total?)? / 1000.0 / 1000.0;
        match (who, stalled) {
            ("some", _) => out.counter(
                format!("node_pressure_{resource}_waiting_seconds_total"),
                waiting,
                &[],
                seconds,
            ),
            ("full", Some(help)) => {
                out.counter(
                    format!("node_pressure_{resource}_stalled_seconds_total"),
                    help,
                    &[],
                    seconds,
                );
            }
            // That all processes wait for a processor means nothing on the whole machine.
            _ => {}
        }
    }
    Some(())
}
