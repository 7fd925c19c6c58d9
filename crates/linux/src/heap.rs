//! How a process holds the memory that it was given and does not use.

/// Has all threads of this process take memory from one heap. To be called before there are others.
///
/// The C library of GNU gives each thread a heap of its own, and what a thread freed stays in its heap for a while. Where threads take turns at work
/// that needs much memory for a moment, such as queries over many series, that is kept once for each of them. Other libraries
/// have no such heaps, and there nothing is done.
#[allow(unsafe_code)] // No crate we use wraps mallopt.
pub fn use_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers; one that it does not know is refused and changes nothing.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
