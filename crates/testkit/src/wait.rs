//! Waiting until something is so, with a deadline, instead of sleeping for a guessed time.

use std::time::{Duration, Instant};

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `is_so` returns true; `what` says for whom waits in vain what for.
///
/// # Panics
/// When it is not so within `deadline`, which should be many times what it usually takes: the machine has other work too.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < deadline,
            "not within {}: {what}",
            tend_base::format_duration(deadline)
        );
        std::thread::sleep(LOOK_EVERY);
    }
}
