//! The rules of a route, made ready once for each snapshot so that a request only has to look.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tend_core::model::{ResponseHeaders, Retry, RetryMethods, RoutePolicy};
use tend_routing::{Maintenance, Pause, Route};

use super::RouteLimits;
use super::money::{LiveMoney, name_of};
use crate::content::ContentRules;
use crate::limits::Patience;
use crate::metrics::RouteCounters;

/// The largest body of a request where the route says nothing, in bytes: the guides' `client_max_body_size 10m`.
const BODY_BYTES_MAX: u64 = 10 << 20;

/// A route in service.
#[derive(Debug)]
pub(crate) struct LiveRoute {
    /// What it is called wherever it has to be known again.
    pub(crate) name: Arc<str>,
    /// Host and path, as the log and the metrics name it; `*` for any host.
    pub(crate) label: Box<str>,
    pub(crate) maintenance: Option<Maintenance>,
    pub(crate) pause: Option<Pause>,
    /// None where the route moves no money.
    pub(crate) money: Option<Arc<LiveMoney>>,
    /// Go on from snapshot to snapshot.
    pub(crate) counters: Arc<RouteCounters>,
    pub(crate) policy: RoutePolicy,
    /// What the route says of times over what the edge has.
    pub(crate) patience: Patience,
    /// More is 413.
    pub(crate) body_bytes_max: u64,
    pub(crate) retry: Retry,
    pub(crate) head: HeadRules,
    /// How often it may be asked, and how much of it may go on at once; put in once all routes are known.
    pub(crate) limits: RouteLimits,
    /// Compression, cross-origin rules, files, redirects, error pages.
    pub(crate) content: ContentRules,
    /// Paths left out of the log and served during maintenance.
    pub(crate) quiet_paths: Vec<String>,
}

/// What is done to the head of each response of a route. Names and values are of types that can only hold such, so that neither has to
/// be looked at for each response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadRules {
    /// Taken out of what the replica wrote.
    pub(crate) remove: Vec<HeaderName>,
    /// Written, whatever the replica wrote.
    pub(crate) set: Vec<(HeaderName, HeaderValue)>,
    /// Written where the replica wrote none of that name.
    pub(crate) unless: Vec<(HeaderName, HeaderValue)>,
    /// As `set`, to clients that speak TLS.
    pub(crate) set_secure: Vec<(HeaderName, HeaderValue)>,
    /// Bit n: a name of n bytes is among the rules.
    lengths: u64,
}

impl LiveRoute {
    /// Returns what people are told a route is: host and path, `*` for any host.
    pub(crate) fn label_of(route: &Route) -> String {
        format!("{}{}", route.host.as_deref().unwrap_or("*"), route.path_prefix)
    }

    pub(crate) fn new(route: &Route, patience: Patience, counters: Arc<RouteCounters>) -> Self {
        let policy = route.policy.clone();
        let or = |ours: Option<Duration>, own: Duration| ours.unwrap_or(own);
        let times = policy.timeouts;
        let mut retry = policy.retry.clone();
        if policy.money.is_some() {
            retry.methods = RetryMethods::None;
        }
        let mut quiet_paths = route.quiet_paths.clone();
        quiet_paths.extend(policy.health_paths.iter().cloned());
        Self {
            name: name_of(route).into(),
            label: Self::label_of(route).into(),
            maintenance: route.maintenance.clone(),
            pause: route.pause,
            money: LiveMoney::new(route),
            counters,
            patience: Patience {
                connect: or(times.connect, patience.connect),
                answer: or(times.answer, patience.answer),
                body: or(times.body, patience.body),
                stall: or(times.send, patience.stall),
                ..patience
            },
            body_bytes_max: match policy.body_bytes_max {
                None => BODY_BYTES_MAX,
                Some(0) => u64::MAX,
                Some(_) if policy.body_shadow => u64::MAX,
                Some(max) => max,
            },
            retry,
            head: HeadRules::new(&policy.headers),
            limits: RouteLimits::default(),
            content: ContentRules::new(&route.path_prefix, &policy),
            quiet_paths,
            policy,
        }
    }
}

impl HeadRules {
    fn new(headers: &ResponseHeaders) -> Self {
        let security = [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
        ];
        let named = |name: &str| headers.set.contains_key(name) || headers.remove.iter().any(|one| one == name);
        let hsts = headers.hsts.iter();
        let rules = Self {
            remove: headers.remove.iter().filter_map(|name| name.parse().ok()).collect(),
            set: headers
                .set
                .iter()
                .filter_map(|(name, value)| rule(name, value))
                .collect(),
            unless: security
                .iter()
                .filter(|(name, _)| headers.security && !named(name))
                .filter_map(|(name, value)| rule(name, value))
                .collect(),
            set_secure: hsts
                .filter_map(|value| rule("strict-transport-security", value))
                .collect(),
            lengths: 0,
        };
        let written = rules.set.iter().chain(&rules.unless).chain(&rules.set_secure);
        let names = written.map(|(name, _)| name).chain(&rules.remove);
        let lengths = names.fold(0, |lengths, name| lengths | length_bit(name.as_str().as_bytes()));
        Self { lengths, ..rules }
    }

    /// Says whether any rule may be about a field of this name; most are told apart by their length.
    pub(crate) fn may_concern(&self, name: &[u8]) -> bool {
        self.lengths & length_bit(name) != 0
    }
}

/// Names too long for a bit of their own share the last.
fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

/// Returns a field; none where it cannot be one, whatever was checked before.
fn rule(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, HeaderValue::from_str(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rule_can_end_its_line() {
        let mut headers = ResponseHeaders::default();
        headers.set.insert("x-a".to_owned(), "1\r\nx-b: 2".to_owned());
        headers.set.insert("x-c: 1\r\nx-d".to_owned(), "2".to_owned());
        headers.set.insert("x-e".to_owned(), "3".to_owned());
        headers.hsts = Some("max-age=1\n".to_owned());
        let rules = HeadRules::new(&headers);
        assert_eq!(rules.set, [("x-e".parse().unwrap(), HeaderValue::from_static("3"))]);
        assert_eq!(rules.set_secure, []);
        assert!(rules.may_concern(b"X-E") && !rules.may_concern(b"x-long"));
    }
}
