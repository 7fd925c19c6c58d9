//! Integration tests of the development commands, through the real program.

mod check;
mod command_line;
mod fuzz;
mod sandbox;
mod suite;
mod tidy;
mod vm;
