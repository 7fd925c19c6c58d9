//! Sends the client elsewhere where the route says so.

use super::Admission;
use crate::exchange::{Asked, Exchange};

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let answer = exchange.route()?.content.redirect(asked)?;
    Some(Admission::Answer(Box::new(answer)))
}
