//! Decides how a stack is brought from one release to the next.

mod verdict;

pub use verdict::{Counts, ERROR_RATE, Interval, Verdict, interval, verdict};
