//! When the next certificate is asked for: by cases, and by seeded histories that try to pass the bounds.

use tend_base::{Wall, fnv64};
use tend_certificate::{Asked, Certificate, Due, Held, History, Names, Reason, Warning, next, renew_at};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A day long after 1970, so that nothing reaches below it.
const START: u64 = 20_000 * DAY;

fn names(text: &str) -> Names {
    text.split(' ').collect()
}

fn certificate(hosts: &str, days: u64) -> Certificate {
    Certificate {
        names: names(hosts),
        not_before: Wall(START),
        not_after: Wall(START + days * DAY),
        issuer: "R3".to_owned(),
        serial: "0a".to_owned(),
        self_signed: false,
        chain_length: 2,
    }
}

fn ask<'a>(wanted: &'a Names, kept: Option<&'a Certificate>, history: &'a History, now: u64) -> Asked<'a> {
    Asked {
        wanted,
        kept,
        history,
        orders: &[],
        under_way: false,
        by_person: false,
        now: Wall(now),
    }
}

#[test]
fn it_is_renewed_at_two_thirds_of_its_life_less_a_twentieth_at_most() {
    for days in [6, 47, 90, 365] {
        let mut certificate = certificate("pay.example.com", days);
        let mut seen = std::collections::BTreeSet::new();
        for serial in 0..200 {
            certificate.serial = format!("{serial:02x}");
            let at = renew_at(&certificate);
            assert_eq!(at, renew_at(&certificate), "the same after a restart");
            let (latest, spread) = (days * DAY * 2 / 3, days * DAY / 20);
            assert!((latest - spread..=latest).contains(&(at.0 - START)), "{days} {at}");
            seen.insert(at.0 / (spread / 10));
        }
        assert!(seen.len() >= 10, "spread over the twentieth: {}", seen.len());
    }
}

#[test]
fn it_is_asked_for_when_there_is_a_reason() {
    let (wanted, history) = (names("a.example b.example"), History::default());
    assert_eq!(next(&ask(&wanted, None, &history, START)), Due::Now(Reason::First));
    let lacking = certificate("a.example", 90);
    assert_eq!(
        next(&ask(&wanted, Some(&lacking), &history, START)),
        Due::Now(Reason::Names)
    );
    // A host that is not wanted any more is no reason.
    let more = certificate("a.example b.example c.example", 90);
    let at = renew_at(&more);
    assert_eq!(
        next(&ask(&wanted, Some(&more), &history, START)),
        Due::At { at, held: None }
    );
    assert_eq!(
        next(&ask(&wanted, Some(&more), &history, at.0 - 1)),
        Due::At { at, held: None }
    );
    assert_eq!(next(&ask(&wanted, Some(&more), &history, at.0)), Due::Now(Reason::Old));
    let mut by_person = ask(&wanted, Some(&more), &history, START);
    by_person.by_person = true;
    assert_eq!(next(&by_person), Due::Now(Reason::Person));
}

#[test]
fn failures_make_it_wait_longer_and_longer_and_a_person_need_not_wait() {
    let wanted = names("pay.example.com");
    let mut history = History::default();
    let mut now = START;
    let mut pauses = Vec::new();
    for failures in 1..=12 {
        history.begin(Wall(now));
        history.failed("refused".to_owned(), None);
        let Due::At { at, held } = next(&ask(&wanted, None, &history, now)) else {
            panic!("it goes on at once after {failures} failures");
        };
        assert!(
            matches!(held, Some(Held::Failing { failures: f }) if f == failures) || held == Some(Held::FailedOften)
        );
        pauses.push(at.0 - now);
        now = at.0;
        assert_eq!(next(&ask(&wanted, None, &history, now)), Due::Now(Reason::First));
    }
    assert!(pauses[0] <= 4 * MINUTE, "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 6 * HOUR), "{pauses:?}");
    assert!(pauses[11] >= 3 * HOUR, "{pauses:?}");
    let mut by_person = ask(&wanted, None, &history, now - 1);
    by_person.by_person = true;
    assert_eq!(next(&by_person), Due::Now(Reason::First));
    // One that succeeds ends it.
    history.begin(Wall(now));
    history.issued();
    assert_eq!(history.failures(), 0);
    assert_eq!(next(&ask(&wanted, None, &history, now)), Due::Now(Reason::First));
}

#[test]
fn a_daemon_that_is_killed_in_every_try_is_held_by_the_bounds_alone() {
    let wanted = names("pay.example.com");
    let mut history = History::default();
    for number in 0..4 {
        assert_eq!(
            next(&ask(&wanted, None, &history, START + number)),
            Due::Now(Reason::First)
        );
        history.begin(Wall(START + number));
    }
    let held = Some(Held::FailedOften);
    let at = Wall(START + HOUR);
    assert_eq!(next(&ask(&wanted, None, &history, START + 4)), Due::At { at, held });
}

#[test]
fn what_the_authority_says_about_coming_back_holds_for_everybody_but_not_for_ever() {
    let wanted = names("pay.example.com");
    let mut history = History::default();
    history.begin(Wall(START));
    history.failed("too many".to_owned(), Some(Wall(START + 3 * DAY)));
    let mut asked = ask(&wanted, None, &history, START + DAY);
    asked.by_person = true;
    let held = Some(Held::ByAuthority);
    assert_eq!(
        next(&asked),
        Due::At {
            at: Wall(START + 3 * DAY),
            held
        }
    );
    let mut mad = history.clone();
    mad.not_before = Some(Wall(u64::MAX));
    asked.history = &mad;
    assert_eq!(
        next(&asked),
        Due::At {
            at: Wall(START + 9 * DAY),
            held
        }
    );
}

#[test]
fn an_order_under_way_is_gone_on_with_at_once() {
    let wanted = names("pay.example.com");
    let mut history = History::default();
    history.begin(Wall(START));
    let mut asked = ask(&wanted, None, &history, START);
    // Killed before there was an order: begun anew at once.
    assert_eq!(next(&asked), Due::Now(Reason::First));
    asked.under_way = true;
    assert_eq!(next(&asked), Due::Now(Reason::UnderWay));
    let mut ended = history.clone();
    ended.failed("refused".to_owned(), None);
    asked.history = &ended;
    assert!(
        matches!(next(&asked), Due::At { .. }),
        "one that ended is not begun again at once"
    );
    history.withdrawn();
    assert_eq!(history, History::default());
}

#[test]
fn all_names_together_make_no_more_orders_than_may_be() {
    let (wanted, history) = (names("pay.example.com"), History::default());
    let orders: Vec<Wall> = (0..100).map(|number| Wall(START + number * MINUTE / 2)).collect();
    let mut asked = ask(&wanted, None, &history, START + HOUR);
    asked.orders = &orders[..99];
    assert_eq!(next(&asked), Due::Now(Reason::First));
    asked.orders = &orders;
    let held = Some(Held::OrderedOften);
    assert_eq!(
        next(&asked),
        Due::At {
            at: Wall(START + 3 * HOUR),
            held
        }
    );
}

#[test]
fn no_history_is_long_enough_to_pass_the_bounds() {
    let wanted = names("pay.example.com");
    for seed in 0..50_u64 {
        let mut random = seed;
        let mut draw = |below: u64| {
            random = fnv64(&random.to_le_bytes());
            random % below
        };
        let (mut history, mut now) = (History::default(), START);
        let (mut failed, mut issued) = (Vec::new(), Vec::new());
        for _ in 0..400 {
            // Mostly a person who does not stop asking.
            now += draw(20) * MINUTE;
            let mut asked = ask(&wanted, None, &history, now);
            asked.by_person = draw(10) > 0;
            if !matches!(next(&asked), Due::Now(_)) {
                continue;
            }
            history.begin(Wall(now));
            // As the store keeps it.
            match draw(3) {
                0 => {
                    history.issued();
                    issued.push(now);
                }
                1 => {
                    history.failed("refused".to_owned(), None);
                    failed.push(now);
                }
                // Killed in the middle.
                _ => failed.push(now),
            }
        }
        let most = |times: &[u64], window: u64| {
            let within = |from: &u64| times.iter().filter(|at| (*from..from + window).contains(*at)).count();
            times.iter().map(within).max().unwrap_or(0)
        };
        assert!(most(&failed, HOUR) <= 4, "seed {seed}: {failed:?}");
        assert!(most(&issued, 7 * DAY) <= 4, "seed {seed}: {issued:?}");
        assert!(!failed.is_empty() && !issued.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_for_longer_than_before() {
    let wanted = names("pay.example.com");
    let mut history = History::default();
    for number in 0..4 {
        history.begin(Wall(START + 3000 * DAY + number));
        history.failed("refused".to_owned(), None);
    }
    let Due::At { at, .. } = next(&ask(&wanted, None, &history, START)) else {
        panic!("the bound is gone with the clock");
    };
    assert!(at.0 <= START + HOUR, "{at}");
}

#[test]
fn people_hear_of_an_end_that_comes_near() {
    for (days, told_before) in [(6, 1), (90, 15), (365, 21)] {
        let certificate = certificate("pay.example.com", days);
        let end = START + days * DAY;
        assert_eq!(
            Warning::of(&certificate, Wall(end - told_before * DAY - 1)),
            None,
            "{days}"
        );
        assert_eq!(
            Warning::of(&certificate, Wall(end - told_before * DAY)),
            Some(Warning::Expiring)
        );
        assert_eq!(Warning::of(&certificate, Wall(end)), Some(Warning::Expiring));
        assert_eq!(Warning::of(&certificate, Wall(end + 1)), Some(Warning::Expired));
        // It is due long before.
        assert!(renew_at(&certificate).0 < end - told_before * DAY);
    }
}
