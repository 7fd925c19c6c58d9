//! The command line as it is seen from outside the crate.
