//! Carries one request of HTTP/2 to a replica, to the next one if it may, and the answer back.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use tend_base::{Clock, SystemClock};
use tend_core::model::Protocol;

use super::body::{RequestBody, Source};
use super::fields;
use super::front::Client;
use super::link::{self, Head, Target};
use super::plain;
use super::pour::{Cut, Pieces, pour};
use crate::answer::{ErrorCode, OwnAnswer};
use crate::exchange::{Asked, Attempt, Exchange, Failed};
use crate::gate::Admission;
use crate::limits::Patience;

/// Why a try got no answer.
pub(super) enum Miss {
    /// The client did not send what it announced: nobody else is to blame.
    Client(ErrorCode),
    /// The replica failed.
    Replica(Failed),
}

/// Who kept us waiting.
pub(super) enum Late {
    Client,
    Replica,
}

/// Waits for the head of an answer while a body is sent: that may take as long as it takes while it moves; when it does not, it is one
/// side's fault.
pub(super) async fn wait_for<T>(
    mut answer: Pin<&mut impl Future<Output = T>>,
    body: &RequestBody,
    patience: &Patience,
) -> Result<T, Late> {
    let began = SystemClock.now().mono;
    let look = patience.body.min(patience.answer);
    let mut wait = look;
    loop {
        if let Ok(answer) = tokio::time::timeout(wait, answer.as_mut()).await {
            return Ok(answer);
        }
        let moved = body.moved().map_or(began, |moved| moved.max(began));
        let quiet = SystemClock.now().mono.since(moved);
        let clients_turn = body.is_awaited();
        let limit = if clients_turn { patience.body } else { patience.answer };
        if quiet < limit {
            wait = (limit - quiet).min(look);
        } else if clients_turn {
            return Err(Late::Client);
        } else {
            return Err(Late::Replica);
        }
    }
}

/// An answer of a replica whose body is still to come.
pub(super) type Answered = (http::response::Parts, Source);

/// The client has reset the request, or is gone.
struct Gone;

/// Answers one request.
pub(super) async fn answer(client: Rc<Client>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    // Boxed: it is most of the future, and only the box is moved.
    let outcome = Box::pin(carry(&client, request, &mut respond)).await;
    client.ended(outcome.is_err());
}

async fn carry(
    client: &Rc<Client>,
    request: Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Gone> {
    let (mut parts, stream) = request.into_parts();
    let request_id = fields::request_id(&parts.headers, || client.worker.random());
    let checked = fields::check(&parts).map(str::to_owned);
    let asked = Asked {
        peer: client.peer,
        secure: client.secure,
        client_certificate: client.client_certificate.clone(),
        listener: client.listener,
        method: parts.method.as_str(),
        host: checked.as_deref().unwrap_or(""),
        path: parts.uri.path(),
        target: parts.uri.path_and_query().map_or("*", |target| target.as_str()),
        request_id: request_id.to_str().unwrap_or("").to_owned(),
        fields: &|name, see| {
            let mut values = parts.headers.get_all(name).iter();
            values.any(|value| see(value.as_bytes()))
        },
    };
    let mut exchange = Exchange::begin(&client.worker, &asked);
    let head_only = parts.method == Method::HEAD;
    let refused = match &checked {
        Err(code) => Some(Box::new(OwnAnswer::refusal(*code))),
        Ok(_) => unless_reset(respond, admitted(&mut exchange, &asked)).await?,
    };
    let refused = refused.or_else(|| {
        let announced = parts
            .headers
            .get(header::CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse::<u64>()
            .ok()?;
        let too_large = announced > exchange.body_bytes_max();
        too_large.then(|| Box::new(OwnAnswer::refusal(ErrorCode::BodyTooLarge)))
    });
    if let Some(own) = refused {
        return give_own(exchange, *own, &request_id, head_only, respond).await;
    }
    let host = asked.host.to_owned();
    let body = RequestBody::received(stream, exchange.body_bytes_max());
    if !body.is_end() && parts.headers.contains_key(header::EXPECT) {
        let mut go_on = Response::new(());
        *go_on.status_mut() = StatusCode::CONTINUE;
        // A client that is gone is noticed below.
        let _ = respond.send_informational(go_on);
    }
    let trailers = fields::takes_trailers(&parts.headers);
    fields::to_upstream(&mut parts.headers, &host, &exchange, &request_id, false);
    let to = Destination { host, trailers };
    let fetched = unless_reset(respond, fetch(client, &mut exchange, &mut parts, &to, &body)).await?;
    let (mut head, mut source, attempt) = match fetched {
        Ok(fetched) => fetched,
        Err(code) => {
            exchange.passed(body.bytes(), 0);
            return give_own(exchange, OwnAnswer::refusal(code), &request_id, head_only, respond).await;
        }
    };
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked it to change the protocol: that is no answer.
        exchange.cut_by(&attempt.replica);
        let own = OwnAnswer::refusal(ErrorCode::UpstreamFailed);
        return give_own(exchange, own, &request_id, head_only, respond).await;
    }
    fields::to_client(&mut head.headers, &attempt.replica, &request_id, false);
    fields::apply(&mut head.headers, &exchange);
    let passed = give(head, &mut source, &mut exchange, respond).await;
    exchange.passed(body.bytes(), 0);
    match passed {
        Ok(()) => {
            // A replica that is about to stop is not kept waiting for a connection that nobody will use.
            source.complete(!attempt.replica.is_emptying());
            Ok(())
        }
        Err(Cut::Source) if body.failed().is_none() => {
            exchange.cut_by(&attempt.replica);
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        Err(cut) => gone(&mut exchange, cut, respond),
    }
}

/// Notes that the client, not the replica, ended it.
fn gone(exchange: &mut Exchange, cut: Cut, respond: &mut SendResponse<Bytes>) -> Result<(), Gone> {
    exchange.cut(if cut == Cut::Stalled {
        "client_stalled"
    } else {
        "client_cut"
    });
    respond.send_reset(Reason::CANCEL);
    Err(Gone)
}

/// Where a request goes, beside the replica.
struct Destination {
    host: String,
    /// The client takes trailers.
    trailers: bool,
}

/// Runs `work` unless the client resets the request.
async fn unless_reset<T>(respond: &mut SendResponse<Bytes>, work: impl Future<Output = T>) -> Result<T, Gone> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        respond.poll_reset(cx).map(|_| Err(Gone))
    })
    .await
}

/// Asks the gates; none when the request goes to a replica.
async fn admitted(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Box<OwnAnswer>> {
    loop {
        match exchange.admit(asked) {
            Admission::Forward => return None,
            Admission::Answer(answer) => return Some(answer),
            Admission::Wait(wait) => {
                let answer = wait.await;
                if answer.is_some() {
                    return answer;
                }
            }
        }
    }
}

/// Asks one replica after the other, as far as that is allowed.
async fn fetch(
    client: &Rc<Client>,
    exchange: &mut Exchange,
    parts: &mut Parts,
    to: &Destination,
    body: &RequestBody,
) -> Result<(http::response::Parts, Source, Attempt), ErrorCode> {
    loop {
        let mut attempt = exchange.next()?;
        match try_once(client, exchange, &attempt, parts, to, body).await {
            Ok((head, source)) => {
                exchange.answered(&mut attempt, head.status.as_u16());
                return Ok((head, source, attempt));
            }
            Err(Miss::Client(code)) => return Err(code),
            Err(Miss::Replica(failed)) => {
                if failed.reused {
                    client.worker.upstreams.plain.forget(&attempt.replica);
                }
                exchange.failed(attempt, failed)?;
            }
        }
    }
}

async fn try_once(
    client: &Rc<Client>,
    exchange: &mut Exchange,
    attempt: &Attempt,
    parts: &Parts,
    to: &Destination,
    body: &RequestBody,
) -> Result<Answered, Miss> {
    let patience: Patience = exchange.patience();
    let certain = !exchange.is_idempotent();
    let replica = &attempt.replica;
    let mut headers = parts.headers.clone();
    match replica.protocol {
        Protocol::Http1 => {
            fields::for_plain(&mut headers);
            let (mut lease, took) = plain::Lease::get(&client.worker, replica, certain, &patience)
                .await
                .map_err(|why| Miss::Replica(Failed::before_sending(why, body.is_taken())))?;
            exchange.connected(took);
            if !body.is_end() && !headers.contains_key(header::CONTENT_LENGTH) {
                // Said explicitly, because hyper sends no body of unknown length with a GET otherwise.
                headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            let mut request = Request::new(body.clone());
            *request.method_mut() = parts.method.clone();
            *request.uri_mut() = fields::origin_form(&parts.uri);
            *request.headers_mut() = headers;
            let (head, incoming) = lease.send(request, body, &patience).await?.into_parts();
            Ok((head, Source::Plain { incoming, lease }))
        }
        Protocol::Http2 => {
            fields::for_linked(&mut headers, to.trailers);
            let target = Target::of(replica);
            let (guard, took) = link::get(&client.worker, target, certain, &patience)
                .await
                .map_err(|why| Miss::Replica(Failed::before_sending(why, body.is_taken())))?;
            exchange.connected(took);
            let head = Head {
                method: &parts.method,
                host: &to.host,
                uri: &parts.uri,
                headers,
            };
            link::send(guard, head, body, &patience).await
        }
    }
}

/// Gives the client an answer, head and body.
async fn give(
    mut head: http::response::Parts,
    source: &mut Source,
    exchange: &mut Exchange,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Cut> {
    fields::date(&mut head.headers);
    head.version = Version::HTTP_2;
    let last = source.is_end();
    let response = Response::from_parts(head, ());
    let mut taker = respond.send_response(response, last).map_err(|_| Cut::Taker)?;
    if last {
        return Ok(());
    }
    let stall = exchange.patience().stall;
    pour(source, &mut taker, stall, |bytes| exchange.passed(0, bytes)).await
}

/// Gives the client an answer of the edge.
async fn give_own(
    mut exchange: Exchange,
    own: OwnAnswer,
    request_id: &HeaderValue,
    head_only: bool,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Gone> {
    exchange.answered_by_edge(&own);
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(own.status).unwrap_or_default();
    let (mut head, ()) = response.into_parts();
    for (name, value) in &own.fields {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            head.headers.append(name, fields::value_of(value));
        }
    }
    fields::apply(&mut head.headers, &exchange);
    if let Some(code) = own.code {
        head.headers
            .insert(fields::X_TEND_ERROR, HeaderValue::from_static(code.as_str()));
    }
    head.headers.insert(fields::X_REQUEST_ID, request_id.clone());
    let mut source = Source::own(own.body);
    if let Some(length) = source.length().filter(|_| own.status != 204 && own.status != 304) {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if head_only {
        source = Source::Own(Bytes::new());
    }
    match give(head, &mut source, &mut exchange, respond).await {
        Ok(()) => Ok(()),
        // A file that became shorter than was announced.
        Err(Cut::Source) => {
            exchange.cut("file_cut");
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        Err(cut) => gone(&mut exchange, cut, respond),
    }
}
