//! Answers an authority that looks whether we control a name (HTTP-01, RFC 8555, 8.3).

use bytes::Bytes;

use super::Admission;
use crate::answer::{OwnAnswer, OwnBody};
use crate::exchange::{Asked, Exchange};

/// Below it lie the answers.
pub(super) const FOLDER: &str = "/.well-known/acme-challenge/";

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let token = asked.path.strip_prefix(FOLDER).filter(|_| !asked.secure)?;
    // Services have addresses of their own, where no authority asks.
    exchange.door()?;
    let mut known = exchange.snapshot().challenges.http01.iter();
    let challenge = known.find(|challenge| challenge.token == token)?;
    Some(Admission::Answer(Box::new(OwnAnswer {
        status: 200,
        code: None,
        fields: vec![
            ("content-type".to_owned(), "application/octet-stream".to_owned()),
            ("cache-control".to_owned(), "no-store".to_owned()),
        ],
        body: OwnBody::Bytes(Bytes::from(challenge.answer.clone())),
        close: false,
    })))
}
