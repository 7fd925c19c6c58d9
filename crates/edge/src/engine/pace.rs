//! Whether a client sends the body of its request fast enough. Decides; knows no clock, no socket and no request.
//!
//! Apache's `MinRate` of mod_reqtimeout: the time that a body may take begins with a grace and grows with what has come. Only the time
//! counts in which everybody else waits for the client: a replica that takes its time makes no client slow.

use std::sync::Arc;
use std::time::Duration;

use tend_base::Mono;

use crate::live::UploadRule;

/// How one client has been sending.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rule: Option<Arc<UploadRule>>,
    /// The client was waited for so long, before now.
    waited: Duration,
    /// The client is being waited for since then.
    since: Option<Mono>,
}

impl Pace {
    /// Returns the pace of a client that was not waited for yet; any is good without a rule.
    pub(super) fn new(rule: Option<Arc<UploadRule>>) -> Self {
        Self {
            rule,
            ..Self::default()
        }
    }

    /// Says whether there is anything to watch over.
    pub(super) fn is_watched(&self) -> bool {
        self.rule.is_some()
    }

    /// Notes whether it is the client that everybody waits for.
    pub(super) fn note(&mut self, clients_turn: bool, now: Mono) {
        match (self.since, clients_turn) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => {
                self.waited += now.since(since);
                self.since = None;
            }
            _ => {}
        }
    }

    /// Returns until when the client may go on sending nothing, having sent so many bytes; for ever where nobody waits for it, and where
    /// the rule is only tried out.
    pub(super) fn until(&self, bytes: u64) -> Option<Mono> {
        let rule = self.rule.as_ref().filter(|rule| !rule.shadow)?;
        Some(self.since? + rule.allows(bytes).saturating_sub(self.waited))
    }

    /// Says whether the client is refused for its slowness, and counts that, or what would have been.
    pub(super) fn is_too_slow(&mut self, bytes: u64, now: Mono) -> bool {
        let Some(rule) = &self.rule else {
            return false;
        };
        let waiting = self.since.map_or(Duration::ZERO, |since| now.since(since));
        if self.waited + waiting < rule.allows(bytes) {
            return false;
        }
        rule.count();
        let refused = !rule.shadow;
        // Counted once.
        self.rule = None;
        refused
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::atomic::Ordering;

    use tend_core::model::UploadRate;

    use super::*;

    fn second(second: u64) -> Mono {
        Mono(0) + Duration::from_secs(second)
    }

    fn pace(shadow: bool) -> (Pace, Arc<UploadRule>) {
        let rate = UploadRate {
            rate: NonZeroU64::new(100).unwrap(),
            after: Duration::from_secs(20),
            shadow,
        };
        let rule = Arc::new(UploadRule::new(&rate, Arc::default()));
        (Pace::new(Some(rule.clone())), rule)
    }

    #[test]
    fn what_has_come_gives_more_time() {
        let (mut pace, rule) = pace(false);
        assert_eq!(pace.until(0), None, "nobody waits for it");
        pace.note(true, second(100));
        for (bytes, until) in [(0, 120), (100, 121), (550, 125), (100_000, 1120)] {
            let until = second(until) + Duration::from_millis(bytes % 100 * 10);
            assert_eq!(pace.until(bytes), Some(until), "{bytes} bytes");
        }
        assert!(!pace.is_too_slow(0, second(119)));
        assert!(!pace.is_too_slow(100, second(120)));
        assert!(pace.is_too_slow(100, second(121)));
        assert_eq!(rule.outcomes.refused.load(Ordering::Relaxed), 1);
        assert!(!pace.is_too_slow(100, second(122)), "told once");
    }

    #[test]
    fn only_the_time_in_which_the_client_is_waited_for_counts() {
        let (mut pace, _) = pace(false);
        pace.note(true, second(0));
        pace.note(true, second(5));
        pace.note(false, second(15));
        // The replica takes an hour for what it has.
        assert_eq!(pace.until(0), None);
        assert!(!pace.is_too_slow(0, second(3615)));
        pace.note(true, second(3615));
        assert_eq!(pace.until(0), Some(second(3620)));
        assert!(!pace.is_too_slow(0, second(3619)));
        assert!(pace.is_too_slow(0, second(3620)));
    }

    #[test]
    fn a_rule_that_is_tried_out_counts_and_refuses_nobody() {
        let (mut pace, rule) = pace(true);
        pace.note(true, second(0));
        assert_eq!(pace.until(0), None);
        for later in [19, 20, 100] {
            assert!(!pace.is_too_slow(0, second(later)));
        }
        let outcomes = &rule.outcomes;
        assert_eq!(outcomes.shadowed.load(Ordering::Relaxed), 1);
        assert_eq!(outcomes.refused.load(Ordering::Relaxed), 0);
        let mut any = Pace::default();
        any.note(true, second(0));
        assert!(!any.is_too_slow(0, second(1_000_000)));
    }
}
