//! Delivers callbacks that were kept, in the order they came, once their service takes them again.
//!
//! One thread of one edge does it, the one that holds the lock; when that edge drains or dies, another takes the lock. What was
//! delivered and not yet written down when it died is delivered again, with the same id.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tend_money::{Delivery, ReplayLock};

use crate::answer::ErrorCode;
use crate::call::{BufferedAnswer, BufferedRequest};
use crate::engine;
use crate::exchange::{Asked, Exchange};
use crate::live::{Live, LiveMoney};
use crate::worker::Worker;

/// How often it is looked whether anything waits that can be delivered.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What could not be written down is tried again after this.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What became of a delivery.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// The service does not want it, and will not when it is asked again.
    Refused(String),
    /// It is tried again.
    Failed(String),
}

/// Begins to deliver on this thread, for as long as it serves.
pub(crate) fn start(worker: &Rc<Worker>) {
    let worker = worker.clone();
    tokio::task::spawn_local(async move {
        let mut lock: Option<Rc<ReplayLock>> = None;
        let busy: Rc<RefCell<HashSet<String>>> = Rc::default();
        while !worker.is_draining() {
            if worker.live().routes.iter().any(|route| spools(route.money.as_deref())) {
                if lock.is_none() {
                    lock = worker.shared.vault.try_replay().map(Rc::new);
                }
                if let Some(lock) = &lock {
                    for route in worker.shared.vault.routes_waiting().await.unwrap_or_default() {
                        if busy.borrow_mut().insert(route.clone()) {
                            deliver_all(worker.clone(), route, lock.clone(), busy.clone());
                        }
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
}

fn spools(money: Option<&LiveMoney>) -> bool {
    money.is_some_and(|money| money.rules.spool.is_some())
}

/// Delivers what waits of one route until nothing does, or nothing can be.
fn deliver_all(worker: Rc<Worker>, name: String, lock: Rc<ReplayLock>, busy: Rc<RefCell<HashSet<String>>>) {
    tokio::task::spawn_local(async move {
        let _lock = lock;
        let mut failures: u32 = 0;
        while !worker.is_draining() {
            let live = worker.live();
            let Some(money) = open_route(&live, &name) else { break };
            let vault = &worker.shared.vault;
            let Ok(Some(delivery)) = vault.next(&name).await else {
                break;
            };
            let seq = delivery.seq;
            let outcome = {
                // An edge that drains waits for this one.
                let _open = worker.opened();
                let outcome = deliver(&worker, &name, delivery).await;
                if outcome == Outcome::Taken {
                    while vault.delivered(seq).await.is_err() {
                        tokio::time::sleep(WRITE_AGAIN_AFTER).await;
                    }
                }
                outcome
            };
            let noted = match outcome {
                Outcome::Taken => {
                    failures = 0;
                    continue;
                }
                Outcome::Refused(why) => vault.refused(seq, why).await,
                Outcome::Failed(why) => {
                    failures = failures.saturating_add(1);
                    vault.failed(seq, why).await
                }
            };
            let Some(spool) = money.rules.spool.as_ref() else { break };
            if failures > 0 {
                let doubled = spool.retry_first.saturating_mul(1 << (failures - 1).min(20));
                tokio::time::sleep(doubled.min(spool.retry_max)).await;
            } else if noted.is_err() {
                tokio::time::sleep(WRITE_AGAIN_AFTER).await;
            }
        }
        busy.borrow_mut().remove(&name);
    });
}

/// Returns the rules of a route whose callbacks can be delivered now.
fn open_route(live: &Live, name: &str) -> Option<std::sync::Arc<LiveMoney>> {
    let (number, route) = live.route_named(name)?;
    let open = route.maintenance.is_none() && route.pause.is_none() && live.has_ready_replica(number);
    route.money.clone().filter(|money| open && spools(Some(money)))
}

async fn deliver(worker: &Rc<Worker>, name: &str, delivery: Delivery) -> Outcome {
    let callback = delivery.callback;
    let nowhere = || SocketAddr::from(([127, 0, 0, 1], 0));
    let request_id = callback
        .fields
        .iter()
        .find(|(name, _)| name == "x-request-id")
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    let asked = Asked {
        peer: callback
            .client
            .parse()
            .map_or_else(|_| nowhere(), |address| SocketAddr::new(address, 0)),
        secure: false,
        client_certificate: None,
        listener: callback.listener.parse().unwrap_or_else(|_| nowhere()),
        method: &callback.method,
        // How it came was not kept; it is sent so.
        version: "1.1",
        host: &callback.host,
        path: callback.target.split('?').next().unwrap_or_default(),
        target: &callback.target,
        request_id: request_id.as_deref(),
        fields: &|name, see| {
            let mut values = callback.fields.iter().filter(|(known, _)| known == name);
            values.any(|(_, value)| see(value))
        },
    };
    let Some(mut exchange) = Exchange::delivery(worker, &asked, name) else {
        return Outcome::Failed("its route is gone".to_owned());
    };
    let request = BufferedRequest {
        method: callback.method.clone(),
        target: callback.target.clone(),
        fields: callback.fields.clone(),
        body: callback.body.into(),
    };
    match engine::call(&mut exchange, request).await {
        Ok(answer) => judge(&answer),
        Err(code) => Outcome::Failed(failure(code)),
    }
}

fn failure(code: ErrorCode) -> String {
    format!("it was not answered ({})", code.as_str())
}

/// Says what an answer to a callback means: what the service could take later is tried again, what it will never take is not.
fn judge(answer: &BufferedAnswer) -> Outcome {
    match answer.status {
        200..=399 => Outcome::Taken,
        408 | 425 | 429 | 500.. => Outcome::Failed(format!("it was answered with {}", answer.status)),
        status => Outcome::Refused(format!("it was answered with {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_the_callback_is_tried_again() {
        let outcome = |status| {
            let answer = BufferedAnswer {
                status,
                fields: Vec::new(),
                body: Default::default(),
                replica: String::new(),
                incarnation: 0,
            };
            judge(&answer)
        };
        for status in [200, 204, 302] {
            assert_eq!(outcome(status), Outcome::Taken, "{status}");
        }
        for status in [408, 425, 429, 500, 503] {
            assert!(matches!(outcome(status), Outcome::Failed(_)), "{status}");
        }
        for status in [400, 401, 404, 422] {
            assert!(matches!(outcome(status), Outcome::Refused(_)), "{status}");
        }
    }
}
