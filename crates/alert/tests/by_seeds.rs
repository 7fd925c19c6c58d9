//! Invariants, from seeds: alerts come and go, receivers lose, fail, refuse and answer late, the process is restarted from what it kept.
//!
//! Once receivers are back and time has passed, each knows exactly what fires; and nothing that was confirmed is told again before it is due.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tend_alert::{Answer, Delivery, Kept, Pace, Pipeline, Posted, Why, read_config};
use tend_base::Random;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

const CONFIG: &str = "
route:
  receiver: one
  group_by: [g]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 2h
  routes:
  - {matchers: [g=~0|1], receiver: two, continue: true, group_by: [g, i]}
  - {matchers: [g=~1|2], receiver: one, group_wait: 0s}
receivers:
- name: one
  webhook_configs: [{url: http://a}, {url: http://b}]
- name: two
  telegram_configs: [{bot_token: x, chat_id: 1}]
";

/// What a means of a receiver was told, as it remembers it.
#[derive(Default)]
struct Mind {
    /// What fires, by group.
    firing: BTreeMap<String, BTreeSet<String>>,
    /// Names of messages that it confirmed, and the confirmation arrived.
    confirmed: BTreeSet<u64>,
}

struct World {
    random: Random,
    pipeline: Pipeline,
    now: i64,
    /// What was written to disk last.
    disk: Kept,
    minds: BTreeMap<(String, usize), Mind>,
    /// Answers under way: when, to what, which.
    answers: Vec<(i64, u64, Answer)>,
    broken: bool,
    sent: usize,
    restarts: usize,
}

fn name(group: u64, instance: u64) -> BTreeMap<String, String> {
    [
        ("g".to_owned(), group.to_string()),
        ("i".to_owned(), instance.to_string()),
    ]
    .into()
}

impl World {
    fn new(seed: u64) -> Self {
        let config = read_config(Path::new("am.yml"), CONFIG).unwrap_or_else(|report| panic!("{report}"));
        Self {
            random: Random::new(seed),
            pipeline: Pipeline::new(config, Kept::default(), Pace::default(), 0),
            now: 0,
            disk: Kept::default(),
            minds: BTreeMap::new(),
            answers: Vec::new(),
            broken: true,
            sent: 0,
            restarts: 0,
        }
    }

    fn write(&mut self) {
        self.disk = self.pipeline.kept();
    }

    fn restart(&mut self) {
        let text = serde_json::to_string(&self.disk).expect("it is data");
        let kept: Kept = serde_json::from_str(&text).expect("it reads back");
        let config = self.pipeline.config().clone();
        self.pipeline = Pipeline::new(config, kept, Pace::default(), self.now);
        // Who was being asked is not heard any more.
        self.answers.clear();
        self.restarts += 1;
    }

    fn deliver(&mut self, delivery: &Delivery) {
        self.sent += 1;
        let mind = self
            .minds
            .entry((delivery.receiver.clone(), delivery.integration))
            .or_default();
        assert!(
            delivery.why == Why::Repeat || !mind.confirmed.contains(&delivery.id),
            "told again although it was confirmed: {delivery:?}"
        );
        let arrives = !self.broken || self.random.chance(50);
        if arrives {
            let firing = delivery.alerts.iter().filter(|alert| !alert.resolved(delivery.at));
            let firing = firing
                .map(|alert| format!("{}/{}", alert.label("g"), alert.label("i")))
                .collect();
            self.minds
                .entry((delivery.receiver.clone(), delivery.integration))
                .or_default()
                .firing
                .insert(delivery.group_key.clone(), firing);
        }
        let delay = if self.broken && self.random.chance(20) {
            20 * SECOND
        } else {
            0
        };
        let answer = match (arrives, self.broken && self.random.chance(30)) {
            // Its answer is lost, whatever it was.
            (_, true) => return,
            (true, false) => Answer::Confirmed,
            (false, false) if self.random.chance(30) => Answer::Refused { said: "400".to_owned() },
            (false, false) => Answer::Failed {
                said: "503".to_owned(),
                after: self.random.chance(10).then_some(5 * SECOND),
            },
        };
        self.answers.push((self.now + delay, delivery.id, answer));
    }

    fn answer(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = self.answers.drain(..).partition(|(at, ..)| *at <= now);
        self.answers = later;
        for (_, id, answer) in due {
            if answer == Answer::Confirmed {
                for mind in self.minds.values_mut() {
                    mind.confirmed.insert(id);
                }
            }
            self.pipeline.answered(id, answer, now);
            // Kept before anything else happens.
            self.write();
        }
    }

    fn step(&mut self) {
        self.answer();
        let due = self.pipeline.tick(self.now, &|_, _| None);
        self.write();
        for delivery in due.deliveries {
            self.deliver(&delivery);
            if self.broken && self.random.chance(3) {
                self.restart();
                break;
            }
        }
        self.answer();
    }
}

fn run(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed);
    let mut fires: BTreeSet<(u64, u64)> = BTreeSet::new();
    // Half an hour in which everything goes wrong.
    while world.now < 30 * MINUTE {
        world.now += i64::try_from(1 + world.random.below(10)).unwrap_or(1) * SECOND;
        if world.random.chance(30) {
            let which = (world.random.below(4), world.random.below(3));
            let ends_at = if fires.remove(&which) {
                world.now
            } else {
                fires.insert(which);
                world.now + 1000 * MINUTE
            };
            let posted = Posted {
                labels: name(which.0, which.1),
                ends_at: Some(ends_at),
                starts_at: None,
                ..Posted::default()
            };
            let starts_at = Some(world.now.min(ends_at));
            let refused = world.pipeline.receive(vec![Posted { starts_at, ..posted }], world.now);
            assert!(refused.is_empty(), "{refused:?}");
            world.write();
        }
        if world.random.chance(2) {
            world.restart();
        }
        world.step();
    }
    // Then receivers are back, and nothing else happens.
    world.broken = false;
    while world.now < 40 * MINUTE {
        world.now += SECOND;
        world.step();
    }
    let expected: BTreeSet<String> = fires
        .iter()
        .map(|(group, instance)| format!("{group}/{instance}"))
        .collect();
    let for_two: BTreeSet<String> = expected
        .iter()
        .filter(|one| one.starts_with(['0', '1']))
        .cloned()
        .collect();
    // What goes to the second receiver and not on by another route is not the first one's.
    let for_one: BTreeSet<String> = expected.iter().filter(|one| !one.starts_with('0')).cloned().collect();
    for ((receiver, integration), expected) in [(("one", 0), &for_one), (("one", 1), &for_one), (("two", 0), &for_two)]
    {
        let mind = world.minds.get(&(receiver.to_owned(), integration));
        let known: BTreeSet<String> = mind
            .iter()
            .flat_map(|mind| mind.firing.values().flatten().cloned())
            .collect();
        assert_eq!(
            &known, expected,
            "seed {seed}: {receiver} {integration} does not know what fires"
        );
    }
    // A quiet hour tells nobody anything.
    let before = world.sent;
    while world.now < 100 * MINUTE {
        world.now += 10 * SECOND;
        world.step();
    }
    assert_eq!(world.sent, before, "seed {seed}: told although nothing was new");
    (world.sent, world.restarts)
}

#[test]
fn by_seeds() {
    let (mut sent, mut restarts) = (0, 0);
    for seed in 0..60 {
        let (more, again) = run(seed);
        sent += more;
        restarts += again;
    }
    assert!(
        sent > 2_000 && restarts > 120,
        "{sent} deliveries and {restarts} restarts are too few to say anything"
    );
}
