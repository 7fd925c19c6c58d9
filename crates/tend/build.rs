//! How the program is linked. Knows nothing of what is in it.

fn main() {
    // At a fixed address the loader has nothing to adjust: in a position-independent program it writes to each page that holds a
    // pointer (188 kB of vtables and static texts), in every process anew. With one shim for each replica that was more than half of
    // a shim's memory: 332 kB of its own against 140, see docs/design/0070-supervise-bench.md. Libraries, stack and heap are still at
    // random addresses; the program's own code is not.
    println!("cargo:rustc-link-arg-bins=-no-pie");
    println!("cargo:rerun-if-changed=build.rs");
}
