//! What becomes of a request whose key was seen before, or was not. Pure.

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A request is being answered, by an edge that lives.
    UnderWay,
    /// A request was begun by an edge that died before it wrote down an answer.
    Abandoned,
    /// There is an answer, kept unless it was too large.
    Answered {
        /// It can be given again.
        kept: bool,
        /// Its window is over.
        expired: bool,
    },
    /// A request was sent, and what became of it is not known.
    InDoubt,
    /// A request was to be begun and is known not to have been sent.
    NeverSent,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is the first: send it.
    Fresh,
    /// It is sent again, since the service honours the key itself.
    Again,
    /// The first answer is given again.
    Replay,
    /// There was an answer, and it was not kept.
    NotKept,
    /// The first is being answered: wait for it.
    Wait,
    /// Nobody knows what became of the first: a person decides.
    InDoubt,
    /// The key was used for another request.
    Reused,
}

/// Decides what becomes of a request, given what is known of its key; none when nothing is.
///
/// Invariant: only what is known not to have been sent, or what the service recognises by itself, is sent again
/// (test `what_may_have_been_sent_is_not_sent_again`).
#[must_use]
pub fn decide(known: Option<State>, same_request: bool, upstream_idempotent: bool) -> Decision {
    let doubt = if upstream_idempotent {
        Decision::Again
    } else {
        Decision::InDoubt
    };
    match known {
        // Over is over, whatever the request was.
        None | Some(State::NeverSent | State::Answered { expired: true, .. }) => Decision::Fresh,
        Some(_) if !same_request => Decision::Reused,
        Some(State::UnderWay) => Decision::Wait,
        Some(State::Answered { kept: true, .. }) => Decision::Replay,
        Some(State::Answered { kept: false, .. }) => Decision::NotKept,
        Some(State::Abandoned | State::InDoubt) => doubt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERED: State = State::Answered {
        kept: true,
        expired: false,
    };

    #[test]
    fn each_state_has_its_decision() {
        let not_kept = State::Answered {
            kept: false,
            expired: false,
        };
        let expired = State::Answered {
            kept: true,
            expired: true,
        };
        let cases = [
            (None, Decision::Fresh, Decision::Fresh),
            (Some(State::NeverSent), Decision::Fresh, Decision::Fresh),
            (Some(State::UnderWay), Decision::Wait, Decision::Reused),
            (Some(State::Abandoned), Decision::InDoubt, Decision::Reused),
            (Some(State::InDoubt), Decision::InDoubt, Decision::Reused),
            (Some(ANSWERED), Decision::Replay, Decision::Reused),
            (Some(not_kept), Decision::NotKept, Decision::Reused),
            (Some(expired), Decision::Fresh, Decision::Fresh),
        ];
        for (known, same, other) in cases {
            assert_eq!(decide(known, true, false), same, "{known:?}");
            assert_eq!(decide(known, false, false), other, "{known:?}, another request");
        }
    }

    #[test]
    fn what_may_have_been_sent_is_not_sent_again() {
        for known in [State::UnderWay, State::Abandoned, State::InDoubt, ANSWERED] {
            let decision = decide(Some(known), true, false);
            assert!(
                !matches!(decision, Decision::Fresh | Decision::Again),
                "{known:?} led to {decision:?}"
            );
        }
        for known in [State::Abandoned, State::InDoubt] {
            assert_eq!(decide(Some(known), true, true), Decision::Again);
            assert_eq!(decide(Some(known), false, true), Decision::Reused);
        }
    }
}
