//! What is compared, and what is aimed at.

use clap::ValueEnum;
use serde::Serialize;

use crate::front::FrontName;

/// A way of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// HTTP/1.1 on kept connections, as fast as it goes.
    Saturation,
    /// HTTP/1.1 on kept connections, at a fixed rate.
    Rate,
    /// HTTP/1.1, a connection for each request.
    Close,
    /// HTTP/1.1 over TLS on kept connections, as fast as it goes.
    Tls,
    /// HTTP/1.1 over TLS, a connection with a full handshake for each request.
    Handshake,
    /// HTTP/2 over TLS, 16 connections of 10 streams, as fast as it goes.
    Http2,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Saturation,
        Self::Rate,
        Self::Close,
        Self::Tls,
        Self::Handshake,
        Self::Http2,
    ];

    /// Returns what is done, for a person.
    pub(crate) fn what(self, rate: u32) -> String {
        match self {
            Self::Saturation => "HTTP/1.1 kept connections, saturation (wrk -t1 -c64)".to_owned(),
            Self::Rate => format!("HTTP/1.1 kept connections, {rate} requests/s (h2load --h1 -c64)"),
            Self::Close => "HTTP/1.1, one connection a request (wrk -t1 -c64)".to_owned(),
            Self::Tls => "HTTPS kept connections, saturation (wrk -t1 -c64)".to_owned(),
            Self::Handshake => "HTTPS, a full handshake a request (wrk -t1 -c64)".to_owned(),
            Self::Http2 => "HTTP/2, 16 connections of 10 streams (h2load -c16 -m10)".to_owned(),
        }
    }

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Handshake | Self::Http2)
    }
}

/// What is said of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// Processor time per request: theirs over ours, at least.
    CpuAtLeast(f64),
    /// The 99th percentile: ours over theirs, at most; against the better of both nginx configurations.
    P99AtMost(f64),
    /// PSS per idle connection of ours in KiB, at most.
    IdleAtMost(f64),
}

/// Something to reach.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Aim {
    pub(crate) kind: Option<Kind>,
    pub(crate) against: FrontName,
    pub(crate) measure: Measure,
}

const fn cpu(kind: Kind, against: FrontName, at_least: f64) -> Aim {
    Aim {
        kind: Some(kind),
        against,
        measure: Measure::CpuAtLeast(at_least),
    }
}

/// The aims of the edge's issue. One connection a request has none.
pub(crate) const AIMS: [Aim; 12] = [
    cpu(Kind::Saturation, FrontName::Guide, 1.3),
    cpu(Kind::Saturation, FrontName::Tuned, 1.15),
    cpu(Kind::Rate, FrontName::Guide, 1.3),
    cpu(Kind::Rate, FrontName::Tuned, 1.25),
    cpu(Kind::Tls, FrontName::Guide, 1.3),
    cpu(Kind::Tls, FrontName::Tuned, 1.15),
    cpu(Kind::Handshake, FrontName::Guide, 1.3),
    cpu(Kind::Handshake, FrontName::Tuned, 1.3),
    cpu(Kind::Http2, FrontName::Guide, 1.3),
    cpu(Kind::Http2, FrontName::Haproxy, 1.0),
    Aim {
        kind: Some(Kind::Rate),
        against: FrontName::Tuned,
        measure: Measure::P99AtMost(1.1),
    },
    Aim {
        kind: None,
        against: FrontName::Tuned,
        measure: Measure::IdleAtMost(3.0),
    },
];
