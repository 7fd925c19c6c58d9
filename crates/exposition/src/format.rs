//! Which of the two formats a body is in, and the metric types of each. Knows no line.

/// A text format for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What a scrape asks for: OpenMetrics first, then 0.0.4, then anything. Protobuf is not asked for.
    pub const ACCEPT: &'static str =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

    /// Returns the format of a body with this `Content-Type`. Whatever is not OpenMetrics is read as 0.0.4, as most exporters that name no
    /// type, or a wrong one, write it.
    #[must_use]
    pub fn of_content_type(value: &str) -> Self {
        let media = value.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Returns the `Content-Type` of a body that a [`crate::Writer`] of this format wrote.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What kind of metric a name is. Says nothing about its samples: exporters are not held to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// Only grows, until its process restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets by upper bound, with sum and count.
    Histogram,
    /// Buckets of things that come and go; OpenMetrics only.
    GaugeHistogram,
    /// Quantiles, with sum and count.
    Summary,
    /// Labels alone, the value is 1; OpenMetrics only.
    Info,
    /// One of several states; OpenMetrics only.
    StateSet,
    /// Not said: `untyped` in 0.0.4, `unknown` in OpenMetrics.
    Unknown,
}

impl MetricType {
    /// Returns the type of this word in `format`, if it has one.
    #[must_use]
    pub fn parse(word: &str, format: Format) -> Option<Self> {
        Some(match (word, format) {
            ("counter", _) => Self::Counter,
            ("gauge", _) => Self::Gauge,
            ("histogram", _) => Self::Histogram,
            ("summary", _) => Self::Summary,
            ("untyped", Format::Text) | ("unknown", Format::OpenMetrics) => Self::Unknown,
            ("gaugehistogram", Format::OpenMetrics) => Self::GaugeHistogram,
            ("info", Format::OpenMetrics) => Self::Info,
            ("stateset", Format::OpenMetrics) => Self::StateSet,
            _ => return None,
        })
    }

    /// Returns the word in `format`; in 0.0.4 a type that only OpenMetrics has is what Prometheus' own writers make of it.
    #[must_use]
    pub fn word(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Counter, _) => "counter",
            (Self::Gauge, _) | (Self::Info | Self::StateSet, Format::Text) => "gauge",
            (Self::Histogram, _) | (Self::GaugeHistogram, Format::Text) => "histogram",
            (Self::Summary, _) => "summary",
            (Self::Unknown, Format::Text) => "untyped",
            (Self::Unknown, Format::OpenMetrics) => "unknown",
            (Self::GaugeHistogram, Format::OpenMetrics) => "gaugehistogram",
            (Self::Info, Format::OpenMetrics) => "info",
            (Self::StateSet, Format::OpenMetrics) => "stateset",
        }
    }
}
