//! The fronts that are compared, each in front of the same upstreams: where they listen, which processes they are, how they start.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tend_edge::{ControlClient, FromEdge, ToEdge};

use crate::error::{Error, Result};
use crate::machine;
use crate::process::{Folder, LOOK, Running, await_port};

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FrontName {
    /// Ours.
    Tend,
    /// nginx as somebody who tunes it writes it.
    Tuned,
    /// nginx as in guides.
    Guide,
    /// HAProxy.
    Haproxy,
}

impl fmt::Display for FrontName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tend => "tend",
            Self::Tuned => "nginx tuned",
            Self::Guide => "nginx guide",
            Self::Haproxy => "HAProxy",
        })
    }
}

/// A front that is up.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) name: FrontName,
    /// Whose processor time and memory are counted.
    pub(crate) pids: Vec<u32>,
    pub(crate) plain: u16,
    pub(crate) tls: u16,
}

/// Where fronts are started.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Folder,
    /// The core of all fronts.
    pub(crate) core: usize,
    /// The first of ten ports.
    pub(crate) base: u16,
    /// The upstreams' ports.
    pub(crate) upstreams: &'a [u16],
}

/// The edge; it lives as long as this.
pub(crate) struct Tend {
    /// Kept for as long as the edge is to know that somebody is there.
    _control: ControlClient,
    _running: Running,
}

/// Starts the edge with one thread, and with all that the peers are configured to do.
pub(crate) fn tend(place: &Place<'_>, program: &Path) -> Result<(Front, Tend)> {
    let (plain, tls) = (place.base, place.base + 1);
    let socket = place.folder.join("edge.sock");
    let arguments = [
        socket.display().to_string(),
        place.folder.join("edge").display().to_string(),
        "1".to_owned(),
        "0".to_owned(),
    ];
    let mut running = Running::start(place.core, program, &arguments, place.folder.join("edge.log"))?;
    let control = connect(&socket, &mut running)?;
    let edge = |source: &dyn fmt::Display| Error::Edge {
        what: source.to_string(),
    };
    let snapshot = snapshot(place, plain, tls);
    control
        .send(&ToEdge::Snapshot { snapshot }, &[])
        .map_err(|error| edge(&error))?;
    loop {
        match control.receive(Duration::from_secs(10)).map_err(|error| edge(&error))? {
            Some((FromEdge::Serving { unbound, .. }, _)) if unbound.is_empty() => break,
            Some((FromEdge::Serving { unbound, .. }, _)) => {
                return Err(Error::PortTaken {
                    port: unbound[0].address.port(),
                });
            }
            Some((FromEdge::Refused { why, .. }, _)) => return Err(edge(&why)),
            Some(_) => {}
            None => return Err(edge(&"it does not answer")),
        }
    }
    await_port("tend", plain, &mut running)?;
    let front = Front {
        name: FrontName::Tend,
        pids: vec![running.pid()],
        plain,
        tls,
    };
    let tend = Tend {
        _control: control,
        _running: running,
    };
    Ok((front, tend))
}

/// Connects to the control socket of an edge that has just been started.
pub(crate) fn connect(socket: &Path, running: &mut Running) -> Result<ControlClient> {
    let begun = std::time::Instant::now();
    loop {
        match ControlClient::connect(socket) {
            Ok(control) => return Ok(control),
            Err(error) if running.has_ended() || begun.elapsed() > Duration::from_secs(10) => {
                return Err(Error::Edge {
                    what: format!("{error}: {}", running.said()),
                });
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// As JSON and not as the types of the day, so that an older edge takes what it knows of it.
fn snapshot(place: &Place<'_>, plain: u16, tls: u16) -> serde_json::Value {
    let address = |port: u16| format!("127.0.0.1:{port}");
    let replicas: Vec<serde_json::Value> = (1..)
        .zip(place.upstreams)
        .map(|(slot, port)| {
            json!({ "id": format!("bench/api/{slot}"), "incarnation": 1, "address": address(*port), "weight": 1, "state": "ready" })
        })
        .collect();
    json!({
        "format": tend_routing::FORMAT_VERSION,
        "generation": 1,
        "listeners": [
            { "address": address(plain) },
            { "address": address(tls), "tls": true },
        ],
        "tls": [{ "listener": address(tls), "version_min": "1.2" }],
        "certificates": [{
            "names": ["localhost"],
            "chain": place.folder.join("chain.pem"),
            "key": place.folder.join("key.pem"),
        }],
        "routes": [{
            "path_prefix": "/",
            "service": { "stack": "bench", "service": "api" },
            // The peers have their access logs off: this path stays out of ours.
            "quiet_paths": ["/"],
            "policy": policy(),
        }],
        "services": [{
            "id": { "stack": "bench", "service": "api" },
            "balance": { "method": "least_connections", "keepalive": 128 },
            "replicas": replicas,
        }],
    })
}

/// What the peers' configurations say of the route: five headers, and limits that are asked for each request and refuse nothing.
fn policy() -> serde_json::Value {
    json!({
        "headers": {
            "security": true,
            "set": {
                "x-xss-protection": "1; mode=block",
                "strict-transport-security": "max-age=31536000; includeSubDomains",
            },
        },
        "limits": [{
            "name": "requests",
            "key": "client",
            "rate": { "requests": 1_000_000, "per": { "secs": 1, "nanos": 0 }, "burst": 100_000 },
        }],
        "in_flight": [{ "key": "client", "max": 10_000 }],
        "body_bytes_max": 10 << 20,
    })
}

/// Starts nginx; it is two fronts.
pub(crate) fn nginx(place: &Place<'_>) -> Result<([Front; 2], Running)> {
    let [tuned, tuned_tls, guide, guide_tls] = [2, 3, 4, 5].map(|offset| place.base + offset);
    let servers: Vec<String> = place
        .upstreams
        .iter()
        .map(|port| format!("server 127.0.0.1:{port} max_fails=3 fail_timeout=10s;"))
        .collect();
    let user = if rustix::process::geteuid().is_root() {
        "root"
    } else {
        "nobody"
    };
    let folder = place.folder.path().display().to_string();
    let text = fill(
        include_str!("../nginx.conf"),
        &[
            ("USER", user),
            ("FOLDER", &folder),
            ("SERVERS", &servers.join("\n        ")),
            ("TUNED", &tuned.to_string()),
            ("TUNED_TLS", &tuned_tls.to_string()),
            ("GUIDE", &guide.to_string()),
            ("GUIDE_TLS", &guide_tls.to_string()),
        ],
    );
    let file = place.folder.write("nginx.conf", text.as_bytes())?;
    let arguments = ["-p", &folder, "-c", &file.display().to_string(), "-g", "daemon off;"].map(str::to_owned);
    let mut running = Running::start(place.core, Path::new(NGINX), &arguments, place.folder.join("nginx.out"))?;
    for port in [tuned, tuned_tls, guide, guide_tls] {
        await_port("nginx", port, &mut running)?;
    }
    // The master only waits; the worker inherits its core.
    let pids = machine::children(running.pid());
    let front = |name, plain, tls| Front {
        name,
        pids: pids.clone(),
        plain,
        tls,
    };
    let fronts = [
        front(FrontName::Tuned, tuned, tuned_tls),
        front(FrontName::Guide, guide, guide_tls),
    ];
    Ok((fronts, running))
}

/// Starts HAProxy.
pub(crate) fn haproxy(place: &Place<'_>) -> Result<(Front, Running)> {
    let [plain, tls] = [6, 7].map(|offset| place.base + offset);
    let servers: Vec<String> = (1..)
        .zip(place.upstreams)
        .map(|(number, port): (u32, _)| format!("server s{number} 127.0.0.1:{port}"))
        .collect();
    let folder = place.folder.path().display().to_string();
    let text = fill(
        include_str!("../haproxy.cfg"),
        &[
            ("FOLDER", &folder),
            ("RULES", &HAPROXY_RULES.join("\n    ")),
            ("SERVERS", &servers.join("\n    ")),
            ("PLAIN", &plain.to_string()),
            ("TLS", &tls.to_string()),
        ],
    );
    let file = place.folder.write("haproxy.cfg", text.as_bytes())?;
    let arguments = ["-db", "-f", &file.display().to_string()].map(str::to_owned);
    let mut running = Running::start(
        place.core,
        Path::new(HAPROXY),
        &arguments,
        place.folder.join("haproxy.out"),
    )?;
    for port in [plain, tls] {
        await_port("HAProxy", port, &mut running)?;
    }
    let front = Front {
        name: FrontName::Haproxy,
        pids: vec![running.pid()],
        plain,
        tls,
    };
    Ok((front, running))
}

/// Debian's paths: `/usr/sbin` is not in everybody's `PATH`.
pub(crate) const NGINX: &str = "/usr/sbin/nginx";
pub(crate) const HAPROXY: &str = "/usr/sbin/haproxy";

/// The same in both of HAProxy's fronts: the limiter and the five headers.
const HAPROXY_RULES: [&str; 9] = [
    "stick-table type ip size 100k expire 30s store http_req_rate(10s),conn_cur",
    "http-request track-sc0 src",
    "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 100000000 }",
    "http-request set-header X-Real-IP %[src]",
    "http-response set-header X-Frame-Options \"SAMEORIGIN\"",
    "http-response set-header X-Content-Type-Options \"nosniff\"",
    "http-response set-header X-XSS-Protection \"1; mode=block\"",
    "http-response set-header Referrer-Policy \"strict-origin-when-cross-origin\"",
    "http-response set-header Strict-Transport-Security \"max-age=31536000; includeSubDomains\"",
];

/// Fills in the names in braces.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_filled_in_and_other_braces_stay() {
        assert_eq!(
            fill("a { {X} } %[src] {Y}", &[("X", "1"), ("Y", "2")]),
            "a { 1 } %[src] 2"
        );
    }
}
