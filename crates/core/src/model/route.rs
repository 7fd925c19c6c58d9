//! What the edge listens on and which service answers which request.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::ServiceName;

/// What a stack asks of the edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Where it listens for clients.
    pub listeners: Vec<Listener>,
    /// A route for the named host before one for a pattern before one for any host, and among them the longest path first.
    pub routes: Vec<Route>,
}

/// An address the edge accepts connections at. Several stacks may name the same one; then host and path tell them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// Address and port; port 0 is not allowed, since nobody could find it.
    pub address: SocketAddr,
}

/// Requests that match go to the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Only at these listeners; at all of the stack's when empty.
    pub listeners: Vec<SocketAddr>,
    /// Host name without port, lower case; `*.example.com` matches one label; any host when absent.
    pub host: Option<String>,
    /// Whole path segments: `/api` and `/api/` match `/api` and `/api/pay`, not `/apix`.
    pub path_prefix: String,
    /// Who answers.
    pub service: ServiceName,
}
