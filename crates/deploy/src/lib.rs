//! Decides how a stack is brought from one release to another, and back.
//!
//! Owns the order of a deployment: look first, migrate, start, see, shift, drain, see again, commit; and the way back from each of
//! them. It starts and stops nothing: it says which slots of a service run which release and who of them is given requests, and
//! supervision does the rest. Knows no process, clock or socket.
//!
//! Map: `chapter` the phases, `roll` one service after the other, `canary` a share of the requests, `verdict` what its figures say,
//! `undo` the way back, `settle` the proof that all is as it should be, `replica` what is seen of one new replica.
//!
//! Invariants (simulator):
//! - serving replicas never fall below the floor of a deployment by its doing;
//! - no client's request goes to a replica of the target before it proved itself;
//! - a deployment ends, committed or undone, whatever was killed; or it is held, and says so.

mod canary;
mod chapter;
mod replica;
mod roll;
mod settle;
mod undo;
mod verdict;

pub use chapter::Deploy;
pub use verdict::{Counts, ERROR_RATE, Interval, Verdict, interval, verdict};
