//! What the edge listens on, which service answers which request, and under which rules.
//!
//! Map: `policy` the rules of a route, of which `limit`, `content` and `money` are parts; `balance` how a service's requests are
//! divided; `tls` certificates; `prefix` address ranges. Every rule has a default, so that a stack file says only what it means.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::ServiceName;

mod balance;
mod content;
mod limit;
mod money;
mod policy;
mod prefix;
mod tls;

pub use balance::{ActiveCheck, Balance, Breaker, HashKey, Method, Outlier, Protocol, Server, ServerTls, Upstream};
pub use content::{Compress, Cors, ErrorPage, Files, Redirect, ResponseHeaders, Rewrite};
pub use limit::{InFlight, Limit, LimitKey, Rate, UploadRate};
pub use money::{Money, Spool};
pub use policy::{Retry, RetryMethods, RoutePolicy, Timeouts};
pub use prefix::{Prefix, PrefixError};
pub use tls::{Acme, CertificateFiles, Challenge, ClientCertificates, Tls, TlsVersion};

/// What a stack asks of the edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Where it listens for clients.
    pub listeners: Vec<Listener>,
    /// A route for the named host before one for a pattern before one for any host, and among them the longest path first.
    pub routes: Vec<Route>,
    /// How requests to a service are divided, and outside servers under a name of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub upstreams: BTreeMap<ServiceName, Upstream>,
    /// Certificates, for the listeners that speak TLS.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: Tls,
    /// What the access log says.
    #[serde(default, skip_serializing_if = "is_default")]
    pub access_log: AccessLog,
}

/// An address the edge accepts connections at. Several stacks may name the same one; then host and path tell them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// Address and port; port 0 is not allowed, since nobody could find it.
    pub address: SocketAddr,
    /// Clients speak TLS here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// Requests here are sent to the same host and path over TLS at this port, but for ACME's challenges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_to_https: Option<u16>,
    /// Every connection begins with a PROXY header, version 1 or 2; one without is closed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
    /// Who may say for whom a request comes (`X-Forwarded-For`, `Forwarded`, PROXY); nobody when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<Prefix>,
    /// Connections open at once from one address; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections_per_client: Option<u32>,
    /// `connections_per_client` is counted and told, not enforced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub connections_shadow: bool,
}

impl Edge {
    /// Returns the routes that lead to the service.
    pub fn routes_to(&self, service: &ServiceName) -> impl Iterator<Item = &Route> {
        self.routes
            .iter()
            .filter(move |route| route.service.as_ref() == Some(service))
    }

    /// Returns the listeners at which a request of this very machine, without a certificate, comes through to a route's service; those
    /// without TLS first. None where clients show certificates or this machine's addresses are kept out.
    #[must_use]
    pub fn open_to_this_machine(&self, route: &Route) -> Vec<&Listener> {
        let policy = &route.policy;
        let own = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listed = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| prefix.contains(own));
        if policy.client_certificate || listed(&policy.deny) || !(policy.allow.is_empty() || listed(&policy.allow)) {
            return Vec::new();
        }
        let certificate_asked = self.tls.clients.as_ref().is_some_and(|clients| !clients.optional);
        let at = |listener: &&Listener| {
            (route.listeners.is_empty() || route.listeners.contains(&listener.address))
                && listener.redirect_to_https.is_none()
                && !(listener.tls && certificate_asked)
        };
        let mut listeners: Vec<&Listener> = self.listeners.iter().filter(at).collect();
        listeners.sort_by_key(|listener| listener.tls);
        listeners
    }
}

impl Listener {
    /// Returns a listener that speaks plain HTTP and trusts nobody.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            tls: false,
            redirect_to_https: None,
            proxy_protocol: false,
            trusted: Vec::new(),
            connections_per_client: None,
            connections_shadow: false,
        }
    }
}

/// Requests that match go to the service, or are answered as the policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Only at these listeners; at all of the stack's when empty.
    pub listeners: Vec<SocketAddr>,
    /// Host name without port, lower case; `*.example.com` matches one label; any host when absent.
    pub host: Option<String>,
    /// Whole path segments: `/api` and `/api/` match `/api` and `/api/pay`, not `/apix`.
    pub path_prefix: String,
    /// Who answers: a service of the stack, or the name of outside servers. None only where the policy has files or a redirect.
    pub service: Option<ServiceName>,
    /// Under which rules.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: RoutePolicy,
}

/// Says that nothing was said of it, so that it need not be written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What the access log says, and of which requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessLog {
    /// In which form.
    pub format: LogFormat,
    /// So many of a thousand requests, 1 to 1000; those that failed (400 and above) are always written.
    pub sample_permille: u32,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            sample_permille: 1000,
        }
    }
}

/// The form of the lines of an access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// The combined format of Apache and nginx.
    Combined,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn asked(listeners: Value, route: Value, clients: Value) -> Vec<u16> {
        let mut edge: Edge = serde_json::from_value(json!({ "listeners": listeners, "routes": [] })).unwrap();
        edge.tls.clients = serde_json::from_value(clients).unwrap();
        let mut whole = json!({ "listeners": [], "host": null, "path_prefix": "/", "service": "api" });
        whole
            .as_object_mut()
            .unwrap()
            .extend(route.as_object().unwrap().clone());
        let route: Route = serde_json::from_value(whole).unwrap();
        let found = edge.open_to_this_machine(&route);
        found.into_iter().map(|listener| listener.address.port()).collect()
    }

    #[test]
    fn this_machine_asks_where_it_is_let_through_and_without_tls_first() {
        let both = || {
            json!([
                { "address": "0.0.0.0:443", "tls": true },
                { "address": "0.0.0.0:80" },
            ])
        };
        let redirected = json!([
            { "address": "0.0.0.0:80", "redirect_to_https": 443 },
            { "address": "0.0.0.0:443", "tls": true },
        ]);
        let demanded = json!({ "roots": "/roots.pem", "optional": false });
        let optional = json!({ "roots": "/roots.pem", "optional": true });
        for (listeners, route, clients, wanted) in [
            (both(), json!({}), Value::Null, vec![80, 443]),
            (both(), json!({ "listeners": ["0.0.0.0:443"] }), Value::Null, vec![443]),
            (redirected, json!({}), Value::Null, vec![443]),
            (both(), json!({}), demanded, vec![80]),
            (both(), json!({}), optional, vec![80, 443]),
            (
                both(),
                json!({ "policy": { "client_certificate": true } }),
                Value::Null,
                vec![],
            ),
            (
                both(),
                json!({ "policy": { "allow": ["10.0.0.0/8"] } }),
                Value::Null,
                vec![],
            ),
            (
                both(),
                json!({ "policy": { "allow": ["127.0.0.0/8"] } }),
                Value::Null,
                vec![80, 443],
            ),
            (
                both(),
                json!({ "policy": { "deny": ["127.0.0.1/32"] } }),
                Value::Null,
                vec![],
            ),
        ] {
            assert_eq!(
                asked(listeners.clone(), route.clone(), clients),
                wanted,
                "{listeners} {route}"
            );
        }
    }
}
