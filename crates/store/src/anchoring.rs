//! The thread that anchors: signs how far the journal went and puts that into the file beside the database, while the writer goes on.
//!
//! ```text
//!  writer ── head, who waits for its anchor ──► wanted ── at once, or a second after the last try ──► file ── answers
//! ```
//! Two flushes of the disk, which nobody but who asked for them waits for: what was done by a person is answered once it is anchored, or once
//! that failed, which is in the status.
//!
//! Invariant: whoever waits for an anchor is told after it was tried, and everybody is told in the end (test
//! `who_does_something_is_answered_once_it_is_anchored`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tend_base::{Clock, Mono};
use tend_core::journal::{Statement, StatementKind};

use crate::transaction::Head;
use crate::writer::Shared;
use crate::{Anchors, Error, MachineKey};

/// The head is anchored at most this often, and at the latest this long after a commit: the end of the journal that could be cut
/// off without a trace is this much.
const ANCHOR_EVERY: Duration = Duration::from_secs(1);

/// Somebody who is told once an anchor was tried.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// What the writer wants anchored.
struct Wanted {
    head: Head,
    is_urgent: bool,
    answers: Vec<Answer>,
    is_over: bool,
}

struct Link {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        // Plain values, each valid by itself.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes anchors, one after the other.
pub(crate) struct Anchoring {
    pub(crate) anchors: Anchors,
    pub(crate) key: Arc<MachineKey>,
    pub(crate) clock: Arc<dyn Clock + Send + Sync>,
    pub(crate) shared: Arc<Mutex<Shared>>,
    /// What was anchored last.
    anchored: Option<Head>,
    /// When the file was last replaced, or last could not be.
    tried: Option<Mono>,
}

impl Anchoring {
    pub(crate) fn new(
        anchors: Anchors,
        key: Arc<MachineKey>,
        clock: Arc<dyn Clock + Send + Sync>,
        shared: Arc<Mutex<Shared>>,
    ) -> Self {
        Self {
            anchors,
            key,
            clock,
            shared,
            anchored: None,
            tried: None,
        }
    }

    /// Signs a head and puts it into the anchor file, durably.
    pub(crate) fn anchor(&mut self, kind: StatementKind, head: Head) -> Result<(), Error> {
        let now = self.clock.now();
        let anchor = Statement::sign(kind, head.seq, head.hash, now.wall, |text| self.key.sign(text));
        let result = self.anchors.add(&anchor);
        self.tried = Some(now.mono);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if result.is_ok() {
            self.anchored = Some(head);
            shared.status.anchored = head.seq;
        }
        shared.status.anchor_error = result.as_ref().err().cloned();
        result
    }

    /// Anchors what is wanted until there is nothing more to come.
    fn run(mut self, link: &Link) -> Self {
        loop {
            let (head, answers, is_over) = self.next(link);
            if self.anchored != Some(head) && !(is_over && answers.is_empty()) {
                // A failure is in the status, and is tried again.
                let _ = self.anchor(StatementKind::Anchor, head);
            }
            for answer in answers {
                // One caller's mistake must not end the others.
                let _ = catch_unwind(AssertUnwindSafe(answer));
            }
            if is_over {
                return self;
            }
        }
    }

    /// Waits until an anchor is due.
    fn next(&self, link: &Link) -> (Head, Vec<Answer>, bool) {
        let mut wanted = link.lock();
        loop {
            let now = self.clock.now().mono;
            let due = (self.anchored != Some(wanted.head)).then(|| {
                self.tried
                    .map_or(Duration::ZERO, |tried| (tried + ANCHOR_EVERY).since(now))
            });
            if wanted.is_urgent || wanted.is_over || due.is_some_and(|due| due.is_zero()) {
                wanted.is_urgent = false;
                return (wanted.head, std::mem::take(&mut wanted.answers), wanted.is_over);
            }
            wanted = match due {
                Some(due) => {
                    let waited = link.changed.wait_timeout(wanted, due);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => link.changed.wait(wanted).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// The writer's end of it; the thread ends with this.
pub(crate) struct Anchorer {
    link: Arc<Link>,
    thread: Option<JoinHandle<Anchoring>>,
}

impl Anchorer {
    /// Starts the thread; `head` is anchored already, or could not be.
    pub(crate) fn start(anchoring: Anchoring, head: Head) -> Result<Self, Error> {
        let link = Arc::new(Link {
            wanted: Mutex::new(Wanted {
                head,
                is_urgent: false,
                answers: Vec::new(),
                is_over: false,
            }),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&link);
        let thread = std::thread::Builder::new()
            .name("anchors".to_owned())
            .spawn(move || anchoring.run(&own))
            .map_err(|source| Error::Thread {
                source: Arc::new(source),
            })?;
        Ok(Self {
            link,
            thread: Some(thread),
        })
    }

    /// Has a head anchored: at once where somebody waits for it or it is urgent, within a second otherwise. Does not block.
    pub(crate) fn want(&self, head: Head, is_urgent: bool, answers: Vec<Answer>) {
        let mut wanted = self.link.lock();
        wanted.head = head;
        wanted.is_urgent |= is_urgent || !answers.is_empty();
        wanted.answers.extend(answers);
        drop(wanted);
        self.link.changed.notify_one();
    }

    /// Ends the thread, once everybody was answered; returns what it anchored with.
    pub(crate) fn end(mut self) -> Option<Anchoring> {
        self.close();
        let thread = self.thread.take()?;
        Some(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    fn close(&self) {
        self.link.lock().is_over = true;
        self.link.changed.notify_one();
    }
}

impl Drop for Anchorer {
    fn drop(&mut self) {
        self.close();
    }
}
