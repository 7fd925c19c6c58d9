//! What a rotation asks for where nothing goes wrong, and what it says where somebody does not let go.

use std::time::Duration;

use tend_base::Mono;
use tend_rotation::{Act, Answer, Class, Next, Outcome, Rotation, Stage, Standing, Step, Which};

use crate::world::{CLASSES, World, order};

/// Performs until it ends or `until` has passed.
fn run(rotation: &mut Rotation, world: &mut World, now: &mut Mono, until: Mono) {
    while *now < until {
        match rotation.next(*now) {
            Next::Ended => return,
            Next::Wait(time) => *now = time.max(*now + Duration::from_millis(1)),
            Next::Perform(step, what) => {
                let outcome = world.perform(&what);
                world.check(*now);
                rotation.take(Answer { step, outcome }, *now);
            }
        }
    }
}

fn hours(count: u64) -> Mono {
    Mono(0) + Duration::from_secs(count * 3600)
}

#[test]
fn each_class_ends_done_by_its_own_acts() {
    let acts = |class| {
        let (mut world, mut now) = (World::new(class, 3), Mono(0));
        let mut rotation = Rotation::begin(order(class), now);
        run(&mut rotation, &mut world, &mut now, hours(1));
        assert_eq!(rotation.standing(now), Standing::Done, "{class:?}");
        assert!(world.holders.values().all(|give| !give.has(Which::Old)));
        world.acts.dedup();
        world.acts
    };
    let by_issuer = [
        Act::Store,
        Act::Prepare,
        Act::ProveNew,
        Act::Revoke,
        Act::ProveOldRefused,
        Act::Retire,
    ];
    let [token, signed, users, encrypted, restarted] = CLASSES.map(acts);
    assert_eq!(token, by_issuer);
    assert_eq!(users, by_issuer);
    assert_eq!(signed, [Act::Store, Act::Retire]);
    assert_eq!(encrypted, [Act::Store, Act::Reencrypt(Which::New), Act::Retire]);
    assert_eq!(restarted, [Act::Store, Act::Retire]);
}

#[test]
fn who_does_not_let_go_of_the_old_version_is_named_and_it_is_not_revoked() {
    let (mut world, mut now) = (World::new(Class::DatabaseTwoUsers, 3), Mono(0));
    world.stubborn.push("shop/api/2".to_owned());
    world.others_old = 2;
    let mut rotation = Rotation::begin(order(Class::DatabaseTwoUsers), now);
    run(&mut rotation, &mut world, &mut now, hours(1));
    let standing = rotation.standing(now);
    assert_eq!(
        standing.to_string(),
        "held while bringing the holders to the new version: shop/api/2 still hold version 3; 2 others still use it"
    );
    assert!(
        matches!(&standing, Standing::Held { stage: Stage::Rolling, holders, others: Some(2), .. } if holders[0].0 == "shop/api/2")
    );
    assert!(world.old_valid && !world.acts.contains(&Act::Revoke));

    world.stubborn.clear();
    run(&mut rotation, &mut world, &mut now, hours(2));
    assert!(matches!(
        rotation.standing(now),
        Standing::Held {
            stage: Stage::Zero,
            others: Some(2),
            ..
        }
    ));
    world.others_old = 0;
    run(&mut rotation, &mut world, &mut now, hours(3));
    assert_eq!(rotation.standing(now), Standing::Done);
}

#[test]
fn what_is_not_known_is_taken_as_held() {
    let (mut world, mut now) = (World::new(Class::RestartOnly, 2), Mono(0));
    world.hidden.push("shop/api/1".to_owned());
    let mut rotation = Rotation::begin(order(Class::RestartOnly), now);
    run(&mut rotation, &mut world, &mut now, hours(1));
    assert_eq!(
        rotation.standing(now).to_string(),
        "held while seeing that nobody holds the old version: what shop/api/1 holds is not known"
    );
    assert!(!world.old_retired);
}

#[test]
fn an_abort_goes_back_from_everywhere_until_the_old_version_is_retired() {
    for class in CLASSES {
        for steps in 0.. {
            let (mut world, mut now, mut left) = (World::new(class, 2), Mono(0), steps);
            let mut rotation = Rotation::begin(order(class), now);
            let mut retired = false;
            while left > 0 {
                match rotation.next(now) {
                    Next::Ended => break,
                    Next::Wait(time) => now = time,
                    Next::Perform(step, what) => {
                        retired |= what == Step::Act(Act::Retire);
                        let outcome = world.perform(&what);
                        rotation.take(Answer { step, outcome }, now);
                        left -= 1;
                    }
                }
            }
            let aborted = rotation.abort("asked for", now);
            if retired {
                let error = aborted.unwrap_err();
                assert_eq!(error.hint(), "to have another value, rotate once more");
                break;
            }
            aborted.unwrap();
            rotation.abort("again", now).unwrap();
            run(&mut rotation, &mut world, &mut now, hours(2));
            let undone = Standing::Undone {
                why: "asked for".to_owned(),
            };
            assert_eq!(rotation.standing(now), undone, "{class:?} after {steps} steps");
            assert!(world.old_valid && !world.new_valid && !world.new_stored);
            assert!(world.holders.values().all(|give| !give.has(Which::New)));
        }
    }
}

#[test]
fn a_version_that_cannot_return_is_not_gone_back_to() {
    let class = Class::DatabaseTwoUsers;
    let (mut world, mut now) = (World::new(class, 1), Mono(0));
    let mut wish = order(class);
    wish.old_can_return = false;
    let mut rotation = Rotation::begin(wish, now);
    loop {
        match rotation.next(now) {
            Next::Ended => panic!("ended without revoking"),
            Next::Wait(time) => now = time,
            Next::Perform(_, Step::Act(Act::Revoke)) => break,
            Next::Perform(step, what) => {
                let outcome = world.perform(&what);
                rotation.take(Answer { step, outcome }, now);
            }
        }
    }
    assert_eq!(
        rotation.abort("changed my mind", now).unwrap_err().to_string(),
        "the rotation of database.password cannot be undone any more: the old version is being made invalid"
    );
}

#[test]
fn an_answer_that_comes_too_late_is_not_listened_to() {
    let now = Mono(0);
    let mut rotation = Rotation::begin(order(Class::RestartOnly), now);
    let Next::Perform(first, Step::Act(Act::Store)) = rotation.next(now) else {
        panic!("the first step is to store");
    };
    let later = now + rotation.order().patience.answer_within;
    let retried = rotation.next(later);
    assert!(matches!(retried, Next::Wait(_)), "{retried:?}");
    let before = rotation.clone();
    let answer = |outcome| Answer { step: first, outcome };
    rotation.take(answer(Outcome::Done), later);
    assert_eq!(rotation, before);
}

#[test]
fn what_is_left_to_encrypt_is_told_and_held_only_when_it_becomes_no_less() {
    let (mut world, mut now) = (World::new(Class::ReEncrypt, 1), Mono(0));
    let mut rotation = Rotation::begin(order(Class::ReEncrypt), now);
    let mut standings = Vec::new();
    // An hour in which a row becomes less every half minute, and then no more.
    while now < hours(2) {
        match rotation.next(now) {
            Next::Ended => panic!("rows were left"),
            Next::Wait(time) => now = time,
            Next::Perform(step, Step::Act(Act::Reencrypt(_))) => {
                let rows = match now < hours(1) {
                    true => 1000 - now.since(Mono(0)).as_secs() / 30,
                    false => 7,
                };
                let left = format!("{rows} rows are left");
                rotation.take(
                    Answer {
                        step,
                        outcome: Outcome::NotYet { left },
                    },
                    now,
                );
                standings.push((now, rotation.standing(now)));
            }
            Next::Perform(step, what) => {
                let outcome = world.perform(&what);
                rotation.take(Answer { step, outcome }, now);
            }
        }
    }
    let is_held = |standing: &Standing| matches!(standing, Standing::Held { .. });
    assert!(
        standings
            .iter()
            .filter(|(at, _)| *at < hours(1))
            .all(|(_, one)| !is_held(one))
    );
    assert_eq!(
        standings[0].1.to_string(),
        "encrypting with the new version: 1000 rows are left"
    );
    let last = &standings.last().unwrap().1;
    assert_eq!(
        last.to_string(),
        "held while encrypting with the new version: 7 rows are left"
    );
    assert!(is_held(last));
    let kept = serde_json::to_value(&rotation).unwrap();
    assert_eq!(serde_json::from_value::<Rotation>(kept).unwrap(), rotation);
}

#[test]
fn nothing_is_taken_away_before_whoever_starts_next_is_given_the_new_version() {
    for class in CLASSES {
        // Nobody has it, so nobody is behind; and the first rolls fail, as beside a deployment, or are lost with their daemon.
        let (mut world, mut now) = (World::new(class, 0), Mono(0));
        let mut rotation = Rotation::begin(order(class), now);
        let (mut rolls, mut done) = (0, false);
        while now < hours(1) {
            match rotation.next(now) {
                Next::Ended => break,
                Next::Wait(time) => now = time.max(now + Duration::from_millis(1)),
                Next::Perform(step, what) => {
                    let is_roll = matches!(what, Step::Roll { .. });
                    rolls += usize::from(is_roll);
                    if is_roll && rolls == 1 {
                        rotation.restarted(now);
                        continue;
                    }
                    let outcome = match is_roll && rolls < 4 {
                        true => Outcome::Failed {
                            why: "a deployment is under way".to_owned(),
                        },
                        false => world.perform(&what),
                    };
                    done |= is_roll && outcome == Outcome::Done;
                    let takes_away = matches!(what, Step::Act(Act::Revoke | Act::Retire));
                    assert!(
                        done || !takes_away,
                        "{class:?}: {what:?} before anybody would be given the new version"
                    );
                    rotation.take(Answer { step, outcome }, now);
                }
            }
        }
        assert_eq!(rotation.standing(now), Standing::Done, "{class:?}");
    }
}
