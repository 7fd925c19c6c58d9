//! The text that metrics are exposed in: Prometheus' format 0.0.4 and OpenMetrics 1.0, read and written. Knows no target, no store and no
//! clock.
//!
//! Map: [`Lines`] goes through a body and gives [`Line`]s; a sample is two slices and a time, and its labels are read by
//! [`series_labels`] only where somebody asks; [`parse_value`] reads the number. [`Writer`] writes either [`Format`]. [`Reason`] says what
//! was wrong with a line.
//!
//! What is taken and what is refused is what Prometheus' own readers take and refuse, with three exceptions: one bad line does not
//! refuse the rest; a label's value goes over no line end (Prometheus 0.0.4 lets it, the format does not); a type may be followed by
//! blanks. Invariants: no input makes it panic (tests `fuzz_corpus_exposition`, `no_bytes_make_it_panic`); a series that was taken has labels
//! that are UTF-8 and has a name; what is written reads the same (`what_is_written_reads_the_same`).

mod error;
mod format;
mod lines;
mod number;
mod series;
mod write;

pub use error::Reason;
pub use format::{Format, MetricType};
pub use lines::{BadLine, Line, Lines, SampleLine};
pub use number::{parse_value, write_value};
pub use series::{LabelPair, METRIC_NAME, series_labels};
pub use write::Writer;
