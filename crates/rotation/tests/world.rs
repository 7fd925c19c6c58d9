//! A world in which a rotation is performed: a store, an issuer, holders, and others who use a version. Decides nothing by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tend_base::Mono;
use tend_rotation::{Act, Class, Give, Held, HolderId, Observation, Order, Outcome, Patience, Step, Verifier, Which};

pub(crate) const CLASSES: [Class; 5] = [
    Class::TokenOverlap {
        verifier: Verifier::Issuer,
    },
    Class::TokenOverlap {
        verifier: Verifier::Holders,
    },
    Class::DatabaseTwoUsers,
    Class::ReEncrypt,
    Class::RestartOnly,
];

/// What was signed by a version is shown for so long.
const OVERLAP: Duration = Duration::from_secs(600);

pub(crate) fn order(class: Class) -> Order {
    Order {
        secret: "database.password".to_owned(),
        old: 3,
        new: 4,
        class,
        patience: Patience {
            overlap: OVERLAP,
            ..Patience::default()
        },
        old_can_return: true,
    }
}

/// What is so, whoever knows of it.
pub(crate) struct World {
    class: Class,
    pub(crate) holders: BTreeMap<String, Give>,
    /// These do not do what a roll asks of them.
    pub(crate) stubborn: Vec<String>,
    /// These cannot be looked at.
    pub(crate) hidden: Vec<String>,
    /// Whoever starts gets this.
    pub(crate) starts_with: Give,
    pub(crate) others_old: u64,
    pub(crate) others_new: u64,
    pub(crate) old_valid: bool,
    pub(crate) new_valid: bool,
    pub(crate) new_stored: bool,
    pub(crate) old_retired: bool,
    /// What lies encrypted by these, or was signed by them, is there.
    rows: [u64; 2],
    used: [Option<Mono>; 2],
    pub(crate) acts: Vec<Act>,
}

fn index(which: Which) -> usize {
    usize::from(which == Which::New)
}

impl World {
    pub(crate) fn new(class: Class, holders: usize) -> Self {
        let old = Give::Only(Which::Old);
        Self {
            class,
            holders: (1..=holders)
                .map(|number| (format!("shop/api/{number}"), old))
                .collect(),
            stubborn: Vec::new(),
            hidden: Vec::new(),
            starts_with: old,
            others_old: 0,
            others_new: 0,
            old_valid: true,
            new_valid: false,
            new_stored: false,
            old_retired: false,
            rows: [100, 0],
            used: [None, None],
            acts: Vec::new(),
        }
    }

    pub(crate) fn issuer(&self) -> bool {
        matches!(
            self.class,
            Class::DatabaseTwoUsers
                | Class::TokenOverlap {
                    verifier: Verifier::Issuer
                }
        )
    }

    fn nobody_holds(&self, which: Which, act: Act) {
        let holds: Vec<_> = self.holders.iter().filter(|(_, give)| give.has(which)).collect();
        assert!(holds.is_empty(), "{act:?} while {holds:?} hold {which:?}");
    }

    /// What must hold at every moment: everybody's version is accepted wherever it is shown.
    pub(crate) fn check(&self, now: Mono) {
        if self.issuer() {
            for (id, give) in &self.holders {
                let valid = [self.old_valid, self.new_valid][index(give.uses())];
                assert!(valid, "{id} uses {give:?}, which is refused");
            }
        }
        let judged_by_holders = matches!(
            self.class,
            Class::ReEncrypt
                | Class::TokenOverlap {
                    verifier: Verifier::Holders
                }
        );
        if judged_by_holders {
            for one in self.holders.values() {
                for (id, other) in &self.holders {
                    assert!(other.has(one.uses()), "{id} has {other:?} and meets {one:?}");
                }
            }
        }
        for which in [Which::Old, Which::New] {
            let shown = match self.class {
                Class::ReEncrypt => self.rows[index(which)] > 0,
                Class::TokenOverlap {
                    verifier: Verifier::Holders,
                } => self.used[index(which)].is_some_and(|at| now.since(at) < OVERLAP),
                _ => false,
            };
            for (id, give) in &self.holders {
                assert!(
                    !shown || give.has(which),
                    "{id} has {give:?} while {which:?} is still shown"
                );
            }
        }
        assert!(self.new_stored || !self.holders.values().any(|give| give.has(Which::New)));
    }

    /// The holders do their work for a moment.
    pub(crate) fn work(&mut self, now: Mono) {
        for give in self.holders.values() {
            self.rows[index(give.uses())] += 1;
            self.used[index(give.uses())] = Some(now);
        }
    }

    /// The clock begins anew: what was signed lately was signed no later than now.
    pub(crate) fn rebooted(&mut self, before: Mono) {
        let lately = |at: &Mono| before.since(*at) < OVERLAP;
        self.used = self.used.map(|used| used.filter(lately).map(|_| Mono(0)));
    }

    /// Performs a step, and returns what an honest performer would say.
    pub(crate) fn perform(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Act(act) => {
                self.acts.push(*act);
                self.act(*act)
            }
            Step::Roll { holders, give } => {
                self.starts_with = *give;
                for HolderId(id) in holders {
                    if let (false, Some(held)) = (self.stubborn.contains(id), self.holders.get_mut(id)) {
                        *held = *give;
                    }
                }
                Outcome::Done
            }
            Step::Observe => Outcome::Seen(Observation {
                holders: self
                    .holders
                    .iter()
                    .map(|(id, give)| {
                        let held = if self.hidden.contains(id) {
                            Held::Unknown
                        } else {
                            Held::These(*give)
                        };
                        (HolderId(id.clone()), held)
                    })
                    .collect(),
                complete: true,
                others_old: Some(self.others_old),
                others_new: Some(self.others_new),
            }),
        }
    }

    fn act(&mut self, act: Act) -> Outcome {
        let failed = |why: &str| Outcome::Failed { why: why.to_owned() };
        match act {
            Act::Store => self.new_stored = true,
            Act::Prepare => self.new_valid = true,
            Act::ProveNew if !self.new_valid => return failed("the new version is refused"),
            Act::ProveOldRefused if self.old_valid => return failed("the old version is accepted"),
            Act::ProveOldAccepted if !self.old_valid => return failed("the old version is refused"),
            Act::ProveNew | Act::ProveOldRefused | Act::ProveOldAccepted => {}
            Act::Reencrypt(to) => {
                let from = 1 - index(to);
                let moved = self.rows[from].min(40);
                self.rows[from] -= moved;
                self.rows[1 - from] += moved;
                if self.rows[from] > 0 {
                    let left = format!("{} rows are left", self.rows[from]);
                    return Outcome::NotYet { left };
                }
            }
            // Whoever opened a session since the last look: the server is asked once more right before, as the real act does.
            Act::Revoke if self.others_old > 0 => return failed("sessions still use the old version"),
            Act::Withdraw if self.others_new > 0 => return failed("sessions still use the new version"),
            Act::Revoke => {
                self.nobody_holds(Which::Old, act);
                self.old_valid = false;
            }
            Act::Retire => {
                self.nobody_holds(Which::Old, act);
                self.old_retired = true;
            }
            Act::Restore => {
                assert!(!self.old_retired);
                self.old_valid = true;
            }
            Act::Withdraw => {
                self.nobody_holds(Which::New, act);
                self.new_valid = false;
            }
            Act::Discard => {
                self.nobody_holds(Which::New, act);
                self.new_stored = false;
            }
        }
        Outcome::Done
    }
}
