//! Tests of rules: the engine, looking back, checks, unit tests, twins.

mod cases;
mod check;
