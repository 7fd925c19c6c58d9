//! Runs `cases/ejection.txt` and holds the invariants over random lives.

use std::collections::HashMap;
use std::time::Duration;

use tend_base::{Mono, Random};
use tend_routing::{Availability, EjectionPolicy, Failure, Health, Ticket, Verdict};

use crate::lines;

const FAILURES: [Failure; 6] = [
    Failure::ConnectRefused,
    Failure::ConnectTimeout,
    Failure::ConnectFailed,
    Failure::Closed,
    Failure::HeadTimeout,
    Failure::Malformed,
];

fn at(millis: u64) -> Mono {
    Mono(millis * 1_000_000)
}

/// Finds a jitter that leaves the delay of a refusal whole, so that the cases can name round figures.
fn whole(health: Health, ticket: Ticket, now: Mono) -> u64 {
    let policy = EjectionPolicy::default();
    (0..200_000)
        .max_by_key(|jitter| {
            let mut trial = health;
            match trial.failed(ticket, Failure::ConnectRefused, &policy, now, *jitter) {
                Some(Verdict::Ejected { lasts, .. }) => lasts,
                _ => Duration::ZERO,
            }
        })
        .unwrap()
}

#[test]
fn replicas_are_left_out_and_let_back_as_the_cases_say() {
    let policy = EjectionPolicy::default();
    let mut health = Health::default();
    let mut tickets: HashMap<String, Ticket> = HashMap::new();
    for (number, line) in lines(include_str!("cases/ejection.txt")) {
        if line.starts_with("case ") {
            health = Health::default();
            tickets.clear();
            continue;
        }
        let (event, wanted) = line.split_once(" -> ").expect(line);
        let words: Vec<&str> = event.split_whitespace().collect();
        let now = at(words[0].parse().unwrap());
        let verdict = match words[1..] {
            ["look"] => None,
            ["begin", name] => {
                tickets.insert(name.to_owned(), health.begin());
                None
            }
            ["ok", name] => health.succeeded(tickets[name]),
            ["gone", name] => {
                health.abandoned(tickets[name]);
                None
            }
            [kind, name] => {
                let why = FAILURES.into_iter().find(|why| why.as_str() == kind).unwrap();
                let jitter = match why {
                    Failure::ConnectRefused => whole(health, tickets[name], now),
                    _ => 0,
                };
                health.failed(tickets[name], why, &policy, now, jitter)
            }
            _ => panic!("line {number}: {line}"),
        };
        let said = match verdict {
            None => String::new(),
            Some(Verdict::Readmitted) => " readmitted".to_owned(),
            Some(Verdict::Ejected { why, lasts }) => {
                // Rounded up: no jitter of those tried leaves the very last nanoseconds.
                format!(" ejected {} {}", why.as_str(), lasts.as_micros().div_ceil(1000))
            }
        };
        let found = format!("{:?}{said}", health.availability(now));
        assert_eq!(found, wanted, "line {number}: {line}");
    }
}

#[test]
fn at_most_one_trial_runs_and_every_ejection_ends() {
    let policy = EjectionPolicy::default();
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut health = Health::default();
        let mut now = 0;
        let mut open: Vec<Ticket> = Vec::new();
        for step in 0..200 {
            now += random.below(2000);
            match random.below(4) {
                0 if health.availability(at(now)) != Availability::Ejected => {
                    let was_ejected = health.availability(at(now)) == Availability::TrialDue;
                    open.push(health.begin());
                    if was_ejected {
                        let after = health.availability(at(now));
                        assert_eq!(after, Availability::Ejected, "seed {seed} step {step}: a second trial");
                    }
                }
                1 if !open.is_empty() => {
                    let ticket = open.swap_remove(random.below(open.len() as u64) as usize);
                    if health.succeeded(ticket) == Some(Verdict::Readmitted) {
                        assert!(health.is_clean());
                    }
                }
                2 if !open.is_empty() => {
                    let ticket = open.swap_remove(random.below(open.len() as u64) as usize);
                    let why = FAILURES[random.below(6) as usize];
                    let jitter = random.below(u64::MAX);
                    if let Some(Verdict::Ejected { lasts, .. }) = health.failed(ticket, why, &policy, at(now), jitter) {
                        assert!(lasts <= policy.fail_timeout);
                        assert_eq!(health.availability(at(now)), Availability::Ejected);
                    }
                }
                3 if !open.is_empty() => {
                    let ticket = open.swap_remove(random.below(open.len() as u64) as usize);
                    health.abandoned(ticket);
                }
                _ => {}
            }
        }
        // Once nothing is under way, waiting is enough for the next chance.
        open.drain(..).for_each(|ticket| health.abandoned(ticket));
        let later = at(now) + policy.fail_timeout;
        assert_ne!(health.availability(later), Availability::Ejected, "seed {seed}");
    }
}

#[test]
fn with_max_fails_0_only_a_refusal_ejects() {
    let policy = EjectionPolicy {
        max_fails: 0,
        ..EjectionPolicy::default()
    };
    let mut health = Health::default();
    for _ in 0..100 {
        let ticket = health.begin();
        assert_eq!(health.failed(ticket, Failure::HeadTimeout, &policy, at(0), 0), None);
    }
    let ticket = health.begin();
    assert!(
        health
            .failed(ticket, Failure::ConnectRefused, &policy, at(0), 0)
            .is_some()
    );
}
