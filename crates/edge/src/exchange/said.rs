//! What is counted and logged of a request when it is over.

use tend_base::SystemClock;

use super::{Exchange, SWITCHING};
use crate::access_log::Record;
use crate::metrics::Counted;

impl Exchange {
    /// Counts it, and logs it unless its route is kept out or the sample passes it over.
    pub(super) fn log(&self) {
        let now = SystemClock.mono();
        let upgraded = self.status == SWITCHING;
        let service = self.service();
        let (status, error) = if self.status == 0 {
            // What nginx writes when the client leaves before it is answered.
            (499, Some("client_closed"))
        } else {
            (self.status, self.error)
        };
        let request = now.since(self.began.mono);
        self.counters().add(Counted {
            method: self.notes.method(),
            status,
            took: (!upgraded).then_some(request),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        });
        let log = self.live.snapshot.access_log;
        let failed = status >= 400 || error.is_some();
        if !failed && log.sample_permille < 1000 && self.worker.random() % 1000 >= log.sample_permille.into() {
            return;
        }
        let (client, peer) = (self.client(), self.peer.ip().to_canonical());
        let peer_text = self.peer.to_string();
        // Whom a trusted hop named has no port that is known.
        let named = self.hops.as_ref().map(|_| client.to_string());
        let record = Record {
            time: self.began.wall,
            request_id: self.notes.request_id(),
            client: named.as_deref().unwrap_or(&peer_text),
            peer: (client != peer).then_some(peer_text.as_str()),
            listener: &self.listener.to_string(),
            method: self.notes.method(),
            version: self.version,
            host: self.notes.host(),
            scheme: self.scheme(),
            path: self.notes.target(),
            route: self.route().map(|route| &*route.label),
            trace_id: self.trace.id(),
            referer: &self.told.referer,
            user_agent: &self.told.user_agent,
            status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            request,
            upstream_connect: self.connect,
            upstream_head: self.head,
            upstream_total: self.head.and(self.try_began).map(|began| now.since(began)),
            stack: service.map(|service| service.id.stack.as_str()),
            service: service.map(|service| &*service.name),
            replica: self.notes.tried.last().map(|replica| &*replica.name),
            release: self.notes.tried.last().and_then(|replica| replica.release()),
            tries: self.tries,
            error,
        };
        self.worker.log(&record, log.format);
    }
}
