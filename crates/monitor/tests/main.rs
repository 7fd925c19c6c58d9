//! The monitor as a whole.
