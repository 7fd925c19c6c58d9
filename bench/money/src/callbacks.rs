//! A maintenance window in which a provider goes on calling back, and what the ledger has of it afterwards.

use std::path::Path;
use std::time::{Duration, Instant};

use tend_money::Books;

use crate::random::Random;
use crate::rig::Rig;
use crate::wire::Client;
use crate::{Result, ledger, rig};

/// Callbacks that were not all delivered by then broke a promise.
const DELIVERED_MAX: Duration = Duration::from_secs(120);

/// What became of them.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) taken: u64,
    pub(crate) deliveries: u64,
    pub(crate) after: Duration,
    pub(crate) broken: Vec<String>,
}

/// Has a provider call back through a window, with the edge killed in the middle, and both sides killed while they are delivered.
pub(crate) fn run(rig: &mut Rig, folder: &Path, count: u64, window: Duration, seed: u64) -> Result<Outcome> {
    let mut random = Random::new(seed);
    let mut broken = Vec::new();
    rig.close_callbacks(true)?;
    let mut client = Client::new(rig.listen);
    let began = Instant::now();
    for number in 0..count {
        let due = window.mul_f64(number as f64 / count as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        if number == count / 2 {
            rig.kill_edge()?;
        }
        // A provider sends again what was not acknowledged, and nothing else before.
        let sent = Instant::now();
        loop {
            match client.post("/callbacks", "", &number.to_string()) {
                Ok(answer) if answer.status() == 200 && answer.body == "success" => break,
                Ok(answer) if answer.status() != 503 => {
                    broken.push(format!("callback {number} was answered with {}", answer.status()));
                    break;
                }
                _ if sent.elapsed() > DELIVERED_MAX => return Err(format!("callback {number} was never taken").into()),
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
    let early: u64 =
        ledger::open(&rig::books(folder))?.query_row("SELECT count(*) FROM callbacks", [], |row| row.get(0))?;
    if early > 0 {
        broken.push(format!("{early} callbacks reached the ledger in its maintenance"));
    }
    rig.close_callbacks(false)?;
    let opened = Instant::now();
    let books = Books::open(&rig::vault(folder))?.ok_or("the edge kept nothing")?;
    let mut kills = 0;
    while books.spool()?.iter().any(|line| line.waiting > 0) {
        if opened.elapsed() > DELIVERED_MAX {
            broken.push("callbacks still wait".to_owned());
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
        kills += 1;
        match kills {
            ..=4 => rig.kill_replica(random.below(100) as usize)?,
            5 => rig.kill_edge()?,
            _ => {}
        }
    }
    let after = opened.elapsed();
    let books = ledger::open(&rig::books(folder))?;
    let mut statement = books.prepare("SELECT number FROM callbacks ORDER BY id")?;
    let taken: Vec<u64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if taken != (0..count).collect::<Vec<u64>>() {
        let wrong = taken.iter().zip(0..).find(|(number, wanted)| **number != *wanted);
        broken.push(format!(
            "the ledger has {} of {count} callbacks, out of order at {wrong:?}",
            taken.len()
        ));
    }
    let deliveries = books.query_row("SELECT count(*) FROM deliveries", [], |row| row.get(0))?;
    Ok(Outcome {
        sent: count,
        taken: taken.len() as u64,
        deliveries,
        after,
        broken,
    })
}
