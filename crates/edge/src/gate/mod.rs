//! What becomes of a request before any replica is asked: each gate lets it pass, lets it wait, or answers.
//!
//! Gates stand in a fixed order, the cheapest refusals first; one that lets a request wait is not asked again. A gate decides by
//! the rules of the route ([`crate::live::LiveRoute`]) and what the request says; what it counts it keeps where all threads find it.

mod access;
mod bans;
mod certificate;
mod challenges;
mod cors;
mod files;
mod https;
mod in_flight;
mod maintenance;
pub(crate) mod money;
mod pause;
mod rates;
mod redirect;

use std::pin::Pin;

pub(crate) use pause::Pauses;

use crate::answer::OwnAnswer;
use crate::exchange::{Asked, Exchange};

/// What an engine does with a request.
pub(crate) enum Admission {
    /// A replica is asked: [`Exchange::next`].
    Forward,
    /// The edge answers by itself. What follows of the request's body is read and dropped, within bounds, or the connection ends.
    Answer(Box<OwnAnswer>),
    /// The whole body is read, 413 where it is larger than this; then what [`money::carry`] gives is answered.
    Collect { bytes_max: u64 },
    /// Nothing yet: what this gives is answered, or, when it gives nothing, [`Exchange::admit`] is asked again.
    Wait(Pin<Box<dyn Future<Output = Option<Box<OwnAnswer>>>>>),
}

/// A gate, and whether it lets the request pass.
type Gate = fn(&mut Exchange, &Asked<'_>) -> Option<Admission>;

const GATES: [Gate; 13] = [
    bans::ask,
    challenges::ask,
    https::ask,
    access::ask,
    certificate::ask,
    maintenance::ask,
    pause::ask,
    rates::ask,
    in_flight::ask,
    redirect::ask,
    cors::ask,
    files::ask,
    money::ask,
];

/// Asks the gates that were not asked yet.
pub(crate) fn admit(exchange: &mut Exchange, asked: &Asked<'_>) -> Admission {
    while let Some(gate) = GATES.get(exchange.gates_passed) {
        exchange.gates_passed += 1;
        if let Some(admission) = gate(exchange, asked) {
            return admission;
        }
    }
    Admission::Forward
}

/// Says that the edge answers this.
fn refuse(code: crate::answer::ErrorCode) -> Option<Admission> {
    Some(Admission::Answer(Box::new(OwnAnswer::refusal(code))))
}
