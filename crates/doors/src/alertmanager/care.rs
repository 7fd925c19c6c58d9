//! What Alertmanager does not have: an alert is acknowledged, or given to somebody.

use super::{body, refused};
use crate::backend::{Backend, Command};
use crate::request::{Request, Response};

/// `alerts/FINGERPRINT/acknowledge` with `{"note": …}` and `alerts/FINGERPRINT/assign` with `{"to": …}`. `by` is the caller where it is left out.
pub(super) fn care(request: &Request<'_>, fingerprint: &str, what: &str, backend: &dyn Backend) -> Response {
    let Ok(fingerprint) = u64::from_str_radix(fingerprint, 16) else {
        return refused(400, "the fingerprint is none: write it as GET /api/v2/alerts does");
    };
    let body = match body(request, what) {
        Ok(body) => body,
        Err(response) => return response,
    };
    let text = |key: &str| {
        body.get(key)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let by = Some(text("by"))
        .filter(|by| !by.is_empty())
        .unwrap_or_else(|| request.caller.to_owned());
    if by.is_empty() {
        return refused(400, "nobody says that: name yourself as \"by\"");
    }
    let command = if what == "assign" {
        let to = text("to");
        if to.is_empty() {
            return refused(400, "it is given to nobody: name somebody as \"to\"");
        }
        Command::Assign { fingerprint, by, to }
    } else {
        Command::Acknowledge {
            fingerprint,
            by,
            note: text("note"),
        }
    };
    match backend.command(command, request.caller) {
        Ok(()) => Response::empty(200),
        Err(refusals) => {
            let texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            refused(404, &texts.join("; "))
        }
    }
}
