//! Integration tests of the development commands, through the real program.

mod command_line;
mod sandbox;
mod tidy;
