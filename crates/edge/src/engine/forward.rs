//! Carries one request to a replica, to the next one if it may, and the answer back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

use super::body::{RequestBody, ResponseBody};
use super::connection::ConnectionClock;
use super::headers;
use super::tunnel;
use super::upstream::{Lease, Miss};
use crate::answer::ErrorCode;
use crate::exchange::{Asked, Attempt, Exchange, Failed};
use crate::worker::Worker;

/// What a connection's requests have in common.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) address: SocketAddr,
    pub(super) listener: SocketAddr,
    pub(super) clock: Arc<ConnectionClock>,
}

/// Answers one request.
pub(super) async fn forward(
    client: Client,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (mut parts, incoming) = request.into_parts();
    let request_id = headers::request_id(&parts.headers, || client.worker.random());
    let checked = headers::check(&parts, &client.clock.take_raw_head()).map(str::to_owned);
    let mut exchange = Exchange::begin(
        &client.worker,
        Asked {
            client: client.address,
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
        },
    );
    let host = match checked {
        Ok(host) => host,
        Err(code) => return Ok(refuse(&client, exchange, code, &request_id)),
    };
    let upgrade = headers::wants_upgrade(&parts);
    let body = RequestBody::new(incoming);
    headers::to_upstream(&mut parts.headers, &host, client.address, &request_id, upgrade);
    if !body.is_end_stream() && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        // Said explicitly, because hyper sends no body of unknown length with a GET otherwise.
        let chunked = HeaderValue::from_static("chunked");
        parts.headers.insert(header::TRANSFER_ENCODING, chunked);
    }
    let target = origin_form(&parts);
    let answered = loop {
        let mut attempt = match exchange.next() {
            Ok(attempt) => attempt,
            Err(code) => break Err(code),
        };
        match attempt_once(&client, &mut exchange, &attempt, &parts, &target, &body).await {
            Ok((response, lease)) => {
                exchange.answered(&mut attempt, response.status().as_u16());
                break Ok((response, lease, attempt));
            }
            Err(Miss::Client(code)) => break Err(code),
            Err(Miss::Replica(failed)) => {
                if failed.reused {
                    client.worker.pool.forget(&attempt.replica);
                }
                if let Err(code) = exchange.failed(attempt, failed) {
                    break Err(code);
                }
            }
        }
    };
    match answered {
        Err(code) => {
            exchange.passed(body.bytes(), 0);
            Ok(refuse(&client, exchange, code, &request_id))
        }
        Ok((mut response, lease, attempt)) => {
            let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if switched && !upgrade {
                // Nobody asked it to change the protocol: that is no answer.
                exchange.cut_by(&attempt.replica);
                return Ok(refuse(&client, exchange, ErrorCode::UpstreamFailed, &request_id));
            }
            headers::to_client(response.headers_mut(), &attempt.replica, &request_id, switched);
            if client.worker.is_draining() && !switched {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            *response.version_mut() = Version::HTTP_11;
            if switched {
                let replica_side = hyper::upgrade::on(&mut response);
                tunnel::carry(&client, on_upgrade, replica_side, attempt, exchange, lease);
                return Ok(response.map(|_| ResponseBody::own("", None, client.clock.clone())));
            }
            Ok(response
                .map(|incoming| ResponseBody::replica(incoming, lease, attempt, exchange, body, client.clock.clone())))
        }
    }
}

async fn attempt_once(
    client: &Client,
    exchange: &mut Exchange,
    attempt: &Attempt,
    parts: &Parts,
    target: &Uri,
    body: &RequestBody,
) -> Result<(Response<Incoming>, Lease), Miss> {
    let certain = !exchange.is_idempotent();
    let (mut lease, took) = Lease::get(&client.worker, &attempt.replica, certain)
        .await
        .map_err(|why| {
            Miss::Replica(Failed {
                why,
                bytes_may_have_arrived: false,
                body_taken: body.is_taken(),
                reused: false,
            })
        })?;
    exchange.connected(took);
    let mut request = Request::new(body.clone());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = target.clone();
    *request.headers_mut() = parts.headers.clone();
    let response = lease.send(request, body).await?;
    Ok((response, lease))
}

/// Returns the request's target as replicas get it: path and query, or `*`.
fn origin_form(parts: &Parts) -> Uri {
    if parts.method == Method::OPTIONS && parts.uri.path() == "*" {
        return parts.uri.clone();
    }
    match parts.uri.path_and_query() {
        Some(target) => Uri::from(target.clone()),
        None => Uri::from_static("/"),
    }
}

/// Returns the edge's own answer.
fn refuse(
    client: &Client,
    mut exchange: Exchange,
    code: ErrorCode,
    request_id: &HeaderValue,
) -> Response<ResponseBody> {
    exchange.refused(code);
    let text = code.text();
    let draining = client.worker.is_draining();
    let mut response = Response::new(ResponseBody::own(text, Some(exchange), client.clock.clone()));
    *response.status_mut() = StatusCode::from_u16(code.status()).unwrap_or_default();
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(headers::X_TEND_ERROR, HeaderValue::from_static(code.as_str()));
    headers.insert(headers::X_REQUEST_ID, request_id.clone());
    if matches!(code, ErrorCode::NoReadyReplica | ErrorCode::NoReadyCandidate) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    // A malformed or unfinished request leaves doubt about where the next one begins.
    if draining || matches!(code, ErrorCode::BadRequest | ErrorCode::RequestTimeout) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
