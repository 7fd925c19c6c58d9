//! One service writes numbered lines as fast as it is told for some seconds: what that costs the supervisor, the service and its
//! neighbours, and which lines can be found afterwards.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::process::{self, Memory};
use crate::supervisor::Up;
use crate::{figures, http};

/// How long after the flood the files may still grow.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// One supervisor's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Flood {
    pub(crate) supervisor: String,
    pub(crate) keep: String,
    pub(crate) lines_written: u64,
    pub(crate) cpu_s: f64,
    pub(crate) memory_before: Memory,
    pub(crate) rss_peak_kb: u64,
    pub(crate) memory_after: Memory,
    /// Sum of the waits of the writer that took longer than a millisecond.
    pub(crate) stalled_ms: f64,
    pub(crate) stall_max_ms: f64,
    /// A question to the service that floods, asked ten times a second.
    pub(crate) flooder_answers: figures::Spread,
    /// A neighbour killed meanwhile was back after.
    pub(crate) neighbour_back_ms: Option<f64>,
    pub(crate) found: Found,
    pub(crate) log_mb: f64,
    pub(crate) log_files: usize,
}

/// The numbered lines in the files.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    pub(crate) lines: u64,
    /// Before the first line that is there: rotated away.
    pub(crate) rotated_away: u64,
    /// Between the first and the last: lost on the way.
    pub(crate) lost: u64,
    /// After the last.
    pub(crate) missing_at_end: u64,
    /// Lines that are not whole.
    pub(crate) torn: u64,
}

/// Floods through service 0 of a supervisor that has three or more.
pub(crate) fn run(up: &Up, megabytes_a_second: u64, lasts: Duration) -> Flood {
    let ports = up.ports();
    std::thread::sleep(Duration::from_secs(3));
    let own = up.own();
    let memory_before = process::memory(&own);
    let cpu_before = process::cpu_time(&own);
    let begun = Instant::now();
    http::get(
        ports[0],
        &format!("/flood?mb={megabytes_a_second}&secs={}", lasts.as_secs()),
    );
    let mut answers = Vec::new();
    let mut rss_peak_kb = 0;
    let mut neighbour_back = None;
    let stats = loop {
        std::thread::sleep(Duration::from_millis(100));
        let asked = Instant::now();
        if http::serving_pid(ports[0]).is_some() {
            answers.push(asked.elapsed());
        }
        rss_peak_kb = rss_peak_kb.max(process::memory(&own).rss_kb);
        if neighbour_back.is_none()
            && begun.elapsed() > lasts / 2
            && let Some(pid) = http::serving_pid(ports[2])
        {
            process::kill(pid);
            let back = http::until_served(ports[2], Duration::from_secs(5), |new| new != pid);
            neighbour_back = Some(back);
        }
        let text = http::get(ports[0], "/stats").unwrap_or_default();
        let stats: Value = serde_json::from_str(&text).unwrap_or_default();
        if stats["floods_done"].as_u64() > Some(0) || begun.elapsed() > lasts * 3 {
            break stats;
        }
    };
    let logs = await_quiet(|| up.logs(0));
    let cpu_s = process::cpu_time(&own).saturating_sub(cpu_before).as_secs_f64();
    let lines_written = stats["lines"].as_u64().unwrap_or(0);
    let ms = |name: &str| stats[name].as_u64().unwrap_or(0) as f64 / 1000.0;
    Flood {
        supervisor: up.name(),
        keep: format!("{:?}", up.job().keep),
        lines_written,
        cpu_s,
        memory_before,
        rss_peak_kb,
        memory_after: process::memory(&own),
        stalled_ms: ms("stalled_us"),
        stall_max_ms: ms("stall_max_us"),
        flooder_answers: figures::Spread::of(answers),
        neighbour_back_ms: neighbour_back.flatten().map(|back| back.as_secs_f64() * 1000.0),
        found: find(&logs, lines_written),
        log_mb: size(&logs) as f64 / 1e6,
        log_files: logs.len(),
    }
}

fn size(files: &[PathBuf]) -> u64 {
    files
        .iter()
        .filter_map(|file| file.metadata().ok())
        .map(|data| data.len())
        .sum()
}

/// Waits until files do not grow any more and returns them.
fn await_quiet(files: impl Fn() -> Vec<PathBuf>) -> Vec<PathBuf> {
    let begun = Instant::now();
    let mut before = None;
    loop {
        let now = files();
        let state = (size(&now), now.len());
        if before == Some(state) || begun.elapsed() > DRAIN_MAX {
            return now;
        }
        before = Some(state);
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Counts the numbered lines of a flood of so many.
fn find(files: &[PathBuf], written: u64) -> Found {
    let mut seen = vec![false; usize::try_from(written).unwrap_or(0)];
    let mut found = Found::default();
    for file in files.iter().filter_map(|file| File::open(file).ok()) {
        for line in BufReader::with_capacity(1 << 20, file)
            .split(b'\n')
            .map_while(Result::ok)
        {
            match number(&line) {
                Some(number) if number < seen.len() => seen[number] = true,
                _ if line.windows(4).any(|window| window == b"xxxx") => found.torn += 1,
                _ => {}
            }
        }
    }
    let first = seen.iter().position(|seen| *seen);
    let last = seen.iter().rposition(|seen| *seen);
    let count = |range: &[bool], wanted: bool| range.iter().filter(|seen| **seen == wanted).count() as u64;
    found.lines = count(&seen, true);
    match (first, last) {
        (Some(first), Some(last)) => {
            found.rotated_away = first as u64;
            found.lost = count(&seen[first..=last], false);
            found.missing_at_end = (seen.len() - 1 - last) as u64;
        }
        _ => found.missing_at_end = written,
    }
    found
}

/// Returns the number of a whole line, which comes without its end.
fn number(line: &[u8]) -> Option<usize> {
    let rest = line.strip_prefix(b"FLOOD ").filter(|_| line.len() == 249)?;
    std::str::from_utf8(rest.get(6..15)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_where_they_are_missing() {
        let line = |number: usize| {
            let mut line = format!("FLOOD 21000 {number:09} ").into_bytes();
            line.resize(249, b'x');
            line.push(b'\n');
            line
        };
        let file = std::env::temp_dir().join(format!("bench-supervise-{}.log", std::process::id()));
        let mut text: Vec<u8> = [2, 3, 5].map(line).concat();
        text.extend_from_slice(&line(6)[100..]);
        std::fs::write(&file, text).unwrap();
        let found = find(std::slice::from_ref(&file), 8);
        std::fs::remove_file(&file).unwrap();
        let expected = Found {
            lines: 3,
            rotated_away: 2,
            lost: 1,
            missing_at_end: 2,
            torn: 1,
        };
        assert_eq!(found, expected);
    }
}
