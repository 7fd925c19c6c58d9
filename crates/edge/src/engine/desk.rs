//! What a request is worked on with: buffers and vectors that are used again for the next one, of any connection of the thread.
//!
//! A connection that idles has none. What lies about unused between two looks is given back to the system.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};

use tend_http1::{Fields, RequestHead, ResponseHead, Scan};

use super::buffer::{BUFFER_BYTES, Buffer, Outgoing};

/// The desks of one thread that nobody works at.
#[derive(Debug, Default)]
pub(crate) struct Desks {
    free: RefCell<Vec<Desk>>,
    /// The fewest that were free since the last look.
    least: Cell<usize>,
}

/// What one request is worked on with.
#[derive(Debug)]
pub(super) struct Desk(Box<Things>);

/// The things on a desk.
#[derive(Debug)]
pub(super) struct Things {
    pub(super) from_client: Buffer,
    pub(super) from_replica: Buffer,
    pub(super) to_client: Outgoing,
    pub(super) to_replica: Outgoing,
    pub(super) scan: Scan,
    pub(super) request: RequestHead,
    pub(super) response: ResponseHead,
    /// Of the request, and then of the response.
    pub(super) trailers: Fields,
}

impl Desk {
    fn new() -> Self {
        Self(Box::new(Things {
            from_client: Buffer::new(),
            from_replica: Buffer::new(),
            to_client: Outgoing::default(),
            to_replica: Outgoing::default(),
            scan: Scan::default(),
            request: RequestHead::default(),
            response: ResponseHead::default(),
            trailers: Fields::default(),
        }))
    }

    /// Says whether it has grown beyond what others will need.
    fn is_oversized(&self) -> bool {
        let outgoing = |outgoing: &Outgoing| outgoing.bytes.capacity() > 4 * BUFFER_BYTES;
        self.from_client.is_grown()
            || self.from_replica.is_grown()
            || outgoing(&self.to_client)
            || outgoing(&self.to_replica)
    }
}

impl Deref for Desk {
    type Target = Things;

    fn deref(&self) -> &Things {
        &self.0
    }
}

impl DerefMut for Desk {
    fn deref_mut(&mut self) -> &mut Things {
        &mut self.0
    }
}

impl Desks {
    pub(super) fn take(&self) -> Desk {
        let mut free = self.free.borrow_mut();
        let desk = free.pop();
        self.least.set(self.least.get().min(free.len()));
        desk.unwrap_or_else(Desk::new)
    }

    /// Takes a desk back, with whatever lies on it.
    pub(super) fn give(&self, mut desk: Desk) {
        if desk.is_oversized() {
            return;
        }
        desk.from_client.clear();
        desk.from_replica.clear();
        desk.to_client.clear();
        desk.to_replica.clear();
        desk.scan = Scan::default();
        self.free.borrow_mut().push(desk);
    }

    /// Gives to the system what nobody used since the last look; says whether any are left.
    pub(super) fn trim(&self) -> bool {
        let mut free = self.free.borrow_mut();
        let unused = self.least.get().min(free.len());
        // Those at the bottom of the pile.
        free.drain(..unused);
        if free.capacity() > 4 * free.len().max(16) {
            free.shrink_to_fit();
        }
        self.least.set(free.len());
        !free.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn desks_are_used_again_and_those_nobody_needs_are_given_up() {
        let desks = Desks::default();
        let crowd: Vec<Desk> = (0..10).map(|_| desks.take()).collect();
        crowd.into_iter().for_each(|desk| desks.give(desk));
        assert!(desks.trim(), "all were used");
        let one = desks.take();
        desks.give(one);
        assert!(desks.trim(), "one was used");
        assert_eq!(desks.free.borrow().len(), 1);
        assert!(!desks.trim());
    }
}
