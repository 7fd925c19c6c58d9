//! The session as values: invented answers at invented times.

use std::time::Duration;

use tend_base::{Mono, Now, Secret, Wall};
use tend_vault::{
    Answer, Ask, Condition, Failure, Fields, Freshness, KvPath, Lease, Method, News, Next, Reading, Session, Token,
    Trouble, Version,
};

use crate::scenarios::path;

const EVERY: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// A time of its own.
#[derive(Clone, Copy)]
pub(crate) struct At(Duration);

impl Default for At {
    fn default() -> Self {
        Self(Duration::from_secs(1_000))
    }
}

impl At {
    pub(crate) fn now(self) -> Now {
        Now {
            mono: Mono::default() + self.0,
            wall: Wall(1_795_000_000_000 + self.0.as_millis() as u64),
        }
    }

    pub(crate) fn to(&mut self, until: Mono) {
        self.0 = until.since(Mono::default()).max(self.0);
    }
}

struct Game {
    session: Session,
    at: At,
    jitter: u64,
}

fn secret() -> KvPath {
    path("kv/data/mps")
}

fn token(text: &str, life: u64, renewable: bool) -> Token {
    Token {
        secret: Secret::new(text.to_owned()),
        lease: lease(life, renewable),
    }
}

fn lease(life: u64, renewable: bool) -> Lease {
    Lease {
        life: (life > 0).then(|| Duration::from_secs(life)),
        renewable,
    }
}

fn found(number: u64, created: &str) -> Answer {
    Answer::Read(Reading::Found {
        version: version(number, created, false),
        fields: Fields::default(),
    })
}

fn version(number: u64, created: &str, destroyed: bool) -> Version {
    Version {
        number,
        created_time: created.to_owned(),
        deletion_time: String::new(),
        destroyed,
    }
}

fn failed(trouble: Trouble) -> Answer {
    Answer::Failed(Failure {
        trouble,
        text: format!("{trouble:?}"),
        hint: "hint".to_owned(),
    })
}

impl Game {
    fn new(method: Method) -> Self {
        let at = At::default();
        Self {
            session: Session::new(method, EVERY, [secret()], at.now()),
            at,
            jitter: 0,
        }
    }

    /// Logged in with a token of this life, and read version 1.
    fn begun(method: Method, life: u64, renewable: bool) -> Self {
        let mut game = Self::new(method);
        game.expect(Ask::LogIn);
        game.answer(Answer::LoggedIn(token("t1", life, renewable)));
        game.expect_read("t1");
        assert!(game.answer(found(1, "a")).is_some());
        game
    }

    fn next(&mut self) -> Next {
        self.session.next(self.at.now().mono)
    }

    fn expect(&mut self, ask: Ask) {
        assert_eq!(self.next(), Next::Ask(ask));
    }

    fn expect_read(&mut self, token: &str) {
        self.expect(Ask::Read(Secret::new(token.to_owned()), secret()));
    }

    fn answer(&mut self, answer: Answer) -> Option<News> {
        self.session.take(answer, self.at.now(), self.jitter)
    }

    /// Waits as it is told; returns for how long.
    fn wait(&mut self) -> Duration {
        let before = self.at.0;
        match self.next() {
            Next::Wait(until) => self.at.to(until),
            Next::Ask(ask) => panic!("not to be waited: {ask:?}"),
        }
        self.at.0 - before
    }

    fn condition(&self) -> Condition {
        self.session.standing().condition
    }

    fn freshness(&self) -> Freshness {
        self.session.of(&secret()).unwrap().freshness
    }
}

#[test]
fn nothing_but_a_new_version_is_news() {
    let mut game = Game::begun(Method::AppRole, 0, false);
    for (answer, is_news, freshness) in [
        (found(1, "a"), false, Freshness::Fresh),
        (found(2, "b"), true, Freshness::Fresh),
        (failed(Trouble::Sealed), false, Freshness::Stale),
        (found(2, "b"), false, Freshness::Fresh),
        (failed(Trouble::Away), false, Freshness::Stale),
        (failed(Trouble::Standby), false, Freshness::Stale),
        (failed(Trouble::Failing), false, Freshness::Stale),
        (failed(Trouble::Throttled(None)), false, Freshness::Stale),
        (failed(Trouble::NotThere), false, Freshness::Missing),
        (found(2, "b"), false, Freshness::Fresh),
        (failed(Trouble::Refused), false, Freshness::Unusable),
        (
            Answer::Read(Reading::Deleted {
                version: version(2, "b", false),
            }),
            false,
            Freshness::Deleted,
        ),
        (
            Answer::Read(Reading::Deleted {
                version: version(2, "b", true),
            }),
            false,
            Freshness::Deleted,
        ),
        // Made anew: its numbers begin anew.
        (found(1, "c"), true, Freshness::Fresh),
        (found(1, "c"), false, Freshness::Fresh),
    ] {
        game.wait();
        game.expect_read("t1");
        let what = format!("{answer:?}");
        assert_eq!(game.answer(answer).is_some(), is_news, "{what}");
        assert_eq!(game.freshness(), freshness, "{what}");
        assert!(game.session.of(&secret()).unwrap().version.is_some(), "{what}");
    }
}

#[test]
fn a_version_that_could_not_be_taken_is_told_again() {
    let mut game = Game::begun(Method::AppRole, 0, false);
    game.session.forget(&secret());
    assert_eq!(game.session.of(&secret()).unwrap().version, Some(1));
    assert_eq!(game.wait(), EVERY);
    game.expect_read("t1");
    assert!(game.answer(found(1, "a")).is_some());
    game.wait();
    game.expect_read("t1");
    assert!(game.answer(found(1, "a")).is_none());
}

#[test]
fn a_token_is_renewed_at_two_thirds_of_its_life_spread_by_a_tenth() {
    for (jitter, after) in [(0, 200.0), (1023, 180.0), (511, 190.0)] {
        let mut game = Game::new(Method::AppRole);
        game.session = Session::new(Method::AppRole, EVERY, [], game.at.now());
        game.jitter = jitter;
        game.expect(Ask::LogIn);
        game.answer(Answer::LoggedIn(token("t1", 300, true)));
        let waited = game.wait().as_secs_f64();
        assert!((waited - after).abs() < 0.1, "{jitter}: {waited}");
        game.expect(Ask::Renew(Secret::new("t1".to_owned())));
        game.answer(Answer::Renewed(lease(300, true)));
        let until = game.session.standing().token_until.unwrap();
        assert_eq!(until.0 - game.at.now().wall.0, 300_000);
        assert!((game.wait().as_secs_f64() - after).abs() < 0.1);
    }
}

#[test]
fn a_token_that_renewing_makes_shorter_is_replaced_by_a_role() {
    let mut game = Game::begun(Method::AppRole, 300, true);
    game.session.hurry(game.at.now().mono);
    let mut asked = Vec::new();
    for life in [300, 200, 100] {
        loop {
            match game.next() {
                Next::Wait(until) => game.at.to(until),
                Next::Ask(Ask::Read(..)) => drop(game.answer(found(1, "a"))),
                Next::Ask(ask) => {
                    asked.push(ask);
                    break;
                }
            }
        }
        game.answer(Answer::Renewed(lease(life, true)));
    }
    assert!(asked.iter().all(|ask| matches!(ask, Ask::Renew(_))), "{asked:?}");
    loop {
        match game.next() {
            Next::Wait(until) => game.at.to(until),
            Next::Ask(Ask::Read(..)) => drop(game.answer(found(1, "a"))),
            Next::Ask(ask) => break assert_eq!(ask, Ask::LogIn, "its largest life is near its end"),
        }
    }
}

#[test]
fn a_token_that_cannot_be_renewed_is_replaced_before_it_ends() {
    // Not renewable from the start; refused when asked; gone when asked.
    for (renewable, trouble) in [
        (false, None),
        (true, Some(Trouble::Refused)),
        (true, Some(Trouble::Denied)),
    ] {
        let mut game = Game::begun(Method::AppRole, 33, renewable);
        game.wait();
        if let Some(trouble) = trouble {
            game.expect(Ask::Renew(Secret::new("t1".to_owned())));
            game.answer(failed(trouble));
        }
        game.expect(Ask::LogIn);
        assert_eq!(game.answer(Answer::LoggedIn(token("t2", 33, renewable))), None);
        assert_eq!(game.wait(), 8 * SECOND, "the secret is looked at at its own time");
        game.expect_read("t2");
    }
}

#[test]
fn a_token_from_elsewhere_that_cannot_be_renewed_is_looked_up_again() {
    let mut game = Game::begun(Method::Token, 3_000, true);
    game.session.hurry(game.at.now().mono);
    let mut log_ins = 0;
    for _ in 0..200 {
        match game.next() {
            Next::Wait(until) => game.at.to(until),
            Next::Ask(Ask::Renew(_)) => drop(game.answer(failed(Trouble::Refused))),
            Next::Ask(Ask::Read(..)) => drop(game.answer(found(1, "a"))),
            Next::Ask(Ask::LogIn) => {
                log_ins += 1;
                break;
            }
            Next::Ask(ask) => panic!("{ask:?}"),
        }
    }
    assert_eq!(log_ins, 1);
    game.answer(Answer::LoggedIn(token("t1", 900, false)));
    assert_eq!(game.condition(), Condition::Fresh);
}

#[test]
fn a_dead_token_is_not_used() {
    let mut game = Game::begun(Method::AppRole, 60, true);
    game.at.0 += 61 * SECOND;
    game.expect(Ask::LogIn);
    assert!(game.session.token().is_none());
}

#[test]
fn a_denied_read_asks_whether_it_is_the_token() {
    let mut game = Game::begun(Method::AppRole, 0, false);
    game.wait();
    game.expect_read("t1");
    game.answer(failed(Trouble::Denied));
    game.expect(Ask::Check(Secret::new("t1".to_owned())));
    game.answer(Answer::Alive);
    assert_eq!(
        (game.freshness(), game.condition()),
        (Freshness::Denied, Condition::Fresh)
    );
    assert_eq!(game.wait(), EVERY);
    game.expect_read("t1");
    game.answer(failed(Trouble::Denied));
    game.expect(Ask::Check(Secret::new("t1".to_owned())));
    game.answer(failed(Trouble::Denied));
    game.expect(Ask::LogIn);
    game.answer(Answer::LoggedIn(token("t2", 0, false)));
    game.expect_read("t2");
    assert!(game.answer(found(1, "a")).is_none());
    assert_eq!(game.freshness(), Freshness::Fresh);
}

#[test]
fn tokens_that_may_nothing_do_not_make_a_storm_of_log_ins() {
    let mut game = Game::new(Method::AppRole);
    let (mut log_ins, begun) = (0, game.at.0);
    for _ in 0..1_000 {
        match game.next() {
            Next::Wait(until) => game.at.to(until),
            Next::Ask(Ask::LogIn) => {
                log_ins += 1;
                game.answer(Answer::LoggedIn(token("t", 3_600, true)));
            }
            Next::Ask(_) => drop(game.answer(failed(Trouble::Denied))),
        }
    }
    let passed = (game.at.0 - begun).as_secs();
    assert!(passed > 1_000 && log_ins <= passed / 27 + 2, "{log_ins} in {passed} s");
}

#[test]
fn a_refused_log_in_is_tried_ever_more_rarely_and_at_once_when_asked_for() {
    let mut game = Game::new(Method::AppRole);
    let mut before = Duration::ZERO;
    for round in 0..8 {
        game.expect(Ask::LogIn);
        game.answer(failed(Trouble::Refused));
        assert_eq!(game.condition(), Condition::LoginRefused);
        let waited = game.wait();
        assert!(
            waited >= 5 * SECOND && waited <= 300 * SECOND && (round == 0 || waited >= before / 2),
            "{waited:?}"
        );
        before = waited;
    }
    assert!(before >= 150 * SECOND, "{before:?}");
    game.expect(Ask::LogIn);
    game.answer(failed(Trouble::Here));
    game.session.hurry(game.at.now().mono);
    game.expect(Ask::LogIn);
    game.answer(Answer::LoggedIn(token("t1", 0, false)));
    assert_eq!(
        (game.condition(), game.session.standing().why),
        (Condition::Fresh, None)
    );
}

#[test]
fn a_refused_log_in_leaves_the_token_that_still_lives() {
    let mut game = Game::begun(Method::AppRole, 45, false);
    game.wait();
    if let Next::Ask(Ask::Read(..)) = game.next() {
        game.answer(found(1, "a"));
        game.wait();
    }
    game.expect(Ask::LogIn);
    game.answer(failed(Trouble::Refused));
    assert_eq!(game.condition(), Condition::Fresh);
    assert_eq!(
        game.session.standing().why.as_deref(),
        Some("Refused"),
        "and yet it is told"
    );
    assert!(game.session.token().is_some());
}

#[test]
fn a_server_in_trouble_is_asked_ever_more_rarely_and_no_later_than_it_says() {
    for (trouble, condition) in [
        (Trouble::Away, Condition::Away),
        (Trouble::Sealed, Condition::Sealed),
        (Trouble::Standby, Condition::Standby),
        (Trouble::Failing, Condition::Failing),
        (Trouble::Throttled(None), Condition::Throttled),
    ] {
        let mut game = Game::begun(Method::AppRole, 0, false);
        game.wait();
        let since = game.at.now().wall;
        let mut waits = Vec::new();
        for _ in 0..12 {
            game.expect_read("t1");
            game.answer(failed(trouble));
            assert_eq!(
                (game.condition(), game.session.standing().since),
                (condition, since),
                "since the first"
            );
            waits.push(game.wait());
        }
        assert!(
            waits[0] <= SECOND / 2 && waits[11] >= 15 * SECOND && waits[11] <= 30 * SECOND,
            "{waits:?}"
        );
        game.expect_read("t1");
        game.answer(found(1, "a"));
        assert_eq!(game.condition(), Condition::Fresh);
    }
    for (said, least, most) in [(20, 20, 20), (100_000, 300, 300), (0, 0, 1)] {
        let mut game = Game::begun(Method::AppRole, 0, false);
        game.wait();
        game.expect_read("t1");
        game.answer(failed(Trouble::Throttled(Some(Duration::from_secs(said)))));
        let waited = game.wait();
        assert!(
            waited >= least * SECOND && waited <= most * SECOND,
            "{said}: {waited:?}"
        );
    }
}

#[test]
fn one_secret_in_trouble_does_not_keep_others_from_being_read() {
    let mut game = Game::new(Method::AppRole);
    let (one, two) = (path("kv/data/a"), path("kv/data/b"));
    game.session = Session::new(Method::AppRole, EVERY, [one.clone(), two.clone()], game.at.now());
    game.expect(Ask::LogIn);
    game.answer(Answer::LoggedIn(token("t", 0, false)));
    let with = Secret::new("t".to_owned());
    game.expect(Ask::Read(with.clone(), one.clone()));
    game.answer(failed(Trouble::NotThere));
    game.expect(Ask::Read(with, two.clone()));
    assert!(game.answer(found(1, "a")).is_some());
    let freshness = |of: &KvPath| game.session.of(of).unwrap().freshness;
    assert_eq!(
        (freshness(&one), freshness(&two)),
        (Freshness::Missing, Freshness::Fresh)
    );
    assert!(game.session.of(&secret()).is_none());
}

/// Whatever is answered in whatever order: it never asks twice without an answer's worth of reason to wait, and never without end.
#[test]
fn by_seeds_it_neither_spins_nor_sleeps_for_ever() {
    for seed in 0..300u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut game = Game::new(if draw(2) == 0 { Method::Token } else { Method::AppRole });
        let begun = game.at.0;
        let mut asks = 0u64;
        for _ in 0..400 {
            game.jitter = draw(5_000);
            match game.next() {
                Next::Wait(until) => {
                    let waits = until.since(game.at.now().mono);
                    assert!(waits > Duration::ZERO && waits <= 301 * SECOND, "{seed}: {waits:?}");
                    game.at.to(until);
                }
                Next::Ask(ask) => {
                    asks += 1;
                    let trouble = [
                        Trouble::Away,
                        Trouble::Sealed,
                        Trouble::Denied,
                        Trouble::NotThere,
                        Trouble::Refused,
                        Trouble::Here,
                        Trouble::Throttled(Some(Duration::from_secs(draw(9)))),
                    ][draw(7) as usize];
                    let answer = match (draw(3), ask) {
                        (0, _) => failed(trouble),
                        (_, Ask::LogIn) => Answer::LoggedIn(token("t", draw(5) * 20, draw(2) == 0)),
                        (_, Ask::Renew(_)) => Answer::Renewed(lease(draw(5) * 20, draw(2) == 0)),
                        (_, Ask::Check(_)) => Answer::Alive,
                        (_, Ask::Read(..)) => found(draw(3) + 1, "x"),
                    };
                    game.answer(answer);
                }
            }
        }
        let passed = (game.at.0 - begun).as_secs();
        assert!(asks < passed * 2 + 60, "{seed}: {asks} in {passed} s");
    }
}
