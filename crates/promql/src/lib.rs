//! PromQL: read, printed and evaluated over whatever holds the series.
//!
//! Pure: it is given texts, times and a `Store`. It does not know where samples come from, nor who asks.
//!
//! - `labels` and `matcher` are label sets and what selects them; `sample` is a value at a time.
//! - `series` is what a store implements; `memory` is the plain store that tests use.
//! - `text` is how names, strings and numbers are written, `duration` how lengths of time are.
//! - `eval` evaluates a tree at the steps of a query; `annotation` is what a result should be read with, `calendar` its dates.
//! - `testlang` runs acceptance cases, Prometheus' and ours.
//! - `lexer` and `parser` read a query into the tree of `ast`; `printer` writes it; `functions` is the table of functions.

mod annotation;
mod ast;
mod calendar;
mod duration;
mod error;
mod eval;
mod functions;
mod labels;
mod lexer;
mod matcher;
mod memory;
mod parser;
mod printer;
mod sample;
mod series;
pub mod testlang;
mod text;

pub use annotation::{Annotation, Severity};
pub use ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Cardinality, DurationExpr, Expr, Matching, Number, Paren,
    Period, RangeSelector, Selector, Span, Subquery, Text, Unary, ValueType,
};
pub use duration::{format_duration, parse_duration};
pub use error::{Error, ParseError};
pub use eval::{EvalOptions, Outcome, Query, Series, Shared, Value, VectorSample};
pub use functions::Function;
pub use labels::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, Pairs, Values};
pub use memory::MemoryStore;
pub use parser::{ParseOptions, parse, parse_matchers, parse_with};
pub use sample::{NAN_BITS, STALE, STALE_BITS, Sample, Samples, Timestamp, is_stale};
pub use series::{Hints, Selection, Store, StoreError, Whole};
pub use text::{is_label_name, is_metric_name, number, quoted, unquote, write_quoted};
