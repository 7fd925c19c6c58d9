//! One way to deploy under payments: back and forth, with what each deploy cost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clients::{self, Clients, Seen};
use crate::error::{Error, Result};
use crate::folder::LOOK;
use crate::release::Release;
use crate::verdict::{self, Sockets};
use crate::way::Way;

/// How long the system may take to come up, and the clients to connect.
const UP_MAX: Duration = Duration::from_secs(60);

/// What is done, and for how long at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) deploys: usize,
    /// Payments a second.
    pub(crate) rate: u32,
    pub(crate) sockets: usize,
    /// Longest wait for a WebSocket on a replica that leaves.
    pub(crate) drain: Duration,
    /// Between two deploys.
    pub(crate) pause: Duration,
    /// For all deploys of a way together; one that is under way is finished.
    pub(crate) limit: Duration,
    /// For a single one.
    pub(crate) deploy_limit: Duration,
}

/// One deploy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Deploy {
    pub(crate) version: &'static str,
    pub(crate) seconds: f64,
    /// Why it failed, as its command has it.
    pub(crate) failed: Option<String>,
    /// Requests and handshakes that failed from its begin to the next one's.
    pub(crate) failed_requests: u64,
    /// Requests answered by another release after the command said that it is done.
    pub(crate) stale_answers: u64,
}

/// What one way cost.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) deploys: Vec<Deploy>,
    /// Deploys that were asked for.
    pub(crate) asked: usize,
    pub(crate) payments: bench_mps::Report,
    /// Beside the payments': questions of who answers.
    pub(crate) questions: u64,
    pub(crate) failed_questions: u64,
    pub(crate) failed_handshakes: u64,
    pub(crate) sockets: Sockets,
    /// Payments that were pushed on WebSockets.
    pub(crate) pushed: u64,
}

impl Figures {
    /// Returns all requests that failed, whoever sent them.
    pub(crate) fn failed_requests(&self) -> u64 {
        self.payments.failed.total() + self.failed_questions + self.failed_handshakes
    }

    /// Returns the deploys that failed.
    pub(crate) fn failed_deploys(&self) -> usize {
        self.deploys.iter().filter(|deploy| deploy.failed.is_some()).count()
    }

    /// Returns the answers of a release that was said to be gone.
    pub(crate) fn stale_answers(&self) -> u64 {
        self.deploys.iter().map(|deploy| deploy.stale_answers).sum()
    }
}

/// When a deploy began and was done.
struct Times {
    begun: Instant,
    done: Instant,
    failed_payments: u64,
}

/// Deploys one release after the other, in turn, under payments and with WebSockets open.
pub(crate) fn run(way: &mut dyn Way, releases: &[Release; 2], plan: &Plan) -> Result<Figures> {
    way.up(&releases[0])?;
    await_answer(way.port())?;
    let config = bench_mps::Config {
        rate: plan.rate,
        duration: plan.limit + plan.deploy_limit + UP_MAX * 2,
        merchants: plan.sockets.max(1),
        ..bench_mps::Config::new(vec![format!("http://127.0.0.1:{}", way.port()).parse()?])
    };
    let mut merchants = config.merchant_ids();
    merchants.truncate(plan.sockets);
    let (stop, progress) = (Arc::clone(&config.stop), Arc::clone(&config.progress));
    let payments = std::thread::spawn(move || bench_mps::run(&config));
    // A socket is for a merchant that is there, which the first payment shows.
    let made = wait("the first payment", || {
        progress.acknowledged() > 0 || payments.is_finished()
    })
    .and_then(|()| Clients::begin(way.port(), merchants))
    .and_then(|clients| {
        let connected = wait("all WebSockets are open", || clients.connected() == plan.sockets);
        let deployed = connected.map(|()| {
            std::thread::sleep(plan.pause);
            deploy_in_turn(way, releases, plan, &|| progress.failed_requests())
        });
        if deployed.is_ok() {
            // What a deploy left to drain is over by then.
            std::thread::sleep(plan.drain);
        }
        let seen = clients.end();
        deployed.map(|deployed| (deployed, seen))
    });
    let ended = Instant::now();
    let failed_at_end = progress.failed_requests();
    stop.store(true, Ordering::Relaxed);
    let payments = payments.join().expect("invariant: the load driver does not panic");
    // Where the payments could not be made, nothing else could.
    let payments = payments?;
    let ((deploys, times), seen) = made?;
    way.down()?;
    let mut figures = Figures {
        name: way.name(),
        deploys,
        asked: plan.deploys,
        payments,
        questions: (seen.answers.len() + seen.failed_questions.len()) as u64,
        failed_questions: seen.failed_questions.len() as u64,
        failed_handshakes: seen.failed_handshakes.len() as u64,
        sockets: verdict::sockets(&seen.ends, &seen.answers, plan.drain),
        pushed: seen.pushed,
    };
    attribute(&mut figures.deploys, &times, &seen, ended, failed_at_end);
    Ok(figures)
}

fn deploy_in_turn(
    way: &mut dyn Way,
    releases: &[Release; 2],
    plan: &Plan,
    failed_payments: &dyn Fn() -> u64,
) -> (Vec<Deploy>, Vec<Times>) {
    let begun_all = Instant::now();
    let (mut deploys, mut times) = (Vec::new(), Vec::new());
    let mut running = 0;
    for number in 1..=plan.deploys {
        if begun_all.elapsed() > plan.limit {
            break;
        }
        // After one that failed, the same is tried again: the one that runs would be nothing to deploy.
        let next = 1 - running;
        let release = &releases[next];
        let begun = Instant::now();
        let failed_before = failed_payments();
        let ended = way.deploy(release);
        let done = Instant::now();
        let failed = match ended {
            Ok(ended) if ended.success => {
                running = next;
                None
            }
            Ok(ended) => Some(format!("{}: {}", ended.status, last_lines(&ended.said))),
            Err(error) => Some(error.to_string()),
        };
        crate::say(&format!(
            "{}: deploy {number} of {} took {:.1} s{}",
            way.name(),
            plan.deploys,
            (done - begun).as_secs_f64(),
            failed
                .as_ref()
                .map(|why| format!(" and failed: {why}"))
                .unwrap_or_default()
        ));
        deploys.push(Deploy {
            version: release.version,
            seconds: (done - begun).as_secs_f64(),
            failed,
            failed_requests: 0,
            stale_answers: 0,
        });
        times.push(Times {
            begun,
            done,
            failed_payments: failed_before,
        });
        std::thread::sleep(plan.pause);
    }
    (deploys, times)
}

/// Gives each deploy what was met from its begin to the next one's.
fn attribute(deploys: &mut [Deploy], times: &[Times], seen: &Seen, ended: Instant, failed_at_end: u64) {
    for (at, (deploy, span)) in deploys.iter_mut().zip(times).enumerate() {
        let (to, failed_after) = times
            .get(at + 1)
            .map_or((ended, failed_at_end), |next| (next.begun, next.failed_payments));
        deploy.failed_requests = failed_after.saturating_sub(span.failed_payments)
            + verdict::within(&seen.failed_questions, span.begun, to)
            + verdict::within(&seen.failed_handshakes, span.begun, to);
        // A deploy that failed did not say that the release runs.
        if deploy.failed.is_none() {
            deploy.stale_answers = verdict::stale(&seen.answers, deploy.version, span.done, to);
        }
    }
}

/// Returns the last lines of what a program said, in one.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

fn await_answer(port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::Clients)?;
    wait("the system answers", || {
        runtime.block_on(async {
            let answer = tokio::time::timeout(Duration::from_secs(1), clients::version(port));
            matches!(answer.await, Ok(Ok(_)))
        })
    })
}

fn wait(what: &'static str, is_it: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !is_it() {
        if begun.elapsed() > UP_MAX {
            return Err(Error::NotUp {
                what,
                seconds: UP_MAX.as_secs(),
            });
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Answer;

    #[test]
    fn what_fails_belongs_to_the_deploy_before_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let deploy = |version, failed: Option<&str>| Deploy {
            version,
            seconds: 1.0,
            failed: failed.map(str::to_owned),
            failed_requests: 0,
            stale_answers: 0,
        };
        let times = |begun, done, failed_payments| Times {
            begun: at(begun),
            done: at(done),
            failed_payments,
        };
        let answer = |ms| Answer {
            sent: at(ms),
            at: at(ms),
            pid: 1,
            version: "a".to_owned(),
        };
        let seen = Seen {
            answers: vec![answer(50), answer(150), answer(250), answer(350)],
            failed_questions: vec![at(120), at(310)],
            failed_handshakes: vec![at(320)],
            ..Seen::default()
        };
        let mut deploys = [deploy("b", None), deploy("b", Some("exit status: 4"))];
        attribute(
            &mut deploys,
            &[times(100, 200, 0), times(300, 340, 4)],
            &seen,
            at(400),
            9,
        );
        assert_eq!((deploys[0].failed_requests, deploys[0].stale_answers), (5, 1));
        assert_eq!((deploys[1].failed_requests, deploys[1].stale_answers), (7, 0));
    }

    #[test]
    fn a_failure_is_told_by_the_last_lines() {
        assert_eq!(last_lines("a\n\nb\nc\n d\n"), "b; c;  d");
        assert_eq!(last_lines(""), "");
    }
}
