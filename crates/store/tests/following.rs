//! Reading while it is written, and filters on disk that answer as filters in memory do.

use std::time::{Duration, Instant};

use tend_base::Wall;
use tend_core::journal::{Entry, EventId, Filter, Kind, KindPattern, Principal, PrincipalFilter, Subject, Via};
use tend_store::{Options, Reader, Store};

use crate::files::{Folder, SetClock, daemon, entry};

#[test]
fn a_reader_follows_the_writer_and_sees_every_event_once_in_order() {
    let folder = Folder::new();
    let store = folder.open();
    let mut tail = Reader::open(&folder.files().database)
        .unwrap()
        .tail(Filter::all().kind("replica.*"));
    let writer = std::thread::spawn(move || {
        for number in 0..500 {
            let kind = if number % 2 == 0 {
                Kind::ReplicaReady
            } else {
                Kind::EdgeServing
            };
            store.record(vec![entry(kind, 1, number)]);
        }
        store.close().unwrap();
    });
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen.len() < 250 {
        assert!(Instant::now() < deadline, "only {} seen", seen.len());
        seen.extend(tail.next_events().unwrap());
    }
    writer.join().unwrap();
    assert!(tail.next_events().unwrap().is_empty());
    let numbers: Vec<u64> = seen
        .iter()
        .map(|event| event.data["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..500).step_by(2).collect::<Vec<_>>());
}

/// A small generator, so that the events and filters are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn sometimes<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) == 0).then(|| make(self))
    }
}

fn random_entry(numbers: &mut Numbers, seq: u64) -> Entry {
    let principal = match numbers.below(3) {
        0 => daemon(),
        1 => Principal::Rule {
            name: "mps/api restart".to_owned(),
        },
        _ => Principal::Person {
            uid: numbers.sometimes(|_| 1000),
            name: "ana".to_owned(),
            via: Via::Http,
        },
    };
    let kind = match numbers.below(5) {
        0 => Kind::ReplicaExited,
        1 => Kind::ReplicaReady,
        2 => Kind::StackApplied,
        3 => Kind::Other("replica_like.thing".to_owned()),
        _ => Kind::ClockJumped,
    };
    let stack = numbers.sometimes(|numbers| ["mps", "shop"][numbers.below(2) as usize]);
    Entry::new(principal, kind)
        .on(Subject {
            stack: stack.map(|name| name.parse().unwrap()),
            service: stack.and_then(|_| numbers.sometimes(|_| "api".parse().unwrap())),
            slot: stack.and_then(|_| numbers.sometimes(|numbers| numbers.below(3) as u32 + 1)),
            ..Subject::default()
        })
        .caused_by(numbers.sometimes(|numbers| EventId(numbers.below(seq) + 1)))
}

fn random_filter(numbers: &mut Numbers) -> Filter {
    let patterns = ["replica.*", "replica.exited", "*", "stack.applied", "no.such"];
    Filter {
        since: numbers.sometimes(|numbers| Wall(numbers.below(300) * 10)),
        until: numbers.sometimes(|numbers| Wall(numbers.below(300) * 10)),
        kinds: (0..numbers.below(3))
            .map(|_| KindPattern::from(patterns[numbers.below(5) as usize]))
            .collect(),
        stack: numbers.sometimes(|numbers| ["mps", "shop"][numbers.below(2) as usize].parse().unwrap()),
        service: numbers.sometimes(|_| "api".parse().unwrap()),
        slot: numbers.sometimes(|numbers| numbers.below(3) as u32 + 1),
        story_of: numbers.sometimes(|numbers| EventId(numbers.below(300))),
        principal: numbers.sometimes(|numbers| match numbers.below(3) {
            0 => PrincipalFilter::Type("person".to_owned()),
            1 => PrincipalFilter::Named("ana".to_owned()),
            _ => PrincipalFilter::Type("daemon".to_owned()),
        }),
        after: numbers.sometimes(|numbers| EventId(numbers.below(300))),
        before: numbers.sometimes(|numbers| EventId(numbers.below(300))),
        limit: numbers.sometimes(|numbers| numbers.below(20) as usize),
        newest_first: numbers.below(2) == 0,
    }
}

#[test]
fn a_filter_on_disk_answers_as_the_filter_in_memory() {
    let folder = Folder::new();
    let clock = SetClock::at(0);
    let store = Store::open(
        &folder.files(),
        Options {
            clock: clock.clone(),
            ..Options::new("a test", daemon())
        },
    )
    .unwrap();
    let mut numbers = Numbers(1);
    for seq in 1..=300u64 {
        clock.set(seq * 10);
        store.record(vec![random_entry(&mut numbers, seq)]);
    }
    store.close().unwrap();
    let reader = Reader::open(&folder.files().database).unwrap();
    let all = reader.events(&Filter::all()).unwrap();
    assert_eq!(all.len(), 300);
    let mut answered = 0;
    for round in 0..3000 {
        let filter = random_filter(&mut numbers);
        let expected = filter.select(&all);
        let answer = reader.events(&filter).unwrap();
        assert_eq!(answer, expected, "round {round}: {filter:?}");
        answered += usize::from(!answer.is_empty());
    }
    assert!(answered > 300, "only {answered} filters had an answer");
}
