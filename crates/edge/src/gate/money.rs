//! Routes that move money: a request with an idempotency key is sent once, and callbacks are kept while their service is away.
//!
//! ```text
//!  key ──► begin ──┬─ first ──► key on disk ──► replica ──► answer on disk ──► client
//!                  ├─ answered before ─────────────────► the same answer again
//!                  ├─ under way ──► wait, ask again ───► 409 when that takes too long
//!                  ├─ in doubt ────────────────────────► 409, outcome unknown
//!                  └─ another request ─────────────────► 422
//! ```
//!
//! Once begun, a request is carried to its end on a task of its own, whether its client is still there or not: a client that hangs up
//! leaves no doubt behind. What is decided stands in `tend_money::decide`; what an answer means to the edge, here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tend_base::{Clock, SystemClock};
use tend_core::model::Spool;
use tend_money::{Answer, Begun, Callback, Claim, Kept, Key, KeyFault, RequestHash, read_key};

use super::{Admission, maintenance, refuse};
use crate::answer::{ErrorCode, OwnAnswer, OwnBody};
use crate::call::{BufferedAnswer, BufferedRequest};
use crate::engine;
use crate::exchange::{Asked, Exchange};
use crate::live::LiveMoney;

/// How often it is looked whether the first request with a key was answered: soon at first, then less and less.
const LOOK_FIRST: Duration = Duration::from_millis(5);
const LOOK_LATER: Duration = Duration::from_millis(250);

/// Says of a callback which it is, the same on every delivery.
pub(crate) const DELIVERY_ID: &str = "x-tend-delivery-id";

/// Says of a request that was not answered by a replica what became of it.
const OUTCOME: &str = "x-tend-outcome";

/// What becomes of a request once its body is there.
pub(crate) enum Errand {
    /// It has a key.
    Keyed { money: Arc<LiveMoney>, key: Key },
    /// It is a callback that is kept where it cannot be delivered.
    Callback { money: Arc<LiveMoney> },
}

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let route = exchange.route()?;
    let money = route.money.clone()?;
    let rules = &money.rules;
    if let Some(spool) = &rules.spool
        && is_callback(spool, asked)
    {
        let bytes_max = spool.bytes_max;
        exchange.errand = Some(Box::new(Errand::Callback { money }));
        return Some(Admission::Collect { bytes_max });
    }
    // What is idempotent by its method needs no key: doing it twice is doing it once.
    if exchange.is_idempotent() {
        return None;
    }
    let mut keys = Vec::new();
    (asked.fields)(&rules.key_header, &mut |value| {
        keys.push(read_key(value));
        false
    });
    let key = match keys.as_slice() {
        [] if rules.key_required => return refuse(ErrorCode::KeyMissing),
        [] => return None,
        [Ok(key)] => key.clone(),
        [Err(KeyFault::Empty | KeyFault::TooLong | KeyFault::Character)] | [_, _, ..] => {
            return refuse(ErrorCode::KeyMalformed);
        }
    };
    let mut account = String::new();
    if let Some(header) = &rules.account_header {
        (asked.fields)(header, &mut |value| {
            account = Key::account(value);
            true
        });
    }
    let key = Key {
        scope: money.scope.clone(),
        account,
        method: asked.method.to_owned(),
        path: asked.path.to_owned(),
        key,
    };
    let bytes_max = rules.request_bytes_max;
    exchange.errand = Some(Box::new(Errand::Keyed { money, key }));
    Some(Admission::Collect { bytes_max })
}

/// Says whether the request is a callback of a provider.
fn is_callback(spool: &Spool, asked: &Asked<'_>) -> bool {
    let signed = |header: &String| (asked.fields)(header, &mut |_| true);
    matches!(asked.method, "POST" | "PUT") && spool.signature_header.as_ref().is_none_or(signed)
}

/// Says whether the request is taken in though its route is closed or paused.
pub(super) fn is_kept(exchange: &Exchange, asked: &Asked<'_>) -> bool {
    let money = exchange.route().and_then(|route| route.money.as_ref());
    money
        .and_then(|money| money.rules.spool.as_ref())
        .is_some_and(|spool| is_callback(spool, asked))
}

/// Answers a request that was collected; its exchange comes back with the answer.
///
/// Not cancelled by being dropped: what was begun is carried to its end.
pub(crate) async fn carry(mut exchange: Exchange, request: BufferedRequest) -> (Exchange, OwnAnswer) {
    let open = exchange.worker().opened();
    let task = tokio::task::spawn_local(async move {
        let _open = open;
        let answer = match exchange.errand.take().map(|errand| *errand) {
            Some(Errand::Keyed { money, key }) => keyed(&mut exchange, &money, key, request).await,
            Some(Errand::Callback { money }) => callback(&mut exchange, &money, request).await,
            None => OwnAnswer::refusal(ErrorCode::NoRoute),
        };
        (exchange, answer)
    });
    match task.await {
        Ok(answered) => answered,
        // A bug there is one here: the connection ends, and the claim that was dropped is in doubt.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn keyed(exchange: &mut Exchange, money: &LiveMoney, key: Key, request: BufferedRequest) -> OwnAnswer {
    let shared = exchange.worker().shared.clone();
    let began = SystemClock.now().mono;
    let hash = RequestHash::of(&request.method, &request.target, &request.body);
    let mut look_after = LOOK_FIRST;
    let claim = loop {
        let request_id = exchange.request_id().to_owned();
        let begun = shared
            .vault
            .begin(key.clone(), hash, request_id, money.rules.upstream_idempotent)
            .await;
        match begun {
            Ok(Begun::Claimed(claim)) => break claim,
            Ok(Begun::Answered(answer)) => return replayed(answer),
            Ok(Begun::NotKept) => return OwnAnswer::refusal(ErrorCode::AnswerNotKept),
            Ok(Begun::InDoubt) => return unanswered(ErrorCode::KeyInDoubt, true),
            Ok(Begun::Reused) => return OwnAnswer::refusal(ErrorCode::KeyReused),
            Err(_) => return unanswered(ErrorCode::MoneyUnavailable, false),
            Ok(Begun::UnderWay) => {
                let left = money.rules.wait.saturating_sub(SystemClock.now().mono.since(began));
                if left.is_zero() {
                    return OwnAnswer::refusal(ErrorCode::KeyUnderWay);
                }
                tokio::time::sleep(look_after.min(left)).await;
                look_after = (look_after * 2).min(LOOK_LATER);
            }
        }
    };
    match engine::call(exchange, request).await {
        Ok(answer) => settle(exchange, money, claim, answer).await,
        Err(code) => {
            let arrived = exchange.may_have_arrived();
            // Where this cannot be written the key stays claimed: nobody sends it again before a person has looked.
            let _ = if arrived {
                shared.vault.doubt(claim, why(code)).await
            } else {
                shared.vault.release(claim).await
            };
            unanswered(code, arrived)
        }
    }
}

/// Writes the answer down; only then may anybody see it.
async fn settle(exchange: &Exchange, money: &LiveMoney, claim: Claim, answer: BufferedAnswer) -> OwnAnswer {
    let vault = &exchange.worker().shared.vault;
    if is_not_taken(answer.status) {
        let _ = vault.release(claim).await;
        return passed_on(answer);
    }
    let kept = answer.body.len() as u64 <= money.rules.answer_bytes_max;
    let record = Answer {
        status: answer.status,
        fields: answer.fields.clone(),
        body: kept.then(|| answer.body.to_vec()),
        replica: Some(answer.replica.clone()),
    };
    match vault.finish(claim, record, money.rules.window).await {
        Ok(()) => passed_on(answer),
        // It was carried out, and nothing would give the same answer again.
        Err(_) => unanswered(ErrorCode::KeyInDoubt, true),
    }
}

/// Says whether an answer means that the service did nothing and wants to be asked again: then it is no outcome. 425 says so by definition
/// (RFC 8470, 5.2), and 429 is what is said before a request is looked at; Stripe keeps no answer for it either. A key that was in doubt
/// before is in doubt again: this request was not taken, and of the earlier one nothing more is known.
fn is_not_taken(status: u16) -> bool {
    matches!(status, 425 | 429)
}

/// Says for a person why it is not known what became of a request.
fn why(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::UpstreamTimeout | ErrorCode::RequestOverdue => "the replica did not answer in time",
        ErrorCode::AnswerTooLarge => "the replica's answer was larger than can be held",
        _ => "the replica was lost before it had answered",
    }
}

/// Returns what stands for an answer that did not come.
fn unanswered(code: ErrorCode, may_have_arrived: bool) -> OwnAnswer {
    let mut answer = OwnAnswer::refusal(code);
    let outcome = if may_have_arrived { "unknown" } else { "not-sent" };
    answer.fields.push((OUTCOME.to_owned(), outcome.to_owned()));
    answer
}

fn texts(fields: Vec<(String, Vec<u8>)>) -> Vec<(String, String)> {
    fields
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect()
}

fn passed_on(answer: BufferedAnswer) -> OwnAnswer {
    let mut fields = texts(answer.fields);
    fields.push(("x-tend-replica".to_owned(), answer.replica));
    fields.push(("x-tend-incarnation".to_owned(), answer.incarnation.to_string()));
    OwnAnswer {
        status: answer.status,
        code: None,
        fields,
        body: OwnBody::Bytes(answer.body),
        close: false,
    }
}

fn replayed(answer: Answer) -> OwnAnswer {
    let mut fields = texts(answer.fields);
    fields.push(("idempotent-replayed".to_owned(), "true".to_owned()));
    if let Some(replica) = answer.replica {
        fields.push(("x-tend-replica".to_owned(), replica));
    }
    OwnAnswer {
        status: answer.status,
        code: None,
        fields,
        body: OwnBody::Bytes(Bytes::from(answer.body.unwrap_or_default())),
        close: false,
    }
}

/// Delivers a callback, or keeps it where that cannot be, or others wait before it.
async fn callback(exchange: &mut Exchange, money: &LiveMoney, mut request: BufferedRequest) -> OwnAnswer {
    let (Some(spool), Ok(delivery_id)) = (&money.rules.spool, tend_money::new_delivery_id()) else {
        return unanswered(ErrorCode::MoneyUnavailable, false);
    };
    let shared = exchange.worker().shared.clone();
    request
        .fields
        .push((DELIVERY_ID.to_owned(), delivery_id.clone().into_bytes()));
    let away = maintenance::is_closed_to(exchange) || exchange.is_paused() || !exchange.has_ready_replica();
    // What cannot be looked at is kept: then nothing can be delivered before what waits.
    if !away && matches!(shared.vault.any_waits(&money.route).await, Ok(false)) {
        // One that may have arrived is kept too: it is delivered at least once, and the service knows it by its id.
        if let Ok(answer) = engine::call(exchange, request.clone()).await {
            return passed_on(answer);
        }
    }
    let callback = Callback {
        route: money.route.clone(),
        delivery_id: delivery_id.clone(),
        listener: exchange.listener().to_string(),
        host: exchange.host().to_owned(),
        client: exchange.client().to_string(),
        method: request.method,
        target: request.target,
        fields: request.fields,
        body: request.body.to_vec(),
    };
    match shared.vault.keep(callback, spool.entries_max).await {
        Ok(Kept::Behind(_)) => OwnAnswer {
            status: spool.status,
            code: None,
            fields: vec![
                ("content-type".to_owned(), spool.content_type.clone()),
                (DELIVERY_ID.to_owned(), delivery_id),
            ],
            body: OwnBody::Bytes(Bytes::from(spool.body.clone())),
            close: false,
        },
        Ok(Kept::Full(_)) => OwnAnswer::refusal(ErrorCode::SpoolFull),
        Err(_) => unanswered(ErrorCode::MoneyUnavailable, exchange.may_have_arrived()),
    }
}
