//! The stack file, a superset of the Compose file, and its errors.
