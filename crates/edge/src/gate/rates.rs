//! Lets a request pass, wait or not pass by the rates of its route.

use std::time::Duration;

use super::Admission;
use crate::answer::ErrorCode;
use crate::exchange::{Asked, Exchange};
use crate::live::Rated;

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let limits = &exchange.route()?.limits;
    if limits.has_no_rates() {
        return None;
    }
    match limits.rate(exchange.client(), asked.fields, exchange.began_ms()) {
        Rated::Admitted { wait_ms: 0 } => None,
        Rated::Admitted { wait_ms } => Some(Admission::Wait(Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            None
        }))),
        Rated::Refused { retry_ms, message } => {
            let answer = exchange.refusal(
                ErrorCode::RateLimited,
                message.as_deref(),
                Some(retry_ms.div_ceil(1000)),
            );
            Some(Admission::Answer(Box::new(answer)))
        }
    }
}
