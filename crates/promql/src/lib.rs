//! PromQL: read, printed and evaluated over whatever holds the series.
//!
//! Pure: it is given texts, times and a `Store`. It does not know where samples come from, nor who asks.
//!
//! - `labels` and `matcher` are label sets and what selects them; `sample` is a value at a time.
//! - `series` is what a store implements; `memory` is the plain store that tests use.
//! - `text` is how names, strings and numbers are written.

mod error;
mod labels;
mod matcher;
mod memory;
mod sample;
mod series;
mod text;

pub use error::Error;
pub use labels::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, Pairs, Values};
pub use memory::MemoryStore;
pub use sample::{NAN_BITS, STALE, STALE_BITS, Sample, Samples, Timestamp, is_stale};
pub use series::{Hints, Selection, Store, StoreError};
pub use text::{is_label_name, is_metric_name, number, quoted, write_quoted};
