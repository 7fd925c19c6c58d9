//! Carries one request to a replica, to the next one if it may, and the answer back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

use super::body::{RequestBody, ResponseBody};
use super::connection::ConnectionClock;
use super::headers;
use super::tunnel;
use super::upstream::{Lease, Miss};
use crate::answer::{ErrorCode, OwnAnswer, OwnBody};
use crate::exchange::{Asked, Attempt, Exchange, Failed};
use crate::gate::Admission;
use crate::tls::ClientCertificate;
use crate::worker::Worker;

/// What a connection's requests have in common.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: SocketAddr,
    pub(super) listener: SocketAddr,
    pub(super) secure: bool,
    pub(super) client_certificate: Option<Rc<ClientCertificate>>,
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
    if let Err(code) = checked {
        return Ok(own(&client, exchange, OwnAnswer::refusal(code), &request_id));
    }
    let answer = loop {
        match exchange.admit(&asked) {
            Admission::Forward => break None,
            Admission::Answer(answer) => break Some(answer),
            Admission::Wait(wait) => {
                let answer = wait.await;
                if answer.is_some() {
                    break answer;
                }
            }
        }
    };
    if let Some(answer) = answer {
        return Ok(own(&client, exchange, *answer, &request_id));
    }
    if incoming.size_hint().lower() > exchange.body_bytes_max() {
        let answer = OwnAnswer::refusal(ErrorCode::BodyTooLarge);
        return Ok(own(&client, exchange, answer, &request_id));
    }
    let host = asked.host.to_owned();
    let upgrade = headers::wants_upgrade(&parts);
    let body = RequestBody::new(incoming);
    headers::to_upstream(&mut parts.headers, &host, &exchange, &request_id, upgrade);
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
            Ok(own(&client, exchange, OwnAnswer::refusal(code), &request_id))
        }
        Ok((mut response, lease, attempt)) => {
            let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if switched && !upgrade {
                // Nobody asked it to change the protocol: that is no answer.
                exchange.cut_by(&attempt.replica);
                let answer = OwnAnswer::refusal(ErrorCode::UpstreamFailed);
                return Ok(own(&client, exchange, answer, &request_id));
            }
            headers::to_client(response.headers_mut(), &attempt.replica, &request_id, switched);
            headers::apply(response.headers_mut(), &exchange);
            if client.worker.is_draining() && !switched {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            *response.version_mut() = Version::HTTP_11;
            if switched {
                let replica_side = hyper::upgrade::on(&mut response);
                tunnel::carry(&client, on_upgrade, replica_side, attempt, exchange, lease);
                return Ok(
                    response.map(|_| ResponseBody::own(OwnBody::Bytes(Bytes::new()), None, client.clock.clone()))
                );
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
    let patience = exchange.patience();
    let (mut lease, took) = Lease::get(&client.worker, &attempt.replica, certain, &patience)
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
    let response = lease.send(request, body, &patience).await?;
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

/// Returns an answer of the edge.
fn own(client: &Client, mut exchange: Exchange, answer: OwnAnswer, request_id: &HeaderValue) -> Response<ResponseBody> {
    exchange.answered_by_edge(&answer);
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    let headers = response.headers_mut();
    for (name, value) in &answer.fields {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.append(name, headers::value_of(value));
        }
    }
    headers::apply(headers, &exchange);
    if let Some(code) = answer.code {
        headers.insert(headers::X_TEND_ERROR, HeaderValue::from_static(code.as_str()));
    }
    headers.insert(headers::X_REQUEST_ID, request_id.clone());
    if client.worker.is_draining() || answer.close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|()| ResponseBody::own(answer.body, Some(exchange), client.clock.clone()))
}
