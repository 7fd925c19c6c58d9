//! Follows one target from when it is found until it is gone: waits, asks, hands the answer to `round`. Knows of other targets only that so
//! many may be asked at once.

use std::sync::Arc;
use std::time::Duration;

use tend_base::{Clock, SystemClock};
use tend_metrics::{Feed, MetricStore};
use tokio::time::{Instant, sleep, timeout};

use crate::ask::ask;
use crate::error::ScrapeError;
use crate::gather::Gather;
use crate::pool::{Asking, Entry};
use crate::round::{Body, Taken, take};
use crate::schedule::Schedule;
use crate::scraper::Shared;
use crate::target::Target;
use crate::view::{Health, LastScrape};

/// A body above this is read on a thread of its own, so that other targets need not wait for it: about a millisecond's work.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// What a round needs to know, as it was when the round began.
struct Plan {
    target: Target,
    asking: Arc<Asking>,
    too_many: Option<usize>,
    forget: bool,
    due_ms: i64,
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemClock.now().wall.0).unwrap_or(i64::MAX)
}

/// Asks a target whenever it is due, until it is gone; then its series end.
pub(crate) async fn follow(shared: Arc<Shared>, entry: Arc<Entry>) {
    let labels = entry.state().target.labels.clone();
    let mut feed = shared.store.feed(&labels, true);
    let mut gather: Option<Box<dyn Gather>> = None;
    let mut last_ms = i64::MIN;
    while wait(&entry).await {
        let Ok(_permit) = shared.asked.acquire().await else {
            return;
        };
        let Some(plan) = begin(&entry, &mut gather) else { break };
        let begun_ms = now_ms();
        let at_ms = plan.target.schedule(&entry.job).stamp(plan.due_ms, begun_ms);
        let begun = Instant::now();
        let answer = tokio::select! {
            answer = answer(&plan, gather.as_deref_mut()) => answer,
            () = gone(&entry) => break,
        };
        let seconds = begun.elapsed().as_secs_f64();
        if plan.forget {
            feed.forget();
        }
        feed.honor_timestamps(plan.asking.settings.honor_timestamps);
        let taken;
        (feed, taken) = round(&shared.store, feed, &plan.asking, answer, at_ms, seconds).await;
        last_ms = last_ms.max(at_ms);
        finish(&entry, &plan, &taken, begun_ms, seconds);
        shared.settled.notify_waiters();
    }
    shared.store.end(&mut feed, now_ms().max(last_ms.saturating_add(1)));
}

/// Waits until the target is due; says whether it is still there.
async fn wait(entry: &Entry) -> bool {
    loop {
        let left_ms = {
            let mut state = entry.state();
            if state.gone {
                return false;
            }
            let schedule = state.target.schedule(&entry.job);
            let now = now_ms();
            // Further away than an interval is never what was meant: the clock was set back.
            if state.due_ms - now > state.target.interval_ms {
                state.due_ms = schedule.after(now);
            }
            schedule.wait(state.due_ms, now)
        };
        tokio::select! {
            () = sleep(Duration::from_millis(left_ms)) => return !entry.state().gone,
            () = entry.changed.notified() => {}
        }
    }
}

async fn gone(entry: &Entry) {
    while !entry.state().gone {
        entry.changed.notified().await;
    }
}

/// Takes up what was changed from outside; nothing where the target is gone.
fn begin(entry: &Entry, gather: &mut Option<Box<dyn Gather>>) -> Option<Plan> {
    let mut state = entry.state();
    if state.gone {
        return None;
    }
    if let Some(given) = state.gather.take() {
        *gather = Some(given);
    }
    Some(Plan {
        target: state.target.clone(),
        asking: Arc::clone(&state.asking),
        too_many: state.too_many,
        forget: std::mem::take(&mut state.forget),
        due_ms: state.due_ms,
    })
}

async fn answer(plan: &Plan, gather: Option<&mut (dyn Gather + 'static)>) -> Result<Body, ScrapeError> {
    let settings = &plan.asking.settings;
    if let (Some(targets), Some(limit)) = (plan.too_many, settings.limits.targets) {
        return Err(ScrapeError::TooManyTargets { targets, limit });
    }
    let timeout_ms = plan.target.timeout_ms;
    if !plan.target.built_in {
        return ask(&plan.asking.client, settings, &plan.target.url, timeout_ms).await;
    }
    let Some(gather) = gather else {
        let why = "no collector was given".to_owned();
        return Err(ScrapeError::Gather { why });
    };
    let within = Duration::from_millis(timeout_ms.unsigned_abs());
    match timeout(within, gather.gather()).await {
        Ok(Ok(text)) if text.len() as u64 > settings.limits.body_bytes => Err(ScrapeError::TooLarge {
            limit: settings.limits.body_bytes,
        }),
        Ok(Ok(text)) => Ok(Body {
            bytes: text.into_bytes(),
            format: tend_exposition::Format::Text,
        }),
        Ok(Err(why)) => Err(ScrapeError::Gather { why }),
        Err(_) => {
            let why = format!("it took longer than {}", tend_base::format_duration(within));
            Err(ScrapeError::Gather { why })
        }
    }
}

/// Hands the answer to the store: a small one here, a large one on a thread where it holds nobody up.
async fn round(
    store: &Arc<MetricStore>,
    mut feed: Feed,
    asking: &Arc<Asking>,
    answer: Result<Body, ScrapeError>,
    at_ms: i64,
    seconds: f64,
) -> (Feed, Taken) {
    let (store, asking) = (Arc::clone(store), Arc::clone(asking));
    let size = answer.as_ref().map_or(0, |body| body.bytes.len());
    let work = move || {
        let taken = take(&store, &mut feed, &asking, answer, at_ms, seconds);
        (feed, taken)
    };
    if size <= INLINE_BYTES_MAX {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It is not cancelled, so it panicked; so does this task, and with it the process.
        Err(gone) => std::panic::resume_unwind(gone.into_panic()),
    }
}

/// Notes how it went, and when the next one is due.
fn finish(entry: &Entry, plan: &Plan, taken: &Taken, begun_ms: i64, seconds: f64) {
    let mut state = entry.state();
    state.last = LastScrape {
        health: if taken.error.is_none() {
            Health::Up
        } else {
            Health::Down
        },
        at_ms: Some(begun_ms),
        seconds,
        error: taken.error.as_ref().map_or(String::new(), ScrapeError::with_causes),
        hint: taken.error.as_ref().map_or("", ScrapeError::hint),
        note: taken.note(),
        samples: taken.samples,
        kept: taken.kept,
        bad_lines: taken.bad,
    };
    // Where the interval was changed meanwhile, the new one's moment stands already.
    if state.due_ms == plan.due_ms {
        let schedule: Schedule = state.target.schedule(&entry.job);
        state.due_ms = schedule.next(plan.due_ms, begun_ms, now_ms());
    }
}
