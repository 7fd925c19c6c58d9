//! What is remembered of a request until it ends: what the client asked, and who got it.

use std::sync::Arc;

use crate::exchange::Asked;
use crate::live::Replica;
use crate::trace::write_hex;
use crate::worker::Worker;

/// What is remembered of a request, in vectors that the next one of the thread uses again.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Method, host, target and request id.
    text: String,
    ends: [usize; 3],
    /// The replicas that got it, in order.
    pub(crate) tried: Vec<Arc<Replica>>,
}

/// More are not kept for requests to come.
const NOTES_KEPT_MAX: usize = 256;

impl Notes {
    pub(crate) fn of(worker: &Worker, asked: &Asked<'_>) -> Self {
        let mut notes = worker.notes.borrow_mut().pop().unwrap_or_default();
        let text = &mut notes.text;
        for (end, part) in notes.ends.iter_mut().zip([asked.method, asked.host, asked.target]) {
            text.push_str(part);
            *end = text.len();
        }
        match asked.request_id {
            Some(given) => text.push_str(given),
            None => {
                // All at once: character by character it cost as much as choosing a replica.
                let mut id = [0; 32];
                write_hex(&mut id[..16], worker.random());
                write_hex(&mut id[16..], worker.random());
                text.push_str(std::str::from_utf8(&id).unwrap_or_default());
            }
        }
        notes
    }

    pub(crate) fn method(&self) -> &str {
        &self.text[..self.ends[0]]
    }

    pub(crate) fn host(&self) -> &str {
        &self.text[self.ends[0]..self.ends[1]]
    }

    pub(crate) fn target(&self) -> &str {
        &self.text[self.ends[1]..self.ends[2]]
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.text[self.ends[2]..]
    }

    /// Gives the vectors back to the thread.
    pub(crate) fn give_back(mut self, worker: &Worker) {
        self.text.clear();
        self.tried.clear();
        let mut kept = worker.notes.borrow_mut();
        // A target may be long, and a crowd leaves no room behind.
        if kept.len() < NOTES_KEPT_MAX && self.text.capacity() <= 1024 {
            kept.push(self);
        }
    }
}
