//! How Go's package fmt writes values: `print`, `println`, `printf`. Knows no template.

mod float;
mod printf;
mod quote;

pub(crate) use float::{Float, float};
pub(crate) use printf::{TooLong, display, sprint, sprintf, sprintln};
pub(crate) use quote::is_print;
