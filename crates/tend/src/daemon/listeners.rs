//! Every listening socket of the machine's edge, bound here and kept, so that an edge that dies leaves no port unbound.
//!
//! Invariant: an address is bound once and stays the same sockets from then on; edges come and go with duplicates of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use tend_linux::Error;

/// The sockets by address, one for each thread of the edge.
#[derive(Default)]
pub(crate) struct Listeners {
    threads: usize,
    bound: Mutex<BTreeMap<SocketAddr, Vec<OwnedFd>>>,
}

impl Listeners {
    /// Starts with no socket, to bind `threads` for each address.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads,
            bound: Mutex::default(),
        }
    }

    /// Binds what is not bound yet; on an error nothing new stays bound.
    pub(crate) fn bind_all(&self, addresses: &[SocketAddr]) -> Result<(), Error> {
        let mut new = BTreeMap::new();
        let mut bound = self.lock();
        for address in addresses {
            if !bound.contains_key(address) && !new.contains_key(address) {
                new.insert(*address, tend_linux::listen_group(*address, self.threads)?);
            }
        }
        bound.append(&mut new);
        Ok(())
    }

    /// Binds the address at which a service is reached from inside; returns whether it is bound.
    ///
    /// Does not find out who else has it, which [`Listeners::bind_all`] does for the person who is told: that looks at each descriptor of
    /// each process, 25 to 60 ms in which nothing is decided, and this is asked again for every snapshot.
    pub(crate) fn bind_inner(&self, address: SocketAddr) -> bool {
        let is_bound = self.lock().contains_key(&address);
        is_bound || std::net::TcpListener::bind(address).is_ok() && self.bind_all(&[address]).is_ok()
    }

    /// Returns those of some ports that somebody else listens on. What is bound here is ours.
    pub(crate) fn taken(&self, ports: &[u16]) -> Vec<u16> {
        let bound = self.lock();
        let is_taken = |port: &&u16| {
            let address = SocketAddr::from(([127, 0, 0, 1], **port));
            !bound.contains_key(&address) && std::net::TcpListener::bind(address).is_err()
        };
        ports.iter().filter(is_taken).copied().collect()
    }

    /// Takes over sockets that an edge had from an earlier daemon.
    pub(crate) fn adopt(&self, address: SocketAddr, thread: usize, socket: OwnedFd) {
        let mut bound = self.lock();
        let sockets = bound.entry(address).or_default();
        let place = thread.min(sockets.len());
        sockets.insert(place, socket);
    }

    /// Lets go of what no stack names any more.
    pub(crate) fn retain(&self, wanted: impl Fn(&SocketAddr) -> bool) {
        self.lock().retain(|address, _| wanted(address));
    }

    /// Calls `with` for each socket, with its address and the thread it is for.
    pub(crate) fn each<E>(&self, mut with: impl FnMut(SocketAddr, usize, &OwnedFd) -> Result<(), E>) -> Result<(), E> {
        for (address, sockets) in self.lock().iter() {
            for (thread, socket) in sockets.iter().enumerate() {
                with(*address, thread, socket)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, Vec<OwnedFd>>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
