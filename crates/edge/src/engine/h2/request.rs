//! Carries one request of HTTP/2 to a replica, to the next one if it may, and the answer back.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use tend_core::model::Protocol;
use tend_routing::Failure;

use super::super::watch;
use super::body::{RequestBody, Source};
use super::coded::Encoded;
use super::fields;
use super::front::Client;
use super::link::{self, Head, Target};
use super::plain::{Interims, Plain};
use super::pour::{Cut, Pieces, Waits, pour};
use super::websocket::{self, Verdict};
use super::within::within;
use crate::answer::{ErrorCode, OwnAnswer};
use crate::call::BufferedRequest;
use crate::content::{ResponseView, Shape};
use crate::exchange::{Asked, Attempt, Exchange, Failed, Flow};
use crate::gate::{Admission, money};
use crate::limits::Patience;

/// Why a try got no answer.
pub(super) enum Miss {
    /// The client did not send what it announced: nobody else is to blame.
    Client(ErrorCode),
    /// The replica failed.
    Replica(Failed),
}

/// An answer of a replica whose body is still to come.
pub(super) type Answered = (http::response::Parts, Source);

/// The client has reset the request, or is gone.
struct Gone;

/// Answers one request. Not an `async fn`: what it is given would keep room beside what is made of it.
pub(super) fn answer(
    client: Rc<Client>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> impl Future<Output = ()> {
    watch(&client.worker);
    let (mut parts, stream) = request.into_parts();
    let opens_socket = websocket::opens(&mut parts, || client.worker.random());
    async move {
        let outcome = carry(&client, &parts, (stream, opens_socket), &mut respond).await;
        client.ended(outcome.is_err());
    }
}

async fn carry(
    client: &Rc<Client>,
    parts: &Parts,
    (stream, opens_socket): (RecvStream, bool),
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Gone> {
    let head_only = parts.method == Method::HEAD;
    let (mut exchange, admission, host) = admitted(client, parts, respond).await?;
    let admission = if opens_socket {
        websocket::admission(admission)
    } else {
        admission
    };
    let bytes_max = match admission {
        Admission::Collect { bytes_max } => bytes_max.min(exchange.body_bytes_max()),
        _ => exchange.body_bytes_max(),
    };
    let admission = match admission {
        Admission::Answer(_) => admission,
        _ if fields::announced(&parts.headers).is_some_and(|announced| announced > bytes_max) => {
            refusal(ErrorCode::BodyTooLarge)
        }
        _ => admission,
    };
    if let Admission::Answer(own) = admission {
        return give_own(exchange, *own, &parts.headers, head_only, respond).await;
    }
    let (body, socket) = if opens_socket {
        (RequestBody::none(), Some(stream))
    } else {
        (RequestBody::received(stream, bytes_max), None)
    };
    body.watch(exchange.upload_rule());
    if !body.is_end() && parts.headers.contains_key(header::EXPECT) {
        let mut go_on = Response::new(());
        *go_on.status_mut() = StatusCode::CONTINUE;
        // A client that is gone is noticed below.
        let _ = respond.send_informational(go_on);
    }
    let until = exchange.whole_until();
    if let Admission::Collect { .. } = admission {
        return Box::pin(held(exchange, parts, &host, body, respond)).await;
    }
    let to = Destination {
        host,
        trailers: fields::takes_trailers(&parts.headers),
        interims: Interims::default(),
    };
    let fetched = {
        // The deadlines in it, which know who is to blame, are late by two looks at most.
        let late = until.map(|until| until + 2 * client.worker.shop.deadlines.every());
        let fetching = pin!(fetch(client, &mut exchange, parts, &to, &body));
        unless_reset(respond, &to.interims, within(late, fetching)).await?
    };
    body.settle();
    let (mut head, mut source, attempt) = match fetched.unwrap_or(Err(ErrorCode::RequestOverdue)) {
        Ok(fetched) => fetched,
        Err(code) => {
            exchange.passed(body.bytes(), 0);
            return give_own(exchange, OwnAnswer::refusal(code), &parts.headers, head_only, respond).await;
        }
    };
    if let Some(stream) = socket {
        match websocket::verdict(&head, source, parts) {
            Verdict::Open(plain) => {
                // Boxed, for it is rare.
                Box::pin(websocket::begin(head, *plain, (attempt, exchange), stream, respond)).await;
                return Ok(());
            }
            Verdict::Mistakable => {
                drop(attempt);
                let own = OwnAnswer::refusal(ErrorCode::UpstreamFailed);
                return give_own(exchange, own, &parts.headers, head_only, respond).await;
            }
            Verdict::Refused(refusing) => source = refusing,
        }
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked it to change the protocol: that is no answer.
        exchange.cut_by(&attempt.replica);
        let own = OwnAnswer::refusal(ErrorCode::UpstreamFailed);
        return give_own(exchange, own, &parts.headers, head_only, respond).await;
    }
    let mut shape = shape_of(&exchange, &head, head_only);
    if let Some(own) = shape.replace.take() {
        // What the replica says is not read: its connection or stream ends.
        drop((source, attempt));
        exchange.passed(body.bytes(), 0);
        return give_own(exchange, *own, &parts.headers, head_only, respond).await;
    }
    fields::to_client(&mut head.headers, &attempt.replica, &exchange, &shape);
    let flow = exchange.flow(&asked_fields(&head.headers));
    let until = until.filter(|_| !flow.is_events);
    let passed = match shape.encoder.take() {
        None => within(until, pin!(give(head, &mut source, &mut exchange, flow, respond))).await,
        Some(encoder) => {
            let mut encoded = Encoded::new(&mut source, encoder);
            // Boxed: most answers are passed on as they are.
            within(
                until,
                Box::pin(give(head, &mut encoded, &mut exchange, flow, respond)).as_mut(),
            )
            .await
        }
    };
    let passed = passed.unwrap_or(Err(Cut::Overdue));
    exchange.passed(body.bytes(), 0);
    match passed {
        Ok(()) => {
            source.complete(&attempt.replica);
            Ok(())
        }
        Err(Cut::Source) if body.failed().is_none() => {
            exchange.cut_by(&attempt.replica);
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        Err(Cut::Overdue) => ended_late("request_overdue", &mut exchange, respond),
        // Between two events may be any time: no replica is to blame.
        Err(Cut::Silent) if flow.is_events => ended_late("events_idle", &mut exchange, respond),
        Err(Cut::Silent) => {
            exchange.cut_by(&attempt.replica);
            ended_late("upstream_silent", &mut exchange, respond)
        }
        Err(cut) => gone(&mut exchange, cut, respond),
    }
}

/// Reads the whole request, has it answered, and gives the client the answer.
async fn held(
    exchange: Exchange,
    parts: &Parts,
    host: &str,
    mut body: RequestBody,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Gone> {
    let head_only = parts.method == Method::HEAD;
    let patience = exchange.patience().body;
    let collected = {
        let collecting = pin!(body.collect(patience));
        let collecting = within(exchange.whole_until(), collecting);
        unless_reset(respond, &Interims::default(), collecting).await?
    };
    let (exchange, own) = match collected.unwrap_or(Err(ErrorCode::RequestOverdue)) {
        Err(code) => (exchange, OwnAnswer::refusal(code)),
        Ok(bytes) => {
            let request = BufferedRequest {
                method: parts.method.as_str().to_owned(),
                target: target(parts).to_owned(),
                fields: fields::to_be_held(parts.headers.clone(), host, &exchange),
                body: bytes,
            };
            money::carry(exchange, request).await
        }
    };
    let mut exchange = exchange;
    exchange.passed(body.bytes(), 0);
    give_own(exchange, own, &parts.headers, head_only, respond).await
}

pub(super) fn refusal(code: ErrorCode) -> Admission {
    Admission::Answer(Box::new(OwnAnswer::refusal(code)))
}

/// Returns path and query.
fn target(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("*", |target| target.as_str())
}

/// Looks at a value and says whether it has seen enough.
type See<'a> = dyn FnMut(&[u8]) -> bool + 'a;

/// Returns the fields of a head as rules ask for them: by name, in lower case.
fn asked_fields(headers: &HeaderMap) -> impl Fn(&str, &mut See<'_>) -> bool {
    |name, see| {
        let mut values = headers.get_all(name).iter();
        values.any(|value| see(value.as_bytes()))
    }
}

/// Says what is done to a replica's answer.
fn shape_of(exchange: &Exchange, head: &http::response::Parts, head_only: bool) -> Shape {
    exchange.shape(&ResponseView {
        status: head.status.as_u16(),
        head_only,
        length: fields::announced(&head.headers),
        fields: &asked_fields(&head.headers),
    })
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

/// Ends an answer that took too long.
fn ended_late(why: &'static str, exchange: &mut Exchange, respond: &mut SendResponse<Bytes>) -> Result<(), Gone> {
    exchange.cut(why);
    respond.send_reset(Reason::INTERNAL_ERROR);
    Ok(())
}

/// Where a request goes, beside the replica.
struct Destination {
    host: String,
    /// The client takes trailers.
    trailers: bool,
    interims: Interims,
}

/// Runs `work` unless the client resets the request; passes on what it gets of heads that are no answer yet.
async fn unless_reset<T>(
    respond: &mut SendResponse<Bytes>,
    interims: &Interims,
    work: impl Future<Output = T>,
) -> Result<T, Gone> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let done = work.as_mut().poll(cx);
        for interim in interims.take() {
            // A client that is gone is noticed below.
            let _ = respond.send_informational(Response::from_parts(interim, ()));
        }
        if let Poll::Ready(done) = done {
            return Poll::Ready(Ok(done));
        }
        respond.poll_reset(cx).map(|_| Err(Gone))
    })
    .await
}

/// Begins the exchange and asks the gates until they have decided; what comes last is the host.
async fn admitted(
    client: &Rc<Client>,
    parts: &Parts,
    respond: &mut SendResponse<Bytes>,
) -> Result<(Exchange, Admission, String), Gone> {
    let checked = fields::check(parts);
    let asked = Asked {
        peer: client.peer,
        secure: client.secure,
        client_certificate: client.client_certificate.clone(),
        listener: client.listener,
        method: parts.method.as_str(),
        version: "2.0",
        host: checked.unwrap_or_default(),
        path: parts.uri.path(),
        target: target(parts),
        request_id: fields::request_id(&parts.headers),
        fields: &asked_fields(&parts.headers),
    };
    let mut exchange = Exchange::begin(&client.worker, &asked);
    let host = asked.host.to_owned();
    if let Err(code) = checked {
        return Ok((exchange, refusal(code), host));
    }
    let admission = loop {
        match exchange.admit(&asked) {
            Admission::Wait(wait) => {
                if let Some(answer) = unless_reset(respond, &Interims::default(), wait).await? {
                    break Admission::Answer(answer);
                }
            }
            decided => break decided,
        }
    };
    Ok((exchange, admission, host))
}

/// Asks one replica after the other, as far as that is allowed.
async fn fetch(
    client: &Rc<Client>,
    exchange: &mut Exchange,
    parts: &Parts,
    to: &Destination,
    body: &RequestBody,
) -> Result<(http::response::Parts, Source, Attempt), ErrorCode> {
    loop {
        let mut attempt = exchange.next()?;
        match try_once(client, exchange, &attempt, parts, to, body).await {
            Ok((head, _)) if exchange.asks_another(head.status.as_u16(), body.is_taken()) => {
                let failed = Failed {
                    why: Failure::Status,
                    bytes_may_have_arrived: true,
                    body_taken: body.is_taken(),
                    reused: false,
                };
                exchange.failed(attempt, failed)?;
                body.rewind();
            }
            Ok((head, source)) => {
                exchange.answered(&mut attempt, head.status.as_u16());
                return Ok((head, source, attempt));
            }
            Err(Miss::Client(code)) => return Err(code),
            Err(Miss::Replica(failed)) => {
                if failed.reused {
                    client.worker.shop.pool.forget(&attempt.replica);
                }
                exchange.failed(attempt, failed)?;
                body.rewind();
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
    if attempt.replica.protocol == Protocol::Http1 {
        let (head, plain) = Plain::ask(exchange, attempt, (parts, &to.host), body, &to.interims).await?;
        return Ok((head, Source::Plain(plain)));
    }
    Box::pin(ask_linked(client, exchange, attempt, (parts, to), body)).await
}

/// Asks a replica of HTTP/2.
async fn ask_linked(
    client: &Rc<Client>,
    exchange: &mut Exchange,
    attempt: &Attempt,
    (parts, to): (&Parts, &Destination),
    body: &RequestBody,
) -> Result<Answered, Miss> {
    let patience: Patience = exchange.patience();
    let uri = match &*exchange.target() {
        same if same == target(parts) => parts.uri.clone(),
        rewritten => rewritten.parse().map_err(|_| Miss::Client(ErrorCode::BadRequest))?,
    };
    let mut headers = parts.headers.clone();
    fields::to_upstream(&mut headers, &to.host, exchange);
    fields::for_linked(&mut headers, to.trailers);
    let certain = !exchange.is_idempotent();
    let (guard, took) = link::get(&client.worker, &Target::of(&attempt.replica), certain, &patience)
        .await
        .map_err(|why| Miss::Replica(Failed::before_sending(why, body.is_taken())))?;
    exchange.connected(took);
    let head = Head {
        method: &parts.method,
        host: attempt.replica.host().unwrap_or(&to.host),
        uri: &uri,
        headers,
    };
    let (mut head, source) = link::send(&client.worker, guard, head, body, &patience).await?;
    fields::from_linked(&mut head.headers);
    Ok((head, source))
}

/// Gives the client an answer, head and body.
async fn give(
    mut head: http::response::Parts,
    source: &mut impl Pieces,
    exchange: &mut Exchange,
    flow: Flow,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Cut> {
    fields::date(&mut head.headers, exchange.began());
    head.version = Version::HTTP_2;
    let last = source.is_end();
    let response = Response::from_parts(head, ());
    let mut taker = respond.send_response(response, last).map_err(|_| Cut::Taker)?;
    if last {
        return Ok(());
    }
    let waits = Waits {
        stall: exchange.patience().stall,
        silence: flow.silence,
    };
    pour(source, &mut taker, waits, |bytes| exchange.passed(0, bytes)).await
}

/// Gives the client an answer of the edge. Boxed, as all that is rare: a request that is passed on has no room for it.
fn give_own<'a>(
    exchange: Exchange,
    own: OwnAnswer,
    asked: &'a HeaderMap,
    head_only: bool,
    respond: &'a mut SendResponse<Bytes>,
) -> Pin<Box<dyn Future<Output = Result<(), Gone>> + 'a>> {
    Box::pin(give_own_inline(exchange, own, asked, head_only, respond))
}

async fn give_own_inline(
    mut exchange: Exchange,
    mut own: OwnAnswer,
    asked: &HeaderMap,
    head_only: bool,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Gone> {
    exchange.answered_by_edge(&mut own, &asked_fields(asked));
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
    head.headers
        .insert(fields::X_REQUEST_ID, fields::once(exchange.request_id()));
    let mut source = Source::own(own.body);
    if let Some(length) = source.length().filter(|_| own.status != 204 && own.status != 304) {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if head_only {
        source = Source::Own(Bytes::new());
    }
    // Whatever is late is still told so; what takes its time is a file.
    let is_file = matches!(source, Source::File { .. });
    let until = exchange.whole_until().filter(|_| is_file);
    let given = within(
        until,
        pin!(give(head, &mut source, &mut exchange, Flow::default(), respond)),
    )
    .await;
    match given.unwrap_or(Err(Cut::Overdue)) {
        Ok(()) => Ok(()),
        Err(Cut::Overdue) => ended_late("request_overdue", &mut exchange, respond),
        // A file that became shorter than was announced.
        Err(Cut::Source) => {
            exchange.cut("file_cut");
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        Err(cut) => gone(&mut exchange, cut, respond),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how much room a request's future needs.
    fn size_of_future<F>(_: impl FnOnce(Rc<Client>, Request<RecvStream>, SendResponse<Bytes>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_takes_little_room() {
        // Measured when it was written, with some room; it was 6192 with all that is rare in it, and allocating that much each time
        // is slow.
        let size = size_of_future(answer);
        assert!(size <= 3000, "{size} bytes");
    }
}
