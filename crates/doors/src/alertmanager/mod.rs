//! Alertmanager's API, version 2: which part of it answers. What is added to it stands in `care`.

mod alerts;
mod care;
mod silences;
mod status;

use serde_json::json;

use crate::backend::Backend;
use crate::json::text;
use crate::params::Params;
use crate::request::{JSON, Request, Response};

/// Answers what stands behind `/api/v2/`.
pub(crate) fn answer(request: &Request<'_>, path: &str, backend: &dyn Backend) -> Response {
    let parts: Vec<&str> = path.split('/').collect();
    let allowed: &[&str] = match parts.as_slice() {
        ["status" | "receivers"] | ["alerts", "groups"] => &["GET"],
        ["alerts" | "silences"] => &["GET", "POST"],
        ["silence", id] if !id.is_empty() => &["DELETE", "GET"],
        ["alerts", fingerprint, "acknowledge" | "assign"] if !fingerprint.is_empty() => &["POST"],
        _ => {
            let what = format!("path /api/v2/{path} was not found");
            return problem(404, 404, &what);
        }
    };
    if !allowed.contains(&request.method) {
        let what = format!(
            "method {} is not allowed, but [{}] are",
            request.method,
            allowed.join(",")
        );
        return no_store(problem(405, 405, &what).with("Allow", allowed.join(",")));
    }
    let params = Params::of(request);
    no_store(match (request.method, parts.as_slice()) {
        (_, ["status"]) => status::status(backend),
        (_, ["receivers"]) => status::receivers(backend),
        ("GET", ["alerts"]) => alerts::list(&params, backend),
        (_, ["alerts"]) => alerts::post(request, backend),
        (_, ["alerts", "groups"]) => alerts::groups(&params, backend),
        (_, ["alerts", fingerprint, what]) => care::care(request, fingerprint, what, backend),
        ("GET", ["silences"]) => silences::list(&params, backend),
        (_, ["silences"]) => silences::post(request, backend),
        ("GET", ["silence", id]) => silences::get(id, backend),
        (_, ["silence", id]) => silences::delete(id, request, backend),
        _ => problem(404, 404, "not found"),
    })
}

fn no_store(response: Response) -> Response {
    response.with("Cache-Control", "no-store")
}

/// What is refused before it is looked at, as Alertmanager's framework writes it.
fn problem(status: u16, code: u32, message: &str) -> Response {
    let body = json!({ "code": code, "message": message });
    Response::new(status, JSON, format!("{body}"))
}

/// What is refused after that: a text alone.
fn refused(status: u16, what: &str) -> Response {
    Response::new(status, JSON, format!("{}\n", text(what)))
}

/// What was asked for.
fn found<T: serde::Serialize + ?Sized>(value: &T) -> Response {
    Response::new(200, JSON, format!("{}\n", text(value)))
}

/// The body as JSON.
fn body(request: &Request<'_>, name: &str) -> Result<serde_json::Value, Response> {
    if request.body.is_empty() {
        return Err(problem(422, 602, &format!("{name} in body is required")));
    }
    // Also what says nothing is refused: a page of another site can send that without being asked whether it may.
    let media = request
        .header("content-type")
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if !media.eq_ignore_ascii_case(JSON) {
        let media = if media.is_empty() {
            "application/octet-stream"
        } else {
            media
        };
        let what = format!("unsupported media type \"{media}\", only [application/json] are allowed");
        return Err(problem(415, 415, &what));
    }
    serde_json::from_slice(request.body).map_err(|error| {
        let what = format!("parsing {name} body from \"\" failed, because {error}");
        problem(400, 400, &what)
    })
}
