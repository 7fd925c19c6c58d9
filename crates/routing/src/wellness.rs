//! Whether a server that is asked again and again is well: so many failures in a row, and it is not; so many successes, and it is again.

use tend_core::model::ActiveCheck;

/// What is known of one server; it counts as well until it is known not to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wellness {
    unwell: bool,
    /// Answers in a row that speak against what it is taken for.
    against: u32,
}

impl Wellness {
    /// Notes an answer; returns whether the server is well, where that has changed.
    pub fn note(&mut self, passed: bool, rules: &ActiveCheck) -> Option<bool> {
        if passed != self.unwell {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let enough = if self.unwell { rules.passes } else { rules.fails };
        if self.against < enough.max(1) {
            return None;
        }
        self.unwell = !self.unwell;
        self.against = 0;
        Some(!self.unwell)
    }
}
