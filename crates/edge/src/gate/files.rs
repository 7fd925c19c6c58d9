//! Answers with files where the route has a folder.

use super::Admission;
use crate::exchange::{Asked, Exchange};

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    let content = &exchange.route()?.content;
    let answer = content.file(asked, |path| exchange.leads_elsewhere(asked, path))?;
    Some(Admission::Answer(Box::new(answer)))
}
