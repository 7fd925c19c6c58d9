//! The phases of a rotation by its class, and the way back from each. Knows no facts.
//!
//! ```text
//! issuer judges:   Store ─ Prepare ─ ProveNew ─ Bring(new) ─ zero(old) ─ Revoke ─ ProveOldRefused ─ Retire
//! holders judge:   Store ─ Bring(both, use old) ─ Bring(both, use new) ─ overlap ─ Bring(new) ─ zero(old) ─ Retire
//! re-encrypt:      Store ─ Bring(both, use old) ─ Bring(both, use new) ─ Reencrypt ─ Bring(new) ─ zero(old) ─ Retire
//! restart only:    Store ─ Bring(new) ─ zero(old) ─ Retire
//! ```
//!
//! Where holders judge each other's work, all must know the new version before one uses it, and none may forget the old one while
//! something made by it is still shown: so they are brought there in three steps.

use serde::{Deserialize, Serialize};

use crate::{Act, Class, Give, Verifier, Which};

/// A part of a rotation, ended by its own proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// One act, ended when it is done.
    Act(Act),
    /// All holders have this, as seen; with `zero`, for the time of quiet also nobody else uses that version.
    Bring { give: Give, zero: Option<Which> },
    /// What was signed by the version before may still be shown.
    Overlap,
    /// An act that takes a version away from whoever holds it. It stands after a `Bring` with `zero`, is performed only on what that one
    /// saw a moment ago, and after a failure that one comes first again.
    Guarded(Act),
}

const BRING_OLD: Phase = Phase::Bring {
    give: Give::Only(Which::Old),
    zero: Some(Which::New),
};
const BRING_NEW: Phase = Phase::Bring {
    give: Give::Only(Which::New),
    zero: Some(Which::Old),
};

const fn both(uses: Which) -> Phase {
    Phase::Bring {
        give: Give::Both(uses),
        zero: None,
    }
}

/// What lies between the moment all use another version and the moment the one before may be forgotten.
fn between(class: Class, to: Which) -> Phase {
    match class {
        Class::ReEncrypt => Phase::Act(Act::Reencrypt(to)),
        _ => Phase::Overlap,
    }
}

fn holders_judge(class: Class) -> bool {
    matches!(
        class,
        Class::ReEncrypt
            | Class::TokenOverlap {
                verifier: Verifier::Holders
            }
    )
}

/// Returns the phases of a class.
pub(crate) fn forward(class: Class) -> Vec<Phase> {
    let store = Phase::Act(Act::Store);
    match class {
        Class::RestartOnly => vec![store, BRING_NEW, Phase::Guarded(Act::Retire)],
        _ if holders_judge(class) => vec![
            store,
            both(Which::Old),
            both(Which::New),
            between(class, Which::New),
            BRING_NEW,
            Phase::Guarded(Act::Retire),
        ],
        _ => vec![
            store,
            Phase::Act(Act::Prepare),
            Phase::Act(Act::ProveNew),
            BRING_NEW,
            Phase::Guarded(Act::Revoke),
            Phase::Act(Act::ProveOldRefused),
            Phase::Act(Act::Retire),
        ],
    }
}

/// Returns the way back when these phases were begun.
pub(crate) fn back(class: Class, begun: &[Phase]) -> Vec<Phase> {
    let was = |phase: Phase| begun.contains(&phase);
    let mut path = Vec::new();
    if was(Phase::Guarded(Act::Revoke)) {
        path.extend([Phase::Act(Act::Restore), Phase::Act(Act::ProveOldAccepted)]);
    }
    let mut given = was(BRING_NEW);
    if holders_judge(class) {
        if was(BRING_NEW) {
            path.push(both(Which::New));
        }
        if was(both(Which::New)) {
            path.extend([both(Which::Old), between(class, Which::Old)]);
        }
        given = was(both(Which::Old));
    }
    if given {
        path.push(BRING_OLD);
    }
    let mut last = |act| {
        path.push(if given { Phase::Guarded(act) } else { Phase::Act(act) });
        // What follows takes nothing away from anybody any more.
        given = false;
    };
    if was(Phase::Act(Act::Prepare)) {
        last(Act::Withdraw);
    }
    last(Act::Discard);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Class; 5] = [
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

    #[test]
    fn what_takes_a_version_away_stands_right_after_the_proof_that_nobody_holds_it() {
        for class in ALL {
            let way = forward(class);
            let backs = (0..=way.len()).map(|begun| back(class, &way[..begun]));
            for path in backs.chain([way.clone()]) {
                for (at, phase) in path.iter().enumerate() {
                    if matches!(phase, Phase::Guarded(_)) {
                        assert!(
                            matches!(path[at - 1], Phase::Bring { zero: Some(_), .. }),
                            "{class:?}: {path:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_begun_asks_only_to_throw_the_new_version_away() {
        for class in ALL {
            assert_eq!(back(class, &[]), [Phase::Act(Act::Discard)]);
        }
    }
}
