//! Routes that move money.

use super::Admission;
use crate::answer::{OwnAnswer, OwnBody};
use crate::call::BufferedRequest;
use crate::engine;
use crate::exchange::{Asked, Exchange};

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let money = exchange.route()?.policy.money.as_ref()?;
    if exchange.is_idempotent() || !(asked.fields)(&money.key_header, &mut |_| true) {
        return None;
    }
    Some(Admission::Collect {
        bytes_max: money.request_bytes_max,
    })
}

/// Answers a request that was collected.
pub(crate) async fn carry(mut exchange: Exchange, request: BufferedRequest) -> (Exchange, OwnAnswer) {
    let answer = match engine::call(&mut exchange, request).await {
        Ok(answer) => OwnAnswer {
            status: answer.status,
            code: None,
            fields: answer
                .fields
                .into_iter()
                .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
                .collect(),
            body: OwnBody::Bytes(answer.body),
            close: false,
        },
        Err(code) => {
            let mut refusal = OwnAnswer::refusal(code);
            let outcome = if exchange.may_have_arrived() {
                "unknown"
            } else {
                "not-sent"
            };
            refusal.fields.push(("x-tend-outcome".to_owned(), outcome.to_owned()));
            refusal
        }
    };
    (exchange, answer)
}
