//! Facts in any order, kills, lost answers, holders that come and go: no promise of a rotation breaks, whatever the seed.

use std::time::Duration;

use tend_base::{Mono, Random};
use tend_rotation::{Answer, Next, Outcome, Rotation, Standing, Step, Which};

use crate::world::{CLASSES, World, order};

/// What happens beside the rotation.
fn disturb(world: &mut World, dice: &mut Random, number: &mut u32) {
    let names: Vec<String> = world.holders.keys().cloned().collect();
    let any = dice.pick(&names).clone();
    match dice.index(8) {
        // One more starts, or one starts anew: with what whoever starts is given.
        0 => {
            *number += 1;
            world.holders.insert(format!("shop/api/{number}"), world.starts_with);
        }
        1 if names.len() > 1 => {
            world.holders.remove(&any);
        }
        2 => world.stubborn.push(any),
        3 => world.hidden.push(any),
        4 => world.stubborn.clear(),
        5 => world.hidden.clear(),
        // Somebody opens a session by hand, as long as it is let in.
        6 if world.old_valid && world.issuer() => world.others_old += 1,
        _ => (world.others_old, world.others_new) = (0, 0),
    }
}

fn kept(rotation: &Rotation) -> Rotation {
    serde_json::from_str(&serde_json::to_string(rotation).unwrap()).unwrap()
}

fn one(seed: u64) -> &'static str {
    let mut dice = Random::new(seed);
    let class = *dice.pick(&CLASSES);
    let mut number = 3;
    let mut world = World::new(class, 3);
    let mut now = Mono(1_000_000_000_000);
    let mut rotation = Rotation::begin(order(class), now);
    let abort_at = dice.index(400);
    // Some are disturbed to the end, most come to rest.
    let restless = dice.below(10) == 0;
    for turn in 0..2000 {
        let disturbed = restless || turn < 150;
        if disturbed && dice.below(3) == 0 {
            disturb(&mut world, &mut dice, &mut number);
        }
        if turn == 150 && !restless {
            (world.others_old, world.others_new) = (0, 0);
            world.stubborn.clear();
            world.hidden.clear();
        }
        if turn == abort_at {
            // Refused when it has ended or the old version is gone: then it is simply not aborted.
            let _ = rotation.abort("asked for", now);
        }
        match rotation.next(now) {
            Next::Ended => {
                let ended = rotation.standing(now);
                let (kept, gone) = match ended {
                    Standing::Done => (Which::New, Which::Old),
                    _ => (Which::Old, Which::New),
                };
                assert!(
                    world
                        .holders
                        .values()
                        .all(|give| give.uses() == kept && !give.has(gone))
                );
                assert_eq!(world.old_retired, kept == Which::New);
                assert_eq!(world.new_stored, kept == Which::New);
                return if kept == Which::New { "done" } else { "undone" };
            }
            Next::Wait(until) => {
                // Time passes only here, and not always to the moment that was said.
                let wait = if dice.below(4) == 0 {
                    until.since(now) / 2
                } else {
                    until.since(now)
                };
                now = now + wait.max(Duration::from_millis(1));
                world.work(now);
            }
            Next::Perform(id, step) => {
                let fate = if disturbed { dice.index(10) } else { 9 };
                // Killed before, or killed after it was performed and before the answer was taken.
                if fate <= 1 {
                    if fate == 1 {
                        world.perform(&step);
                    }
                    rotation = kept(&rotation);
                    if dice.below(3) == 0 {
                        // The machine started anew, and its clock with it.
                        world.rebooted(now);
                        now = Mono(0);
                    }
                    rotation.restarted(now);
                } else if fate == 2 {
                    // The answer is lost.
                    world.perform(&step);
                } else if fate == 3 {
                    let why = "the server went away".to_owned();
                    rotation.take(
                        Answer {
                            step: id,
                            outcome: Outcome::Failed { why },
                        },
                        now,
                    );
                } else {
                    let outcome = world.perform(&step);
                    // Once more: harmless.
                    if matches!(step, Step::Act(_) | Step::Roll { .. }) && dice.below(5) == 0 {
                        world.perform(&step);
                    }
                    rotation.take(
                        Answer {
                            step: id,
                            outcome: outcome.clone(),
                        },
                        now,
                    );
                    rotation.take(Answer { step: id, outcome }, now);
                }
            }
        }
        world.check(now);
    }
    let late = now + order(class).patience.deadline * 2;
    let Standing::Held { why, .. } = rotation.standing(late) else {
        panic!("seed {seed}, {class:?}: {:?} is no end", rotation.standing(late));
    };
    assert!(
        restless,
        "seed {seed}, {class:?}: it does not end though nothing is in its way: {why}"
    );
    "held"
}

#[test]
fn by_seeds() {
    let mut ends = std::collections::BTreeMap::<&str, u32>::new();
    for seed in 0..1500 {
        let end = std::panic::catch_unwind(|| one(seed)).unwrap_or_else(|_| panic!("seed {seed} broke a promise"));
        *ends.entry(end).or_default() += 1;
    }
    // Each way to end was really met.
    assert!(
        ends["done"] > 200 && ends["undone"] > 200 && ends["held"] > 10,
        "{ends:?}"
    );
}
