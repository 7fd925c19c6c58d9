//! Tests of the template language.

mod bounds;
mod oracle;
mod refused;
mod replay;
