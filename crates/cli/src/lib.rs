//! The command line a person types.
