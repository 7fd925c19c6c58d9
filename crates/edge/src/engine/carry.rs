//! Carries one request to a replica, to the next one if it may, and the answer back.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tend_base::SystemClock;
use tend_http1::{Http1Error, Length, Limits, RequestHead, Scan, Version};
use tend_routing::Failure;

use super::desk::{Desk, Things};
use super::download::{Cut, Download};
use super::head::{self, Framing};
use super::link::Link;
use super::own;
use super::pace::Pace;
use super::serve::{After, Client};
use super::tunnel::Tunnel;
use super::upload::{Stop, Upload, Way};
use crate::answer::{ErrorCode, OwnAnswer};
use crate::content::{ResponseView, Shape};
use crate::exchange::{Asked, Attempt, Exchange, Failed, Flow};
use crate::gate::{Admission, money};
use crate::limits::{Patience, RESPONSE_HEAD_BYTES_MAX};
use crate::worker::Worker;

/// Responses that are none yet, such as 103, before the one that counts.
const INTERIM_MAX: u32 = 16;

const LIMITS: Limits = Limits {
    head_bytes_max: RESPONSE_HEAD_BYTES_MAX,
    target_bytes_max: 0,
};

/// Why a request got no response.
enum Miss {
    /// The client did not send what it announced: nobody else is to blame.
    Client(ErrorCode),
    /// The client left.
    ClientGone,
    /// The replica failed.
    Replica(Failed),
}

impl From<Stop> for Miss {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Client(code) => Self::Client(code),
            Stop::ClientGone => Self::ClientGone,
        }
    }
}

/// Answers the request whose head was read, or refused.
pub(super) async fn carry(client: &mut Client, desk: &mut Desk, read: Result<(), Http1Error>) -> After {
    let (mut exchange, admission) = with_asked(client, &desk.request, |asked| {
        let mut exchange = Exchange::begin(&client.worker, asked);
        let admission = match read {
            Err(error) => Admission::Answer(Box::new(refusal(error))),
            Ok(()) => exchange.admit(asked),
        };
        (exchange, admission)
    });
    let mut upload = Upload::new(desk.request.length(), exchange.body_bytes_max());
    let admission = match admission {
        Admission::Wait(wait) => Box::pin(admit(client, desk, &mut exchange, wait)).await,
        decided => Ok(decided),
    };
    client.deadline.bind(exchange.whole_until());
    let refused = match admission {
        Err(Gone) => return After::Close,
        Ok(Admission::Answer(answer)) => Err(answer),
        Ok(Admission::Collect { bytes_max }) => {
            // Boxed, as all that is rare: connections that idle have no room for it.
            let held = Box::pin(held(client, desk, exchange, &mut upload, bytes_max)).await;
            let Some((now, answer)) = held else {
                return After::Close;
            };
            exchange = now;
            Err(answer)
        }
        Ok(_) if matches!(desk.request.length(), Length::Bytes(bytes) if bytes > exchange.body_bytes_max()) => {
            Err(own_box(ErrorCode::BodyTooLarge))
        }
        Ok(_) => match tries(client, desk, &mut exchange, &mut upload).await {
            Ok(answering) => Ok(answering),
            Err(Some(code)) => Err(own_box(code)),
            Err(None) => {
                exchange.passed(upload.bytes(), 0);
                return After::Close;
            }
        },
    };
    let answer = match refused {
        Err(answer) => answer,
        Ok((link, mut attempt)) => {
            exchange.answered(&mut attempt, desk.response.status());
            upload.settle(&mut desk.from_client);
            if desk.response.status() != 101 {
                match begin(client, desk, &exchange, &upload, &attempt) {
                    Ok(begun) => {
                        return respond(client, desk, &mut exchange, &mut upload, (link, &attempt), begun).await;
                    }
                    // What the replica says is not read: its connection ends.
                    Err(answer) => {
                        drop((link, attempt));
                        return own::answer(client, desk, &mut exchange, &mut upload, answer).await;
                    }
                }
            }
            if desk.request.upgrade().is_some() {
                let framing = Framing {
                    length: Length::None,
                    connection: Some("upgrade"),
                    shape: &Shape::default(),
                };
                write_head(client, desk, &exchange, &attempt, &framing);
                let linger = client.worker.patience.linger;
                return After::Tunnel(Box::new(Tunnel::new(desk, link, attempt, exchange, linger)));
            }
            // Nobody asked it to change the protocol: that is no answer.
            exchange.cut_by(&attempt.replica);
            drop(link);
            own_box(ErrorCode::UpstreamFailed)
        }
    };
    own::answer(client, desk, &mut exchange, &mut upload, answer).await
}

/// The client has left.
struct Gone;

/// Waits for a gate and asks the others, until they have decided.
async fn admit(
    client: &mut Client,
    desk: &mut Desk,
    exchange: &mut Exchange,
    mut wait: Pin<Box<dyn Future<Output = Option<Box<OwnAnswer>>>>>,
) -> Result<Admission, Gone> {
    loop {
        let waited = poll_fn(|cx| match wait.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending if has_left(cx, client, desk) => Poll::Ready(Err(Gone)),
            Poll::Pending => Poll::Pending,
        });
        if let Some(answer) = waited.await? {
            return Ok(Admission::Answer(answer));
        }
        match with_asked(client, &desk.request, |asked| exchange.admit(asked)) {
            Admission::Wait(next) => wait = next,
            decided => return Ok(decided),
        }
    }
}

/// Reads the whole request and has it answered; none when the client left before it had sent it.
async fn held(
    client: &mut Client,
    desk: &mut Desk,
    mut exchange: Exchange,
    upload: &mut Upload,
    bytes_max: u64,
) -> Option<(Exchange, Box<OwnAnswer>)> {
    match super::held::collect(client, desk, &exchange, upload, bytes_max).await {
        Ok(request) => {
            let (exchange, answer) = money::carry(exchange, request).await;
            Some((exchange, Box::new(answer)))
        }
        Err(Some(code)) => Some((exchange, own_box(code))),
        Err(None) => {
            exchange.passed(upload.bytes(), 0);
            None
        }
    }
}

fn own_box(code: ErrorCode) -> Box<OwnAnswer> {
    Box::new(OwnAnswer::refusal(code))
}

/// Calls `ask` with what is known of the request.
fn with_asked<T>(client: &Client, request: &RequestHead, ask: impl FnOnce(&Asked<'_>) -> T) -> T {
    let fields = head::asked_fields(request.fields());
    ask(&Asked {
        peer: client.peer,
        secure: client.stream.is_secure(),
        client_certificate: client.client_certificate.clone(),
        listener: client.listener,
        method: request.method(),
        version: match request.version() {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
        },
        host: request.host(),
        path: request.path(),
        target: request.target(),
        request_id: head::request_id(request),
        fields: &fields,
    })
}

/// Says why a request was not read.
fn refusal(error: Http1Error) -> OwnAnswer {
    let code = match error.status() {
        405 => ErrorCode::MethodNotAllowed,
        414 => ErrorCode::TargetTooLong,
        431 => ErrorCode::HeadTooLarge,
        501 => ErrorCode::MethodUnknown,
        505 => ErrorCode::VersionUnsupported,
        _ => ErrorCode::BadRequest,
    };
    OwnAnswer {
        // Where the next request begins is in doubt.
        close: true,
        ..OwnAnswer::refusal(code)
    }
}

/// Says whether the client has left; reads ahead what it sends meanwhile, as far as there is room.
///
/// A client that closes its side only is taken for one that leaves, as nginx and hyper do.
fn has_left(cx: &mut Context<'_>, client: &mut Client, desk: &mut Things) -> bool {
    while !desk.from_client.is_full() {
        match desk.from_client.poll_fill(cx, &mut client.stream) {
            Poll::Ready(Ok(read)) if read > 0 => {}
            Poll::Ready(_) => return true,
            Poll::Pending => return false,
        }
    }
    false
}

/// Gets the head of a response into `desk.response`. The error is the code to answer with, or none when the client has left.
async fn tries(
    client: &mut Client,
    desk: &mut Desk,
    exchange: &mut Exchange,
    upload: &mut Upload,
) -> Result<(Link, Attempt), Option<ErrorCode>> {
    let mut tell_continue = desk.request.expects_continue();
    let mut pace = Pace::new(exchange.upload_rule().filter(|_| !upload.is_over()));
    loop {
        let attempt = exchange.next().map_err(Some)?;
        let patience = exchange.patience();
        let link = connected(&client.worker, exchange, &attempt).await;
        let miss = match link {
            Err(why) => Miss::Replica(Failed::before_sending(why, upload.is_taken())),
            Ok(mut link) => {
                prepare(desk, exchange, &attempt, upload);
                if std::mem::take(&mut tell_continue) && !upload.is_over() && desk.from_client.is_empty() {
                    desk.to_client.end().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                match talk(client, desk, (&mut *upload, &mut pace), &mut link, &patience).await {
                    Ok(()) if exchange.asks_another(desk.response.status(), upload.is_taken()) => {
                        failed(Failure::Status, upload, &link)
                    }
                    Ok(()) => return Ok((link, attempt)),
                    Err(miss) => miss,
                }
            }
        };
        match miss {
            Miss::Client(code) => return Err(Some(code)),
            Miss::ClientGone => return Err(None),
            Miss::Replica(failed) => {
                if failed.reused {
                    client.worker.shop.pool.forget(&attempt.replica);
                }
                exchange.failed(attempt, failed).map_err(Some)?;
                upload.rewind();
            }
        }
    }
}

/// Returns a connection to the replica, kept or new.
pub(super) async fn connected(
    worker: &Rc<Worker>,
    exchange: &mut Exchange,
    attempt: &Attempt,
) -> Result<Link, Failure> {
    if let Some(link) = worker.shop.pool.take(&attempt.replica, !exchange.is_idempotent()) {
        exchange.connected(Duration::ZERO);
        return Ok(link);
    }
    let began = SystemClock.mono();
    let link = Box::pin(Link::connect(worker, &attempt.replica, exchange.patience())).await?;
    exchange.connected(SystemClock.mono().since(began));
    Ok(link)
}

/// Lays out a try.
fn prepare(desk: &mut Things, exchange: &Exchange, attempt: &Attempt, upload: &mut Upload) {
    desk.from_replica.clear();
    desk.trailers.clear();
    desk.scan = Scan::default();
    desk.to_replica.clear();
    head::request(desk.to_replica.end(), &desk.request, attempt.replica.host(), exchange);
    upload.join(&desk.from_client, &mut desk.to_replica);
}

/// Sends the request and waits for the head of the response; the body may not be over then.
async fn talk(
    client: &mut Client,
    desk: &mut Desk,
    (upload, pace): (&mut Upload, &mut Pace),
    link: &mut Link,
    patience: &Patience,
) -> Result<(), Miss> {
    let mut interim = 0;
    // For whom was waited, and how much had moved by then.
    let mut waited: Option<(bool, u64)> = None;
    poll_fn(|cx| {
        let desk = &mut **desk;
        if let Poll::Ready(Err(stop)) = poll_upload(cx, client, desk, upload, link) {
            return Poll::Ready(Err(stop.into()));
        }
        let mut miss = match poll_client_head(cx, desk, link, &mut interim) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(why)) => Some(failed(why, upload, link)),
            Poll::Pending => None,
        };
        if miss.is_none() {
            let told = desk.to_client.poll_flush(cx, &mut client.stream, |_| {});
            let gone = matches!(told, Poll::Ready(Err(_))) || upload.is_over() && has_left(cx, client, desk);
            miss = gone.then_some(Miss::ClientGone);
        }
        if miss.is_none() {
            let clients_turn = upload.waits_for_client();
            let now = (clients_turn, link.written());
            let deadlines = &client.worker.shop.deadlines;
            pace.note(clients_turn, deadlines.looked());
            if waited.replace(now) != Some(now) {
                let wait = if clients_turn { patience.body } else { patience.answer };
                client.deadline.set_until(deadlines, wait, pace.until(upload.bytes()));
            }
            if clients_turn && pace.is_too_slow(upload.bytes(), deadlines.looked()) {
                miss = Some(Miss::Client(ErrorCode::RequestTimeout));
            } else if client.deadline.has_passed(cx) {
                let is_overdue = client.deadline.is_overdue(deadlines);
                miss = Some(match (clients_turn, is_overdue) {
                    (true, true) => Miss::Client(ErrorCode::RequestOverdue),
                    (true, false) => Miss::Client(ErrorCode::RequestTimeout),
                    (false, _) => failed(Failure::HeadTimeout, upload, link),
                });
            }
        }
        miss.map_or(Poll::Pending, |miss| Poll::Ready(Err(miss)))
    })
    .await
}

fn failed(why: Failure, upload: &Upload, link: &Link) -> Miss {
    Miss::Replica(Failed {
        why,
        bytes_may_have_arrived: link.written() > 0,
        body_taken: upload.is_taken(),
        // What was answered says something about the replica, on whichever connection.
        reused: link.is_reused() && why != Failure::Status,
    })
}

fn poll_upload(
    cx: &mut Context<'_>,
    client: &mut Client,
    desk: &mut Things,
    upload: &mut Upload,
    link: &mut Link,
) -> Poll<Result<(), Stop>> {
    let mut way = Way {
        client: &mut client.stream,
        from_client: &mut desk.from_client,
        trailers: &mut desk.trailers,
    };
    upload.poll(cx, &mut way, link, &mut desk.to_replica)
}

/// Reads the head of the response to the request on the desk; those that are none yet are passed on where that is understood.
fn poll_client_head(
    cx: &mut Context<'_>,
    desk: &mut Things,
    link: &mut Link,
    interim: &mut u32,
) -> Poll<Result<(), Failure>> {
    let passes_interim = desk.request.version() == Version::Http11;
    let to_head = desk.request.method() == "HEAD";
    loop {
        match ready!(poll_head(cx, desk, link, interim, to_head))? {
            Heard::Last => return Poll::Ready(Ok(())),
            Heard::Interim if passes_interim => head::interim(desk.to_client.end(), &desk.response),
            Heard::Interim => {}
        }
    }
}

/// Which head of a response was read.
pub(super) enum Heard {
    /// One that is none yet and may be passed on; another follows.
    Interim,
    Last,
}

/// Reads until there is a head of a response in `desk.response`. A 100 is passed over, for the edge says that itself.
pub(super) fn poll_head(
    cx: &mut Context<'_>,
    desk: &mut Things,
    link: &mut Link,
    interim: &mut u32,
    to_head: bool,
) -> Poll<Result<Heard, Failure>> {
    loop {
        while !desk.from_replica.is_empty() {
            let read = desk
                .response
                .read(&mut desk.scan, desk.from_replica.filled(), &LIMITS, to_head);
            let Ok(read) = read else {
                return Poll::Ready(Err(Failure::Malformed));
            };
            let Some(bytes) = read else {
                desk.from_replica.grow(RESPONSE_HEAD_BYTES_MAX + 1);
                break;
            };
            desk.from_replica.consume(bytes);
            let status = desk.response.status();
            if status >= 200 || status == 101 {
                return Poll::Ready(Ok(Heard::Last));
            }
            *interim += 1;
            if *interim > INTERIM_MAX {
                return Poll::Ready(Err(Failure::Malformed));
            }
            desk.scan = Scan::default();
            if status != 100 {
                return Poll::Ready(Ok(Heard::Interim));
            }
        }
        match ready!(link.poll_fill(cx, &mut desk.from_replica)) {
            Ok(read) if read > 0 => {}
            _ => return Poll::Ready(Err(Failure::Closed)),
        }
    }
}

/// A response whose head is written.
struct Begun {
    download: Download,
    /// Nothing but the end of the connection tells the client where it ends.
    ends_by_close: bool,
    /// The connection goes on after it.
    keeps: bool,
    flow: Flow,
}

/// Writes the head of the response that is in `desk.response`; the answer is in place of it. What a response is shaped by is not held
/// while its body passes.
fn begin(
    client: &Client,
    desk: &mut Things,
    exchange: &Exchange,
    upload: &Upload,
    attempt: &Attempt,
) -> Result<Begun, Box<OwnAnswer>> {
    let mut shape = shape_of(exchange, desk);
    if let Some(answer) = shape.replace.take() {
        return Err(answer);
    }
    let encoder = shape.encoder.take();
    let old = desk.request.version() == Version::Http10;
    let length = match desk.response.length() {
        Length::None => Length::None,
        _ if encoder.is_some() && old => Length::UntilClose,
        _ if encoder.is_some() => Length::Chunked,
        Length::Chunked | Length::UntilClose if old => Length::UntilClose,
        Length::UntilClose => Length::Chunked,
        other => other,
    };
    // An answer that comes before the end of the request leaves the rest of that in the way of the next one.
    let is_whole = upload.is_over() && !upload.is_broken();
    let ends_by_close = length == Length::UntilClose;
    let keeps = is_whole && !ends_by_close && desk.request.keeps() && !client.worker.is_draining();
    let connection = match (keeps, old) {
        (false, _) => Some("close"),
        (true, true) => Some("keep-alive"),
        (true, false) => None,
    };
    let framing = Framing {
        length,
        connection,
        shape: &shape,
    };
    write_head(client, desk, exchange, attempt, &framing);
    Ok(Begun {
        download: Download::new(desk.response.length(), length == Length::Chunked, encoder),
        ends_by_close,
        keeps,
        flow: exchange.flow(&head::asked_fields(desk.response.fields())),
    })
}

/// Gives the client the response that was begun.
async fn respond(
    client: &mut Client,
    desk: &mut Desk,
    exchange: &mut Exchange,
    upload: &mut Upload,
    (mut link, attempt): (Link, &Attempt),
    begun: Begun,
) -> After {
    let Begun {
        mut download,
        ends_by_close,
        keeps,
        flow,
    } = begun;
    if flow.is_events {
        client.deadline.bind(None);
    }
    let stall = exchange.patience().stall;
    let outcome = pass(client, desk, upload, &mut download, &mut link, (stall, flow.silence)).await;
    exchange.passed(upload.bytes(), download.bytes());
    match outcome {
        Ok(()) => {}
        Err(Cut::Client) => {
            exchange.cut("client_cut");
            return After::Close;
        }
        Err(cut) => {
            match cut {
                Cut::Overdue => exchange.cut("request_overdue"),
                // Between two events may be any time: no replica is to blame.
                Cut::Silent if flow.is_events => exchange.cut("events_idle"),
                Cut::Silent => {
                    exchange.cut_by(&attempt.replica);
                    exchange.cut("upstream_silent");
                }
                Cut::Client | Cut::Replica => exchange.cut_by(&attempt.replica),
            }
            if ends_by_close && !flow.is_events {
                // Nothing else tells this client that it did not get all of it.
                client.stream.cut();
            }
            return After::Close;
        }
    }
    // A replica that is about to stop is not kept waiting for a connection that nobody will use.
    if desk.response.keeps()
        && upload.is_over()
        && !upload.is_broken()
        && desk.to_replica.is_empty()
        && desk.from_replica.is_empty()
        && !attempt.replica.is_emptying()
    {
        let shop = &client.worker.shop;
        shop.pool.give_back(&attempt.replica, link, shop.deadlines.looked());
    }
    if keeps {
        After::Next
    } else if upload.is_over() && desk.from_client.is_empty() {
        After::Close
    } else {
        After::Linger
    }
}

/// Says what is done to the response whose head is in `desk.response`.
fn shape_of(exchange: &Exchange, desk: &Things) -> Shape {
    let response = &desk.response;
    let announced = response.announced();
    exchange.shape(&ResponseView {
        status: response.status(),
        head_only: desk.request.method() == "HEAD",
        // As it is written: an answer to HEAD has one and no body.
        length: announced.and_then(|length| std::str::from_utf8(length).ok()?.parse().ok()),
        fields: &head::asked_fields(response.fields()),
    })
}

fn write_head(client: &Client, desk: &mut Things, exchange: &Exchange, attempt: &Attempt, framing: &Framing<'_>) {
    let date = &client.worker.shop.date;
    let out = desk.to_client.end();
    head::response(out, &desk.response, exchange, &attempt.replica, framing, date);
    desk.trailers.clear();
}

/// Passes on the response, and what is left of the request. The pair: how long the client may take nothing, and the replica send nothing.
async fn pass(
    client: &mut Client,
    desk: &mut Desk,
    upload: &mut Upload,
    download: &mut Download,
    link: &mut Link,
    (stall, silence): (Duration, Option<Duration>),
) -> Result<(), Cut> {
    // Who was waited for, and how far that side had come by then.
    let mut waited: Option<(bool, u64)> = None;
    client.deadline.clear();
    poll_fn(|cx| {
        let desk = &mut **desk;
        let Things {
            from_replica,
            to_client,
            trailers,
            ..
        } = desk;
        if let Poll::Ready(outcome) = download.poll(cx, &mut client.stream, link, from_replica, to_client, trailers) {
            return Poll::Ready(outcome);
        }
        let gone = if upload.is_over() {
            has_left(cx, client, desk)
        } else {
            matches!(poll_upload(cx, client, desk, upload, link), Poll::Ready(Err(_)))
        };
        if gone {
            return Poll::Ready(Err(Cut::Client));
        }
        let clients_turn = download.waits_for_client();
        let come = if clients_turn {
            download.written()
        } else {
            download.received()
        };
        if waited.replace((clients_turn, come)) != Some((clients_turn, come)) {
            let wait = if clients_turn { Some(stall) } else { silence };
            match wait {
                Some(wait) => client.deadline.set(&client.worker.shop.deadlines, wait),
                // A client may wait for its answer as long as it likes.
                None => client.deadline.clear(),
            }
        }
        if !client.deadline.is_set() || !client.deadline.has_passed(cx) {
            return Poll::Pending;
        }
        Poll::Ready(Err(if client.deadline.is_overdue(&client.worker.shop.deadlines) {
            Cut::Overdue
        } else if clients_turn {
            Cut::Client
        } else {
            Cut::Silent
        }))
    })
    .await
}
