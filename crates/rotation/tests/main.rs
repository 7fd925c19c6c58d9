//! The rotation from outside: what it asks for, in which order, and that no order of facts, kills and lost answers breaks a promise.

mod by_seeds;
mod path;
mod world;
