//! The thread that writes: takes what many callers handed in, commits it at once, tells them, and has the head anchored.
//!
//! ```text
//!            ┌── nothing waits ──► sleep until something does, or a failed try is to be repeated
//!  take ─────┤
//!            └── commit all in one transaction ── done ──► tell everyone; who has to be anchored first, once it is
//!                        │
//!                      failed ──► tell who waits; keep what nobody waits for (bounded, the rest becomes a gap)
//! ```
//! Knows nothing of what the events mean.
//!
//! Invariant: the head in memory is the last durable row; a failed commit does not move it (tests of `full_disk`).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use serde_json::json;
use tend_base::{Clock, Mono, Now, Wall, with_causes};
use tend_core::journal::{Entry, Finding, Hash, Kind, Principal, StatementKind};

use crate::anchoring::{Anchorer, Anchoring, Answer};
use crate::lease::Lease;
use crate::queue::{Done, Lost, Queue, Request, Waiting};
use crate::store::Files;
use crate::transaction::{self, Appender, Head, Pruning};
use crate::{Anchors, Committed, Error, MachineKey, Options, Pruned, Status, schema, sealing};

/// One transaction takes about this much, so that no one waits long for the others.
const GROUP_MAX: usize = 2048;
/// So many entries that nobody waits for are kept while they cannot be written.
const RETAINED_MAX: usize = 8192;
/// How often what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// One call of prune removes so many rows at most, in one transaction.
const PRUNED_MAX: u64 = 5000;

/// What the writer tells the handles.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) status: Status,
    pub(crate) head_hash: Hash,
}

/// The writer's side of a [`crate::Store`].
pub(crate) struct Writer {
    path: PathBuf,
    connection: Connection,
    lease: Lease,
    key: Arc<MachineKey>,
    principal: Principal,
    clock: Arc<dyn Clock + Send + Sync>,
    on_commit: Option<Box<dyn Fn(tend_core::journal::EventId) + Send>>,
    queue: Arc<Queue>,
    shared: Arc<Mutex<Shared>>,
    head: Head,
    anchorer: Option<Anchorer>,
    retained: VecDeque<(Entry, Now)>,
    retry_at: Option<Mono>,
    lost: Option<Lost>,
}

/// What was found changed from outside, to be recorded with the next commit.
struct Damage {
    finding: String,
    expected: Head,
    found: Head,
    anchor: Option<String>,
}

impl Damage {
    fn entry(self, principal: Principal) -> Entry {
        Entry::new(principal, Kind::JournalDamaged).with(json!({
            "finding": self.finding,
            "expected": {"seq": self.expected.seq, "hash": self.expected.hash},
            "found": {"seq": self.found.seq, "hash": self.found.hash},
            "anchor": self.anchor,
        }))
    }
}

impl Writer {
    /// Opens the files, takes the right to write, and looks whether the journal is as it was left.
    pub(crate) fn open(
        files: &Files,
        key: Arc<MachineKey>,
        options: Options,
        queue: Arc<Queue>,
        shared: Arc<Mutex<Shared>>,
    ) -> Result<Self, Error> {
        let path = files.database.clone();
        let failed = |source| Error::Open {
            path: path.clone(),
            source: Arc::new(source),
        };
        let mut connection = schema::open_for_writing(&path)?;
        let lease = Lease::take(&mut connection, &path, &options.name, options.clock.now().wall)?;
        let sealed = match &options.seal {
            Some(seal) => sealing::seal_old(&mut connection, &path, &**seal)?,
            None => None,
        };
        let head = transaction::read_head(&connection).map_err(failed)?;
        let mut anchoring = Anchoring::new(
            Anchors::read(&files.anchors)?,
            Arc::clone(&key),
            Arc::clone(&options.clock),
            Arc::clone(&shared),
        );
        let mut writer = Self {
            path: path.clone(),
            connection,
            lease,
            key,
            principal: options.principal,
            clock: options.clock,
            on_commit: options.on_commit,
            queue,
            shared,
            head,
            anchorer: None,
            retained: VecDeque::new(),
            retry_at: None,
            lost: None,
        };
        let now = writer.clock.now();
        if let Some(damage) = writer.compare_with(&anchoring.anchors).map_err(failed)? {
            let entry = damage.entry(writer.principal.clone());
            writer.retained.push_back((entry, now));
            writer.commit(&mut Vec::new())?;
            // Killed before this, the next start finds the same once more.
            anchoring.anchors.set_aside(now.wall)?;
        }
        if let Some(sealed) = sealed {
            let entry = Entry::new(writer.principal.clone(), Kind::StateSealed).with(json!({
                "documents": sealed.documents,
                "clean": sealed.not_cleaned.is_none(),
                "error": sealed.not_cleaned,
            }));
            writer.retained.push_back((entry, now));
            // Where it cannot be written now, it is with the next commit.
            writer.retry_at = Some(now.mono);
        }
        // A new journal is anchored before its first event; of another, the last anchor may say that it is closed.
        anchoring.anchor(StatementKind::Anchor, writer.head)?;
        writer.anchorer = Some(Anchorer::start(anchoring, writer.head)?);
        writer.publish(None);
        Ok(writer)
    }

    /// Compares the last row with the newest anchor of ours.
    fn compare_with(&self, anchors: &Anchors) -> rusqlite::Result<Option<Damage>> {
        let public = self.key.public();
        let newest = anchors
            .statements()
            .filter(|anchor| anchor.is_signed_by(&public.0))
            .last();
        let found = self.head;
        let Some(anchor) = newest else {
            // A new journal is anchored before its first event.
            return Ok((found != Head::NONE).then(|| Damage {
                finding: Finding::NoAnchor.to_string(),
                expected: found,
                found,
                anchor: None,
            }));
        };
        let anchored_at = anchor.at;
        let finding = if anchor.seq > found.seq {
            Finding::CutTail {
                head: found.seq.0,
                anchored: anchor.seq.0,
                anchored_at,
            }
        } else if anchor.kind == StatementKind::Closing && anchor.seq < found.seq {
            Finding::AddedAfterClose {
                from: anchor.seq.0 + 1,
                to: found.seq.0,
            }
        } else {
            let hash = if anchor.seq == found.seq {
                Some(found.hash)
            } else {
                transaction::read_hash(&self.connection, anchor.seq)?
            };
            if hash.is_none_or(|hash| hash == anchor.hash) {
                return Ok(None);
            }
            Finding::Rewritten {
                seq: anchor.seq.0,
                anchored_at,
            }
        };
        Ok(Some(Damage {
            finding: finding.to_string(),
            expected: Head {
                seq: anchor.seq,
                hash: anchor.hash,
            },
            found,
            anchor: Some(anchor.to_string()),
        }))
    }

    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let _guard = AbandonOnExit(Arc::clone(&self.queue));
        loop {
            let taken = self.queue.take(GROUP_MAX, self.patience());
            if let Some(lost) = taken.lost {
                self.count_lost(lost);
            }
            if taken.is_over {
                return self.finish();
            }
            let mut group = Vec::new();
            for request in taken.requests {
                match request {
                    Request::Commit(waiting) => group.push(waiting),
                    Request::Prune { before, by, at, done } => {
                        self.commit_group(std::mem::take(&mut group));
                        let result = self.prune(before, by, at);
                        self.publish(result.as_ref().err().cloned());
                        tell(done, result);
                    }
                }
            }
            let now = self.clock.now().mono;
            if !group.is_empty() || self.retry_at.is_some_and(|at| at <= now) {
                self.commit_group(group);
            }
        }
    }

    /// Returns how long the writer may sleep: until something is to be tried again.
    fn patience(&self) -> Option<Duration> {
        self.retry_at.map(|at| at.since(self.clock.now().mono))
    }

    /// Commits batches together; where that fails for a reason that lies in one of them, each alone.
    fn commit_group(&mut self, mut group: Vec<Waiting>) {
        match self.commit(&mut group) {
            Ok(()) => {}
            Err(error) if error.is_transient() || (self.retained.is_empty() && group.len() <= 1) => {
                self.fail(group, &error);
            }
            Err(_) => {
                let retained = std::mem::take(&mut self.retained);
                let retained = retained.into_iter().map(|(entry, at)| Waiting {
                    batch: entry.into(),
                    at,
                    done: None,
                });
                for waiting in retained.chain(group) {
                    let mut alone = vec![waiting];
                    if let Err(error) = self.commit(&mut alone) {
                        self.fail(alone, &error);
                    }
                }
            }
        }
    }

    /// Commits what is kept from before and then `group`, in one transaction, and tells everyone. On failure nothing of it is written,
    /// nobody is told, and `group` is as it was.
    fn commit(&mut self, group: &mut Vec<Waiting>) -> Result<(), Error> {
        let failed = |source| Error::of_commit(&self.path, source);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        self.lease.check(&transaction)?;
        let found = transaction::read_head(&transaction).map_err(failed)?;
        let damage = (found != self.head).then(|| Damage {
            finding: if found.seq > self.head.seq {
                format!(
                    "events {} to {} were added by somebody else while tend was writing",
                    self.head.seq.0 + 1,
                    found.seq
                )
            } else {
                format!(
                    "event {} was removed or changed while tend was writing: the last one found is {}",
                    self.head.seq, found.seq
                )
            },
            expected: self.head,
            found,
            anchor: None,
        });
        // After a cut the numbers go on where they were, so that the gap stays to be seen.
        let start = if found.seq > self.head.seq { found } else { self.head };
        let mut appender = Appender::new(&transaction, start).map_err(failed)?;
        let now = self.clock.now();
        if let Some(damage) = damage {
            let entry = damage.entry(self.principal.clone());
            appender.append(&entry, now).map_err(failed)?;
        }
        for (entry, at) in &self.retained {
            appender.append(entry, *at).map_err(failed)?;
        }
        if let Some(lost) = &self.lost {
            let entry = gap(lost, self.principal.clone());
            appender.append(&entry, now).map_err(failed)?;
        }
        let mut results = Vec::with_capacity(group.len());
        for waiting in group.iter() {
            let (mut first, mut is_by_person) = (None, false);
            for entry in &waiting.batch.entries {
                let id = appender.append(entry, waiting.at).map_err(failed)?;
                first.get_or_insert(id);
                is_by_person |= matches!(entry.principal, Principal::Person { .. });
            }
            transaction::change_documents(&transaction, &waiting.batch).map_err(failed)?;
            let committed = Committed {
                first: first.unwrap_or(appender.head.seq),
                entries: waiting.batch.entries.len(),
            };
            results.push((committed, is_by_person));
        }
        let head = appender.head;
        drop(appender);
        transaction.commit().map_err(failed)?;

        self.head = head;
        self.retained.clear();
        self.lost = None;
        self.retry_at = None;
        self.publish(None);
        let is_urgent = results.iter().any(|(_, is_by_person)| *is_by_person);
        let mut answers: Vec<Answer> = Vec::new();
        for (waiting, (committed, is_by_person)) in group.drain(..).zip(results) {
            match waiting.done {
                // What a person did is not to be cut off without a trace once he was told that it is done.
                Some(done) if is_by_person => answers.push(Box::new(move || done(Ok(committed)))),
                Some(done) => tell(done, Ok(committed)),
                None => {}
            }
        }
        if let Some(anchorer) = &self.anchorer {
            anchorer.want(head, is_urgent, answers);
        }
        if let Some(on_commit) = &self.on_commit {
            // One follower's mistake must not end the writer.
            let _ = catch_unwind(AssertUnwindSafe(|| on_commit(head.seq)));
        }
        Ok(())
    }

    /// Keeps what nobody waits for as far as there is room, and tells who waits.
    fn fail(&mut self, group: Vec<Waiting>, error: &Error) {
        let mut waiters = Vec::new();
        for waiting in group {
            match waiting.done {
                Some(done) => waiters.push(done),
                None => self.keep(waiting.batch.entries, waiting.at, error),
            }
        }
        self.retry_at = (!self.retained.is_empty() || self.lost.is_some()).then(|| self.clock.now().mono + RETRY_AFTER);
        self.publish(Some(error.clone()));
        for done in waiters {
            tell(done, Err(error.clone()));
        }
    }

    /// Keeps entries that could not be written, to be tried again, and counts those for which there is no room.
    fn keep(&mut self, mut entries: Vec<Entry>, at: Now, error: &Error) {
        // Once something was lost, what comes later would stand before the gap that tells of it.
        let room = if self.lost.is_none() && error.is_transient() {
            RETAINED_MAX.saturating_sub(self.retained.len())
        } else {
            0
        };
        let overflow = entries.split_off(entries.len().min(room));
        self.retained.extend(entries.into_iter().map(|entry| (entry, at)));
        let mut lost = None;
        Lost::count(&mut lost, &overflow, at.wall, &with_causes(error));
        if let Some(lost) = lost {
            self.count_lost(lost);
        }
    }

    fn count_lost(&mut self, more: Lost) {
        self.with_shared(|shared| shared.status.lost += more.entries);
        match &mut self.lost {
            None => self.lost = Some(more),
            Some(lost) => lost.merge(more),
        }
        if self.retry_at.is_none() {
            self.retry_at = Some(self.clock.now().mono);
        }
    }

    fn prune(&mut self, before: Wall, by: Principal, at: Now) -> Result<Pruned, Error> {
        let failed = |source| Error::of_commit(&self.path, source);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        self.lease.check(&transaction)?;
        let pruning = transaction::prune(&transaction, &self.key, before, PRUNED_MAX, at.wall).map_err(failed)?;
        match pruning {
            Pruning::Nothing => Ok(Pruned {
                rows: 0,
                upto: None,
                is_partial: false,
            }),
            Pruning::Damaged(event) => Err(Error::PruneDamaged {
                path: self.path.clone(),
                event,
            }),
            Pruning::Removed { rows, upto, is_partial } => {
                transaction.commit().map_err(failed)?;
                let entry = Entry::new(by, Kind::JournalCheckpoint)
                    .with(json!({"upto": upto.seq, "hash": upto.hash, "rows": rows}));
                let recorded = Waiting {
                    batch: entry.into(),
                    at,
                    done: None,
                };
                self.commit_group(vec![recorded]);
                Ok(Pruned {
                    rows,
                    upto: Some(upto.seq),
                    is_partial,
                })
            }
        }
    }

    /// Ends: a last try for what is kept, the closing anchor, the lease.
    fn finish(mut self) -> Result<(), Error> {
        let mut outcome = Ok(());
        if (!self.retained.is_empty() || self.lost.is_some())
            && let Err(error) = self.commit(&mut Vec::new())
        {
            let lost = self.lost.as_ref().map_or(0, |lost| lost.entries);
            outcome = Err(Error::LostAtClose {
                entries: lost + self.retained.len() as u64,
                source: Box::new(error),
            });
        }
        let anchoring = self.anchorer.take().and_then(Anchorer::end);
        let anchored = anchoring.map_or(Ok(()), |mut anchoring| {
            anchoring.anchor(StatementKind::Closing, self.head)
        });
        self.publish_status();
        self.lease.release(&self.connection);
        outcome.and(anchored)
    }

    /// Shows how the last try went.
    fn publish(&self, error: Option<Error>) {
        self.publish_status();
        self.with_shared(|shared| shared.status.commit_error = error);
    }

    fn publish_status(&self) {
        self.with_shared(|shared| {
            shared.status.head = self.head.seq;
            shared.status.retained = self.retained.len();
            shared.head_hash = self.head.hash;
        });
    }

    fn with_shared(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Refuses what still waits when the writer ends, so that nobody waits for ever after a panic.
struct AbandonOnExit(Arc<Queue>);

impl Drop for AbandonOnExit {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Calls back whoever waits. A mistake in there must not end the writer.
fn tell<T>(done: Done<T>, result: Result<T, Error>) {
    let _ = catch_unwind(AssertUnwindSafe(|| done(result)));
}

/// Returns the event that tells of lost entries.
fn gap(lost: &Lost, principal: Principal) -> Entry {
    Entry::new(principal, Kind::JournalGap).with(json!({
        "entries": lost.entries,
        "kinds": lost.kinds,
        "first_at": lost.first_at,
        "last_at": lost.last_at,
        "reason": lost.reason,
    }))
}
