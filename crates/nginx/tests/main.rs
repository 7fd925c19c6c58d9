//! The tests of this crate, one program.

mod import;
mod render;
