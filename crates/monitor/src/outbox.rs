//! What the journal is to hear, until the daemon has taken it. Bounded, and kept on disk: a daemon may be away for long.
//!
//! Numbers grow by one and are never given twice, so that a daemon that was killed while it took some takes none of them twice.

use std::collections::VecDeque;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use crate::kept_file::KeptFile;

/// Notes that are kept; of more the oldest go, and the next one says how many.
const NOTES_MAX: usize = 500;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Its number.
    pub number: u64,
    /// When; milliseconds since 1970.
    pub at: i64,
    /// Whose.
    pub stack: String,
    /// What: `alert.fired`, `notification.delivered`.
    pub kind: String,
    /// More of it.
    pub data: Value,
    /// How many before it were lost, because nobody took them for long.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    next: u64,
    notes: VecDeque<Note>,
}

/// The notes that wait.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The notes, and where they are kept.
    kept: std::sync::Mutex<(Kept, KeptFile)>,
    more: Notify,
}

impl Outbox {
    /// Opens what is kept; what cannot be read is begun anew, with a number that no earlier one can have had.
    pub(crate) fn open(path: PathBuf, now_ms: i64) -> Self {
        let mut file = KeptFile::new(path);
        let kept = file
            .read()
            // Milliseconds are more than notes there ever were.
            .unwrap_or(Kept {
                next: u64::try_from(now_ms).unwrap_or(1),
                notes: VecDeque::new(),
            });
        Self {
            kept: std::sync::Mutex::new((kept, file)),
            more: Notify::new(),
        }
    }

    /// Takes a note in. It is on disk when this returns, unless the disk refused it: then it waits in memory.
    pub(crate) fn put(&self, at: i64, stack: &str, kind: &str, data: Value) {
        let mut locked = lock(&self.kept);
        let (kept, file) = &mut *locked;
        let mut lost = 0;
        while kept.notes.len() >= NOTES_MAX {
            lost += kept.notes.pop_front().map_or(0, |note| note.lost + 1);
        }
        let number = kept.next;
        kept.next += 1;
        let note = Note {
            number,
            at,
            stack: stack.to_owned(),
            kind: kind.to_owned(),
            data,
            lost,
        };
        kept.notes.push_back(note);
        file.keep(kept);
        drop(locked);
        self.more.notify_waiters();
    }

    /// Returns the notes after a number, and forgets those up to it: who asks so has taken them.
    pub(crate) fn take_after(&self, number: u64) -> Vec<Note> {
        let (kept, file) = &mut *lock(&self.kept);
        let before = kept.notes.len();
        while kept.notes.front().is_some_and(|note| note.number <= number) {
            kept.notes.pop_front();
        }
        if kept.notes.len() != before {
            file.keep(kept);
        }
        kept.notes.iter().cloned().collect()
    }

    /// Waits until there is something after a number, and returns it.
    pub(crate) async fn wait_after(&self, number: u64) -> Vec<Note> {
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            // Before looking: a note in between is not slept through.
            more.as_mut().enable();
            let notes = self.take_after(number);
            if !notes.is_empty() {
                return notes;
            }
            more.await;
        }
    }

    /// Writes what a full disk did not take, or took into the spare alone.
    pub(crate) fn keep_again(&self) {
        let (kept, file) = &mut *lock(&self.kept);
        if file.is_unsettled() {
            file.keep(kept);
        }
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A note is put in whole: a panic beside it leaves nothing half done.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tend_testkit::Folder;

    use super::{NOTES_MAX, Outbox};

    #[test]
    fn notes_are_there_until_they_were_taken_also_after_a_restart() {
        let folder = Folder::new();
        let path = folder.path().join("outbox.json");
        let outbox = Outbox::open(path.clone(), 100);
        outbox.put(1, "shop", "alert.fired", json!({}));
        outbox.put(2, "shop", "alert.resolved", json!({}));
        let again = Outbox::open(path.clone(), 0);
        let notes = again.take_after(0);
        assert_eq!(notes.iter().map(|note| note.number).collect::<Vec<_>>(), [100, 101]);
        assert_eq!(again.take_after(100).len(), 1);
        let last = Outbox::open(path, 0);
        last.put(3, "shop", "alert.fired", json!({}));
        assert_eq!(
            last.take_after(101).iter().map(|note| note.number).collect::<Vec<_>>(),
            [102],
            "no number is given twice"
        );
    }

    #[test]
    fn what_the_disk_did_not_take_is_written_when_it_does() {
        let folder = Folder::new();
        // A folder that is not there yet is a disk that takes nothing.
        let path = folder.path().join("later").join("outbox.json");
        let outbox = Outbox::open(path.clone(), 7);
        outbox.put(1, "shop", "alert.fired", json!({}));
        outbox.keep_again();
        assert!(!path.exists());
        std::fs::create_dir(folder.path().join("later")).unwrap();
        outbox.keep_again();
        assert_eq!(Outbox::open(path, 0).take_after(0).len(), 1);
    }

    #[test]
    fn of_too_many_the_oldest_go_and_it_is_said_how_many() {
        let folder = Folder::new();
        let outbox = Outbox::open(folder.path().join("outbox.json"), 0);
        for _ in 0..NOTES_MAX + 3 {
            outbox.put(1, "shop", "alert.fired", json!({}));
        }
        let notes = outbox.take_after(0);
        assert_eq!(notes.len(), NOTES_MAX);
        assert_eq!(notes.iter().map(|note| note.lost).sum::<u64>(), 3);
    }
}
