//! Requests and answers that are held whole: a request's body is read to its end before anything is decided, and an answer's before
//! anybody sees it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};

use super::body::RequestBody;
use super::headers;
use super::upstream::{Lease, Miss};
use crate::answer::ErrorCode;
use crate::call::{ANSWER_BYTES_MAX, BufferedAnswer, BufferedRequest};
use crate::exchange::{Attempt, Exchange, Failed};

/// Why a body was not read to its end.
enum Cut {
    /// It ended before its end.
    Broken,
    /// Nothing more came for too long.
    Stalled,
    /// It is larger than may be held.
    TooLarge,
}

/// Reads the body of a client's request.
pub(super) async fn request_body(incoming: Incoming, bytes_max: u64, patience: Duration) -> Result<Bytes, ErrorCode> {
    if incoming.size_hint().lower() > bytes_max {
        return Err(ErrorCode::BodyTooLarge);
    }
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    whole(incoming, bytes_max, patience).await.map_err(|cut| match cut {
        Cut::Broken => ErrorCode::BadRequest,
        Cut::Stalled => ErrorCode::RequestTimeout,
        Cut::TooLarge => ErrorCode::BodyTooLarge,
    })
}

async fn whole(mut incoming: Incoming, bytes_max: usize, patience: Duration) -> Result<Bytes, Cut> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(patience, incoming.frame()).await {
            Err(_) => return Err(Cut::Stalled),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Cut::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailer fields are dropped: nobody could tell what they belong to when the answer is given again.
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Err(Cut::TooLarge);
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut body = BytesMut::with_capacity(first.len() + rest.len());
    body.extend_from_slice(&first);
    body.extend_from_slice(&rest);
    Ok(body.freeze())
}

/// Returns the fields of a request without its framing.
pub(super) fn fields_of(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TRAILER];
    let kept = headers.iter().filter(|(name, _)| !framing.contains(name));
    kept.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// Gives a request that is held whole to a replica, to the next one if it may, and reads the answer to its end.
///
/// # Errors
/// Why there is no whole answer. Whether anything may have reached a replica is [`Exchange::may_have_arrived`].
pub(crate) async fn call(exchange: &mut Exchange, request: BufferedRequest) -> Result<BufferedAnswer, ErrorCode> {
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| ErrorCode::BadRequest)?;
    let target: Uri = request.target.parse().map_err(|_| ErrorCode::BadRequest)?;
    let mut headers = HeaderMap::with_capacity(request.fields.len() + 1);
    for (name, value) in &request.fields {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(request.body.len()));
    loop {
        let mut attempt = exchange.next()?;
        let mut upstream = Request::new(RequestBody::held(request.body.clone()));
        *upstream.method_mut() = method.clone();
        *upstream.uri_mut() = target.clone();
        *upstream.headers_mut() = headers.clone();
        match try_once(exchange, &mut attempt, upstream).await {
            Ok(answer) => return Ok(answer),
            Err(Miss::Client(code)) => return Err(code),
            Err(Miss::Replica(failed)) => {
                if failed.reused {
                    exchange.worker().pool.forget(&attempt.replica);
                }
                exchange.failed(attempt, failed)?;
            }
        }
    }
}

async fn try_once(
    exchange: &mut Exchange,
    attempt: &mut Attempt,
    request: Request<RequestBody>,
) -> Result<BufferedAnswer, Miss> {
    let patience = exchange.patience();
    let worker = exchange.worker().clone();
    let certain = !exchange.is_idempotent();
    let (mut lease, took) = Lease::get(&worker, &attempt.replica, certain, &patience)
        .await
        .map_err(|why| {
            Miss::Replica(Failed {
                why,
                bytes_may_have_arrived: false,
                body_taken: false,
                reused: false,
            })
        })?;
    exchange.connected(took);
    let body = request.body().clone();
    let response = lease.send(request, &body, &patience).await.map_err(|miss| match miss {
        // It is held: however much of it was sent, it can be sent again.
        Miss::Replica(failed) => Miss::Replica(Failed {
            body_taken: false,
            ..failed
        }),
        client => client,
    })?;
    let status = response.status();
    exchange.answered(attempt, status.as_u16());
    let (mut parts, incoming) = response.into_parts();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it: that is no answer.
        exchange.cut_by(&attempt.replica);
        return Err(Miss::Client(ErrorCode::UpstreamFailed));
    }
    let body = match whole(incoming, ANSWER_BYTES_MAX, patience.answer).await {
        Ok(body) => body,
        Err(cut) => {
            exchange.cut_by(&attempt.replica);
            return Err(Miss::Client(match cut {
                Cut::Broken => ErrorCode::UpstreamFailed,
                Cut::Stalled => ErrorCode::UpstreamTimeout,
                Cut::TooLarge => ErrorCode::AnswerTooLarge,
            }));
        }
    };
    if !attempt.replica.is_emptying() {
        lease.give_back();
    }
    headers::clean_answer(&mut parts.headers);
    let fields = fields_of(&parts.headers);
    Ok(BufferedAnswer::of(&attempt.replica, status.as_u16(), fields, body))
}
