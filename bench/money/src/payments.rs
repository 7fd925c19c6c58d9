//! Payments with keys: some once, some again and again, some at the same time; each asked until its outcome is known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tend_money::{Answer, Books, Resolution};

use crate::random::Random;
use crate::wire::{Client, Message};
use crate::{Result, ledger, rig};

/// A payment that got no outcome for so long broke a promise.
const OUTCOME_MAX: Duration = Duration::from_secs(120);

/// What clients were told of a key.
#[derive(Debug, Default)]
struct Told {
    /// The bodies of answers; more than one is a broken promise.
    answers: BTreeSet<String>,
    in_doubt: bool,
}

/// What clients have to say.
#[derive(Default)]
pub(crate) struct Clients {
    told: Mutex<BTreeMap<u64, Told>>,
    pub(crate) requests: AtomicU64,
    pub(crate) replayed: AtomicU64,
    silent: AtomicU64,
}

/// What became of everything.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) keys: u64,
    pub(crate) answered: u64,
    pub(crate) in_doubt: u64,
    /// Of those in doubt, how many the books have.
    pub(crate) doubts_done: u64,
    pub(crate) broken: Vec<String>,
}

fn amount(number: u64) -> u64 {
    number % 997 + 1
}

fn key(number: u64) -> String {
    format!("payment-{number}")
}

fn post(client: &mut Client, number: u64) -> std::io::Result<Message> {
    let key = key(number);
    client.post(
        "/pay",
        &format!("Idempotency-Key: {key}\r\n"),
        &amount(number).to_string(),
    )
}

impl Clients {
    /// Makes the payments that fall to one of so many clients, and those of its neighbour that are asked twice at once.
    pub(crate) fn run(&self, listen: SocketAddr, me: u64, clients: u64, payments: u64, seed: u64) {
        let mut client = Client::new(listen);
        let mut random = Random::new(seed ^ (me + 1));
        for turn in 0..payments.div_ceil(clients) {
            let own = turn * clients + me;
            let neighbour = turn * clients + (me + 1) % clients;
            // A tenth is asked by two at the same time, and a tenth again after it was answered, also long after.
            let mut numbers = vec![own];
            if neighbour % 10 == 3 {
                numbers.push(neighbour);
            }
            if random.below(10) == 0 {
                numbers.push(own);
            }
            if random.below(20) == 0 {
                numbers.push(random.below(own + 1));
            }
            for number in numbers.into_iter().filter(|number| *number < payments) {
                self.ask(&mut client, number);
            }
        }
    }

    /// Asks until the outcome is known.
    fn ask(&self, client: &mut Client, number: u64) {
        let began = Instant::now();
        while began.elapsed() < OUTCOME_MAX {
            self.requests.fetch_add(1, Ordering::Relaxed);
            let answer = post(client, number);
            let known = match &answer {
                Ok(answer) if answer.status() == 201 => {
                    if answer.field("idempotent-replayed").is_some() {
                        self.replayed.fetch_add(1, Ordering::Relaxed);
                    }
                    self.told(number, |told| {
                        told.answers.insert(answer.body.clone());
                    });
                    true
                }
                Ok(answer) if answer.field("x-tend-error") == Some("key_in_doubt") => {
                    self.told(number, |told| told.in_doubt = true);
                    true
                }
                // Not sent, lost on the way, or still under way: asked again with the same key, as a careful client does.
                _ => false,
            };
            if known {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.silent.fetch_add(1, Ordering::Relaxed);
    }

    fn told(&self, number: u64, note: impl FnOnce(&mut Told)) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        note(told.entry(number).or_default());
    }

    /// Compares what clients were told with the books, then ends each doubt as a person would, and compares again.
    pub(crate) fn judge(&self, listen: SocketAddr, folder: &Path, payments: u64) -> Result<Outcome> {
        let effects = effects(folder)?;
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Outcome {
            keys: told.len() as u64,
            answered: 0,
            in_doubt: 0,
            doubts_done: 0,
            broken: Vec::new(),
        };
        let broken = &mut outcome.broken;
        let silent = self.silent.load(Ordering::Relaxed);
        if silent > 0 || told.len() as u64 != payments {
            broken.push(format!(
                "{silent} requests got no outcome, and {} of {payments} keys one",
                told.len()
            ));
        }
        let mut doubts = Vec::new();
        for (number, told) in told.iter() {
            let done = effects.get(&key(*number)).map_or(&[][..], Vec::as_slice);
            let answers: Vec<&String> = told.answers.iter().collect();
            match (answers.as_slice(), told.in_doubt, done) {
                ([answer], false, [(id, paid)]) if **answer == format!("payment {id}") && *paid == amount(*number) => {
                    outcome.answered += 1;
                }
                ([], true, [] | [_]) => {
                    outcome.in_doubt += 1;
                    outcome.doubts_done += done.len() as u64;
                    doubts.push(*number);
                }
                _ => broken.push(format!("{}: {told:?}, and the books have {done:?}", key(*number))),
            }
        }
        // A person looks into the books and says what happened; then every key has one effect and one answer.
        let mut books = Books::open(&rig::vault(folder))?.ok_or("the edge kept nothing")?;
        let now = tend_base::Clock::now(&tend_base::SystemClock).wall;
        for number in &doubts {
            let resolution = match effects.get(&key(*number)).and_then(|done| done.first()) {
                Some((id, _)) => Resolution::Happened(Answer {
                    status: 201,
                    fields: Vec::new(),
                    body: Some(format!("payment {id}").into_bytes()),
                    replica: None,
                }),
                None => Resolution::DidNotHappen,
            };
            books.resolve(&key(*number), &resolution, now, Duration::from_secs(3600))?;
        }
        drop(told);
        let mut client = Client::new(listen);
        for number in &doubts {
            let answer = post(&mut client, *number)?;
            if answer.status() != 201 {
                outcome
                    .broken
                    .push(format!("{} is {} after it was resolved", key(*number), answer.status()));
            }
        }
        balance(folder, payments, &mut outcome.broken)?;
        Ok(outcome)
    }
}

/// Returns the ids and amounts in the books by key.
fn effects(folder: &Path) -> Result<BTreeMap<String, Vec<(i64, u64)>>> {
    let books = ledger::open(&rig::books(folder))?;
    let mut statement = books.prepare("SELECT key, id, amount FROM effects")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut effects: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    for row in rows {
        let (key, id, amount): (String, i64, u64) = row?;
        effects.entry(key).or_default().push((id, amount));
    }
    Ok(effects)
}

/// Says whether the books have each payment once, with its amount.
fn balance(folder: &Path, payments: u64, broken: &mut Vec<String>) -> Result<()> {
    let effects = effects(folder)?;
    let twice = effects.values().filter(|done| done.len() > 1).count();
    let sum: u64 = effects.values().flatten().map(|(_, amount)| amount).sum();
    let wanted: u64 = (0..payments).map(amount).sum();
    if twice > 0 || effects.len() as u64 != payments || sum != wanted {
        broken.push(format!(
            "the books have {} keys, {twice} of them more than once, and {sum} instead of {wanted}",
            effects.len()
        ));
    }
    Ok(())
}
