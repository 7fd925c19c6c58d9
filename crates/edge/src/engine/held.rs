//! Requests and answers that are held whole: a request's body is read to its end before anything is decided, and an answer's before
//! anybody sees it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tend_http1::{Fields, HeadWriter, Kind};
use tend_routing::Failure;
use tokio::io::AsyncWrite;

use super::carry::{Heard, connected, poll_head};
use super::deadline::Deadline;
use super::desk::{Desk, Things};
use super::download::{Cut, Download};
use super::head;
use super::link::Link;
use super::pace::Pace;
use super::serve::Client;
use super::upload::{Stop, Upload, Way};
use crate::answer::ErrorCode;
use crate::call::{ANSWER_BYTES_MAX, BufferedAnswer, BufferedRequest};
use crate::exchange::{Attempt, Exchange, Failed};
use crate::limits::Patience;
use crate::worker::Worker;

/// A larger body is not written in one call with its head.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// Reads the body of the request whose head is on the desk. The error is the code to answer with, or none when the client has left.
pub(super) async fn collect(
    client: &mut Client,
    desk: &mut Desk,
    exchange: &Exchange,
    upload: &mut Upload,
    bytes_max: u64,
) -> Result<BufferedRequest, Option<ErrorCode>> {
    let bytes_max = bytes_max.min(exchange.body_bytes_max());
    if upload.announced().is_some_and(|announced| announced > bytes_max) {
        return Err(Some(ErrorCode::BodyTooLarge));
    }
    if desk.request.expects_continue() && desk.from_client.is_empty() {
        desk.to_client.end().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let patience = exchange.patience();
    let mut body = Vec::new();
    let mut waited: Option<usize> = None;
    let mut pace = Pace::new(exchange.upload_rule());
    let outcome = poll_fn(|cx| {
        let Things {
            from_client,
            to_client,
            trailers,
            ..
        } = &mut **desk;
        if let Poll::Ready(Err(_)) = to_client.poll_flush(cx, &mut client.stream, |_| {}) {
            return Poll::Ready(Err(Stop::ClientGone));
        }
        let mut way = Way {
            client: &mut client.stream,
            from_client,
            trailers,
        };
        let taken = upload.poll_take(cx, &mut way, &mut |data| {
            let fits = (body.len() + data.len()) as u64 <= bytes_max;
            if fits {
                body.extend_from_slice(data);
            }
            fits
        });
        if let Poll::Ready(outcome) = taken {
            return Poll::Ready(outcome);
        }
        let deadlines = &client.worker.shop.deadlines;
        let bytes = body.len() as u64;
        pace.note(true, deadlines.looked());
        if waited.replace(body.len()) != Some(body.len()) {
            client.deadline.set_until(deadlines, patience.body, pace.until(bytes));
        }
        if pace.is_too_slow(bytes, deadlines.looked()) {
            return Poll::Ready(Err(Stop::Client(ErrorCode::RequestTimeout)));
        }
        if client.deadline.has_passed(cx) {
            let is_overdue = client.deadline.is_overdue(&client.worker.shop.deadlines);
            return Poll::Ready(Err(Stop::Client(if is_overdue {
                ErrorCode::RequestOverdue
            } else {
                ErrorCode::RequestTimeout
            })));
        }
        Poll::Pending
    })
    .await;
    client.deadline.clear();
    match outcome {
        Ok(()) => {}
        Err(Stop::Client(code)) => return Err(Some(code)),
        Err(Stop::ClientGone) => return Err(None),
    }
    Ok(BufferedRequest {
        method: desk.request.method().to_owned(),
        target: desk.request.target().to_owned(),
        fields: head::request_fields(&desk.request, exchange),
        body: Bytes::from(body),
    })
}

/// Returns the fields of a replica's answer without its framing and what it may not say.
fn answer_fields(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    head::response_fields(fields)
        .filter(|field| field.kind == Kind::Other && !field.name.eq_ignore_ascii_case(b"trailer"))
        .map(|field| (head::lower(field.name), field.value.to_vec()))
        .collect()
}

/// Gives a request that is held whole to a replica, to the next one if it may, and reads the answer to its end.
///
/// # Errors
/// Why there is no whole answer. Whether anything may have reached a replica is [`Exchange::may_have_arrived`].
pub(crate) async fn call(exchange: &mut Exchange, request: BufferedRequest) -> Result<BufferedAnswer, ErrorCode> {
    let worker = exchange.worker().clone();
    super::watch(&worker);
    let mut desk = worker.shop.desks.take();
    let mut caller = Caller {
        deadline: worker.shop.deadlines.add(),
        worker: worker.clone(),
    };
    caller.deadline.bind(exchange.whole_until());
    let answer = caller.tries(&mut desk, exchange, &request).await;
    worker.shop.desks.give(desk);
    answer
}

/// Why a try gave no answer.
enum Miss {
    /// Another replica may be asked.
    Replica(Failed),
    /// It answered, and the answer is nothing to pass on.
    Answer(ErrorCode),
}

/// Whoever calls without a client's connection.
struct Caller {
    worker: Rc<Worker>,
    deadline: Deadline,
}

impl Caller {
    async fn tries(
        &mut self,
        desk: &mut Desk,
        exchange: &mut Exchange,
        request: &BufferedRequest,
    ) -> Result<BufferedAnswer, ErrorCode> {
        loop {
            let mut attempt = exchange.next()?;
            match self.try_once(desk, exchange, &mut attempt, request).await {
                Ok(answer) => return Ok(answer),
                Err(Miss::Answer(code)) => return Err(code),
                Err(Miss::Replica(failed)) => {
                    if failed.reused {
                        self.worker.shop.pool.forget(&attempt.replica);
                    }
                    exchange.failed(attempt, failed)?;
                }
            }
        }
    }

    async fn try_once(
        &mut self,
        desk: &mut Desk,
        exchange: &mut Exchange,
        attempt: &mut Attempt,
        request: &BufferedRequest,
    ) -> Result<BufferedAnswer, Miss> {
        let patience = exchange.patience();
        let mut link = connected(&self.worker, exchange, attempt)
            .await
            .map_err(|why| Miss::Replica(Failed::before_sending(why, false)))?;
        let joined = lay_out(desk, request, attempt.replica.host(), &exchange.target());
        self.send(desk, request, joined, &mut link, &patience)
            .await
            .map_err(|why| {
                Miss::Replica(Failed {
                    why,
                    bytes_may_have_arrived: link.written() > 0,
                    // It is held: however much of it was sent, it can be sent again.
                    body_taken: false,
                    reused: link.is_reused(),
                })
            })?;
        let status = desk.response.status();
        if exchange.asks_another(status, false) {
            return Err(Miss::Replica(Failed {
                why: Failure::Status,
                bytes_may_have_arrived: true,
                body_taken: false,
                reused: false,
            }));
        }
        exchange.answered(attempt, status);
        if status == 101 {
            // Nobody asked for it: that is no answer.
            exchange.cut_by(&attempt.replica);
            return Err(Miss::Answer(ErrorCode::UpstreamFailed));
        }
        let body = match self.read_body(desk, &mut link, &patience).await {
            Ok(body) => body,
            Err(code) => {
                exchange.cut_by(&attempt.replica);
                return Err(Miss::Answer(code));
            }
        };
        let all_sent = desk.to_replica.is_empty() && link.written() >= request.body.len() as u64;
        if desk.response.keeps() && all_sent && desk.from_replica.is_empty() && !attempt.replica.is_emptying() {
            let shop = &self.worker.shop;
            shop.pool.give_back(&attempt.replica, link, shop.deadlines.looked());
        }
        let fields = answer_fields(desk.response.fields());
        Ok(BufferedAnswer::of(&attempt.replica, status, fields, body))
    }

    /// Sends the request and waits for the head of the answer.
    async fn send(
        &mut self,
        desk: &mut Desk,
        request: &BufferedRequest,
        joined: bool,
        link: &mut Link,
        patience: &Patience,
    ) -> Result<(), Failure> {
        let mut rest = if joined { &[][..] } else { &request.body[..] };
        let mut interim = 0;
        let mut waited: Option<u64> = None;
        let mut is_broken = false;
        poll_fn(|cx| {
            let desk = &mut **desk;
            if !is_broken {
                is_broken = matches!(poll_write_all(cx, desk, link, &mut rest), Poll::Ready(Err(_)));
            }
            while let Poll::Ready(heard) = poll_head(cx, desk, link, &mut interim, request.method == "HEAD") {
                if let Heard::Last = heard? {
                    return Poll::Ready(Ok(()));
                }
            }
            if waited.replace(link.written()) != Some(link.written()) {
                self.deadline.set(&self.worker.shop.deadlines, patience.answer);
            }
            if self.deadline.has_passed(cx) {
                return Poll::Ready(Err(Failure::HeadTimeout));
            }
            Poll::Pending
        })
        .await
    }

    async fn read_body(&mut self, desk: &mut Desk, link: &mut Link, patience: &Patience) -> Result<Bytes, ErrorCode> {
        let mut download = Download::new(desk.response.length(), false, None);
        let mut kept = Kept(Vec::new());
        let mut waited: Option<u64> = None;
        desk.to_client.clear();
        desk.trailers.clear();
        poll_fn(|cx| {
            let Things {
                from_replica,
                to_client,
                trailers,
                ..
            } = &mut **desk;
            if let Poll::Ready(outcome) = download.poll(cx, &mut kept, link, from_replica, to_client, trailers) {
                return Poll::Ready(outcome.map_err(|cut| match cut {
                    Cut::Client => ErrorCode::AnswerTooLarge,
                    Cut::Replica | Cut::Silent | Cut::Overdue => ErrorCode::UpstreamFailed,
                }));
            }
            if waited.replace(download.bytes()) != Some(download.bytes()) {
                self.deadline.set(&self.worker.shop.deadlines, patience.answer);
            }
            if self.deadline.has_passed(cx) {
                let is_overdue = self.deadline.is_overdue(&self.worker.shop.deadlines);
                return Poll::Ready(Err(if is_overdue {
                    ErrorCode::RequestOverdue
                } else {
                    ErrorCode::UpstreamTimeout
                }));
            }
            Poll::Pending
        })
        .await?;
        self.deadline.clear();
        Ok(Bytes::from(kept.0))
    }
}

/// Lays out a try; says whether the body is with the head.
///
/// The request has the client's target, which a key stands for and which is kept; what the replica is asked for is the route's to say, at
/// the time it is asked.
fn lay_out(desk: &mut Things, request: &BufferedRequest, host: Option<&str>, target: &str) -> bool {
    desk.from_replica.clear();
    desk.scan = tend_http1::Scan::default();
    desk.to_replica.clear();
    let out = desk.to_replica.end();
    let mut writer = HeadWriter::request(out, &request.method, target);
    for (name, value) in &request.fields {
        match host {
            Some(host) if name == "host" => writer.field(name, host.as_bytes()),
            _ => writer.field(name, value),
        };
    }
    writer.number("content-length", request.body.len() as u64).end();
    let joined = request.body.len() <= JOINED_BYTES_MAX;
    if joined {
        out.extend_from_slice(&request.body);
    }
    joined
}

fn poll_write_all(cx: &mut Context<'_>, desk: &mut Things, link: &mut Link, rest: &mut &[u8]) -> Poll<io::Result<()>> {
    ready!(link.poll_flush(cx, &mut desk.to_replica))?;
    while !rest.is_empty() {
        let written = ready!(link.poll_write(cx, rest))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *rest = &rest[written..];
    }
    Poll::Ready(Ok(()))
}

/// An answer's body where it is held, up to [`ANSWER_BYTES_MAX`].
struct Kept(Vec<u8>);

impl AsyncWrite for Kept {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.0.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        self.0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
