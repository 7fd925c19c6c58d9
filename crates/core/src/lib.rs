//! The idea without I/O: the nouns, plans of steps, the journal as values, the controller.
//!
//! Map: [`model`] what is wanted, [`observed`] what is there, [`world`] both together, [`deployment`] one
//! attempt to change it, [`configuration`] what replicas are started with because of it, [`ban`] and [`door`] what people asked of the
//! edge, [`plan`] the steps between them, [`journal`] what happened,
//! [`controller`] the loop that joins them.
//!
//! Invariant: nothing here reads a clock, a disk, a socket or a random number; time comes in as [`tend_base::Now`]
//! and everything to be done goes out as a value (`cargo xtask tidy` checks the manifest and the sources).

pub mod ban;
pub mod configuration;
pub mod controller;
pub mod deployment;
pub mod door;
pub mod journal;
pub mod model;
pub mod observed;
pub mod plan;
pub mod world;
