//! How much of something one client may have: requests in a time, requests at once.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A bound on how often a route is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What people call it; limits of one stack with the same name count together, as nginx's zones do.
    pub name: String,
    /// Who is counted as one.
    pub key: LimitKey,
    /// How often.
    pub rate: Rate,
    /// Counted and told, not enforced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// What a client who is refused is told instead of our own text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Who is counted as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKey {
    /// Each address; of IPv6 each /64, since a client has a whole one.
    Client,
    /// Each value of this request header, name in lower case. Requests without it are not counted.
    Header(String),
    /// Each value of this claim of the JSON Web Token in `Authorization: Bearer`. The token is not verified here, so the claim is only
    /// good for telling clients apart who would be refused by the service anyhow; requests without it are counted by address.
    Claim(String),
    /// All requests of the route together.
    Route,
}

/// nginx's `limit_req`: a leaking bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// So many requests…
    pub requests: NonZeroU32,
    /// …in so much time, evenly: 10 in a second is one each 100 ms.
    pub per: Duration,
    /// So many more may come early.
    pub burst: u32,
    /// Of those that come early, so many are let through at once and the others wait for their time; all of the burst when absent
    /// (nginx's `nodelay`), none when 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_after: Option<u32>,
}

/// A bound on requests at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Who is counted as one.
    pub key: LimitKey,
    /// So many at once.
    pub max: NonZeroU32,
    /// Only connections that changed their protocol, such as WebSockets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub upgraded: bool,
    /// Counted and told, not enforced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

/// How fast a client has to send the body of a request: `MinRate` of Apache's mod_reqtimeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRate {
    /// Bytes a second, over the time in which the client is waited for.
    pub rate: NonZeroU64,
    /// For so long any speed is good.
    pub after: Duration,
    /// Counted and told, not enforced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}
