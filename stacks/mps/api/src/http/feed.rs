//! Hands the payments of all replicas to the WebSockets of this one.
//!
//! A payment may be made through any replica, so the books are asked, and only while somebody listens. Payments are stamped
//! before they are committed, and another replica's clock or commit may be a little behind: each question reaches back by
//! [`OVERLAP_MS`] and what was handed out already is left out. A payment later than that is in the statement only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::sync::{Notify, broadcast};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::clock;
use crate::ledger::{PAGE_LIMIT_MAX, Query};
use crate::worker::Database;

/// How often the books are asked.
const INTERVAL: Duration = Duration::from_millis(250);
/// How far a question reaches back, in milliseconds.
const OVERLAP_MS: i64 = 1000;
/// Payments that may wait for the slowest socket: at 500 a second, eight seconds of them.
const WAITING_MAX: usize = 4096;

/// One payment.
#[derive(Debug)]
pub(super) struct Payment {
    /// Who was paid.
    pub(super) merchant_id: String,
    /// What its sockets are told, JSON.
    pub(super) text: Utf8Bytes,
}

/// Where sockets listen.
pub(super) struct Feed {
    payments: broadcast::Sender<Arc<Payment>>,
    wanted: Notify,
}

impl Feed {
    pub(super) fn new() -> Feed {
        Feed {
            payments: broadcast::channel(WAITING_MAX).0,
            wanted: Notify::new(),
        }
    }

    /// Returns the payments from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<Payment>> {
        let receiver = self.payments.subscribe();
        self.wanted.notify_one();
        receiver
    }

    /// Asks the books as long as somebody listens. Never ends.
    pub(super) async fn run(&self, database: &Database) {
        loop {
            self.wanted.notified().await;
            let mut window = Window::new(clock::now_ms());
            while self.payments.receiver_count() > 0 {
                tokio::time::sleep(INTERVAL).await;
                // A database that does not answer now is asked again, from the same moment.
                if let Ok(outcome) = database.read(Query::PaymentsSince(window.since_ms)).await {
                    for payment in window.take(&outcome.body, clock::now_ms()) {
                        // The last listener may have just left.
                        drop(self.payments.send(Arc::new(payment)));
                    }
                }
            }
        }
    }
}

/// From when payments are asked for, and which of them were handed out.
struct Window {
    since_ms: i64,
    /// By identifier, the question that met it last.
    known: HashMap<String, u64>,
    questions: u64,
}

impl Window {
    fn new(now_ms: i64) -> Window {
        Window {
            since_ms: now_ms,
            known: HashMap::new(),
            questions: 0,
        }
    }

    /// Reads an answer asked at `now_ms` and returns what is new in it.
    fn take(&mut self, body: &str, now_ms: i64) -> Vec<Payment> {
        self.questions += 1;
        let lines: Vec<Json> = serde_json::from_str(body).unwrap_or_default();
        let full = lines.len() as i64 >= PAGE_LIMIT_MAX;
        let mut new = Vec::new();
        let mut newest_ms = None;
        for line in lines {
            let (Some(id), Some(merchant)) = (line["transaction_id"].as_str(), line["merchant_id"].as_str()) else {
                continue;
            };
            newest_ms = id_ms(id).max(newest_ms);
            if self.known.insert(id.to_owned(), self.questions).is_none() {
                new.push(Payment {
                    merchant_id: merchant.to_owned(),
                    text: json!({ "payment": line }).to_string().into(),
                });
            }
        }
        self.known.retain(|_, met| *met == self.questions);
        self.since_ms = match newest_ms {
            // More than fit into an answer: the next one goes on where this one ended.
            Some(newest_ms) if full => newest_ms.max(self.since_ms + 1),
            _ => self.since_ms.max(now_ms - OVERLAP_MS),
        };
        new
    }
}

/// Returns when a transaction was made, which its identifier begins with: `tx_`, then twelve hex digits of milliseconds.
fn id_ms(id: &str) -> Option<i64> {
    i64::from_str_radix(id.split_once('_')?.1.get(..12)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(times: impl IntoIterator<Item = i64>) -> String {
        let lines = times
            .into_iter()
            .map(|ms| format!(r#"{{"transaction_id":"tx_{ms:012x}aa","merchant_id":"m"}}"#));
        format!("[{}]", lines.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn a_payment_is_handed_out_once_though_questions_overlap() {
        let mut window = Window::new(10_000);
        assert_eq!(window.take(&answer([10_100, 10_200]), 10_250).len(), 2);
        assert_eq!(window.since_ms, 10_000, "the first second is asked for again");
        assert_eq!(
            window.take(&answer([10_100, 10_150, 10_200]), 10_500).len(),
            1,
            "one was late"
        );
        assert_eq!(window.take(&answer([]), 12_000).len(), 0);
        assert_eq!((window.since_ms, window.known.len()), (11_000, 0));
    }

    #[test]
    fn a_burst_larger_than_an_answer_is_gone_through() {
        let mut window = Window::new(0);
        let burst = || answer((0..PAGE_LIMIT_MAX).map(|at| 1 + at / 10));
        let took = window.take(&burst(), 5_000).len();
        assert_eq!(
            (took as i64, window.since_ms),
            (PAGE_LIMIT_MAX / 10, PAGE_LIMIT_MAX / 10)
        );
        window.take(&burst(), 5_000);
        assert!(window.since_ms > PAGE_LIMIT_MAX / 10, "it never stands still");
    }
}
