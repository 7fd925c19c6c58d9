//! The clients: runs `wrk` and `h2load`, and reads what they print.

use std::path::Path;
use std::time::Duration;

use crate::error::Result;
use crate::kind::Kind;
use crate::process;

/// What the clients saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) per_second: f64,
    /// Microseconds; none where the program does not tell.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

/// Connections, but for HTTP/2.
const CONNECTIONS: u32 = 64;

/// Loads a front in one way for so long. `log` is where `h2load` writes each request.
pub(crate) fn run(core: usize, kind: Kind, url: &str, lasts: Duration, rate: u32, log: &Path) -> Result<Load> {
    let seconds = lasts.as_secs().max(1).to_string();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    match kind {
        Kind::Saturation | Kind::Close | Kind::Tls | Kind::Handshake => {
            let mut arguments = words(&format!("-t1 -c{CONNECTIONS} -d{seconds}s --latency"));
            if matches!(kind, Kind::Close | Kind::Handshake) {
                arguments.extend(["-H".to_owned(), "Connection: close".to_owned()]);
            }
            arguments.push(url.to_owned());
            Ok(read_wrk(&process::run(core, "wrk", &arguments)?))
        }
        Kind::Rate => {
            let each = rate / CONNECTIONS;
            let mut arguments = words(&format!("--h1 -t1 -c{CONNECTIONS} -D{seconds} --rps {each}"));
            // It appends.
            let _ = std::fs::remove_file(log);
            arguments.extend([format!("--log-file={}", log.display()), url.to_owned()]);
            let mut load = read_h2load(&process::run(core, "h2load", &arguments)?);
            let text = std::fs::read_to_string(log).map_err(|source| process::file("read", log, source))?;
            (load.p50_us, load.p99_us) = percentiles(&text);
            Ok(load)
        }
        Kind::Http2 => {
            let mut arguments = words(&format!("-t1 -c16 -m10 -D{seconds}"));
            arguments.push(url.to_owned());
            Ok(read_h2load(&process::run(core, "h2load", &arguments)?))
        }
    }
}

/// Sends a single request; says whether it succeeded.
pub(crate) fn one(core: usize, kind: Kind, url: &str) -> bool {
    let wants_2 = kind == Kind::Http2;
    let mut arguments = ["-n1", "-c1", "-t1", "--connection-active-timeout=5", url]
        .map(str::to_owned)
        .to_vec();
    if !wants_2 {
        arguments.insert(0, "--h1".to_owned());
    }
    process::run(core, "h2load", &arguments).is_ok_and(|text| {
        let spoken = !wants_2 || text.contains("Application protocol: h2\n");
        spoken && read_h2load(&text).requests == 1
    })
}

fn read_wrk(text: &str) -> Load {
    let mut load = Load::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [count, "requests", "in", ..] => load.requests = count.parse().unwrap_or(0),
            ["Requests/sec:", rate] => load.per_second = rate.parse().unwrap_or(0.0),
            ["50%", time] => load.p50_us = microseconds(time),
            ["99%", time] => load.p99_us = microseconds(time),
            ["Non-2xx", .., count] => load.errors += count.parse::<u64>().unwrap_or(0),
            ["Socket", "errors:", ..] => {
                load.errors += words
                    .iter()
                    .filter_map(|word| word.trim_end_matches(',').parse::<u64>().ok())
                    .sum::<u64>();
            }
            _ => {}
        }
    }
    load
}

/// Reads `1.05ms` and the like.
fn microseconds(text: &str) -> Option<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("us") {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1e3)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 6e7)
    } else {
        (text.strip_suffix('s')?, 1e6)
    };
    Some(number.parse::<f64>().ok()? * factor)
}

fn read_h2load(text: &str) -> Load {
    let mut load = Load::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let before = |name: &str| -> u64 {
            let place = words.iter().position(|word| *word == name);
            place
                .and_then(|place| words[place.checked_sub(1)?].parse().ok())
                .unwrap_or(0)
        };
        match words[..] {
            ["requests:", ..] => {
                load.requests = before("succeeded");
                load.errors = before("failed") + before("errored") + before("timeout");
            }
            ["finished", "in", _, rate, "req/s", ..] => load.per_second = rate.parse().unwrap_or(0.0),
            _ => {}
        }
    }
    load
}

/// Reads the 50th and the 99th percentile of the times in a log of `h2load`: start, status, microseconds.
fn percentiles(log: &str) -> (Option<f64>, Option<f64>) {
    let mut times: Vec<u64> = log
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse().ok())
        .collect();
    times.sort_unstable();
    // By nearest rank.
    let at = |percent: usize| {
        times
            .get((times.len() * percent).div_ceil(100).max(1) - 1)
            .map(|time| *time as f64)
    };
    (at(50), at(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let text = "Running 8s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  Latency Distribution\n     50%    1.05ms\n     75%    2.00ms\n     99%  325.00us\n  457600 requests in 8.00s, 562.11MB read\n  Socket errors: connect 0, read 2, write 0, timeout 1\n  Non-2xx or 3xx responses: 5\nRequests/sec:  57200.50\n";
        let load = read_wrk(text);
        assert_eq!((load.requests, load.errors, load.per_second), (457_600, 8, 57_200.5));
        assert_eq!((load.p50_us, load.p99_us), (Some(1050.0), Some(325.0)));
    }

    #[test]
    fn what_h2load_prints_is_read() {
        let text = "finished in 8.01s, 6400.12 req/s, 7.1MB/s\nrequests: 51210 total, 51210 started, 51200 done, 51198 succeeded, 2 failed, 1 errored, 0 timeout\n";
        let load = read_h2load(text);
        assert_eq!((load.requests, load.errors, load.per_second), (51_198, 3, 6400.12));
        assert_eq!(
            percentiles("1\t200\t30\n2\t200\t10\n3\t200\t20\n"),
            (Some(20.0), Some(30.0))
        );
        assert_eq!(percentiles(""), (None, None));
    }
}
