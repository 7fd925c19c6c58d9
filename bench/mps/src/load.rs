//! Makes the payments: when each is due, what is sent again, what counts as acknowledged.

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value as Json, json};
use tokio::task::LocalSet;

use crate::client::{Address, Answer, Client, Failures};
use crate::report::Report;
use crate::{Error, books};

/// How long a request outside the load (setting up, checking) is tried.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one request of the judging may take: the ledger's check reads every transaction there is.
const JUDGE_TIMEOUT: Duration = Duration::from_secs(120);
/// First pause before something is sent again; doubled each time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(20);
/// Longest pause before something is sent again.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Figures that others may read while a run goes on, to time what they do to the server.
#[derive(Debug, Default)]
pub struct Progress {
    acknowledged: AtomicU64,
    failed_requests: AtomicU64,
}

impl Progress {
    /// Returns the payments acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Returns the requests failed so far.
    pub fn failed_requests(&self) -> u64 {
        self.failed_requests.load(Ordering::Relaxed)
    }
}

/// What to do to whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// The servers; connections are spread over them in turn.
    pub addresses: Vec<Address>,
    /// Payments a second.
    pub rate: u32,
    /// For how long payments are due.
    pub duration: Duration,
    /// Cards to pay with: the demo cards from `card-0001` on. Each has one payment at a time.
    pub cards: usize,
    /// Most payments at once, each on a connection of its own; at most one a card.
    pub concurrency: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// How long a payment of unknown outcome is sent again.
    pub resend_for: Duration,
    /// Merchants to pay, made for this run alone.
    pub merchants: usize,
    /// Names this run's merchants and keys; no other run on the same books may have it.
    pub run_id: String,
    /// Set to true, it ends the run before its time: payments begun are finished, and no more are due.
    pub stop: Arc<AtomicBool>,
    /// Where to show how far the run is.
    pub progress: Arc<Progress>,
}

impl Config {
    /// Returns a run of 500 payments a second for thirty seconds.
    pub fn new(addresses: Vec<Address>) -> Config {
        Config {
            addresses,
            rate: 500,
            duration: Duration::from_secs(30),
            cards: 1000,
            concurrency: 64,
            timeout: Duration::from_secs(5),
            resend_for: Duration::from_secs(30),
            merchants: 4,
            run_id: format!("bench-{:016x}", RandomState::new().build_hasher().finish()),
            stop: Arc::default(),
            progress: Arc::default(),
        }
    }

    /// Returns the merchants that are paid, in turn.
    pub fn merchant_ids(&self) -> Vec<String> {
        (1..=self.merchants)
            .map(|number| format!("{}-{number}", self.run_id))
            .collect()
    }

    fn total(&self) -> u64 {
        self.due_after(self.duration)
    }

    fn due_after(&self, duration: Duration) -> u64 {
        (f64::from(self.rate) * duration.as_secs_f64()) as u64
    }
}

/// What is known of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered 2xx: it must be in the ledger once.
    Acknowledged {
        /// Under this identifier.
        transaction_id: String,
    },
    /// Answered 4xx, with this code: it must not be in the ledger.
    Refused(String),
    /// Sent, and not known within the time: it may be in the ledger once.
    Unknown,
    /// No code could be had for it: it was never sent and must not be in the ledger.
    NotSent,
}

/// One payment.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    /// Its Idempotency-Key.
    pub(crate) key: String,
    /// Its price.
    pub(crate) amount: i64,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What the payers gather together.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) payments: Vec<Payment>,
    pub(crate) failures: Failures,
    pub(crate) resent: u64,
    pub(crate) payment_latencies: Vec<Duration>,
    pub(crate) request_latencies: Vec<Duration>,
    pub(crate) longest_gap: Duration,
    pub(crate) last_success: Option<Instant>,
}

impl Tally {
    fn success(&mut self, began: Instant) {
        let now = Instant::now();
        self.request_latencies.push(now - began);
        if let Some(last) = self.last_success.replace(now) {
            self.longest_gap = self.longest_gap.max(now - last);
        }
    }
}

/// Makes one run and judges it. Blocks until the books are checked; runs on the calling thread.
pub fn run(config: &Config) -> Result<Report, Error> {
    if config.addresses.is_empty()
        || config.rate == 0
        || config.cards == 0
        || config.concurrency == 0
        || config.merchants == 0
    {
        return Err(Error::Setting(
            "a run needs an address, a rate, cards, merchants and a concurrency above zero",
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    LocalSet::new().block_on(&runtime, drive(config))
}

async fn drive(config: &Config) -> Result<Report, Error> {
    let addresses: Arc<[Address]> = config.addresses.clone().into();
    let merchants = config.merchant_ids();
    let mut control = Client::new(Arc::clone(&addresses), 0, config.timeout);
    set_up(&mut control, config, &merchants).await?;

    let begin = Instant::now();
    let shared = Rc::new(Shared {
        config: config.clone(),
        merchants,
        begin,
        next: RefCell::new(0),
        stopped: RefCell::new(None),
        tally: RefCell::new(Tally {
            last_success: Some(begin),
            ..Tally::default()
        }),
    });
    let concurrency = config.concurrency.min(config.cards);
    let payers: Vec<_> = (0..concurrency)
        .map(|payer| {
            let client = Client::new(Arc::clone(&addresses), payer, config.timeout);
            tokio::task::spawn_local(pay_in_turn(Rc::clone(&shared), client, payer, concurrency))
        })
        .collect();
    for payer in payers {
        payer.await.expect("a payer does not panic");
    }
    let took = begin.elapsed();
    let tally = shared.tally.take();
    let mut control = Client::new(addresses, 0, JUDGE_TIMEOUT);
    let books = books::judge(&mut control, &shared.merchants, &tally.payments).await?;
    let due = shared.stopped.take().unwrap_or_else(|| config.total());
    Ok(Report::new(config.rate, due.min(config.total()), took, tally, books))
}

/// Makes the run's merchants and sees that the cards are there.
async fn set_up(client: &mut Client, config: &Config, merchants: &[String]) -> Result<(), Error> {
    for merchant in merchants {
        let body = json!({ "merchant_id": merchant, "name": "Load driver" }).to_string();
        // 409: an earlier try got through without an answer.
        insist(client, &Method::POST, "/api/merchants", body.into(), |answer| {
            matches!(answer.status, 201 | 409)
        })
        .await?;
    }
    for card in [card_id(0), card_id(config.cards - 1)] {
        let path = format!("/api/cards/{card}");
        let answer = insist(client, &Method::GET, &path, Bytes::new(), |answer| {
            matches!(answer.status, 200 | 404)
        })
        .await?;
        if answer.status == 404 {
            return Err(Error::CardMissing(card));
        }
    }
    Ok(())
}

fn card_id(index: usize) -> String {
    format!("card-{:04}", index + 1)
}

/// Sends a request that changes nothing twice until it is answered as `expected`.
pub(crate) async fn insist(
    client: &mut Client,
    method: &Method,
    path: &str,
    body: Bytes,
    expected: impl Fn(&Answer) -> bool,
) -> Result<Answer, Error> {
    let begin = Instant::now();
    let mut pause = PAUSE;
    loop {
        let last = match client.send(method, path, None, body.clone()).await {
            Ok(answer) if expected(&answer) => return Ok(answer),
            Ok(answer) => format!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
            Err(failure) => failure.to_string(),
        };
        if begin.elapsed() > PATIENCE {
            return Err(Error::Unanswered {
                what: format!("{method} {path}"),
                seconds: PATIENCE.as_secs(),
                last,
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What all payers share; they run on one thread.
struct Shared {
    config: Config,
    merchants: Vec<String>,
    begin: Instant,
    /// The number of the next payment.
    next: RefCell<u64>,
    /// Payments that were due when the run was ended before its time.
    stopped: RefCell<Option<u64>>,
    tally: RefCell<Tally>,
}

impl Shared {
    /// Takes the number of the next payment, or none where all are taken or the time is over.
    fn take_next(&self) -> Option<u64> {
        let mut next = self.next.borrow_mut();
        let number = *next;
        if self.config.stop.load(Ordering::Relaxed) {
            // The first is due at once, and what was taken is made, though it may be due a little later.
            let due = || (self.config.due_after(self.begin.elapsed()) + 1).max(*next);
            self.stopped.borrow_mut().get_or_insert_with(due);
            return None;
        }
        if number >= self.config.total() || self.begin.elapsed() >= self.config.duration {
            return None;
        }
        *next += 1;
        Some(number)
    }

    /// Sends a request until its outcome is known (an answer below 500) or `resend_for` is over. Returns none then.
    async fn until_known(&self, client: &mut Client, path: &str, key: Option<&str>, body: Bytes) -> Option<Answer> {
        let begin = Instant::now();
        let mut pause = PAUSE;
        loop {
            let sent = Instant::now();
            match client.send(&Method::POST, path, key, body.clone()).await {
                Ok(answer) => {
                    if answer.status < 300 {
                        self.tally.borrow_mut().success(sent);
                    }
                    return Some(answer);
                }
                Err(failure) => {
                    *self.tally.borrow_mut().failures.entry(failure).or_default() += 1;
                    self.config.progress.failed_requests.fetch_add(1, Ordering::Relaxed);
                }
            }
            if begin.elapsed() > self.config.resend_for {
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            self.tally.borrow_mut().resent += 1;
        }
    }

    async fn pay(&self, client: &mut Client, card: &str, number: u64, key: &str, amount: i64) -> Outcome {
        let body = json!({ "card_id": card, "ttl_seconds": 300 }).to_string();
        let Some(rotated) = self.until_known(client, "/api/qr/rotate", None, body.into()).await else {
            return Outcome::NotSent;
        };
        let qr = match field(&rotated, "qr_plain") {
            Ok(qr) => qr,
            Err(code) => return Outcome::Refused(code),
        };
        let merchant = &self.merchants[number as usize % self.merchants.len()];
        let body = json!({ "merchant_id": merchant, "qr_plain": qr, "amount": amount }).to_string();
        match self
            .until_known(client, "/api/payment/pay", Some(key), body.into())
            .await
        {
            None => Outcome::Unknown,
            Some(paid) => match field(&paid, "transaction_id") {
                Ok(transaction_id) => Outcome::Acknowledged { transaction_id },
                Err(code) => Outcome::Refused(code),
            },
        }
    }
}

/// Returns a text of a 2xx answer, or the error code of any other.
fn field(answer: &Answer, name: &str) -> Result<String, String> {
    let body: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    match (answer.status, body[name].as_str()) {
        (200..300, Some(text)) => Ok(text.to_owned()),
        _ => Err(body["error"]["code"]
            .as_str()
            .map_or_else(|| format!("status_{}", answer.status), str::to_owned)),
    }
}

/// One payer: takes the next payment when free, waits until it is due, and makes it with the next of its own cards.
async fn pay_in_turn(shared: Rc<Shared>, mut client: Client, payer: usize, payers: usize) {
    let mut cards = (payer..shared.config.cards).step_by(payers).cycle();
    while let Some(number) = shared.take_next() {
        let due = shared.begin + Duration::from_secs_f64(number as f64 / f64::from(shared.config.rate));
        tokio::time::sleep_until(due.into()).await;
        let card = card_id(cards.next().expect("a payer has at least one card"));
        let key = format!("{}-{number:08}", shared.config.run_id);
        let amount = 100 + i64::try_from(number % 901).unwrap_or(0);
        let outcome = shared.pay(&mut client, &card, number, &key, amount).await;
        let mut tally = shared.tally.borrow_mut();
        if matches!(outcome, Outcome::Acknowledged { .. }) {
            tally.payment_latencies.push(due.elapsed());
            shared.config.progress.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        tally.payments.push(Payment { key, amount, outcome });
    }
}
