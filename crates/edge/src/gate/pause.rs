//! A route that is paused: its requests wait, so many and so long, and go on when it is resumed, with what is served then.
//!
//! One that waits has asked no replica, so nothing is lost when a snapshot is swapped, and nothing is left when its client hangs up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Admission, money, refuse};
use crate::answer::{ErrorCode, OwnAnswer};
use crate::exchange::{Asked, Exchange};

/// How many requests wait at which route, over all threads and snapshots. Only asked while a route is paused.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Mutex<HashMap<Arc<str>, Arc<AtomicU32>>>);

/// A request that waits; its place is free again when it is dropped.
struct Place(Arc<AtomicU32>);

impl Pauses {
    fn enter(&self, route: Arc<str>, requests_max: u32) -> Option<Place> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Routes that are not paused any more leave no trace.
        waiting.retain(|_, count| Arc::strong_count(count) > 1);
        let count = waiting.entry(route).or_default();
        if count.fetch_add(1, Ordering::Relaxed) >= requests_max {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place(count.clone()))
    }

    /// Returns how many requests wait, at all routes.
    pub(crate) fn waiting(&self) -> u64 {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting
            .values()
            .map(|count| u64::from(count.load(Ordering::Relaxed)))
            .sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let route = exchange.route()?;
    let (pause, name) = (route.pause?, route.name.clone());
    if exchange.is_quiet() || money::is_kept(exchange, asked) {
        return None;
    }
    let Some(place) = exchange.worker().shared.pauses.enter(name, pause.requests_max) else {
        return refuse(ErrorCode::PausedFull);
    };
    let worker = exchange.worker().clone();
    let waited = exchange.pause();
    let wait_max = Duration::from_millis(pause.wait_max_ms).saturating_sub(waited);
    let (listener, host, path) = (asked.listener, asked.host.to_owned(), asked.path.to_owned());
    Some(Admission::Wait(Box::pin(async move {
        let _place = place;
        let mut over = std::pin::pin!(tokio::time::sleep(wait_max));
        loop {
            let mut swapped = std::pin::pin!(worker.swapped.notified());
            // A snapshot that comes between the question and the waiting would not be noticed.
            swapped.as_mut().enable();
            let live = worker.live();
            let route = live.table.find(listener, &host, &path).and_then(|found| found.route);
            if live.route(route).is_none_or(|route| route.pause.is_none()) {
                return None;
            }
            tokio::select! {
                () = &mut swapped => {}
                () = &mut over => return Some(Box::new(OwnAnswer::refusal(ErrorCode::PausedTooLong))),
            }
        }
    })))
}
