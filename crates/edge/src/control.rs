//! What the edge does when told: take sockets, serve a snapshot, give sockets, count, drain.
//!
//! Runs in one event loop of its own beside the serving threads, so that nothing here delays a request.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tend_base::{Clock, SystemClock, with_causes, write_atomically};
use tend_routing::{Snapshot, SnapshotError};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::access_log::LogSink;
use crate::answer::ErrorCode;
use crate::frame::DESCRIPTORS_MAX;
use crate::listeners::Listeners;
use crate::live::Live;
use crate::message::{FromEdge, HandedSocket, Stats, TlsStats, ToEdge, Unbound};
use crate::metrics::Scrape;
use crate::minder::Minder;
use crate::worker::{Command, Shared, WorkerHandle};

/// How often it is said again what is counted of split services and draining replicas.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// A reply and the descriptors that go with it.
pub(crate) type Reply = (FromEdge, Vec<OwnedFd>);

/// The state of the edge apart from what it is serving right now.
pub(crate) struct Control {
    pub(crate) build: String,
    pub(crate) workers: Vec<WorkerHandle>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) sink: LogSink,
    /// Where the last snapshot is kept.
    pub(crate) snapshot_path: PathBuf,
    pub(crate) listeners: Listeners,
    pub(crate) live: Arc<Live>,
    /// While true, addresses without a socket are not bound: the daemon is about to hand theirs over.
    pub(crate) awaiting_sockets: bool,
    /// Set once, by `drain_and_exit`.
    pub(crate) drain: Option<oneshot::Sender<Duration>>,
    /// Says the counts again and again.
    pub(crate) saying: Option<AbortHandle>,
    pub(crate) minder: Minder,
}

impl Control {
    pub(crate) fn hello(&self) -> FromEdge {
        FromEdge::Hello {
            pid: std::process::id(),
            build: self.build.clone(),
            generation: self.live.snapshot.generation,
            threads: self.workers.len(),
        }
    }

    fn refused(&self, what: &str, why: String, hint: &str) -> Vec<Reply> {
        let refused = FromEdge::Refused {
            what: what.to_owned(),
            why,
            hint: hint.to_owned(),
            generation: self.live.snapshot.generation,
        };
        vec![(refused, Vec::new())]
    }

    /// Does what a message asks and returns what to answer.
    pub(crate) async fn handle(&mut self, message: ToEdge, descriptors: Vec<OwnedFd>) -> Vec<Reply> {
        match message {
            ToEdge::Hello { .. } => vec![(self.hello(), Vec::new())],
            ToEdge::Listeners { sockets } => self.take_listeners(&sockets, descriptors).await,
            ToEdge::Snapshot { snapshot } => self.take_snapshot(&snapshot).await,
            ToEdge::GiveListeners => self.give_listeners(),
            ToEdge::Stats => vec![(FromEdge::Stats(self.stats()), Vec::new())],
            ToEdge::Metrics => vec![(FromEdge::Metrics { text: self.metrics() }, Vec::new())],
            ToEdge::DrainAndExit { deadline_ms } => {
                if let Some(drain) = self.drain.take() {
                    let _ = drain.send(Duration::from_millis(deadline_ms));
                }
                let connections = self.shared.connections.load(Ordering::Relaxed);
                vec![(FromEdge::Draining { connections }, Vec::new())]
            }
        }
    }

    async fn take_listeners(&mut self, sockets: &[HandedSocket], descriptors: Vec<OwnedFd>) -> Vec<Reply> {
        if sockets.len() != descriptors.len() {
            let why = format!(
                "{} sockets were announced and {} came",
                sockets.len(),
                descriptors.len()
            );
            return self.refused("listeners", why, "send one descriptor for each entry");
        }
        let mut new = 0;
        for (handed, descriptor) in sockets.iter().zip(descriptors) {
            match self.listeners.take(*handed, descriptor) {
                Ok(taken) => new += usize::from(taken),
                Err(error) => {
                    let why = format!("could not take the socket of {}: {error}", handed.address);
                    return self.refused("listeners", why, "send sockets on which listen was called");
                }
            }
        }
        // More may follow, and none of them may be bound by the edge meanwhile: only a snapshot or the end of the wait says that
        // no more will come.
        if new > 0 {
            self.listen().await;
        }
        vec![(FromEdge::ListenersTaken { new }, Vec::new())]
    }

    async fn take_snapshot(&mut self, json: &serde_json::Value) -> Vec<Reply> {
        let live = serde_json::to_vec(json)
            .map_err(|source| SnapshotError::Read { source })
            .and_then(|bytes| Snapshot::parse(&bytes))
            .and_then(|snapshot| Live::after(&self.live, snapshot));
        let mut live = match live {
            Ok(live) => live,
            Err(error) => return self.refused("snapshot", with_causes(&error), error.hint()),
        };
        if let Err(error) = live.take_bans(&self.live) {
            return self.refused("snapshot", with_causes(&error), error.hint());
        }
        let (served, generation) = (self.live.snapshot.generation, live.snapshot.generation);
        if generation < served {
            let why = format!("generation {generation} is older than {served}, which is served");
            return self.refused("snapshot", why, "number the next snapshot higher");
        }
        // On disk first: what was said to be served must be served after a crash as well.
        if let Err(error) = write_atomically(&self.snapshot_path, &live.snapshot.to_json(), 0o640) {
            let why = format!("could not write `{}`: {error}", self.snapshot_path.display());
            return self.refused("snapshot", why, "check the disk and the rights of the state folder");
        }
        self.awaiting_sockets = false;
        let unbound = self.serve(live).await;
        let serving = FromEdge::Serving {
            generation,
            unbound,
            unreadable: self.live.tls.unreadable().to_vec(),
        };
        vec![(serving, Vec::new())]
    }

    /// Puts a snapshot into service on every thread; returns the addresses that could not be listened on.
    pub(crate) async fn serve(&mut self, live: Live) -> Vec<Unbound> {
        let live = Arc::new(live);
        let before = std::mem::replace(&mut self.live, live.clone());
        live.fill();
        let mut seen = Vec::new();
        for worker in &self.workers {
            let (tell, told) = oneshot::channel();
            // A thread that has ended has drained: it serves nothing.
            if worker.commands.send(Command::Serve(live.clone(), tell)).await.is_ok() {
                seen.push(told);
            }
        }
        for told in seen {
            let _ = told.await;
        }
        live.empty().into_iter().for_each(|event| self.shared.tell(event));
        // Some of its replicas are told of for the last time.
        before.counted().for_each(|event| self.shared.tell(event));
        self.say_again();
        self.minder.follow(live.clone());
        let wanted: Vec<SocketAddr> = live.snapshot.addresses().collect();
        self.listeners.keep_only(&wanted);
        self.listen().await
    }

    /// Says about once a second what is counted, as long as a service of the snapshot in force is split or a replica of it drains: a
    /// daemon that missed it, or was not yet waiting for it, hears it then.
    fn say_again(&mut self) {
        if let Some(before) = self.saying.take() {
            before.abort();
        }
        if !self.live.is_split() && self.live.draining().next().is_none() {
            return;
        }
        let (live, shared) = (self.live.clone(), self.shared.clone());
        let task = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(SAID_EVERY).await;
                let draining = live.draining().map(|replica| replica.remaining());
                live.counted().chain(draining).for_each(|event| shared.tell(event));
            }
        });
        self.saying = Some(task.abort_handle());
    }

    /// Accepts on the addresses of the snapshot and on no others, binding what nobody handed over.
    pub(crate) async fn listen(&mut self) -> Vec<Unbound> {
        let wanted: Vec<SocketAddr> = self.live.snapshot.addresses().collect();
        let mut unbound = Vec::new();
        for address in &wanted {
            if self.listeners.has(*address) || self.awaiting_sockets {
                continue;
            }
            if let Err(error) = self.listeners.bind(*address, self.workers.len()) {
                unbound.push(Unbound {
                    address: *address,
                    why: with_causes(&error),
                });
            }
        }
        for (thread, worker) in self.workers.iter().enumerate() {
            match self.listeners.of_thread(thread, self.workers.len(), &wanted) {
                Ok(sockets) => {
                    let _ = worker.commands.send(Command::Accept(sockets)).await;
                }
                Err(error) => unbound.extend(wanted.iter().map(|address| Unbound {
                    address: *address,
                    why: format!("could not duplicate its socket: {error}"),
                })),
            }
        }
        unbound
    }

    fn give_listeners(&self) -> Vec<Reply> {
        let all = self.listeners.all();
        let mut replies = Vec::new();
        let parts = all.chunks(DESCRIPTORS_MAX).count().max(1);
        for number in 0..parts {
            let from = number * DESCRIPTORS_MAX;
            let part = &all[from..all.len().min(from + DESCRIPTORS_MAX)];
            let copies: std::io::Result<Vec<OwnedFd>> =
                part.iter().map(|(_, socket)| socket.try_clone_to_owned()).collect();
            match copies {
                Ok(copies) => {
                    let message = FromEdge::Listeners {
                        sockets: part.iter().map(|(handed, _)| *handed).collect(),
                        last: number + 1 == parts,
                    };
                    replies.push((message, copies));
                }
                Err(error) => {
                    let why = format!("could not duplicate the sockets: {error}");
                    return self.refused("give_listeners", why, "raise the limit of open files");
                }
            }
        }
        replies
    }

    fn refusals(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let counts = self.shared.errors.iter().map(|count| count.load(Ordering::Relaxed));
        ErrorCode::ALL.into_iter().zip(counts)
    }

    fn metrics(&self) -> String {
        let now = SystemClock.now().mono;
        let shared = &self.shared;
        Scrape {
            routes: &self.live.counters,
            unrouted: &shared.unrouted,
            replicas: self
                .live
                .replicas()
                .map(|replica| (&**replica, replica.stands(now)))
                .collect(),
            errors: self.refusals().collect(),
            generation: self.live.snapshot.generation,
            connections: shared.connections.load(Ordering::Relaxed),
            accepted: shared.accepted.load(Ordering::Relaxed),
            requests: shared.requests.load(Ordering::Relaxed),
            log_lines_dropped: self.sink.dropped(),
        }
        .text()
    }

    fn stats(&self) -> Stats {
        let now = SystemClock.now().mono;
        let shared = &self.shared;
        Stats {
            generation: self.live.snapshot.generation,
            connections: shared.connections.load(Ordering::Relaxed),
            accepted: shared.accepted.load(Ordering::Relaxed),
            requests: shared.requests.load(Ordering::Relaxed),
            errors: self
                .refusals()
                .filter(|(_, count)| *count > 0)
                .map(|(code, count)| (code.as_str().to_owned(), count))
                .collect(),
            paused: shared.pauses.waiting(),
            log_lines_dropped: self.sink.dropped(),
            tls: TlsStats {
                certificates: self.live.tls.certificates(),
                ..shared.handshakes.stats()
            },
            replicas: self.live.replicas().map(|replica| replica.stats(now)).collect(),
            limits: self.live.limit_stats(),
            circuits: self.live.circuit_stats(),
            banned: shared.banned.load(Ordering::Relaxed),
            proxy_headers_bad: shared.proxy_headers_bad.load(Ordering::Relaxed),
        }
    }
}
