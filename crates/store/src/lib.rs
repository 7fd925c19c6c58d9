//! The journal and the daemon's state in SQLite.
