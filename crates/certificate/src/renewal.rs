//! When the next certificate is asked for, and when not yet. Knows no authority: its limits come here as numbers, and stricter.
//!
//! ```text
//! not_before ──────────── two thirds of life ───── five sixths ── not_after
//!      nothing to do     │ minus up to a twentieth │ people are told │ expired
//!                        └ asked for, again and again, the kept one served on
//! ```
//!
//! Invariant: whatever the history, `next` never allows more tries than its bounds, whoever asks (test
//! `no_history_is_long_enough_to_pass_the_bounds`).

use std::fmt;
use std::time::Duration;

use tend_base::{Backoff, Wall, fnv64, format_duration};

use crate::{Certificate, History, Names, Outcome};

const HOUR: Duration = Duration::from_secs(3600);

/// Tries that fail within an hour, for one set of names. Let's Encrypt allows 5 failed validations an hour for a name.
const FAILED_PER_HOUR: usize = 4;

/// Certificates within [`ISSUED_WINDOW`], for one set of names. Let's Encrypt issues 5 for the same names in 7 days.
const ISSUED_PER_WEEK: usize = 4;
const ISSUED_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);

/// Orders within [`ORDERS_WINDOW`], of all names together. Let's Encrypt accepts 300 an account in 3 hours.
const ORDERS_MAX: usize = 100;
const ORDERS_WINDOW: Duration = Duration::from_secs(3 * 3600);

/// Between tries that fail. The first is short because the usual reason is a name that does not point here yet.
const BETWEEN_FAILURES: Backoff = Backoff {
    first: Duration::from_secs(4 * 60),
    max: Duration::from_secs(6 * 3600),
};

/// An authority that wants us away for longer is asked again all the same: a certificate may expire meanwhile.
const AWAY_MAX: Duration = Duration::from_secs(8 * 24 * 3600);

/// People are told of a certificate that expires in a sixth of its life, and never earlier than this.
const TOLD_BEFORE_MAX: Duration = Duration::from_secs(21 * 24 * 3600);

/// What is asked of [`next`].
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The hosts a certificate is wanted for.
    pub wanted: &'a Names,
    /// The one that is kept, where it is of the authority that is wanted.
    pub kept: Option<&'a Certificate>,
    /// The tries for these names.
    pub history: &'a History,
    /// When orders were begun with this authority, for whatever names, in any order.
    pub orders: &'a [Wall],
    /// An order that was begun earlier can be gone on with.
    pub under_way: bool,
    /// A person asks: nothing that is due later is waited for, but the bounds hold.
    pub by_person: bool,
    /// The time of day.
    pub now: Wall,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Ask for a certificate.
    Now(Reason),
    /// Ask again at this moment, and not before.
    At {
        /// When.
        at: Wall,
        /// Why not earlier, where one is due already.
        held: Option<Held>,
    },
}

/// Why a certificate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    First,
    /// The kept one does not name all hosts.
    Names,
    /// Two thirds of the life of the kept one are over.
    Old,
    /// A person wants it.
    Person,
    /// An order was begun, and nothing says that it ended.
    UnderWay,
}

/// Why a certificate that is due is not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The last tries failed.
    Failing {
        /// How many in a row.
        failures: u32,
    },
    /// The authority said so.
    ByAuthority,
    /// It failed as often within an hour as it may.
    FailedOften,
    /// As many were issued for these names within a week as may be.
    IssuedOften,
    /// As many orders were begun within three hours as may be.
    OrderedOften,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failing { failures: 1 } => f.write_str("the last try failed"),
            Self::Failing { failures } => write!(f, "the last {failures} tries failed"),
            Self::ByAuthority => f.write_str("the authority asked to wait"),
            Self::FailedOften => write!(f, "{FAILED_PER_HOUR} tries failed within {}", format_duration(HOUR)),
            Self::IssuedOften => write!(
                f,
                "{ISSUED_PER_WEEK} certificates for these names were issued within {}",
                format_duration(ISSUED_WINDOW)
            ),
            Self::OrderedOften => write!(
                f,
                "{ORDERS_MAX} orders were made within {}",
                format_duration(ORDERS_WINDOW)
            ),
        }
    }
}

/// What people have to hear about a certificate's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// It expires soon, and should have been replaced by now.
    Expiring,
    /// It is not valid any more.
    Expired,
}

impl Warning {
    /// Returns what there is to be said at this moment.
    #[must_use]
    pub fn of(certificate: &Certificate, now: Wall) -> Option<Self> {
        let before = (life(certificate) / 6).min(TOLD_BEFORE_MAX);
        if now > certificate.not_after {
            Some(Self::Expired)
        } else if now >= earlier(certificate.not_after, before) {
            Some(Self::Expiring)
        } else {
            None
        }
    }
}

/// Returns when a certificate is to be replaced: at two thirds of its life, less up to a twentieth of it.
///
/// Which part of the twentieth depends on names and serial number alone, so a restart changes nothing, and a hundred certificates
/// issued together are not renewed together.
#[must_use]
pub fn renew_at(certificate: &Certificate) -> Wall {
    let life = life(certificate);
    let spread = millis(life / 20);
    let text = format!("{} {}", certificate.names, certificate.serial);
    let jitter = fnv64(text.as_bytes()) % (spread + 1);
    later(certificate.not_before, life * 2 / 3 - Duration::from_millis(jitter))
}

/// Decides whether a certificate is asked for now, or when to decide again.
#[must_use]
pub fn next(asked: &Asked<'_>) -> Due {
    let &Asked {
        wanted,
        kept,
        history,
        orders,
        under_way,
        by_person,
        now,
    } = asked;
    let last = history.tries.last();
    if under_way && last.is_some_and(|last| last.outcome == Outcome::Begun) {
        // It is the same try: it was counted when it began.
        return Due::Now(Reason::UnderWay);
    }
    let reason = match kept {
        None => Reason::First,
        Some(kept) if !kept.names.cover(wanted) => Reason::Names,
        Some(_) if by_person => Reason::Person,
        Some(kept) if renew_at(kept) <= now => Reason::Old,
        Some(kept) => {
            return Due::At {
                at: renew_at(kept),
                held: None,
            };
        }
    };
    let failures = history.failures();
    let pause = BETWEEN_FAILURES.delay(failures, fnv64(wanted.id().as_bytes()));
    let times = |counts: fn(Outcome) -> bool| {
        let tries = history.tries.iter().filter(move |t| counts(t.outcome));
        tries.map(|t| t.at).collect::<Vec<_>>()
    };
    let failed = times(|outcome| outcome != Outcome::Issued);
    let issued = times(|outcome| outcome == Outcome::Issued);
    let holds = [
        // One that was killed tells nothing against the next; only the bounds count it.
        last.filter(|last| last.outcome == Outcome::Failed && !by_person)
            .map(|last| (later(last.at.min(now), pause), Held::Failing { failures })),
        history
            .not_before
            .map(|at| (at.min(later(now, AWAY_MAX)), Held::ByAuthority)),
        bound(&failed, FAILED_PER_HOUR, HOUR, now).map(|at| (at, Held::FailedOften)),
        bound(&issued, ISSUED_PER_WEEK, ISSUED_WINDOW, now).map(|at| (at, Held::IssuedOften)),
        bound(orders, ORDERS_MAX, ORDERS_WINDOW, now).map(|at| (at, Held::OrderedOften)),
    ];
    match holds.into_iter().flatten().max_by_key(|(at, _)| *at) {
        Some((at, held)) if at > now => Due::At { at, held: Some(held) },
        _ => Due::Now(reason),
    }
}

/// Returns when there is room again among `most` in any `window`; none when there are fewer at all.
fn bound(times: &[Wall], most: usize, window: Duration, now: Wall) -> Option<Wall> {
    // What lies in the future was written before the clock was set back: it counts as of now.
    let mut times: Vec<Wall> = times.iter().map(|at| (*at).min(now)).collect();
    times.sort_unstable();
    let index = times.len().checked_sub(most)?;
    times.get(index).map(|oldest| later(*oldest, window))
}

fn life(certificate: &Certificate) -> Duration {
    Duration::from_millis(certificate.not_after.0.saturating_sub(certificate.not_before.0))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn later(at: Wall, by: Duration) -> Wall {
    Wall(at.0.saturating_add(millis(by)))
}

fn earlier(at: Wall, by: Duration) -> Wall {
    Wall(at.0.saturating_sub(millis(by)))
}
