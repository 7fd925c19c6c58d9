//! The API of the member payment system, the first reference system.

fn main() {}
