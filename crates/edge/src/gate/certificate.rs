//! Lets in clients that showed a certificate, where the route is for them alone.

use super::{Admission, refuse};
use crate::answer::ErrorCode;
use crate::exchange::{Asked, Exchange};

pub(super) fn ask(exchange: &mut Exchange, _: &Asked<'_>) -> Option<Admission> {
    let wanted = exchange.route()?.policy.client_certificate;
    if wanted && exchange.client_certificate().is_none() {
        return refuse(ErrorCode::NoCertificate);
    }
    None
}
