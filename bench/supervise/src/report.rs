//! All figures of a comparison, and how they are printed.

use std::fmt;

use serde::Serialize;

use crate::figures::{Spread, Table};
use crate::part::crash::Crash;
use crate::part::flood::Flood;
use crate::part::kill::Kills;
use crate::part::load::Load;

/// All figures.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) cores: usize,
    /// The machine's load averages when it began and when it was done: times mean little where they are high.
    pub(crate) load_averages: Vec<String>,
    pub(crate) bare: Spread,
    pub(crate) kills: Vec<Kills>,
    /// A list for each number of services.
    pub(crate) loads: Vec<Vec<Load>>,
    pub(crate) floods: Vec<Flood>,
    pub(crate) crashes: Vec<Crash>,
}

impl Report {
    pub(crate) fn begin() -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load_averages: vec![load_averages()],
            ..Self::default()
        }
    }

    pub(crate) fn end(&mut self) {
        self.load_averages.push(load_averages());
    }
}

fn load_averages() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cores, load averages before and after: {}",
            self.cores,
            self.load_averages.join("; ")
        )?;
        if !self.kills.is_empty() {
            self.write_kills(f)?;
        }
        for loads in &self.loads {
            write_loads(loads, f)?;
        }
        for keep in ["Default", "All"] {
            let floods: Vec<&Flood> = self.floods.iter().filter(|flood| flood.keep == keep).collect();
            if !floods.is_empty() {
                write_floods(keep, &floods, f)?;
            }
        }
        if !self.crashes.is_empty() {
            write_crashes(&self.crashes, f)?;
        }
        Ok(())
    }
}

impl Report {
    fn write_kills(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nFrom kill -9 of a process to its successor's answer, ms. The service alone from its start: p50 {:.1}, p95 {:.1}, max {:.1}\n",
            self.bare.p50_ms, self.bare.p95_ms, self.bare.max_ms
        )?;
        let kills = &self.kills;
        let mut table = Table::new(kills.iter().map(|kills| kills.supervisor.clone()));
        for (name, of) in SPREAD {
            table.row(name, 1, kills.iter().map(|kills| Some(of(&kills.back))));
        }
        table.row("kills", 0, kills.iter().map(|kills| Some(kills.back.count as f64)));
        table.row("never back", 0, kills.iter().map(|kills| Some(kills.never as f64)));
        for (name, of) in SPREAD {
            let name = format!("through the edge, {name}");
            table.row(&name, 1, kills.iter().map(|kills| kills.through_edge.as_ref().map(of)));
        }
        f.write_str(&table.to_markdown())
    }
}

/// What is printed of a spread: a name and a value.
type Column = (&'static str, fn(&Spread) -> f64);

const SPREAD: [Column; 3] = [
    ("p50", |spread| spread.p50_ms),
    ("p95", |spread| spread.p95_ms),
    ("max", |spread| spread.max_ms),
];

fn write_loads(loads: &[Load], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(first) = loads.first() else {
        return Ok(());
    };
    writeln!(f, "\nThe supervisor's own processes with {} services\n", first.services)?;
    let mut table = Table::new(loads.iter().map(|load| load.supervisor.clone()));
    let mb = |kb: u64| Some(kb as f64 / 1024.0);
    table.row("PSS, MB", 1, loads.iter().map(|load| mb(load.memory.pss_kb)));
    table.row("RSS, MB", 1, loads.iter().map(|load| mb(load.memory.rss_kb)));
    table.row("processes", 0, loads.iter().map(|load| Some(load.processes as f64)));
    let each = |load: &Load| Some(load.memory_of_helpers.pss_kb as f64 / load.services as f64).filter(|kb| *kb > 0.0);
    table.row("PSS of a shim, kB", 0, loads.iter().map(each));
    table.row(
        "CPU silent, s/min",
        2,
        loads.iter().map(|load| Some(load.cpu_silent_s_per_min)),
    );
    table.row(
        "CPU with a line a second each, s/min",
        2,
        loads.iter().map(|load| Some(load.cpu_talking_s_per_min)),
    );
    f.write_str(&table.to_markdown())
}

fn write_floods(keep: &str, floods: &[&Flood], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let settings = match keep {
        "All" => "all output kept",
        _ => "default settings of each",
    };
    writeln!(f, "\nA flood of log lines from one service, {settings}\n")?;
    let mut table = Table::new(floods.iter().map(|flood| flood.supervisor.clone()));
    let mut row = |name: &str, decimals, of: &dyn Fn(&Flood) -> Option<f64>| {
        table.row(name, decimals, floods.iter().map(|flood| of(flood)));
    };
    row("lines written", 0, &|flood| Some(flood.lines_written as f64));
    row("lost on the way", 0, &|flood| Some(flood.found.lost as f64));
    row("missing at the end", 0, &|flood| {
        Some(flood.found.missing_at_end as f64)
    });
    row("torn", 0, &|flood| Some(flood.found.torn as f64));
    row("rotated away", 0, &|flood| Some(flood.found.rotated_away as f64));
    row("kept, MB", 0, &|flood| Some(flood.log_mb));
    row("CPU of the supervisor, s", 2, &|flood| Some(flood.cpu_s));
    row("PSS before, MB", 1, &|flood| {
        Some(flood.memory_before.pss_kb as f64 / 1024.0)
    });
    row("PSS after, MB", 1, &|flood| {
        Some(flood.memory_after.pss_kb as f64 / 1024.0)
    });
    row("RSS peak, MB", 1, &|flood| Some(flood.rss_peak_kb as f64 / 1024.0));
    row("writer stalled, ms in all", 1, &|flood| Some(flood.stalled_ms));
    row("writer stalled, longest, ms", 1, &|flood| Some(flood.stall_max_ms));
    row("flooder answers, p95, ms", 1, &|flood| {
        Some(flood.flooder_answers.p95_ms)
    });
    row("neighbour killed, back after, ms", 1, &|flood| flood.neighbour_back_ms);
    f.write_str(&table.to_markdown())
}

fn write_crashes(crashes: &[Crash], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nkill -9 of the supervisor, 4 s without, started again\n")?;
    let columns = crashes.iter().map(|crash| match crash.killed {
        1 => crash.supervisor.clone(),
        killed => format!("{}, all {killed} processes", crash.supervisor),
    });
    let mut table = Table::new(columns);
    let mut row = |name: &str, of: &dyn Fn(&Crash) -> Option<f64>| table.row(name, 0, crashes.iter().map(of));
    row("services", &|crash| Some(crash.services as f64));
    row("same process serves, without it", &|crash| {
        Some(crash.serving_without as f64)
    });
    row("all serve after its start, ms", &|crash| crash.all_serve_after_ms);
    row("same process serves, after it", &|crash| {
        Some(crash.same_process as f64)
    });
    row("serve after it", &|crash| Some(crash.serving as f64));
    row("killed then, back after, ms", &|crash| crash.killed_then_back_ms);
    f.write_str(&table.to_markdown())
}
