//! The template language of Prometheus and Alertmanager: Go's text/template with their functions, read with places and rendered within bounds.
//!
//! Map: [`Templates`] takes texts and renders them; `parse` reads them into the tree of `node`; `render` walks the tree; `functions` is what can be
//! called, in two [`Dialect`]s; [`Value`] is what it works on, with Go's types; `format` writes values as Go's package fmt does; `html` escapes
//! them for the place where they stand; [`World`] is what a template may ask: queries, the time, time zones.
//!
//! Invariant: no text makes reading panic, and every fault has a line and a column (tests `no_bytes_make_it_panic`, `fuzz_corpus_template`).
//! Invariant: an unknown function, an undefined variable and an `{{ end }}` too many are refused when the text is read (test `refused`).
//! Invariant: rendering ends within [`Limits`] (test `bounds`).

mod error;
mod format;
mod functions;
mod html;
mod node;
mod parse;
mod render;
mod set;
mod value;
mod world;

pub use error::{Place, TemplateError};
pub use functions::{Dialect, function_names};
pub use set::{Escape, Limits, Templates};
pub use value::{Duration, Field, List, ListKind, Map, MapKind, Offset, Safe, Sample, Struct, Time, Value};
pub use world::{Still, World};
