//! kill -9 of the supervisor itself, some seconds without, and its start again: who serves, and who is looked after.

use std::time::Duration;

use serde::Serialize;

use crate::error::Result;
use crate::supervisor::Up;
use crate::{http, process};

/// For how long nobody supervises.
const WITHOUT: Duration = Duration::from_secs(4);

/// How long after its start the supervisor is left to sort things out: fifteen tries of PM2 take eight seconds.
const SETTLE: Duration = Duration::from_secs(12);

/// Later than this counts as never.
const BACK_MAX: Duration = Duration::from_secs(20);

/// Which of the supervisor's processes are killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Victims {
    /// What decides: of tend the daemon.
    Deciding,
    /// All: of tend also the edge and each shim.
    All,
}

/// One supervisor's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Crash {
    pub(crate) supervisor: String,
    pub(crate) victims: String,
    pub(crate) killed: usize,
    pub(crate) services: usize,
    /// Services that the same process serves, without supervisor.
    pub(crate) serving_without: usize,
    /// From the supervisor's start until all services answer.
    pub(crate) all_serve_after_ms: Option<f64>,
    /// Services that the same process serves as before the crash.
    pub(crate) same_process: usize,
    /// Services that answer at all.
    pub(crate) serving: usize,
    /// Killed then, back after.
    pub(crate) killed_then_back_ms: Option<f64>,
}

/// Kills the supervisor. Services write a line each second meanwhile.
pub(crate) fn run(up: &mut Up, victims: Victims) -> Result<Crash> {
    let ports = up.ports();
    for port in &ports {
        http::get(*port, "/talk");
    }
    std::thread::sleep(Duration::from_secs(3));
    let serving = || -> Vec<Option<i32>> { ports.iter().map(|port| http::serving_pid(*port)).collect() };
    let before = serving();
    let same = |now: &[Option<i32>]| {
        now.iter()
            .zip(&before)
            .filter(|(now, before)| now.is_some() && now == before)
            .count()
    };
    let own = match victims {
        Victims::Deciding => up.deciding(),
        Victims::All => up.own(),
    };
    own.iter().copied().for_each(process::kill);
    std::thread::sleep(WITHOUT);
    let serving_without = same(&serving());
    let begun = std::time::Instant::now();
    up.supervisor.start_again()?;
    let all = ports
        .iter()
        .all(|port| http::until_served(*port, SETTLE, |_| true).is_some())
        .then(|| begun.elapsed().as_secs_f64() * 1000.0);
    std::thread::sleep(SETTLE.saturating_sub(begun.elapsed()));
    let now = serving();
    let killed_then_back = now[0].and_then(|pid| {
        process::kill(pid);
        http::until_served(ports[0], BACK_MAX, |new| new != pid)
    });
    Ok(Crash {
        supervisor: up.name(),
        victims: format!("{victims:?}"),
        killed: own.len(),
        services: ports.len(),
        serving_without,
        all_serve_after_ms: all,
        same_process: same(&now),
        serving: now.iter().flatten().count(),
        killed_then_back_ms: killed_then_back.map(|back| back.as_secs_f64() * 1000.0),
    })
}
