//! What a route that moves money needs for each request, made ready once for each snapshot.

use std::sync::Arc;

use tend_core::model::Money;
use tend_routing::Route;

/// The rules of a route that moves money, and the names it goes by on disk.
#[derive(Debug)]
pub(crate) struct LiveMoney {
    pub(crate) rules: Money,
    /// Whose keys: the service's name, which stays when paths and releases change.
    pub(crate) scope: String,
    /// Whose callbacks.
    pub(crate) route: String,
}

impl LiveMoney {
    pub(crate) fn new(route: &Route) -> Option<Arc<Self>> {
        let rules = route.policy.money.clone()?;
        let scope = route.service.as_ref().map_or_else(String::new, ToString::to_string);
        Some(Arc::new(Self {
            rules,
            scope,
            route: name_of(route),
        }))
    }
}

/// Returns what a route is called wherever it has to be known again in another snapshot.
pub(crate) fn name_of(route: &Route) -> String {
    let service = route
        .service
        .as_ref()
        .map_or_else(|| "-".to_owned(), ToString::to_string);
    let host = route.host.as_deref().unwrap_or("*");
    format!("{service} {host}{}", route.path_prefix)
}
