//! What may change while a replica runs: how long a code lives, limits, and what is logged.
//!
//! Told by tend where `TEND_CONFIG_SOCKET` names its socket; without, everything is as it begins. A key that is not set means
//! what it means without tend. Knows neither files nor the database of the configuration.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use tend_config_client::{Client, Set};

use crate::config::{LOG_LEVELS, log_info};
use crate::http::SOCKETS_MAX;
use crate::money::AMOUNT_MAX;
use crate::{Config, Error, Log};

/// The guide's lifetime of a code: fifteen minutes.
pub(crate) const QR_TTL_SECONDS: i64 = 900;
/// Longest life of a code: one day.
pub(crate) const QR_TTL_SECONDS_MAX: i64 = 86_400;
/// How long the start waits for the first values, so that the first request is served by them. tend has them before it starts a
/// replica; where it does not answer, serving is worth more.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);

const LOG_LEVEL: &str = "app.log_level";

/// The values in force, read with each request.
pub struct Live {
    qr_ttl_seconds: Number,
    payment_amount_max: Number,
    websockets_max: Number,
}

/// A number under its key.
struct Number {
    key: &'static str,
    range: RangeInclusive<i64>,
    default: i64,
    now: AtomicI64,
}

impl Number {
    fn new(key: &'static str, range: RangeInclusive<i64>, default: i64) -> Number {
        Number {
            key,
            range,
            default,
            now: AtomicI64::new(default),
        }
    }

    /// Returns what a value means here, or why it means nothing.
    fn read(&self, value: Option<&Json>) -> Result<i64, String> {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Ok(self.default);
        };
        let number = value.as_i64().filter(|number| self.range.contains(number));
        number.ok_or_else(|| {
            let (from, to) = (self.range.start(), self.range.end());
            format!("{} is {value}, expected a whole number from {from} to {to}", self.key)
        })
    }

    fn get(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }
}

impl Default for Live {
    fn default() -> Self {
        Live {
            qr_ttl_seconds: Number::new(
                "features.qr_rotation.default_ttl",
                1..=QR_TTL_SECONDS_MAX,
                QR_TTL_SECONDS,
            ),
            payment_amount_max: Number::new("limits.payment_amount_max", 1..=AMOUNT_MAX, AMOUNT_MAX),
            websockets_max: Number::new("limits.websockets_max", 0..=SOCKETS_MAX, SOCKETS_MAX),
        }
    }
}

impl Live {
    /// Returns how long a code lives whose request does not say so.
    pub fn qr_ttl_seconds(&self) -> i64 {
        self.qr_ttl_seconds.get()
    }

    /// Returns the largest payment, in minor units.
    pub fn payment_amount_max(&self) -> i64 {
        self.payment_amount_max.get()
    }

    /// Returns how many WebSockets this replica holds at most; those open stay when it sinks.
    pub fn websockets_max(&self) -> i64 {
        self.websockets_max.get()
    }

    fn numbers(&self) -> [&Number; 3] {
        [&self.qr_ttl_seconds, &self.payment_amount_max, &self.websockets_max]
    }

    /// Tells whether a whole set can be taken.
    fn check(&self, set: &Set) -> Result<(), String> {
        for number in self.numbers() {
            number.read(set.get(number.key))?;
        }
        level(set.get(LOG_LEVEL)).map(drop)
    }
}

/// Returns whether a level has requests logged; none where it is left to the environment.
fn level(value: Option<&Json>) -> Result<Option<bool>, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let info = value.as_str().and_then(log_info);
    info.map(Some)
        .ok_or_else(|| format!("{LOG_LEVEL} is {value}, expected {LOG_LEVELS}"))
}

/// Has `live` and `log` follow what tend says, until the client is dropped; none without tend.
///
/// # Errors
/// [`Error::WatchConfiguration`] where no thread is to be had.
pub fn watch(config: &Config, live: &Arc<Live>, log: &Log) -> Result<Option<Client>, Error> {
    let Some(socket) = &config.live_socket else {
        return Ok(None);
    };
    let (checked, followed) = (Arc::clone(live), Arc::clone(live));
    let (told, leveled, without) = (log.clone(), log.clone(), config.log_info);
    let client = Client::builder(socket)
        .check(move |set| Ok(checked.check(set)?))
        .on("*", move |change| {
            let number = followed.numbers().into_iter().find(|number| number.key == change.key);
            if let Some(number) = number {
                number.now.store(number.read(change.new)?, Ordering::Relaxed);
            }
            Ok(())
        })
        .on(LOG_LEVEL, move |change| {
            leveled.set_info(level(change.new)?.unwrap_or(without));
            Ok(())
        })
        .on("*", move |change| {
            // The first values are no news.
            if change.old.is_some() {
                told.info("config", "configuration changed", |line| {
                    line.insert("key".to_owned(), change.key.into());
                });
            }
            Ok(())
        })
        .start()
        .map_err(|source| Error::WatchConfiguration { source })?;
    if !client.wait_for_first(FIRST_PATIENCE) {
        log.warn(
            "config",
            "tend does not answer: serving as without it until it does",
            |line| {
                line.insert("socket".to_owned(), socket.display().to_string().into());
            },
        );
    }
    Ok(Some(client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_with_one_value_that_means_nothing_is_named() {
        let live = Live::default();
        let cases = [
            ("features.qr_rotation.default_ttl", Json::from(0), "from 1 to 86400"),
            ("features.qr_rotation.default_ttl", Json::from("900"), "whole number"),
            ("limits.payment_amount_max", Json::from(-1), "limits.payment_amount_max"),
            (LOG_LEVEL, Json::from("loud"), "`warn`"),
        ];
        for (key, value, named) in cases {
            let mut set = Set::default();
            set.values.insert(key.to_owned(), value);
            let error = live.check(&set).expect_err(key);
            assert!(error.contains(named), "{error}");
        }
        let mut others = Set::default();
        others.values.insert("somebody.elses".to_owned(), Json::from("x"));
        others.values.insert("limits.websockets_max".to_owned(), Json::Null);
        live.check(&others).expect("what is not ours, or not set, is no matter");
    }
}
