//! What a supervisor takes for itself: memory, and processor time while its services are silent and while each writes a line a second.
//!
//! All supervisors are up at once and are looked at over the same minute.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::http;
use crate::process::{self, Memory};
use crate::supervisor::Up;

/// One supervisor's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) supervisor: String,
    pub(crate) services: usize,
    pub(crate) processes: usize,
    pub(crate) memory: Memory,
    /// Memory of the processes that are there once for each service.
    pub(crate) memory_of_helpers: Memory,
    pub(crate) cpu_silent_s_per_min: f64,
    pub(crate) cpu_talking_s_per_min: f64,
}

/// Looks at supervisors for twice so long.
pub(crate) fn run(supervisors: &[Up], window: Duration) -> Vec<Load> {
    // What a start-up leaves behind is not what a supervisor needs.
    std::thread::sleep(Duration::from_secs(10));
    let silent = over(supervisors, window);
    for up in supervisors {
        for port in up.ports() {
            http::get(port, "/talk");
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    let talking = over(supervisors, window);
    (supervisors.iter().zip(silent).zip(talking))
        .map(|((up, silent), talking)| {
            let own = up.own();
            let shims = process::find(|arguments, _| arguments.split(|byte| *byte == 0).nth(1) == Some(b"shim"));
            let helpers: Vec<i32> = own.iter().copied().filter(|pid| shims.contains(pid)).collect();
            Load {
                supervisor: up.name(),
                services: up.ports().len(),
                processes: own.len(),
                memory: process::memory(&own),
                memory_of_helpers: process::memory(&helpers),
                cpu_silent_s_per_min: silent,
                cpu_talking_s_per_min: talking,
            }
        })
        .collect()
}

/// Returns each supervisor's processor seconds for a minute.
fn over(supervisors: &[Up], window: Duration) -> Vec<f64> {
    let own: Vec<Vec<i32>> = supervisors.iter().map(|up| up.own()).collect();
    let used = || -> Vec<Duration> { own.iter().map(|own| process::cpu_time(own)).collect() };
    let (begun, before) = (Instant::now(), used());
    std::thread::sleep(window);
    let (passed, after) = (begun.elapsed(), used());
    (before.iter().zip(after))
        .map(|(before, after)| after.saturating_sub(*before).as_secs_f64() * 60.0 / passed.as_secs_f64())
        .collect()
}
