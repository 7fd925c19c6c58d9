//! Answers preflights of cross-origin requests where the route has rules for them.

use super::Admission;
use crate::exchange::{Asked, Exchange};

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let answer = exchange.route()?.content.preflight(exchange.wish(), asked)?;
    Some(Admission::Answer(Box::new(answer)))
}
