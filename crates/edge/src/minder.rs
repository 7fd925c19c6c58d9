//! Looks after servers beside the requests: asks outside servers whether they are well, and compares how the servers of a service answer.
//!
//! Runs on the control thread, so that nothing of it delays a request; what it finds goes into the records of the replicas, which the
//! serving threads look at anyway. A snapshot that changes none of its rules leaves it going, however often snapshots come.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tend_base::{Clock, SystemClock};
use tend_core::model::{ActiveCheck, Outlier, Protocol, ServiceId};
use tend_routing::{Availability, Failure, Sample, Verdict, Wellness, ejection_time, outliers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::AbortHandle;

use crate::engine;
use crate::live::{Live, Replica};
use crate::message::FromEdge;
use crate::worker::Shared;

/// What is looked after now.
pub(crate) struct Minder {
    shared: Arc<Shared>,
    live: Rc<RefCell<Arc<Live>>>,
    checks: HashMap<u64, (Check, AbortHandle)>,
    comparisons: HashMap<ServiceId, (Outlier, AbortHandle)>,
}

/// How a server is asked.
#[derive(Clone, PartialEq, Eq)]
struct Check {
    rules: ActiveCheck,
    protocol: Protocol,
}

impl Minder {
    pub(crate) fn new(shared: Arc<Shared>, live: Arc<Live>) -> Self {
        Self {
            shared,
            live: Rc::new(RefCell::new(live)),
            checks: HashMap::new(),
            comparisons: HashMap::new(),
        }
    }

    /// Looks after the servers of a snapshot from now on, as it says.
    pub(crate) fn follow(&mut self, live: Arc<Live>) {
        let mut checks = HashMap::new();
        let mut comparisons = HashMap::new();
        for service in &live.services {
            if let Some(rules) = &service.balance.check {
                let check = Check {
                    rules: rules.clone(),
                    protocol: service.balance.protocol,
                };
                for replica in service.ready() {
                    let kept = self.checks.remove(&replica.number);
                    let handle = keep_or(kept, &check, || {
                        tokio::task::spawn_local(ask_on(check.clone(), replica.clone(), self.shared.clone()))
                            .abort_handle()
                    });
                    checks.insert(replica.number, (check.clone(), handle));
                }
            }
            if let Some(rules) = &service.balance.outlier {
                let kept = self.comparisons.remove(&service.id);
                let handle = keep_or(kept, rules, || {
                    let (live, shared) = (self.live.clone(), self.shared.clone());
                    tokio::task::spawn_local(compare_on(service.id.clone(), rules.clone(), live, shared)).abort_handle()
                });
                comparisons.insert(service.id.clone(), (rules.clone(), handle));
            }
        }
        let old = std::mem::replace(&mut self.checks, checks);
        old.into_values().for_each(|(_, handle)| handle.abort());
        let old = std::mem::replace(&mut self.comparisons, comparisons);
        old.into_values().for_each(|(_, handle)| handle.abort());
        *self.live.borrow_mut() = live;
    }
}

impl Drop for Minder {
    fn drop(&mut self) {
        self.checks.values().for_each(|(_, handle)| handle.abort());
        self.comparisons.values().for_each(|(_, handle)| handle.abort());
    }
}

/// Returns the task that goes on where its rules are the same, and ends it and begins another where they are not.
fn keep_or<R: PartialEq>(
    kept: Option<(R, AbortHandle)>,
    rules: &R,
    begin: impl FnOnce() -> AbortHandle,
) -> AbortHandle {
    match kept {
        Some((before, handle)) if before == *rules => handle,
        Some((_, handle)) => {
            handle.abort();
            begin()
        }
        None => begin(),
    }
}

/// Asks a server again and again, and notes what it is taken for.
async fn ask_on(check: Check, replica: Arc<Replica>, shared: Arc<Shared>) {
    let mut wellness = Wellness::default();
    loop {
        let asking = tokio::time::timeout(check.rules.timeout, ask(&replica, &check));
        let passed = asking.await.unwrap_or(false);
        if let Some(well) = wellness.note(passed, &check.rules) {
            replica.is_well(well);
            let (id, incarnation) = (replica.id.clone(), replica.incarnation);
            shared.tell(if well {
                replica.comes(SystemClock.now().mono);
                FromEdge::Readmitted {
                    replica: id,
                    incarnation,
                }
            } else {
                FromEdge::Ejected {
                    replica: id,
                    incarnation,
                    why: Failure::Check,
                    detail: replica.trouble(Failure::Check),
                    lasts_ms: millis(check.rules.interval.saturating_mul(check.rules.passes)),
                }
            });
        }
        tokio::time::sleep(check.rules.interval).await;
    }
}

/// Asks a server once: over HTTP/1 for the path, over HTTP/2 only whether it takes a connection.
async fn ask(replica: &Replica, check: &Check) -> bool {
    let Ok(mut stream) = engine::reach(replica, check.rules.timeout).await else {
        return false;
    };
    if check.protocol == Protocol::Http2 {
        return true;
    }
    let path = &check.rules.path;
    let host = replica
        .host()
        .map_or_else(|| replica.address.to_string(), str::to_owned);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tend-edge\r\nConnection: close\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() || stream.flush().await.is_err() {
        return false;
    }
    // `HTTP/1.1 200` is all that has to be known; the rest is not waited for.
    let mut begins = [0; 12];
    if stream.read_exact(&mut begins).await.is_err() {
        return false;
    }
    begins.starts_with(b"HTTP/1.")
        && begins[8] == b' '
        && matches!(&begins[9..], [b'2' | b'3', b'0'..=b'9', b'0'..=b'9'])
}

/// Compares the servers of a service again and again.
async fn compare_on(id: ServiceId, rules: Outlier, live: Rc<RefCell<Arc<Live>>>, shared: Arc<Shared>) {
    let mut before: HashMap<u64, (u64, u64)> = HashMap::new();
    loop {
        tokio::time::sleep(rules.interval).await;
        let live = live.borrow().clone();
        if let Some(service) = live.services.iter().find(|service| service.id == id) {
            let servers: Vec<&Arc<Replica>> = service.proven().collect();
            compare(&servers, &rules, &mut before, &shared);
        }
    }
}

/// Compares what servers did since the last time, and leaves out who is much worse than the others.
fn compare(servers: &[&Arc<Replica>], rules: &Outlier, before: &mut HashMap<u64, (u64, u64)>, shared: &Shared) {
    let now = SystemClock.now().mono;
    let mut counted = HashMap::new();
    let samples: Vec<Sample> = servers
        .iter()
        .map(|server| {
            let (requests, failed) = server.requests_and_failures();
            counted.insert(server.number, (requests, failed));
            // One that is new did all it did since.
            let (requests_before, failed_before) = before.get(&server.number).copied().unwrap_or_default();
            let requests = requests - requests_before;
            Sample {
                requests,
                failed: (failed - failed_before).min(requests),
                ejected: server.availability(now) != Availability::Serving,
            }
        })
        .collect();
    *before = counted;
    let worse = outliers(&samples, rules);
    for (index, server) in servers.iter().enumerate() {
        let row = &server.outlier_row;
        if worse.contains(&index) {
            let lasts = ejection_time(rules, row.fetch_add(1, Ordering::Relaxed));
            if let Some(Verdict::Ejected { why, lasts }) =
                server.health(|health| health.leave_out(Failure::Outlier, lasts, now))
            {
                shared.tell(FromEdge::Ejected {
                    replica: server.id.clone(),
                    incarnation: server.incarnation,
                    why,
                    detail: None,
                    lasts_ms: millis(lasts),
                });
            }
        } else if !samples[index].ejected && samples[index].requests > 0 {
            // Each interval without fault takes back one doubling.
            let _ = row.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |row| row.checked_sub(1));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
