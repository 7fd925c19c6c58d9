//! Lets in the addresses that the route allows and does not deny.

use super::{Admission, refuse};
use crate::answer::ErrorCode;
use crate::exchange::{Asked, Exchange};

pub(super) fn ask(exchange: &mut Exchange, _: &Asked<'_>) -> Option<Admission> {
    let client = exchange.client();
    let policy = &exchange.route()?.policy;
    let denied = policy.deny.iter().any(|prefix| prefix.contains(client));
    let allowed = policy.allow.is_empty() || policy.allow.iter().any(|prefix| prefix.contains(client));
    if denied || !allowed {
        return refuse(ErrorCode::Forbidden);
    }
    None
}
