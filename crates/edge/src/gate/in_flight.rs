//! Bounds what goes on at once: requests, or connections that changed their protocol.

use super::Admission;
use crate::answer::ErrorCode;
use crate::exchange::{Asked, Exchange};
use crate::live::Bounded;

/// Something that goes on ends at any time, so a client may soon ask again.
const RETRY_AFTER_SECONDS: u64 = 1;

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let limits = &exchange.route()?.limits;
    if limits.has_no_bounds() {
        return None;
    }
    match limits.bound(exchange.client(), asked.fields, || wants_upgrade(asked)) {
        Bounded::Going(going) => {
            exchange.keep(going);
            None
        }
        Bounded::Refused { whole_route } => {
            let code = if whole_route {
                ErrorCode::RouteBusy
            } else {
                ErrorCode::InFlightLimited
            };
            let answer = exchange.refusal(asked, code, None, Some(RETRY_AFTER_SECONDS));
            Some(Admission::Answer(Box::new(answer)))
        }
    }
}

/// Says whether the request asks to change the protocol. If the replica declines, it ends like any other.
fn wants_upgrade(asked: &Asked<'_>) -> bool {
    (asked.fields)("upgrade", &mut |_| true)
        && (asked.fields)("connection", &mut |list| {
            list.split(|byte| *byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
}
