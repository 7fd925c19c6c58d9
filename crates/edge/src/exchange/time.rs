//! How long a request may take: what its route says of each wait, of its answer, and of the whole of it.
//!
//! Knows no timer: engines are told when, and wait by themselves.

use std::sync::Arc;
use std::time::Duration;

use tend_base::{Clock, Mono, SystemClock};
use tend_routing::{Failure, Fields};

use super::Exchange;
use crate::limits::Patience;
use crate::live::UploadRule;

/// A stream of events as browsers take them.
const EVENTS: &[u8] = b"text/event-stream";

/// How an answer's body is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// For its next piece; for ever when absent.
    pub(crate) silence: Option<Duration>,
    /// It is a stream of events, which goes on for as long as both sides like.
    pub(crate) is_events: bool,
}

/// Whose fault it is that the whole of a request took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lateness {
    /// It did not, or that is not why the try failed.
    None,
    /// The replica had at least half of the time for itself.
    Replicas,
    /// The client's, or another replica's.
    Others,
}

impl Exchange {
    /// Notes that it waits, and that it goes on with what is served then; returns how long it has waited so far.
    pub(crate) fn pause(&mut self) -> Duration {
        let now = SystemClock.now().mono;
        self.outdated = true;
        if self.paused == Mono(0) {
            self.paused = now;
        }
        now.since(self.paused)
    }

    /// Returns how long each side is waited for. A replica is not waited for longer than the request may take.
    pub(crate) fn patience(&self) -> Patience {
        let mut patience = self.route().map_or(self.worker.patience, |route| route.patience);
        if let Some(until) = self.whole_until() {
            let left = until.since(SystemClock.mono());
            patience.connect = patience.connect.min(left);
            patience.answer = patience.answer.min(left);
        }
        patience
    }

    /// Returns how long a connection that changed its protocol is kept while nothing passes; for ever when absent.
    pub(crate) fn upgraded_idle(&self) -> Option<Duration> {
        self.route()?.policy.timeouts.upgraded_idle
    }

    /// Returns until when its answer has to be with the client; for ever when absent. A pause does not count: what waits in one is not to
    /// be lost.
    pub(crate) fn whole_until(&self) -> Option<Mono> {
        let whole = self.route()?.policy.timeouts.whole?;
        Some(self.began.mono + whole + self.held)
    }

    /// Returns how fast the client has to send the body.
    pub(crate) fn upload_rule(&self) -> Option<Arc<UploadRule>> {
        self.route()?.limits.upload()
    }

    /// Says how an answer with these fields is waited for.
    pub(crate) fn flow(&self, fields: &Fields<'_>) -> Flow {
        let Some(times) = self.route().map(|route| &route.policy.timeouts) else {
            return Flow::default();
        };
        if times.read.is_none() && times.events_idle.is_none() && times.whole.is_none() {
            return Flow::default();
        }
        let is_events = fields("content-type", &mut |value| {
            let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
            kind.trim_ascii().eq_ignore_ascii_case(EVENTS)
        });
        let events_idle = times.events_idle.filter(|_| is_events);
        Flow {
            silence: events_idle.or(times.read),
            is_events,
        }
    }

    /// Says whether a try failed at `now` because the request took too long as a whole, and whose fault that is. A client that sends
    /// slowly leaves a replica no time to answer in, and must not be able to have it ejected by that.
    pub(super) fn lateness(&self, why: Failure, now: Mono) -> Lateness {
        let is_late = matches!(why, Failure::HeadTimeout | Failure::ConnectTimeout);
        let Some(until) = self.whole_until().filter(|until| is_late && now >= *until) else {
            return Lateness::None;
        };
        let whole = until.since(self.began.mono + self.held);
        let took = self.try_began.map_or(Duration::ZERO, |began| now.since(began));
        if took >= whole / 2 {
            Lateness::Replicas
        } else {
            Lateness::Others
        }
    }
}
