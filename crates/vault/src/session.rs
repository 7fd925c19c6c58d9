//! What to ask next: logging in, keeping the token alive, looking at each secret. Has no clock, no randomness and no connection.
//!
//! ```text
//!   next ──► Ask ──► perform ──► take(answer) ──┐        no token, or it ends ──► LogIn
//!    ▲                                          │        two thirds of its life ──► Renew, or LogIn where it cannot be
//!    └──────────────────────────────────────────┘        a read is denied ──► Check: is it the token? then LogIn
//! ```
//!
//! One request is out at a time. A failure of the server puts everything off; a failure of one secret that secret alone.

use std::collections::BTreeMap;
use std::time::Duration;

use tend_base::{Backoff, Mono, Now, Secret, Wall};

use crate::{
    Condition, Failure, Fields, Freshness, KvPath, Lease, PathStanding, Reading, Standing, Token, Trouble, Version,
};

/// How often a secret is looked at unless somebody says otherwise.
pub const EVERY: Duration = Duration::from_secs(30);

/// After failures of the server: soon again, since it may just be restarting, and then twice a minute.
const SERVER: Backoff = Backoff {
    first: Duration::from_millis(500),
    max: Duration::from_secs(30),
};

/// After a log-in that was refused. Both programs lock a role out after a few in a row (five, for a quarter of an hour, in Vault).
const LOG_IN: Backoff = Backoff {
    first: Duration::from_secs(10),
    max: Duration::from_secs(300),
};

/// A server cannot put us off for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// A token is neither renewed nor obtained anew more often than this because a read was denied, or because its life is short.
const LOG_IN_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// From one renewal to the next, however short the life.
const RENEW_AFTER_MIN: Duration = Duration::from_secs(1);

/// How one logs in, as far as it decides what to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// With a token from elsewhere: logging in anew reads its file again and asks how long it lives.
    Token,
    /// With a role: logging in anew makes a new token.
    AppRole,
}

/// What to ask the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// For a token.
    LogIn,
    /// To let this token live longer.
    Renew(Secret),
    /// Whether it knows this token.
    Check(Secret),
    /// For a secret.
    Read(Secret, KvPath),
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::LogIn`].
    LoggedIn(Token),
    /// To [`Ask::Renew`].
    Renewed(Lease),
    /// To [`Ask::Check`].
    Alive,
    /// To [`Ask::Read`].
    Read(Reading),
    /// To any.
    Failed(Failure),
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this, and hand the answer to [`Session::take`].
    Ask(Ask),
    /// Nothing before this time.
    Wait(Mono),
}

/// A version that was not there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Of which secret.
    pub path: KvPath,
    /// Which.
    pub version: Version,
    /// What it holds.
    pub fields: Fields,
}

/// What is asked of one server.
#[derive(Clone, Debug)]
pub struct Session {
    method: Method,
    every: Duration,
    token: Option<Held>,
    paths: BTreeMap<KvPath, Watched>,
    out: Option<Out>,
    /// A read of this was denied: is the token gone, or is it the policy?
    doubted: Option<(KvPath, Failure)>,
    /// Failures of the server in a row.
    failures: u32,
    not_before: Mono,
    condition: Condition,
    since: Wall,
    failure: Option<Failure>,
    /// Log-ins that were refused in a row, and how the last one was.
    refused: (u32, Option<Failure>),
}

/// A token, and what becomes of it when.
#[derive(Clone, Debug)]
struct Held {
    secret: Secret,
    obtained: Mono,
    /// How long it lived when it was obtained.
    first_life: Option<Duration>,
    renewable: bool,
    renew_at: Option<Mono>,
    until: Option<(Mono, Wall)>,
    /// Something was read with it.
    proven: bool,
}

#[derive(Clone, Debug)]
enum Out {
    LogIn,
    Renew,
    Check,
    Read(KvPath),
}

#[derive(Clone, Debug)]
struct Watched {
    next: Mono,
    seen: Option<Version>,
    /// It was told.
    told: bool,
    read_at: Option<Wall>,
    /// What is the matter with it alone, and since when.
    amiss: Option<(Freshness, Wall, Option<Failure>)>,
}

impl Session {
    /// Begins with nothing known; every secret is due.
    #[must_use]
    pub fn new(method: Method, every: Duration, paths: impl IntoIterator<Item = KvPath>, now: Now) -> Self {
        let watched = |path| {
            let watched = Watched {
                next: now.mono,
                seen: None,
                told: false,
                read_at: None,
                amiss: None,
            };
            (path, watched)
        };
        Self {
            method,
            every,
            token: None,
            paths: paths.into_iter().map(watched).collect(),
            out: None,
            doubted: None,
            failures: 0,
            not_before: now.mono,
            condition: Condition::Starting,
            since: now.wall,
            failure: None,
            refused: (0, None),
        }
    }

    /// Returns what to do, and takes it as being done.
    pub fn next(&mut self, now: Mono) -> Next {
        if now < self.not_before {
            return Next::Wait(self.not_before);
        }
        if self
            .token
            .as_ref()
            .and_then(|held| held.until)
            .is_some_and(|(until, _)| until <= now)
        {
            self.token = None;
        }
        let Some(held) = &self.token else {
            return self.ask(Out::LogIn, Ask::LogIn);
        };
        let secret = held.secret.clone();
        if self.doubted.is_some() {
            return self.ask(Out::Check, Ask::Check(secret));
        }
        if held.renew_at.is_some_and(|at| at <= now) {
            return match held.renewable {
                true => self.ask(Out::Renew, Ask::Renew(secret)),
                false => self.ask(Out::LogIn, Ask::LogIn),
            };
        }
        let soonest = self.paths.iter().min_by_key(|(_, watched)| watched.next);
        match soonest {
            Some((path, watched)) if watched.next <= now => {
                let path = path.clone();
                self.ask(Out::Read(path.clone()), Ask::Read(secret, path))
            }
            soonest => {
                let at = soonest.map(|(_, watched)| watched.next);
                let wake = at.into_iter().chain(held.renew_at).chain(held.until.map(|(at, _)| at));
                Next::Wait(wake.min().unwrap_or(now + self.every))
            }
        }
    }

    fn ask(&mut self, out: Out, ask: Ask) -> Next {
        self.out = Some(out);
        Next::Ask(ask)
    }

    /// Takes the answer to what [`Self::next`] asked; returns a version that was not there before. `jitter` is any number: it spreads
    /// those who began at once.
    pub fn take(&mut self, answer: Answer, now: Now, jitter: u64) -> Option<News> {
        let out = self.out.take()?;
        match (out, answer) {
            (out, Answer::Failed(failure)) => {
                self.failed(out, failure, now, jitter);
                None
            }
            (Out::LogIn, Answer::LoggedIn(token)) => {
                self.hold(token.secret, token.lease, now, jitter);
                self.doubted = None;
                self.refused = (0, None);
                self.answered(now);
                None
            }
            (Out::Renew, Answer::Renewed(lease)) => {
                if let Some(held) = self.token.take() {
                    let first_life = held.first_life;
                    let (obtained, proven) = (held.obtained, held.proven);
                    self.hold(held.secret, lease, now, jitter);
                    if let Some(held) = &mut self.token {
                        (held.first_life, held.obtained, held.proven) = (first_life, obtained, proven);
                        // It comes to the end of what renewing can do: ever shorter lives would follow.
                        let shrunk = lease.life.zip(first_life).is_some_and(|(life, first)| life * 2 < first);
                        held.renewable &= !shrunk;
                    }
                }
                self.answered(now);
                None
            }
            (Out::Check, Answer::Alive) => {
                // The token is known, so it is a matter of its policies.
                if let Some((path, failure)) = self.doubted.take() {
                    self.amiss(&path, Freshness::Denied, Some(failure), now, jitter);
                }
                self.answered(now);
                None
            }
            (Out::Read(path), Answer::Read(reading)) => {
                self.answered(now);
                self.prove();
                self.read(path, reading, now, jitter)
            }
            // Nobody answers what was not asked; then it is asked again.
            _ => None,
        }
    }

    /// Takes a version back that was told: it could not be taken, and is told again when the secret is looked at next.
    pub fn forget(&mut self, path: &KvPath) {
        if let Some(watched) = self.paths.get_mut(path) {
            watched.told = false;
        }
    }

    /// Has everything looked at now, whatever was put off.
    pub fn hurry(&mut self, now: Mono) {
        self.not_before = now;
        for watched in self.paths.values_mut() {
            watched.next = now;
        }
    }

    /// Returns the token that is used.
    #[must_use]
    pub fn token(&self) -> Option<&Secret> {
        self.token.as_ref().map(|held| &held.secret)
    }

    /// Returns how the server stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        // Of a server that answers, that the token cannot be replaced when it ends.
        let failure = self.failure.as_ref().or(self.refused.1.as_ref());
        Standing {
            condition: self.condition,
            since: self.since,
            why: failure.map(|failure| failure.text.clone()),
            hint: failure.map(|failure| failure.hint.clone()),
            token_until: self.token.as_ref().and_then(|held| Some(held.until?.1)),
        }
    }

    /// Returns how a secret stands; nothing when it is none of this session's.
    #[must_use]
    pub fn of(&self, path: &KvPath) -> Option<PathStanding> {
        let watched = self.paths.get(path)?;
        let is_server = !matches!(self.condition, Condition::Fresh | Condition::Starting);
        let (freshness, since, failure) = match &watched.amiss {
            // What the server said last of the secret itself stays true while it says nothing.
            Some((freshness, since, failure)) => (*freshness, Some(*since), failure.as_ref()),
            None if is_server && watched.read_at.is_some() => {
                (Freshness::Stale, Some(self.since), self.failure.as_ref())
            }
            None if watched.read_at.is_some() => (Freshness::Fresh, None, None),
            None => (Freshness::Unread, None, self.failure.as_ref()),
        };
        Some(PathStanding {
            freshness,
            version: watched.seen.as_ref().map(|version| version.number),
            read_at: watched.read_at,
            since,
            why: failure.map(|failure| failure.text.clone()),
            hint: failure.map(|failure| failure.hint.clone()),
        })
    }

    fn hold(&mut self, secret: Secret, lease: Lease, now: Now, jitter: u64) {
        let renew_after = |life: Duration| (life * 2 / 3).mul_f64(1.0 - share(jitter) / 10.0).max(RENEW_AFTER_MIN);
        self.token = Some(Held {
            secret,
            obtained: now.mono,
            first_life: lease.life,
            renewable: lease.renewable,
            renew_at: lease.life.map(|life| now.mono + renew_after(life)),
            until: lease.life.map(|life| {
                let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
                (now.mono + life, Wall(now.wall.0.saturating_add(millis)))
            }),
            proven: false,
        });
    }

    fn prove(&mut self) {
        if let Some(held) = &mut self.token {
            held.proven = true;
        }
    }

    fn read(&mut self, path: KvPath, reading: Reading, now: Now, jitter: u64) -> Option<News> {
        let (version, fields) = match reading {
            Reading::Found { version, fields } => (version, fields),
            Reading::Deleted { version } => {
                let how = if version.destroyed { "destroyed" } else { "deleted" };
                let failure = Failure {
                    trouble: Trouble::NotThere,
                    text: format!("version {} of `{path}` was {how}", version.number),
                    hint: match version.destroyed {
                        true => "write a new version; the one before is used until then",
                        false => "undelete it, or write a new version; the one before is used until then",
                    }
                    .to_owned(),
                };
                self.amiss(&path, Freshness::Deleted, Some(failure), now, jitter);
                return None;
            }
        };
        let next = now.mono + self.again(jitter);
        let watched = self.paths.get_mut(&path)?;
        watched.next = next;
        watched.amiss = None;
        watched.read_at = Some(now.wall);
        // Numbers begin anew when a secret is made anew, so the number alone does not tell.
        let known = watched.seen.as_ref().filter(|_| watched.told);
        if known.is_some_and(|seen| (seen.number, &seen.created_time) == (version.number, &version.created_time)) {
            return None;
        }
        watched.seen = Some(version.clone());
        watched.told = true;
        Some(News { path, version, fields })
    }

    /// Notes that something is the matter with one secret, which is looked at again after the usual time.
    fn amiss(&mut self, path: &KvPath, freshness: Freshness, failure: Option<Failure>, now: Now, jitter: u64) {
        let next = now.mono + self.again(jitter);
        if let Some(watched) = self.paths.get_mut(path) {
            watched.next = next;
            let since = match &watched.amiss {
                Some((before, since, _)) if *before == freshness => *since,
                _ => now.wall,
            };
            watched.amiss = Some((freshness, since, failure));
        }
    }

    fn failed(&mut self, out: Out, failure: Failure, now: Now, jitter: u64) {
        let condition = match failure.trouble {
            Trouble::Away => Condition::Away,
            Trouble::Sealed => Condition::Sealed,
            Trouble::Standby => Condition::Standby,
            Trouble::Throttled(_) => Condition::Throttled,
            Trouble::Failing => Condition::Failing,
            Trouble::Denied | Trouble::NotThere | Trouble::Refused | Trouble::Here => match out {
                Out::LogIn => Condition::LoginRefused,
                Out::Renew => return self.not_renewed(failure.trouble, now),
                Out::Check if failure.trouble == Trouble::Denied => {
                    self.answered(now);
                    self.token = None;
                    self.doubted = None;
                    return;
                }
                // It may not even ask about itself; then what it was asked about is its policies' matter.
                Out::Check => {
                    self.answered(now);
                    if let Some((path, failure)) = self.doubted.take() {
                        self.amiss(&path, Freshness::Denied, Some(failure), now, jitter);
                    }
                    return;
                }
                Out::Read(path) => return self.not_read(path, failure, now, jitter),
            },
        };
        let pause = match condition {
            Condition::LoginRefused => {
                self.refused.0 = self.refused.0.saturating_add(1);
                LOG_IN.delay(self.refused.0, jitter)
            }
            _ => {
                self.failures = self.failures.saturating_add(1);
                SERVER.delay(self.failures, jitter)
            }
        };
        match (condition, &mut self.token) {
            // What is at hand was to be replaced, and is used to its end.
            (Condition::LoginRefused, Some(held)) => {
                held.renew_at = Some(now.mono + pause);
                self.refused.1 = Some(failure);
                return;
            }
            _ => self.not_before = now.mono + pause,
        }
        if let Trouble::Throttled(Some(after)) = failure.trouble {
            self.not_before = self.not_before.max(now.mono + after.min(RETRY_AFTER_MAX));
        }
        if self.condition != condition {
            self.condition = condition;
            self.since = now.wall;
        }
        self.failure = Some(failure);
    }

    fn not_renewed(&mut self, trouble: Trouble, now: Now) {
        self.answered(now);
        match (trouble, &mut self.token) {
            (Trouble::Denied, token) => *token = None,
            (_, Some(held)) => {
                held.renewable = false;
                // A role makes a new one at once. A token from elsewhere is looked up again later: its file may have been replaced.
                if self.method == Method::Token {
                    held.renew_at = Some(now.mono + LOG_IN_AGAIN_AFTER);
                }
            }
            (_, None) => {}
        }
    }

    fn not_read(&mut self, path: KvPath, failure: Failure, now: Now, jitter: u64) {
        let token = self.token.as_ref();
        let (freshness, proves) = match failure.trouble {
            Trouble::Denied => {
                let worth =
                    token.is_some_and(|held| held.proven || now.mono.since(held.obtained) >= LOG_IN_AGAIN_AFTER);
                if worth {
                    self.doubted = Some((path, failure));
                    return;
                }
                (Freshness::Denied, false)
            }
            // A token that is not known is told so before anything is looked for.
            Trouble::NotThere => (Freshness::Missing, true),
            _ => (Freshness::Unusable, true),
        };
        self.answered(now);
        if proves {
            self.prove();
        }
        self.amiss(&path, freshness, Some(failure), now, jitter);
    }

    /// Notes that the server answered as it should.
    fn answered(&mut self, now: Now) {
        self.failures = 0;
        if self.condition != Condition::Fresh {
            self.condition = Condition::Fresh;
            self.since = now.wall;
            self.failure = None;
        }
    }

    /// Returns the time to the next look: the usual one, less up to a tenth.
    fn again(&self, jitter: u64) -> Duration {
        self.every.mul_f64(1.0 - share(jitter) / 10.0)
    }
}

/// Returns a number from 0 to 1 for any number.
fn share(jitter: u64) -> f64 {
    f64::from(u16::try_from(jitter % 1024).unwrap_or(0)) / 1023.0
}
