//! The limits of a route, made ready: rates with their zones, and bounds on what goes on at once.
//!
//! What was counted under one snapshot counts under the next: a zone is found again by its stack, name and key, a bound by its route.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tend_core::model::LimitKey;
use tend_routing::{Fields, Leak, Leaked, Route, limit_key};

use super::{LiveRoute, UploadRule};
use crate::message::{LimitKind, LimitStats};
use crate::zone::{Counts, Going, Outcomes, Zone};

/// The limits of one route.
#[derive(Debug, Default)]
pub(crate) struct RouteLimits {
    rates: Vec<RouteRate>,
    bounds: Vec<Bound>,
    place: Place,
    upload: Option<Arc<UploadRule>>,
    /// Where the route says how large a body may be.
    body: Option<BodyRule>,
}

/// How large a body may be.
#[derive(Debug)]
struct BodyRule {
    bytes_max: u64,
    shadow: bool,
    outcomes: Arc<Outcomes>,
}

#[derive(Debug)]
struct RouteRate {
    /// Begins with its stack: the daemon writes it so, and limits of two stacks never have the same.
    name: Box<str>,
    key: LimitKey,
    leak: Leak,
    shadow: bool,
    message: Option<Box<str>>,
    zone: Arc<Zone>,
}

#[derive(Debug)]
struct Bound {
    place: Place,
    key: LimitKey,
    max: u32,
    upgraded: bool,
    shadow: bool,
    counts: Arc<Counts>,
}

/// What tells routes apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    listeners: Vec<SocketAddr>,
    host: Option<String>,
    path_prefix: String,
}

/// What the rates of a route say of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rated {
    /// Let through, after a wait of so many milliseconds.
    Admitted {
        /// 0: at once.
        wait_ms: u64,
    },
    /// Refused. There is a chance after so many milliseconds.
    Refused {
        /// See above.
        retry_ms: u64,
        /// What the client is told instead of our own text.
        message: Option<Box<str>>,
    },
}

/// What the bounds of a route say of a request.
#[derive(Debug)]
pub(crate) enum Bounded {
    /// Let through, and to be kept until the request ends.
    Going(Vec<Going>),
    /// Refused: this client, or the route, has as much as it may.
    Refused {
        /// All requests of the route count together: it is nobody's own fault.
        whole_route: bool,
    },
}

impl RouteLimits {
    fn new<'a>(route: &Route, known: impl Iterator<Item = &'a LiveRoute> + Clone) -> Self {
        let known_rates = || known.clone().flat_map(|route| &route.limits.rates);
        let known_bounds = || known.clone().flat_map(|route| &route.limits.bounds);
        let place = Place {
            listeners: route.listeners.clone(),
            host: route.host.clone(),
            path_prefix: route.path_prefix.clone(),
        };
        let rates = route.policy.limits.iter().map(|limit| {
            let known = known_rates()
                .find(|rate| *rate.name == *limit.name && rate.key == limit.key)
                .map(|rate| rate.zone.clone());
            RouteRate {
                name: limit.name.as_str().into(),
                key: limit.key.clone(),
                leak: Leak::from(&limit.rate),
                shadow: limit.shadow,
                message: limit.message.as_deref().map(Into::into),
                zone: known.unwrap_or_else(|| Arc::new(Zone::new())),
            }
        });
        let bounds = route.policy.in_flight.iter().map(|bound| {
            let known = known_bounds()
                .find(|known| known.place == place && known.key == bound.key && known.upgraded == bound.upgraded)
                .map(|known| known.counts.clone());
            Bound {
                place: place.clone(),
                key: bound.key.clone(),
                max: bound.max.get(),
                upgraded: bound.upgraded,
                shadow: bound.shadow,
                counts: known.unwrap_or_else(|| Arc::new(Counts::new())),
            }
        });
        let same = || {
            let same = known.clone().find(|known| known.limits.place == place);
            same.map(|same| &same.limits)
        };
        let upload = route.policy.min_upload_rate.as_ref().map(|rate| {
            let before = same().and_then(|same| same.upload.as_ref());
            let outcomes = before.map_or_else(Arc::default, |before| before.outcomes.clone());
            Arc::new(UploadRule::new(rate, outcomes))
        });
        let body = route.policy.body_bytes_max.filter(|max| *max > 0).map(|bytes_max| {
            let before = same().and_then(|same| same.body.as_ref());
            BodyRule {
                bytes_max,
                shadow: route.policy.body_shadow,
                outcomes: before.map_or_else(Arc::default, |before| before.outcomes.clone()),
            }
        });
        Self {
            rates: rates.collect(),
            bounds: bounds.collect(),
            upload,
            body,
            place,
        }
    }

    /// Returns how fast a body has to come.
    pub(crate) fn upload(&self) -> Option<Arc<UploadRule>> {
        self.upload.clone()
    }

    /// Counts a body that was refused for its size, where the route says how large one may be.
    pub(crate) fn count_refused_body(&self) {
        if let Some(body) = &self.body {
            Outcomes::count(&body.outcomes.refused);
        }
    }

    /// Counts a body that would have been refused for its size.
    pub(crate) fn count_passed_body(&self, bytes: u64) {
        if let Some(body) = &self.body
            && body.shadow
            && bytes > body.bytes_max
        {
            Outcomes::count(&body.outcomes.shadowed);
        }
    }

    /// Says that no rate has to be asked.
    pub(crate) fn has_no_rates(&self) -> bool {
        self.rates.is_empty()
    }

    /// Says that no bound has to be asked.
    pub(crate) fn has_no_bounds(&self) -> bool {
        self.bounds.is_empty()
    }

    /// Decides by the rates. As with nginx a request counts at none of them when one refuses it, and waits for the slowest.
    pub(crate) fn rate(&self, client: IpAddr, fields: &Fields<'_>, now_ms: u64) -> Rated {
        let enforced = || self.rates.iter().filter(|rate| !rate.shadow);
        let last = enforced().count().saturating_sub(1);
        let mut wait_ms = 0;
        // The last is asked and noted at once; the others are only noted when none has refused.
        for (number, rate) in enforced().enumerate() {
            let Some(key) = rate.key_of(client, fields) else {
                continue;
            };
            match rate.zone.ask(&rate.leak, key, now_ms, number == last) {
                Leaked::Refused { retry_ms } => {
                    Outcomes::count(&rate.zone.outcomes.refused);
                    return Rated::Refused {
                        retry_ms,
                        message: rate.message.clone(),
                    };
                }
                Leaked::Admitted { wait_ms: more, .. } if number == last => rate.count(more, &mut wait_ms),
                Leaked::Admitted { .. } => {}
            }
        }
        for rate in enforced().take(last) {
            // Another thread may have come between, so it is asked anew; what it let through meanwhile, this one cannot undo.
            if let Some(key) = rate.key_of(client, fields)
                && let Leaked::Admitted { wait_ms: more, .. } = rate.zone.ask(&rate.leak, key, now_ms, true)
            {
                rate.count(more, &mut wait_ms);
            }
        }
        for rate in self.rates.iter().filter(|rate| rate.shadow) {
            if let Some(key) = rate.key_of(client, fields) {
                let outcomes = &rate.zone.outcomes;
                Outcomes::count(match rate.zone.ask(&rate.leak, key, now_ms, true) {
                    Leaked::Admitted { wait_ms: 0, .. } => &outcomes.admitted,
                    _ => &outcomes.shadowed,
                });
            }
        }
        Rated::Admitted { wait_ms }
    }

    /// Decides by the bounds. `upgrade`: the request asks to change the protocol.
    pub(crate) fn bound(&self, client: IpAddr, fields: &Fields<'_>, upgrade: impl Fn() -> bool) -> Bounded {
        let mut going = Vec::with_capacity(self.bounds.len());
        for bound in self.bounds.iter().filter(|bound| !bound.upgraded || upgrade()) {
            let Some(key) = limit_key(&bound.key, client, fields, &bound.counts.hasher) else {
                continue;
            };
            match bound.counts.enter(key, bound.max, bound.shadow) {
                Some(one) => going.push(one),
                None => {
                    return Bounded::Refused {
                        whole_route: bound.key == LimitKey::Route,
                    };
                }
            }
        }
        Bounded::Going(going)
    }

    fn stats(&self) -> impl Iterator<Item = LimitStats> {
        let rates = self.rates.iter().map(|rate| LimitStats {
            stack: rate.stack().to_owned(),
            ..LimitStats::of(LimitKind::Rate, &rate.name, &rate.key, &rate.zone.outcomes)
        });
        let bounds = self.bounds.iter().map(|bound| {
            let kind = if bound.upgraded {
                LimitKind::Upgraded
            } else {
                LimitKind::InFlight
            };
            LimitStats::of(kind, &bound.place.name(), &bound.key, &bound.counts.outcomes)
        });
        let upload = self.upload.iter().map(|upload| {
            let name = self.place.name();
            LimitStats::of(LimitKind::UploadRate, &name, &LimitKey::Route, &upload.outcomes)
        });
        let body = self.body.iter().map(|body| {
            let name = self.place.name();
            LimitStats::of(LimitKind::Body, &name, &LimitKey::Route, &body.outcomes)
        });
        rates.chain(bounds).chain(upload).chain(body)
    }
}

impl Place {
    fn name(&self) -> String {
        format!("{}{}", self.host.as_deref().unwrap_or(""), self.path_prefix)
    }
}

impl RouteRate {
    fn key_of(&self, client: IpAddr, fields: &Fields<'_>) -> Option<u64> {
        limit_key(&self.key, client, fields, &self.zone.hasher)
    }

    fn stack(&self) -> &str {
        self.name.split_once('/').map_or("", |(stack, _)| stack)
    }

    fn count(&self, wait_ms: u64, longest_ms: &mut u64) {
        let outcomes = &self.zone.outcomes;
        Outcomes::count(if wait_ms == 0 {
            &outcomes.admitted
        } else {
            &outcomes.delayed
        });
        *longest_ms = wait_ms.max(*longest_ms);
    }
}

/// Gives each route its limits, with what was counted under the snapshot before.
pub(crate) fn equip(routes: &mut [LiveRoute], described: &[Route], before: &[LiveRoute]) {
    for (number, route) in described.iter().enumerate() {
        let (done, rest) = routes.split_at_mut(number);
        // Those of this snapshot first: limits of the same name count together from the beginning.
        rest[0].limits = RouteLimits::new(route, done.iter().chain(before));
    }
}

/// Returns the counters of all limits, one entry for each zone and bound.
pub(crate) fn stats(routes: &[LiveRoute]) -> Vec<LimitStats> {
    let mut all: Vec<LimitStats> = routes.iter().flat_map(|route| route.limits.stats()).collect();
    let place = |one: &LimitStats| (one.kind, one.stack.clone(), one.name.clone(), one.key.clone());
    all.sort_by_key(place);
    all.dedup_by_key(|one| place(one));
    all
}
