//! A request of HTTP/2 with a replica that speaks HTTP/1: on the connections and desks of the engine for HTTP/1, by its rules.
//!
//! The head is written anew from what `h2` took apart, the body framed anew, and the answer read by the same strict parser. Nothing is
//! read on either side that the other does not take: what waits here is at most what one call takes from a socket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::Method;
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::response;
use tend_http1::{FieldRef, HeadWriter, Kind, Length, write_chunk_size};
use tend_routing::Failure;

use super::super::buffer::Buffer;
use super::super::carry::{Heard, connected, poll_head};
use super::super::desk::Desk;
use super::super::head::{self, ATTESTED};
use super::super::link::Link;
use super::super::tunnel::Tunnel;
use super::body::RequestBody;
use super::fields;
use super::inlet::{From, Inlet};
use super::pour::{Broken, Piece, Pieces};
use super::request::Miss;
use super::websocket::Opening;
use crate::answer::ErrorCode;
use crate::exchange::{Attempt, Exchange, Failed};
use crate::live::Replica;
use crate::worker::Worker;

/// Responses that are none yet, for whoever has the client's stream.
pub(super) type Interims = RefCell<Vec<response::Parts>>;

/// What one request needs while it is with a replica.
pub(super) struct Plain {
    worker: Rc<Worker>,
    desk: Desk,
    link: Link,
    sending: Sending,
    receiving: Inlet,
}

/// A request's body on its way.
struct Sending {
    body: RequestBody,
    /// What is left of it.
    left: Length,
    /// The replica would take more and the client has not sent it.
    waits_for_client: bool,
    /// The replica did not take all of it.
    is_broken: bool,
}

impl Plain {
    /// Asks a replica; returns what it answers once there is a head.
    pub(super) async fn ask(
        exchange: &mut Exchange,
        attempt: &Attempt,
        (parts, host): (&Parts, &str),
        body: &RequestBody,
        interims: &Interims,
    ) -> Result<(response::Parts, Box<Self>), Miss> {
        let worker = exchange.worker().clone();
        let link = connected(&worker, exchange, attempt)
            .await
            .map_err(|why| Miss::Replica(Failed::before_sending(why, body.is_taken())))?;
        let length = length(parts, body);
        let mut plain = Box::new(Self {
            desk: worker.shop.desks.take(),
            worker,
            link,
            sending: Sending {
                body: body.clone(),
                left: length,
                waits_for_client: false,
                is_broken: false,
            },
            receiving: Inlet::new(Length::None, &ATTESTED),
        });
        plain.desk.trailers.clear();
        let hosts = (host, attempt.replica.host().unwrap_or(host));
        write_head(plain.desk.to_replica.end(), parts, hosts, exchange, length);
        plain.talk(exchange, parts.method == Method::HEAD, interims).await?;
        let head = fields::from_plain(&plain.desk.response);
        plain.receiving = Inlet::new(plain.desk.response.length(), &ATTESTED);
        Ok((head, plain))
    }

    /// Sends the request and waits for the head of the response; the body may not be over then.
    async fn talk(&mut self, exchange: &Exchange, to_head: bool, interims: &Interims) -> Result<(), Miss> {
        let patience = exchange.patience();
        let worker = self.worker.clone();
        let deadlines = &worker.shop.deadlines;
        let deadline = deadlines.lend();
        let mut interim = 0;
        // For whom was waited, and how much had moved by then.
        let mut waited: Option<(bool, u64)> = None;
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(Err(code)) = self.poll_upload(cx) {
                return Poll::Ready(Err(Miss::Client(code)));
            }
            while let Poll::Ready(heard) = poll_head(cx, &mut self.desk, &mut self.link, &mut interim, to_head) {
                match heard {
                    Ok(Heard::Last) => return Poll::Ready(Ok(())),
                    Ok(Heard::Interim) => interims.borrow_mut().push(fields::from_plain(&self.desk.response)),
                    Err(why) => return Poll::Ready(Err(self.failed(why))),
                }
            }
            let clients_turn = self.sending.waits_for_client;
            let now = (clients_turn, self.link.written());
            if waited.replace(now) != Some(now) {
                let wait = if clients_turn { patience.body } else { patience.answer };
                deadline.set_until(deadlines, wait, self.sending.body.slow_at());
            }
            if clients_turn && self.sending.body.is_too_slow() {
                return Poll::Ready(Err(Miss::Client(ErrorCode::RequestTimeout)));
            }
            if !deadline.has_passed(cx) {
                return Poll::Pending;
            }
            Poll::Ready(Err(match clients_turn {
                true => Miss::Client(ErrorCode::RequestTimeout),
                false => self.failed(Failure::HeadTimeout),
            }))
        })
        .await;
        deadlines.give(deadline);
        outcome
    }

    fn failed(&self, why: Failure) -> Miss {
        Miss::Replica(Failed {
            why,
            bytes_may_have_arrived: self.link.written() > 0,
            body_taken: self.sending.body.is_taken(),
            reused: self.link.is_reused(),
        })
    }

    /// Sends the head that is on the desk and then the body, as far as both sides let it. A replica that does not take it any more is
    /// not an error: it may have answered.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorCode>> {
        let Self {
            desk, link, sending, ..
        } = self;
        let out = &mut desk.to_replica;
        loop {
            sending.waits_for_client = false;
            if sending.is_broken {
                return Poll::Ready(Ok(()));
            }
            // What has come of the body goes in one call with the head, or with what else has come.
            if out.is_empty() || link.written() == 0 {
                while !sending.is_over() && !out.is_full() {
                    match sending.body.poll_piece(cx) {
                        Poll::Ready(piece) => sending.frame(out.end(), piece)?,
                        Poll::Pending => break,
                    }
                }
            }
            if !out.is_empty() {
                if ready!(link.poll_flush(cx, out)).is_err() {
                    sending.is_broken = true;
                }
                continue;
            }
            if sending.is_over() {
                return Poll::Ready(Ok(()));
            }
            sending.waits_for_client = true;
            return Poll::Pending;
        }
    }

    /// Returns what the response says next; reads only when what it said before was passed on.
    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        // An answer may begin before the request has ended. A client that breaks the request off is another matter.
        if let Poll::Ready(Err(_)) = self.poll_upload(cx) {
            return Poll::Ready(Some(Err(Broken)));
        }
        let things = &mut *self.desk;
        let link = &mut self.link;
        let from = From {
            buffer: &mut things.from_replica,
            trailers: &mut things.trailers,
            fill: |cx: &mut Context<'_>, buffer: &mut Buffer| link.poll_fill(cx, buffer),
        };
        self.receiving.poll_piece(cx, from)
    }

    /// Makes it a tunnel, once the replica has changed the protocol.
    pub(super) fn into_tunnel(self, attempt: Attempt, exchange: Exchange) -> Tunnel {
        let linger = self.worker.patience.linger;
        let tunnel = Tunnel::new(&self.desk, self.link, attempt, exchange, linger);
        self.worker.shop.desks.give(self.desk);
        tunnel
    }

    /// Ends it well: a connection that can be used again is kept.
    pub(super) fn complete(self, replica: &Replica) {
        let Self {
            worker,
            desk,
            link,
            sending,
            ..
        } = self;
        let shop = &worker.shop;
        // A replica that is about to stop is not kept waiting for a connection that nobody will use.
        if desk.response.keeps()
            && sending.is_over()
            && !sending.is_broken
            && desk.to_replica.is_empty()
            && desk.from_replica.is_empty()
            && !replica.is_emptying()
        {
            shop.pool.give_back(replica, link, shop.deadlines.looked());
        }
        shop.desks.give(desk);
    }
}

impl Pieces for Plain {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        self.poll_response(cx)
    }

    fn poll_aside(&mut self, cx: &mut Context<'_>) {
        // Its end is noticed with the next piece.
        let _ = self.poll_upload(cx);
    }

    fn is_end(&self) -> bool {
        self.receiving.is_end()
    }
}

impl Sending {
    /// Says whether all of it was taken from the client.
    fn is_over(&self) -> bool {
        matches!(self.left, Length::None | Length::Bytes(0))
    }

    /// Writes a piece as the replica gets it.
    fn frame(&mut self, out: &mut Vec<u8>, piece: Option<Result<Piece, Broken>>) -> Result<(), ErrorCode> {
        let failed = |body: &RequestBody| Err(body.failed().unwrap_or(ErrorCode::BadRequest));
        match (&mut self.left, piece) {
            (_, Some(Err(Broken))) => return failed(&self.body),
            (Length::Bytes(left), Some(Ok(Piece::Data(data)))) => {
                // `h2` holds clients to what they announce; a request that says two things must not go on in any case.
                let Some(rest) = left.checked_sub(data.len() as u64) else {
                    return failed(&self.body);
                };
                *left = rest;
                out.extend_from_slice(&data);
            }
            (Length::Bytes(_), _) => return failed(&self.body),
            (_, Some(Ok(Piece::Data(data)))) => {
                if !data.is_empty() {
                    write_chunk_size(out, data.len());
                    out.extend_from_slice(&data);
                    out.extend_from_slice(b"\r\n");
                }
                if self.body.is_end() {
                    head::write_trailers(out, std::iter::empty());
                    self.left = Length::None;
                }
            }
            (_, last) => {
                let trailers = match last {
                    Some(Ok(Piece::Trailers(trailers))) => trailers,
                    _ => HeaderMap::new(),
                };
                head::write_trailers(out, fields::to_plain_trailers(&trailers));
                self.left = Length::None;
            }
        }
        Ok(())
    }
}

/// Says how a request's body is framed for the replica.
fn length(parts: &Parts, body: &RequestBody) -> Length {
    let announced = fields::announced(&parts.headers);
    if !body.is_end() {
        return announced.map_or(Length::Chunked, Length::Bytes);
    }
    // Where a method usually has a body, that there is none has to be said (RFC 9110, 8.6).
    match parts.method {
        Method::POST | Method::PUT | Method::PATCH => Length::Bytes(0),
        _ => announced.map_or(Length::None, |_| Length::Bytes(0)),
    }
}

/// Writes the head of the request to a replica.
fn write_head(out: &mut Vec<u8>, parts: &Parts, (host, asked): (&str, &str), exchange: &Exchange, length: Length) {
    let mut writer = HeadWriter::request(out, parts.method.as_str(), &exchange.target());
    writer.field("host", asked.as_bytes());
    let stays = head::stays(exchange);
    for (name, value) in &parts.headers {
        if *name != header::COOKIE && fields::is_end_to_end(name) && stays(name.as_str().as_bytes()) {
            // Neither type can hold what would end its line.
            writer.copy(FieldRef {
                name: name.as_str().as_bytes(),
                value: value.as_bytes(),
                kind: Kind::Other,
            });
        }
    }
    if let Some(cookies) = fields::joined_cookies(&parts.headers) {
        writer.field("cookie", &cookies);
    }
    head::told(host, exchange, |name, value| head::write_told(&mut writer, name, value));
    if let Some(opening) = parts.extensions.get::<Opening>() {
        opening.write(&mut writer);
    }
    head::write_length(&mut writer, length);
    writer.end();
}
