//! A listener in service: its rules, and how many connections each client has open at it.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tend_core::model::{LimitKey, Listener};
use tend_routing::{Fields, limit_key, trusts};

use crate::message::{LimitKind, LimitStats};
use crate::zone::{Counts, Going};

/// A listener in service.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: Listener,
    /// Goes on from snapshot to snapshot.
    open: Arc<Counts>,
}

impl Door {
    /// Returns what a trusted hop says the client speaks: whether TLS.
    pub(crate) fn forwarded_scheme(fields: &Fields<'_>) -> Option<bool> {
        let mut secure = None;
        fields("x-forwarded-proto", &mut |list| {
            // The last is the nearest hop's.
            secure = match list.rsplit(|byte| *byte == b',').next().map(<[u8]>::trim_ascii) {
                Some(b"https") => Some(true),
                Some(b"http") => Some(false),
                _ => None,
            };
            false
        });
        secure
    }

    /// Returns the doors of a snapshot, with what is open at them.
    pub(super) fn all(listeners: &[Listener], before: &[Self]) -> Vec<Self> {
        let door = |listener: &Listener| {
            let known = before.iter().find(|door| door.listener.address == listener.address);
            Self {
                listener: listener.clone(),
                open: known.map_or_else(|| Arc::new(Counts::new()), |door| door.open.clone()),
            }
        };
        listeners.iter().map(door).collect()
    }

    /// Says whether an address may say for whom a request comes.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        trusts(&self.listener.trusted, peer)
    }

    /// Counts a connection as open.
    ///
    /// # Errors
    /// When the client has as many open as it may.
    pub(crate) fn enter(&self, peer: SocketAddr) -> Result<Option<Rc<Going>>, Full> {
        let Some(max) = self.listener.connections_per_client else {
            return Ok(None);
        };
        let nothing = |_: &str, _: &mut dyn FnMut(&[u8]) -> bool| false;
        let Some(key) = limit_key(&LimitKey::Client, peer.ip(), &nothing, &self.open.hasher) else {
            return Ok(None);
        };
        let going = self
            .open
            .enter(key, max, self.listener.connections_shadow)
            .ok_or(Full)?;
        Ok(Some(Rc::new(going)))
    }

    /// Returns the counters of the limit, where there is one.
    pub(super) fn stats(&self) -> Option<LimitStats> {
        self.listener.connections_per_client?;
        let name = self.listener.address.to_string();
        let outcomes = &self.open.outcomes;
        Some(LimitStats::of(
            LimitKind::Connections,
            &name,
            &LimitKey::Client,
            outcomes,
        ))
    }
}

/// A client has as many connections open as it may.
#[derive(Debug)]
pub(crate) struct Full;
