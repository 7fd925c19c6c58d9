//! Prometheus' HTTP API: which part of it answers, and in which envelope.

mod federate;
mod labels;
mod pretty;
mod query;
mod rules;
mod status;
mod targets;
mod tree;

pub(crate) use federate::federate;

use crate::answer::{not_allowed, not_found};
use crate::backend::{Backend, WriteError};
use crate::error::DoorError;
use crate::json::failure;
use crate::params::Params;
use crate::request::{Request, Response};
use crate::write::decode_write;

/// What a part gives.
type Answered = Result<Response, DoorError>;

/// Answers what stands behind `/api/v1/`.
pub(crate) fn answer(request: &Request<'_>, path: &str, backend: &dyn Backend) -> Response {
    let both = matches!(
        path,
        "query" | "query_range" | "query_exemplars" | "format_query" | "parse_query" | "labels" | "series"
    );
    let post = path == "write";
    let known = both || post || is_get(path);
    let allowed = match (both, post) {
        (true, _) => "GET, POST, OPTIONS",
        (_, true) => "POST, OPTIONS",
        _ => "GET, OPTIONS",
    };
    match request.method {
        _ if !known => return not_found(),
        "OPTIONS" => return Response::empty(204).with("Allow", allowed),
        "GET" if !post => {}
        "POST" if both || post => {}
        _ => return not_allowed(allowed),
    }
    if let Err(why) = backend.ready()
        && path != "status/walreplay"
    {
        return failure(&DoorError::Unavailable(why));
    }
    if post {
        return write(request, backend);
    }
    let params = Params::of(request);
    let answered = match path {
        "query" => query::instant(&params, backend),
        "query_range" => query::range(&params, backend),
        "query_exemplars" => query::exemplars(&params),
        "format_query" => query::format(&params),
        "parse_query" => query::parsed(&params),
        "labels" => labels::names(&params, backend),
        "series" => labels::series(&params, backend),
        "metadata" => targets::metadata(&params, backend),
        "targets" => targets::targets(&params, backend),
        "targets/metadata" => targets::of_targets(&params, backend),
        "scrape_pools" => targets::pools(backend),
        "alertmanagers" => targets::alertmanagers(),
        "rules" => rules::rules(&params, backend),
        "alerts" => rules::alerts(backend),
        "status/tsdb" => status::tsdb(&params, backend),
        _ => match (label_of(path), status::plain(path, backend)) {
            (Some(name), _) => labels::values(name, &params, backend),
            (None, Some(response)) => Ok(response),
            (None, None) => return not_found(),
        },
    };
    answered.unwrap_or_else(|error| failure(&error))
}

fn is_get(path: &str) -> bool {
    matches!(
        path,
        "metadata"
            | "targets"
            | "targets/metadata"
            | "scrape_pools"
            | "alertmanagers"
            | "rules"
            | "alerts"
            | "status/tsdb"
    ) || status::NAMES.contains(&path)
        || label_of(path).is_some()
}

/// The name in `label/NAME/values`.
fn label_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("label/")?.strip_suffix("/values")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Remote write. It answers in plain text, as its specification has it.
fn write(request: &Request<'_>, backend: &dyn Backend) -> Response {
    let media = request.header("content-type");
    // A message of the second version says so; the first may say nothing.
    let is_first = media.is_empty() || media.starts_with("application/x-protobuf");
    if !is_first || media.contains("io.prometheus.write.v2") {
        return Response::text(415, "only remote write 1.0 (prometheus.WriteRequest) is taken");
    }
    let coding = request.header("content-encoding");
    if !coding.is_empty() && !coding.eq_ignore_ascii_case("snappy") {
        return Response::text(415, "only the encoding snappy is taken");
    }
    let decoded = match decode_write(request.body) {
        Ok(decoded) => decoded,
        Err(error) => return Response::text(400, &error.to_string()),
    };
    match backend.write(decoded) {
        Ok(()) => Response::empty(204),
        Err(WriteError::Refused(what)) => Response::text(400, &what),
        Err(WriteError::Later(what)) => Response::text(503, &what).with("Retry-After", "5"),
        Err(WriteError::Off) => Response::text(404, "remote write is not taken here"),
    }
}
