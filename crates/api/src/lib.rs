//! The daemon's versioned API: its messages, its client and its server.
