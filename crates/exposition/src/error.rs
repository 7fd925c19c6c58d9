//! What can be wrong with a line of an exposition, in words for who wrote the exporter. Repeats nothing of the line.

/// Says why a line was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// Neither a letter, `_`, `:` nor `{` where a series begins.
    #[error("a metric name was expected")]
    MetricName,
    /// Braces without a quoted name in them, and no name before them.
    #[error("the series has no metric name")]
    NoMetricName,
    /// A name before the braces and another in them, or two in them.
    #[error("the series has two metric names")]
    TwoMetricNames,
    /// Something else where a label begins.
    #[error("a label name was expected")]
    LabelName,
    /// A label name without `=`.
    #[error("`=` was expected after the label name")]
    LabelEqual,
    /// A label's value without a quote.
    #[error("a label value in double quotes was expected")]
    LabelValue,
    /// A quote that does not end on its line.
    #[error("a double quote is not closed on its line")]
    QuoteOpen,
    /// Bytes that are not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// Something else after a label's value.
    #[error("`,` or `}}` was expected after the label value")]
    LabelEnd,
    /// The same name twice.
    #[error("a label name stands twice")]
    LabelTwice,
    /// A series alone.
    #[error("a value was expected after the series")]
    NoValue,
    /// Not a number as Go reads one, or with the hexadecimal and `_` forms that Prometheus refuses, or out of range.
    #[error("the value is not a number")]
    Value,
    /// Not a number, or out of range.
    #[error("the timestamp is not a number")]
    Timestamp,
    /// More after value and timestamp.
    #[error("the line goes on after the value and timestamp")]
    Trailing,
    /// An exemplar that is not `# {labels} value [timestamp]`.
    #[error("the exemplar is malformed")]
    Exemplar,
    /// A `# HELP`, `# TYPE` or `# UNIT` without a metric name.
    #[error("a metric name was expected after HELP, TYPE or UNIT")]
    MetadataName,
    /// A type that the format does not have.
    #[error("the metric type is not one of the format")]
    MetricType,
    /// A unit that is not the end of its metric's name.
    #[error("the unit is not the suffix of the metric's name")]
    Unit,
    /// A line of OpenMetrics that begins with `#` and is no metadata, or an empty one.
    #[error("OpenMetrics has neither comments nor empty lines")]
    Comment,
    /// An OpenMetrics body that stops without `# EOF`: it was cut, and what is missing is not known.
    #[error("the exposition does not end with `# EOF`: it was cut")]
    NoEof,
    /// More after `# EOF`.
    #[error("there is more after `# EOF`")]
    AfterEof,
}
