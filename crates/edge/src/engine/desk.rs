//! What a request is worked on with: heads, and buffers on their way from and to both sides. Used again for the next one, of any connection of
//! the thread.
//!
//! A connection that idles has none. What lies about unused between two looks is given back to the system.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use tend_http1::{Fields, RequestHead, ResponseHead, Scan};

use super::buffer::{Buffer, Outgoing};
use super::pile::Pile;

/// The desks of one thread that nobody works at.
#[derive(Debug)]
pub(crate) struct Desks(RefCell<Pile<Desk>>);

/// What one request is worked on with.
#[derive(Debug, Default)]
pub(super) struct Desk(Box<Things>);

/// The things on a desk.
#[derive(Debug, Default)]
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

impl Default for Desks {
    fn default() -> Self {
        Self(RefCell::new(Pile::new()))
    }
}

impl Desks {
    pub(super) fn take(&self) -> Desk {
        self.0.borrow_mut().take().unwrap_or_default()
    }

    /// Takes a desk back, with whatever lies on it.
    pub(super) fn give(&self, mut desk: Desk) {
        desk.from_client.clear();
        desk.from_replica.clear();
        desk.to_client.clear();
        desk.to_replica.clear();
        desk.scan = Scan::default();
        self.0.borrow_mut().give(desk);
    }

    /// Gives to the system what nobody used since the last look; says whether any are left.
    pub(super) fn trim(&self) -> bool {
        self.0.borrow_mut().trim()
    }
}
