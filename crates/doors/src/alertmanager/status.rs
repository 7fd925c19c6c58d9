//! What the program says of itself, and who may be told.

use serde_json::{Value, json};
use tend_alert::Pipeline;

use super::found;
use crate::backend::Backend;
use crate::moment::with_millis;
use crate::request::Response;

/// `status`
pub(super) fn status(backend: &dyn Backend) -> Response {
    let about = backend.about();
    found(&json!({
        "cluster": { "peers": [], "status": "disabled" },
        "config": { "original": backend.alert_config() },
        "uptime": with_millis(about.runtime.start_time),
        "versionInfo": about.alert_build,
    }))
}

/// `receivers`
pub(super) fn receivers(backend: &dyn Backend) -> Response {
    let mut names: Vec<Value> = Vec::new();
    backend.alerts(&mut |pipeline: &Pipeline| {
        let receivers = pipeline.config().receivers.keys();
        names = receivers.map(|name| json!({ "name": name })).collect();
    });
    found(&names)
}
