//! From kill -9 of a service's process to an answer of its successor at the same port.
//!
//! All supervisors are up at once and take turns, so that whatever else the machine does meets all of them alike.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::figures::Spread;
use crate::service::ROLE;
use crate::supervisor::Up;
use crate::{http, process};

/// Later than this counts as never.
const BACK_MAX: Duration = Duration::from_secs(30);

/// A process killed sooner after its start than this is taken by some for one that cannot run.
const GAP: Duration = Duration::from_millis(1200);

/// The gap grows by up to this, differently each time, so that no supervisor's own rhythm is met always at the same moment.
const GAP_MORE_MS: u64 = 600;

/// One supervisor's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Kills {
    pub(crate) supervisor: String,
    pub(crate) back: Spread,
    /// Not back in [`BACK_MAX`].
    pub(crate) never: usize,
    /// Until the successor answered through the edge, where there is one.
    pub(crate) through_edge: Option<Spread>,
}

/// Kills so many processes of each supervisor. `edges` has the port of the edge of those that have one.
pub(crate) fn run(supervisors: &[(Up, Option<u16>)], kills: usize) -> Vec<Kills> {
    let mut back = vec![Vec::new(); supervisors.len()];
    let mut through_edge = vec![Vec::new(); supervisors.len()];
    let mut never = vec![0; supervisors.len()];
    std::thread::sleep(Duration::from_secs(3));
    for round in 0..kills {
        let begun = Instant::now();
        for (at, (up, edge)) in supervisors.iter().enumerate() {
            let ports = up.ports();
            let before: Vec<i32> = ports.iter().filter_map(|port| http::serving_pid(*port)).collect();
            let port = ports[round % ports.len()];
            let Some(pid) = http::serving_pid(port) else {
                never[at] += 1;
                continue;
            };
            process::kill(pid);
            let (own, edge) = std::thread::scope(|scope| {
                let is_new = |pid: i32| !before.contains(&pid);
                let edge = edge.map(|edge| scope.spawn(move || http::until_served(edge, BACK_MAX, is_new)));
                let own = http::until_served(port, BACK_MAX, |new| new != pid);
                (own, edge.and_then(|edge| edge.join().ok()).flatten())
            });
            match own {
                Some(time) => back[at].push(time),
                None => never[at] += 1,
            }
            through_edge[at].extend(edge);
        }
        // By the golden ratio: spread over the whole range, and the same in each run.
        let more = Duration::from_millis((round as u64 * 618_034 / 1000) % GAP_MORE_MS);
        std::thread::sleep((GAP + more).saturating_sub(begun.elapsed()));
    }
    let figures = supervisors.iter().zip(back).zip(through_edge).zip(never);
    figures
        .map(|((((up, edge), back), through_edge), never)| Kills {
            supervisor: up.name(),
            back: Spread::of(back),
            never,
            through_edge: edge.map(|_| Spread::of(through_edge)),
        })
        .collect()
}

/// Returns what the service itself takes from its start to its first answer, with nobody looking after it.
pub(crate) fn bare(service: &Path, port: u16, starts: usize) -> Result<Spread> {
    let mut times = Vec::new();
    for _ in 0..starts {
        let begun = Instant::now();
        let mut command = Command::new(service);
        command
            .arg(ROLE)
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut child = command.spawn().map_err(|source| Error::Run {
            command: format!("{command:?}"),
            source,
        })?;
        if http::until_served(port, BACK_MAX, |_| true).is_some() {
            times.push(begun.elapsed());
        }
        // It is ours and runs until now.
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(Spread::of(times))
}
