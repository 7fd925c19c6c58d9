//! Who is let in nowhere: bans as they are kept, how they are begun, extended and ended, and whom nobody bans by mistake.
//!
//! Owns the rules. Does not know how the edge looks addresses up, nor in which file it is told of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tend_base::Wall;

use crate::model::Prefix;
use crate::world::World;

/// So many bans are kept at once. The edge would take millions; each is a document of the daemon and a line of `tend bans`, and every
/// change of them writes the whole file for the edge: with so many it has two megabytes.
pub const BANS_MAX: usize = 100_000;

/// So many addresses are taken in one call: they stand in one event of the journal.
pub const BANS_AT_ONCE_MAX: usize = 1000;

/// A ban as it is kept; whom it is for is beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// When it ends by itself; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Wall>,
    /// When it began.
    pub since: Wall,
    /// Who asked for it last, for people.
    pub by: String,
    /// Why, as they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// It was insisted on though it bans somebody who is protected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
}

impl Ban {
    /// Returns whether it holds.
    #[must_use]
    pub fn holds(&self, now: Wall) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum BanChange {
    /// Ban these, or go on banning them.
    Begin {
        /// Whom.
        prefixes: Vec<Prefix>,
        /// Until when; for ever when absent.
        until: Option<Wall>,
        /// Why.
        reason: Option<String>,
        /// Insisted on.
        forced: bool,
    },
    /// Let these in again.
    End {
        /// Whom.
        prefixes: Vec<Prefix>,
    },
}

/// All bans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bans {
    kept: BTreeMap<Prefix, Ban>,
}

/// Somebody who is not banned by mistake, and who that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// Whom.
    pub prefix: Prefix,
    /// Who that is, for people.
    pub who: String,
}

/// Why somebody is not banned, or not let in again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BanRefusal {
    /// The range is that of all addresses.
    #[error("{0} is everybody: nobody would be let in")]
    Everybody(Prefix),
    /// Somebody is in it who would be locked out by mistake.
    #[error("{prefix} is not banned: {}", of_whom(prefix, whom))]
    Protected {
        /// What was to be banned.
        prefix: Prefix,
        /// Who is in it.
        whom: Protected,
    },
    /// There would be more than [`BANS_MAX`].
    #[error("there are {kept} bans, {asked} more would be more than {BANS_MAX}")]
    TooMany {
        /// So many hold.
        kept: usize,
        /// So many new ones were asked for.
        asked: usize,
    },
    /// More than [`BANS_AT_ONCE_MAX`] in one call.
    #[error("{0} addresses are too many for one call: {BANS_AT_ONCE_MAX} are taken at once")]
    TooManyAtOnce(usize),
    /// It is banned with others.
    #[error("{prefix} is banned as a part of {by}, and stays so")]
    PartOf {
        /// What was to be let in.
        prefix: Prefix,
        /// The range that is banned.
        by: Prefix,
    },
    /// It would end before it begins.
    #[error("a ban until {} has ended before it begins", .0.to_rfc3339())]
    Past(Wall),
}

fn of_whom(prefix: &Prefix, whom: &Protected) -> String {
    let Protected { prefix: theirs, who } = whom;
    match () {
        () if theirs == prefix => format!("that is {who}"),
        () if theirs.covers(prefix) => format!("it is in {theirs}, and that is {who}"),
        () => format!("{theirs} is in it, and that is {who}"),
    }
}

impl BanRefusal {
    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Everybody(_) => "`tend maintenance on` closes the routes of a stack for all",
            Self::Protected { .. } => {
                "ban a smaller range, or say --force if it is meant; `tend unban` is typed on this machine and not through the edge"
            }
            Self::TooMany { .. } => {
                "ban ranges such as 203.0.113.0/24 instead of their addresses, or `tend unban` old ones"
            }
            Self::TooManyAtOnce(_) => "call it several times",
            Self::PartOf { .. } => "unban that range, and ban what is to stay banned of it",
            Self::Past(_) => "name a moment that lies ahead, or leave it out",
        }
    }

    /// Returns whether it is a wrong use of the command, and not a conflict with what is there.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Everybody(_) | Self::TooManyAtOnce(_) | Self::Past(_))
    }
}

impl Bans {
    /// Takes in a ban that was kept.
    pub fn insert(&mut self, prefix: Prefix, ban: Ban) {
        self.kept.insert(prefix, ban);
    }

    /// Returns the ban of just this address or range.
    #[must_use]
    pub fn get(&self, prefix: &Prefix) -> Option<&Ban> {
        self.kept.get(prefix)
    }

    /// Returns the bans that hold, in the order of their addresses.
    pub fn at(&self, now: Wall) -> impl Iterator<Item = (&Prefix, &Ban)> {
        self.kept.iter().filter(move |(_, ban)| ban.holds(now))
    }

    /// Returns all that are kept, ended or not.
    pub fn iter(&self) -> impl Iterator<Item = (&Prefix, &Ban)> {
        self.kept.iter()
    }

    /// Says whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Says why a change is not made; nothing when it can be.
    ///
    /// # Errors
    /// The first reason that was found.
    pub fn check(&self, change: &BanChange, protected: &[Protected], now: Wall) -> Result<(), BanRefusal> {
        let (BanChange::Begin { prefixes, .. } | BanChange::End { prefixes }) = change;
        if prefixes.len() > BANS_AT_ONCE_MAX {
            return Err(BanRefusal::TooManyAtOnce(prefixes.len()));
        }
        match change {
            BanChange::Begin {
                prefixes,
                until,
                forced,
                ..
            } => {
                if let Some(until) = until.filter(|until| *until <= now) {
                    return Err(BanRefusal::Past(until));
                }
                for prefix in prefixes {
                    if prefix.bits() == 0 {
                        return Err(BanRefusal::Everybody(*prefix));
                    }
                    let whom = protected.iter().find(|whom| whom.prefix.overlaps(prefix));
                    if let Some(whom) = whom.filter(|_| !forced) {
                        return Err(BanRefusal::Protected {
                            prefix: *prefix,
                            whom: whom.clone(),
                        });
                    }
                }
                let kept = self.at(now).count();
                let holds = |prefix: &Prefix| self.get(prefix).is_some_and(|ban| ban.holds(now));
                let mut new: Vec<&Prefix> = prefixes.iter().filter(|prefix| !holds(prefix)).collect();
                new.sort_unstable();
                new.dedup();
                match new.len() {
                    asked if asked > 0 && kept + asked > BANS_MAX => Err(BanRefusal::TooMany { kept, asked }),
                    _ => Ok(()),
                }
            }
            BanChange::End { prefixes } => {
                let stays = |prefix: &Prefix| {
                    let mut held = self.at(now).map(|(by, _)| by).filter(|by| !prefixes.contains(by));
                    held.find(|by| by.covers(prefix)).copied()
                };
                match prefixes.iter().find_map(|prefix| Some((*prefix, stays(prefix)?))) {
                    Some((prefix, by)) => Err(BanRefusal::PartOf { prefix, by }),
                    None => Ok(()),
                }
            }
        }
    }

    /// Makes the change, forgets what has ended by itself, and returns whose ban is another now.
    ///
    /// A ban that holds is never made shorter by another: the later of both ends counts.
    pub fn change(&mut self, change: &BanChange, by: &str, now: Wall) -> Vec<Prefix> {
        let mut touched: Vec<Prefix> = Vec::new();
        self.kept.retain(|prefix, ban| {
            let holds = ban.holds(now);
            if !holds {
                touched.push(*prefix);
            }
            holds
        });
        match change {
            BanChange::Begin {
                prefixes,
                until,
                reason,
                forced,
            } => {
                for prefix in prefixes {
                    let before = self.kept.get(prefix);
                    let ban = Ban {
                        until: match before {
                            Some(before) => later(before.until, *until),
                            None => *until,
                        },
                        since: before.map_or(now, |before| before.since),
                        by: by.to_owned(),
                        reason: reason.clone().or_else(|| before?.reason.clone()),
                        forced: *forced || before.is_some_and(|before| before.forced),
                    };
                    self.kept.insert(*prefix, ban);
                }
                touched.extend(prefixes);
            }
            BanChange::End { prefixes } => {
                touched.extend(prefixes.iter().filter(|prefix| self.kept.remove(prefix).is_some()));
            }
        }
        touched
    }

    /// Returns which of the trusted hops are let in whatever is banned: all but those that somebody insisted on banning.
    ///
    /// A ban of a hop is refused; so it is one that came into the stack file after the ban.
    #[must_use]
    pub fn hops_let_in(&self, trusted: impl Iterator<Item = Prefix>) -> Vec<Prefix> {
        let forced: Vec<&Prefix> = (self.kept.iter().filter(|(_, ban)| ban.forced))
            .map(|(prefix, _)| prefix)
            .collect();
        let mut hops: Vec<Prefix> = trusted
            .filter(|hop| !forced.iter().any(|prefix| prefix.overlaps(hop)))
            .collect();
        hops.sort_unstable();
        hops.dedup();
        hops
    }
}

/// Returns the later of two ends; none is never.
fn later(one: Option<Wall>, other: Option<Wall>) -> Option<Wall> {
    Some(one?.max(other?))
}

/// Returns whom nobody bans by mistake: this machine, trusted hops, those whom a stack lets in by address, and the caller.
///
/// `own` are the machine's addresses, `caller` is where the person who asks is logged in from, where that is known.
#[must_use]
pub fn protected(world: &World, own: &[IpAddr], caller: Option<IpAddr>) -> Vec<Protected> {
    let mut all = Vec::new();
    let mut add = |prefix: Prefix, who: String| {
        // Who lets in everybody protects nobody.
        if prefix.bits() > 0 {
            all.push(Protected { prefix, who });
        }
    };
    for loopback in ["127.0.0.0/8", "::1"] {
        let prefix = loopback.parse().expect("invariant: it is a prefix");
        add(prefix, "this machine itself (loopback)".to_owned());
    }
    for address in own {
        add(Prefix::of(*address), "an address of this machine".to_owned());
    }
    if let Some(address) = caller {
        add(Prefix::of(address), "where you are logged in from".to_owned());
    }
    for (name, wanted) in &world.stacks {
        let stack = world.stack_wanted(name).unwrap_or(&wanted.stack);
        for listener in &stack.edge.listeners {
            for hop in &listener.trusted {
                add(*hop, format!("a trusted hop of {name} at {}", listener.address));
            }
        }
        for route in &stack.edge.routes {
            for allowed in &route.policy.allow {
                add(
                    *allowed,
                    format!("in `allow` of the route {} of {name}", route.path_prefix),
                );
            }
        }
        let doors = std::iter::once(&wanted.doors.stack).chain(wanted.doors.services.values());
        for maintenance in doors.filter_map(|door| door.maintenance.as_ref()) {
            for allowed in &maintenance.what.allow {
                add(*allowed, format!("let in while {name} is in maintenance"));
            }
        }
    }
    all
}

impl fmt::Display for BanChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, prefixes) = match self {
            Self::Begin { prefixes, .. } => ("banned", prefixes),
            Self::End { prefixes } => ("banned no more", prefixes),
        };
        match prefixes.as_slice() {
            [one] => write!(f, "{one} is {word}"),
            many => write!(f, "{} addresses and ranges are {word}", many.len()),
        }
    }
}
