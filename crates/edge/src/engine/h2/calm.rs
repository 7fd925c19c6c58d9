//! When a client resets so many requests that it can only mean harm (rapid reset, CVE-2023-44487). Pure.

use std::cell::Cell;

/// So many more requests may be reset than are finished. A browser that leaves a page resets all it has open at once: at most the
/// number of streams that are allowed.
const RESETS_MAX: u32 = 2 * super::front::STREAMS_MAX;

/// What a connection's client has reset.
#[derive(Debug, Default)]
pub(super) struct Calm {
    resets: Cell<u32>,
}

impl Calm {
    /// Notes a request that was answered to its end.
    pub(super) fn finished(&self) {
        self.resets.set(self.resets.get().saturating_sub(1));
    }

    /// Notes a request that the client reset; says whether that is enough.
    pub(super) fn reset(&self) -> bool {
        self.resets.set(self.resets.get() + 1);
        self.resets.get() > RESETS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_pages_is_no_attack_and_resetting_everything_is() {
        let browser = Calm::default();
        for _ in 0..50 {
            assert!((0..100).all(|_| !browser.reset()));
            (0..100).for_each(|_| browser.finished());
        }
        let attacker = Calm::default();
        assert!((0..RESETS_MAX).all(|_| !attacker.reset()));
        assert!(attacker.reset());
    }
}
