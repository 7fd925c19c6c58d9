//! The program: main, the daemon and the wiring of all parts.

fn main() {}
