//! Runs `cases/circuit.txt`, and that a circuit never stays open for ever.

use std::collections::HashMap;
use std::time::Duration;

use tend_base::{Mono, Random};
use tend_core::model::Breaker;
use tend_routing::{Circuit, Pass, Switched};

use crate::lines;

fn rules() -> Breaker {
    Breaker {
        failures_permille: 500,
        requests_min: 4,
        window: Duration::from_secs(1),
        open: Duration::from_millis(500),
    }
}

fn at(millis: u64) -> Mono {
    // Well after the machine started, so that a window fits before.
    Mono((1_000_000 + millis) * 1_000_000)
}

#[test]
fn a_circuit_opens_and_closes_as_the_cases_say() {
    let rules = rules();
    let mut circuit = Circuit::default();
    let mut passes: HashMap<String, Pass> = HashMap::new();
    for (number, line) in lines(include_str!("cases/circuit.txt")) {
        if line.starts_with("case ") {
            circuit = Circuit::default();
            passes.clear();
            continue;
        }
        let (event, wanted) = line.split_once(" -> ").expect(line);
        let words: Vec<&str> = event.split(' ').collect();
        let [millis, verb, name] = words[..] else {
            panic!("line {number}: {line}")
        };
        let now = at(millis.parse().unwrap());
        let told = |switched: Option<Switched>| match switched {
            None => "-".to_owned(),
            Some(Switched::Opened) => "opened".to_owned(),
            Some(Switched::Closed) => "closed".to_owned(),
        };
        let said = match verb {
            "ask" => match circuit.ask(now) {
                Ok(pass) => {
                    passes.insert(name.to_owned(), pass);
                    "pass".to_owned()
                }
                Err(wait) => format!("{}ms", wait.as_millis()),
            },
            "ok" => told(circuit.note(passes[name], false, &rules, now)),
            "fail" => told(circuit.note(passes[name], true, &rules, now)),
            "gone" => {
                circuit.abandoned(passes[name]);
                told(None)
            }
            _ => panic!("line {number}: {line}"),
        };
        assert_eq!(said, wanted, "line {number}: {line}");
    }
}

#[test]
fn whatever_happens_waiting_gives_another_chance() {
    let rules = rules();
    for seed in 0..1000 {
        let mut random = Random::new(seed);
        let mut circuit = Circuit::default();
        let mut now = 0;
        let mut open: Vec<Pass> = Vec::new();
        for _ in 0..300 {
            now += random.below(60);
            match random.below(4) {
                0 => open.extend(circuit.ask(at(now))),
                _ if open.is_empty() => {}
                1 => circuit.abandoned(open.swap_remove(random.below(open.len() as u64) as usize)),
                failed => {
                    let pass = open.swap_remove(random.below(open.len() as u64) as usize);
                    let _ = circuit.note(pass, failed == 2, &rules, at(now));
                }
            }
        }
        open.into_iter().for_each(|pass| circuit.abandoned(pass));
        let pass = circuit
            .ask(at(now + 500))
            .unwrap_or_else(|_| panic!("seed {seed}: shut for ever"));
        let _ = circuit.note(pass, false, &rules, at(now + 500));
        assert!(circuit.is_closed());
    }
}
