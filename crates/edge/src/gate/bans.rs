//! Refuses clients that are banned where a hop before us says who they are, or whose connection was open when the ban came; the others
//! were not let in at all.

use std::sync::atomic::Ordering;

use super::{Admission, refuse};
use crate::answer::ErrorCode;
use crate::exchange::{Asked, Exchange};

pub(super) fn ask(exchange: &mut Exchange, _: &Asked<'_>) -> Option<Admission> {
    if !exchange.is_banned() {
        return None;
    }
    exchange.shared().banned.fetch_add(1, Ordering::Relaxed);
    refuse(ErrorCode::Banned)
}
