//! How things are shown: colour, tables, errors. Knows no command.

mod errors;
mod paint;
mod progress;
mod table;

pub(crate) use errors::show_error;
pub(crate) use paint::{Paint, Tone, harmless};
pub(crate) use progress::{Ending, follow, took};
pub(crate) use table::{Cell, Table, shortened, width};
