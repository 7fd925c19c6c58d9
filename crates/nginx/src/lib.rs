//! The configuration of nginx: read into the chapter `edge` of a stack file, and written from one.
//!
//! Map: `read` the syntax of nginx's files, [`import()`] what they mean here and what could not be carried over, [`render()`] the other
//! way. Pure: who calls brings the texts, also those of files that are included.

mod error;
mod import;
mod read;
mod render;

pub use error::ReadError;
pub use import::{Imported, Note, Weight, import};
pub use render::render;
