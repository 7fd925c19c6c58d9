//! Which door a request is for. Owns no answer but that there is no such door.

use crate::backend::Backend;
use crate::request::{Request, Response};
use crate::{alertmanager, prometheus};

/// Answers a request. Never panics; what takes long ends by [`Backend::query_timeout`].
pub fn answer(request: &Request<'_>, backend: &dyn Backend) -> Response {
    if let Some(rest) = request.path.strip_prefix("/api/v1/") {
        return prometheus::answer(request, rest, backend);
    }
    if let Some(rest) = request.path.strip_prefix("/api/v2/") {
        return alertmanager::answer(request, rest, backend);
    }
    match (request.method, request.path) {
        ("GET" | "HEAD", "/-/healthy") => Response::text(200, "tend is Healthy."),
        ("GET" | "HEAD", "/-/ready") => match backend.ready() {
            Ok(()) => Response::text(200, "tend is Ready."),
            Err(why) => Response::text(503, &why),
        },
        ("GET", "/federate") => match backend.ready() {
            Ok(()) => prometheus::federate(request, backend),
            Err(why) => Response::text(503, &why),
        },
        (_, "/-/healthy" | "/-/ready" | "/federate") => not_allowed("GET, OPTIONS"),
        _ => not_found(),
    }
}

/// There is no such door.
pub(crate) fn not_found() -> Response {
    Response::text(404, "404 page not found")
}

/// There is, but not for this method.
pub(crate) fn not_allowed(allowed: &'static str) -> Response {
    Response::text(405, "Method Not Allowed").with("Allow", allowed)
}
