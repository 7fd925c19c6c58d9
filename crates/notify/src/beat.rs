//! The sign of life that is sent out, so that somebody elsewhere sees when it stops. When one is due is decided in `tend-alert`.

use std::time::Duration;

use tend_base::Secret;
use tend_fetch::{Address, Request};

use crate::{Heard, Notifier, NotifierError};

/// A sign of life: where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    address: Address,
    url: Secret,
    /// For the whole; 10 s.
    pub within: Duration,
}

impl Beat {
    /// Takes an address, which often holds a key.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(url: &Secret) -> Result<Self, NotifierError> {
        Ok(Self {
            address: Address::parse(url.expose())?,
            url: url.clone(),
            within: Duration::from_secs(10),
        })
    }
}

impl Notifier {
    /// Sends one sign of life: a `GET`, which is what such services want, and any status of success is a receipt. Nobody tries again: the next one is
    /// soon due.
    pub async fn beat(&self, beat: &Beat) -> Heard {
        let hidden = [beat.url.clone(), Secret::new(beat.address.target().to_owned())];
        let hidden = if beat.address.target().len() < 4 {
            &hidden[..1]
        } else {
            &hidden[..]
        };
        let at = beat.address.at();
        let mut request = Request::get(beat.address.clone());
        request.within = beat.within;
        request.answer_bytes_max = 1024;
        request.redirects = 3;
        match self.plain().send(&request).await {
            Ok(answer) => {
                let said = format!("status {}", answer.status);
                match answer.status {
                    200..=299 => Heard::confirmed(&at, &said, hidden),
                    _ => Heard::failed(&at, &said, None, hidden),
                }
            }
            Err(error) => Heard::failed(&at, &error.with_causes(), None, hidden),
        }
    }
}
