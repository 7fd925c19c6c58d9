//! Finds secret values, in all their forms, in a stream of bytes and replaces them.
//!
//! Pure: it is given the values and the bytes. It does not know where a value comes from, nor where the bytes go.
//!
//! - `value` is a secret value with its name; `forms` is how programs write one.
//! - `exact` finds known values; `rules` and `card` find what looks like a secret whatever its value is.
//! - `patterns` puts these together over a window of bytes; `redactor` is the stream over it; `finder` says where things stand in one.
//!
//! Invariant: how a stream is cut into pieces does not change what comes out (test `any_split_gives_the_same_output`).
//! Invariant: no form of a known value stands in the output (test `no_form_of_any_secret_is_left`).

mod card;
mod exact;
mod finder;
mod forms;
mod patterns;
mod redactor;
mod rules;
mod value;

pub use card::is_card_number;
pub use finder::{Finder, Found};
pub use forms::{Form, form_in, forms};
pub use patterns::{Label, Patterns, Rules, Scan, Span, WINDOW_BYTES};
pub use redactor::{Hit, Redactor, Tell};
pub use value::{VALUE_BYTES_MIN, Value};
