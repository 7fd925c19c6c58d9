//! Remote write: every sample of a stack to somebody else, in the order of time. The store is the queue: what is kept beside it is up to which
//! moment all was sent, so a receiver that is away costs no memory and is sent what it missed.
//!
//! A moment is sent once nothing can come for it any more. A kill sends again what was under way, and receivers take that for what it is.
//! Samples that come later than that, with a time of their own, are not sent.
//!
//! Invariants: what a receiver answered with a status of its own is never sent for ever (a refusal is counted and said, and the next is sent); after a
//! kill nothing is left out (e2e `what_is_measured_goes_to_others_over_a_kill_and_while_they_are_away`).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tend_base::{Fnv64, with_causes};
use tend_doors::Batch;
use tend_fetch::{Address, Auth, Client, Request, TlsSettings};
use tend_metrics::Feed;
use tend_promql::{Labels, LabelsBuilder, METRIC_NAME, Sample, Selection, Store, StoreError};
use tokio::task::{AbortHandle, JoinSet};

use crate::snapshot::RemoteWrite;
use crate::stack::Watched;
use crate::view::STACK;

/// How often what is new is sent.
const SEND_EVERY: Duration = Duration::from_secs(5);

/// Samples of a body, as many as Prometheus sends.
const SAMPLES_MAX: usize = 2000;

/// How much time is read at once, in milliseconds: that bounds the memory.
const STRETCH_MS: i64 = 15_000;

/// How far behind one may be, in milliseconds, as in Prometheus. What is older is given up, and that is said.
const BEHIND_MAX_MS: i64 = 2 * 60 * 60 * 1000;

/// How long is waited for results of rules and for a scrape's own work after its timeout, in milliseconds.
const COMES_LATE_MS: i64 = 3000;

/// From one try to the next after a failure: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How often refusals are said, in milliseconds.
const SAID_EVERY_MS: i64 = 10 * 60 * 1000;

/// How long a receiver has for its answer.
const WITHIN: Duration = Duration::from_secs(30);

/// Sends to all whom the stack names, until it is dropped.
pub(crate) async fn write_out(stack: Arc<Watched>) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<String, (RemoteWrite, AbortHandle)> = BTreeMap::new();
    loop {
        let wanted = stack.state().part.remote_write.clone();
        let wanted: BTreeMap<String, RemoteWrite> = wanted.into_iter().map(|to| (file(&to), to)).collect();
        running.retain(|file, (to, task)| {
            let stays = wanted.get(file) == Some(to);
            if !stays {
                task.abort();
            }
            stays
        });
        for (file, to) in wanted {
            running.entry(file).or_insert_with_key(|file| {
                let task = tasks.spawn(one(Arc::clone(&stack), to.clone(), stack.folder().join(file)));
                (to, task)
            });
        }
        tokio::select! {
            () = stack.writes_changed.notified() => {}
            Some(ended) = tasks.join_next() => {
                if ended.is_err_and(|error| error.is_panic()) {
                    std::process::abort();
                }
            }
        }
    }
}

/// The file with how far a receiver is: by its address, whose path may be secret.
fn file(to: &RemoteWrite) -> String {
    let mut hash = Fnv64::default();
    hash.bytes(to.url.expose().as_bytes());
    format!("sent-{:016x}.json", hash.value())
}

/// One receiver.
struct Sender {
    stack: Arc<Watched>,
    to: RemoteWrite,
    address: Address,
    client: Client,
    /// Where it is kept up to when all was sent.
    file: PathBuf,
    /// Up to when all was sent, in milliseconds since 1970.
    sent_until: i64,
    /// Since when it does not work; nothing while it does.
    failing_since: Option<i64>,
    counted: Counted,
    refusal_said: i64,
    feed: Feed,
}

/// What is counted, since this process began.
#[derive(Clone, Copy, Default)]
struct Counted {
    sent: u64,
    refused: u64,
    skipped_ms: i64,
}

async fn one(stack: Arc<Watched>, to: RemoteWrite, file: PathBuf) {
    let address = match Address::parse(to.url.expose()) {
        Ok(address) => address,
        Err(error) => {
            let data = json!({ "where": "metrics.remote_write", "said": with_causes(&error) });
            stack
                .outbox
                .put(crate::now_ms(), &stack.name, "metrics.write_failed", data);
            return;
        }
    };
    let kept = std::fs::read(&file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let feed = stack
        .view
        .store()
        .feed(&Labels::from_pairs([(STACK, stack.name.as_str())]), false);
    let sender = Sender {
        stack,
        to,
        address,
        client: Client::new(TlsSettings::default(), 1),
        file,
        // Who is named for the first time is sent what is measured from now on.
        sent_until: kept.unwrap_or_else(crate::now_ms),
        failing_since: None,
        counted: Counted::default(),
        refusal_said: i64::MIN,
        feed,
    };
    sender.run().await;
}

impl Sender {
    async fn run(mut self) {
        self.keep();
        loop {
            tokio::time::sleep(SEND_EVERY).await;
            let now = crate::now_ms();
            let until = now - self.stack.latest_ms() - COMES_LATE_MS;
            // A clock that was set back far: what is between was sent.
            self.sent_until = self.sent_until.min(now);
            if self.sent_until < now - BEHIND_MAX_MS {
                let skipped = now - BEHIND_MAX_MS - self.sent_until;
                self.counted.skipped_ms += skipped;
                self.sent_until += skipped;
                let data = json!({ "where": self.address.at(), "skipped_ms": skipped });
                self.say(now, "metrics.write_skipped", data);
            }
            while self.sent_until < until {
                let to = until.min(self.sent_until + STRETCH_MS);
                self.stretch(to).await;
                self.sent_until = to;
                self.keep();
                self.measure();
            }
        }
    }

    /// Sends what lies after what was sent, up to a moment.
    async fn stretch(&mut self, to: i64) {
        let (stack, from) = (Arc::clone(&self.stack), self.sent_until + 1);
        let gathered = tokio::task::spawn_blocking(move || bodies(&stack, from, to)).await;
        let bodies = match gathered {
            Ok(Ok(bodies)) => bodies,
            // A block that cannot be read: the store says so itself, and there is nothing to be sent of it.
            Ok(Err(_)) => return,
            Err(error) if error.is_panic() => std::process::abort(),
            Err(_) => return,
        };
        for (body, samples) in bodies {
            self.body(body.into(), samples).await;
        }
    }

    /// Sends a body until somebody took it or refused it.
    async fn body(&mut self, body: bytes::Bytes, samples: u64) {
        let mut pause = RETRY.0;
        loop {
            let mut request = Request::post(self.address.clone(), "application/x-protobuf", body.clone());
            request.header("Content-Encoding", "snappy");
            request.header("X-Prometheus-Remote-Write-Version", "0.1.0");
            request.auth = self.to.bearer.as_ref().map(|bearer| Auth::Bearer(bearer.0.clone()));
            request.within = WITHIN;
            let (said, wait) = match self.client.send(&request).await {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    self.counted.sent += samples;
                    self.works();
                    return;
                }
                Ok(answer) => {
                    let said = format!("{}: {}", answer.status, answer.text().trim());
                    let wait = answer.retry_after(tend_base::Wall(crate::now_ms().unsigned_abs()));
                    if answer.status != 429 && answer.status < 500 {
                        self.refused(&said, samples);
                        return;
                    }
                    (said, wait)
                }
                Err(error) => (with_causes(&error), None),
            };
            self.fails(&said);
            self.measure();
            tokio::time::sleep(wait.unwrap_or(pause).clamp(RETRY.0, RETRY.1)).await;
            pause = (pause * 2).min(RETRY.1);
            // What became too old meanwhile is given up with all that is.
            if self.sent_until < crate::now_ms() - BEHIND_MAX_MS {
                return;
            }
        }
    }

    fn fails(&mut self, said: &str) {
        if self.failing_since.is_none() {
            let now = crate::now_ms();
            self.failing_since = Some(now);
            self.say(
                now,
                "metrics.write_failed",
                json!({ "where": self.address.at(), "said": said }),
            );
        }
    }

    fn works(&mut self) {
        if let Some(since) = self.failing_since.take() {
            let now = crate::now_ms();
            let data = json!({ "where": self.address.at(), "after_ms": now - since });
            self.say(now, "metrics.write_back", data);
        }
    }

    fn refused(&mut self, said: &str, samples: u64) {
        self.works();
        self.counted.refused += samples;
        let now = crate::now_ms();
        if now.saturating_sub(self.refusal_said) > SAID_EVERY_MS {
            self.refusal_said = now;
            let data = json!({ "where": self.address.at(), "said": said, "samples": self.counted.refused });
            self.say(now, "metrics.write_refused", data);
        }
    }

    fn say(&self, now: i64, kind: &str, data: serde_json::Value) {
        self.stack.outbox.put(now, &self.stack.name, kind, data);
    }

    fn keep(&self) {
        // What a full disk does not take is tried again with the next stretch.
        if let Ok(bytes) = serde_json::to_vec(&self.sent_until) {
            let _ = tend_base::write_atomically(&self.file, &bytes, 0o600);
        }
    }

    /// Writes what it counts, so that a rule can tell of it.
    fn measure(&mut self) {
        let (now, at) = (crate::now_ms(), self.address.at());
        #[allow(clippy::cast_precision_loss, reason = "a sample is a float")]
        let figures = [
            ("tend_remote_write_samples_total", self.counted.sent as f64),
            ("tend_remote_write_refused_samples_total", self.counted.refused as f64),
            (
                "tend_remote_write_skipped_seconds_total",
                self.counted.skipped_ms as f64 / 1000.0,
            ),
            (
                "tend_remote_write_behind_seconds",
                (now - self.sent_until) as f64 / 1000.0,
            ),
        ];
        for (name, value) in figures {
            let labels = Labels::from_pairs([(METRIC_NAME, name), ("to", &at), (STACK, &self.stack.name)]);
            // A refusal is counted by the store.
            let _ = self.stack.view.store().add(&mut self.feed, &labels, value);
        }
        self.stack.view.store().commit(&mut self.feed, now);
    }
}

/// Bodies of all samples of a stack from one moment to another, both included, and how many samples each has.
fn bodies(stack: &Watched, from: i64, to: i64) -> Result<Vec<(Vec<u8>, u64)>, StoreError> {
    let external = stack.state().external_labels.clone();
    // With those of the machine, which every stack sees.
    let own = stack.view.narrowed(&[]);
    let (mut batch, mut bodies) = (Batch::new(SAMPLES_MAX), Vec::new());
    let mut count = 0;
    stack
        .view
        .store()
        .select(&Selection::new(&own, from, to), &mut |labels, samples| {
            let labels = with_external(labels, &external);
            for (time, value) in samples.times().iter().zip(samples.values()) {
                if (from..=to).contains(time) {
                    count += 1;
                    if let Some(body) = batch.add(
                        &labels,
                        Sample {
                            time: *time,
                            value: *value,
                        },
                    ) {
                        bodies.push((body, std::mem::take(&mut count)));
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
    bodies.extend(batch.take().map(|body| (body, count)));
    Ok(bodies)
}

/// A series as it leaves: with the external labels that it does not have itself.
fn with_external(labels: &Labels, external: &Labels) -> Labels {
    if external.is_empty() {
        return labels.clone();
    }
    let mut builder = LabelsBuilder::from(external);
    for (name, value) in labels.iter() {
        builder.set(name, value);
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use tend_promql::Labels;

    use super::with_external;

    #[test]
    fn external_labels_are_added_and_take_nothing_away() {
        let labels = Labels::from_pairs([("__name__", "up"), ("zone", "a")]);
        let external = Labels::from_pairs([("zone", "b"), ("cluster", "main")]);
        let both = Labels::from_pairs([("__name__", "up"), ("cluster", "main"), ("zone", "a")]);
        assert_eq!(with_external(&labels, &external), both);
    }
}
