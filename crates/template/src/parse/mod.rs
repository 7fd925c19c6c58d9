//! From text to tree: tokens, literals, grammar. Knows the names of functions, not what they do.

mod grammar;
mod lex;
mod literal;

pub(crate) use grammar::{Parsed, parse};
pub(crate) use literal::Number;
