//! Load driver that makes real payments against mps and checks the books.

fn main() {}
