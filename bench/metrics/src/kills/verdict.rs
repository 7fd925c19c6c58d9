//! What was promised, held against what was seen. Asks nobody. Times are milliseconds since 1970.

use std::collections::{BTreeMap, BTreeSet};

/// What is younger than this when a monitor is killed may be lost: a second from one synchronisation to the next, and one for a busy disk to
/// take it.
const SYNC_MS: u64 = 2000;

/// A kill this soon after a receipt comes before the receipt was kept, or before the samples were that ended the alert.
const KEEP_MS: u64 = 3000;

/// Whom a kill was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Monitor,
    Daemon,
}

/// A kill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) at: u64,
    pub(super) victim: Victim,
}

/// A time in which nothing could be made durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// A scrape that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) port: u16,
    pub(super) serial: u64,
    pub(super) at: u64,
}

/// An alert that was told of.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) status: String,
    pub(super) at: u64,
}

/// All that was seen.
pub(super) struct Seen {
    pub(super) served: Vec<Served>,
    /// Port and serial of the scrapes whose first and last series are in the store.
    pub(super) kept: BTreeSet<(u16, u64)>,
    pub(super) told: Vec<Told>,
    /// Alerts that the journal has.
    pub(super) noted: BTreeSet<u64>,
    pub(super) kills: Vec<Kill>,
    pub(super) full: Vec<Full>,
}

/// What is to be said of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) missing: usize,
    pub(super) missing_synced: usize,
    pub(super) alerts: usize,
    pub(super) told_again: usize,
    pub(super) told_twice: usize,
    pub(super) broken: Vec<String>,
}

pub(super) fn judge(seen: &Seen) -> Judged {
    let mut judged = Judged::default();
    for served in &seen.served {
        if seen.kept.contains(&(served.port, served.serial)) {
            continue;
        }
        judged.missing += 1;
        if seen.may_be_lost(served.at, SYNC_MS) {
            continue;
        }
        judged.missing_synced += 1;
        judged.broken.push(format!(
            "scrape {} of port {} is missing, answered at {}; {}",
            served.serial,
            served.port,
            served.at,
            seen.next_kill(served.at)
        ));
    }
    let mut last: BTreeMap<(u64, &str), u64> = BTreeMap::new();
    for told in &seen.told {
        let Some(before) = last.insert((told.number, &told.status), told.at) else {
            continue;
        };
        if seen.may_be_lost(before, KEEP_MS) {
            judged.told_again += 1;
            continue;
        }
        judged.told_twice += 1;
        judged.broken.push(format!(
            "that the alert {} is {} was told at {before} and again at {}; {}",
            told.number,
            told.status,
            told.at,
            seen.next_kill(before)
        ));
    }
    let alerts: BTreeSet<u64> = seen.told.iter().map(|told| told.number).collect();
    judged.alerts = alerts.len();
    for number in alerts.difference(&seen.noted) {
        judged
            .broken
            .push(format!("the journal does not have the alert {number}"));
    }
    judged
}

impl Seen {
    /// Whether what came about at a moment may be gone: a kill of the monitor came before it was durable.
    fn may_be_lost(&self, at: u64, within: u64) -> bool {
        let kills = self.kills.iter().filter(|kill| kill.victim == Victim::Monitor);
        kills.map(|kill| kill.at).any(|killed| {
            // An answer may be on its way while its asker is killed.
            let soon = killed + 200 >= at && killed <= at + within;
            let never_durable =
                |full: &Full| at + within >= full.from && at <= full.to && killed >= full.from && killed <= full.to;
            soon || self.full.iter().any(|full| never_durable(full) && killed + 200 >= at)
        })
    }

    fn next_kill(&self, at: u64) -> String {
        let next = self.kills.iter().find(|kill| kill.at >= at);
        next.map_or("no kill came after it".to_owned(), |kill| {
            format!(
                "the next kill was {} ms after it, of the {:?}",
                kill.at - at,
                kill.victim
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Full, Judged, Kill, Seen, Served, Told, Victim, judge};

    fn seen() -> Seen {
        let served = (1..=10u64).map(|serial| Served {
            port: 1,
            serial,
            at: serial * 1000,
        });
        Seen {
            served: served.collect(),
            kept: (1..=10).map(|serial| (1, serial)).collect(),
            told: vec![Told {
                number: 7,
                status: "firing".to_owned(),
                at: 5000,
            }],
            noted: [7].into(),
            kills: vec![Kill {
                at: 20_000,
                victim: Victim::Monitor,
            }],
            full: Vec::new(),
        }
    }

    #[test]
    fn what_is_whole_is_well() {
        let judged = judge(&seen());
        assert_eq!(
            judged,
            Judged {
                alerts: 1,
                ..Judged::default()
            }
        );
    }

    #[test]
    fn a_sample_may_be_lost_with_a_kill_soon_after_it_and_else_not() {
        let mut one = seen();
        one.kept.remove(&(1, 4));
        assert_eq!(judge(&one).missing_synced, 1);
        one.kills.push(Kill {
            at: 5000,
            victim: Victim::Daemon,
        });
        assert_eq!(judge(&one).missing_synced, 1, "the daemon has no samples");
        one.kills.push(Kill {
            at: 5000,
            victim: Victim::Monitor,
        });
        let judged = judge(&one);
        assert_eq!((judged.missing, judged.missing_synced), (1, 0));
    }

    #[test]
    fn on_a_full_disk_only_a_kill_takes_samples() {
        let mut one = seen();
        one.kept.remove(&(1, 4));
        one.full.push(Full { from: 3500, to: 12_000 });
        assert_eq!(judge(&one).missing_synced, 1);
        one.kills.push(Kill {
            at: 11_000,
            victim: Victim::Monitor,
        });
        assert_eq!(judge(&one).missing_synced, 0);
    }

    #[test]
    fn what_is_told_twice_without_a_kill_and_what_the_journal_lacks_is_said() {
        let mut one = seen();
        one.told.push(Told {
            number: 7,
            status: "firing".to_owned(),
            at: 9000,
        });
        assert_eq!(judge(&one).told_twice, 1);
        one.kills.push(Kill {
            at: 5100,
            victim: Victim::Monitor,
        });
        let judged = judge(&one);
        assert_eq!((judged.told_again, judged.told_twice), (1, 0));
        one.noted.clear();
        assert_eq!(judge(&one).broken.len(), 1);
    }
}
