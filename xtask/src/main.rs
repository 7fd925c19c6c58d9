//! The project's own commands: ci, tidy, sim, vm, fuzz.

fn main() {}
