//! The edge as a process: starts from the snapshot on disk, serves, drains when asked to, ends.
//!
//! Start-up is a reload from nothing: what comes from disk and what comes from the daemon go the same way.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tend_routing::Snapshot;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};

use crate::EdgeError;
use crate::access_log::{LogRotation, LogSink};
use crate::control::Control;
use crate::control_socket::ControlSocket;
use crate::follow::follow;
use crate::limits::Patience;
use crate::listeners::Listeners;
use crate::live::Live;
use crate::message::FromEdge;
use crate::minder::Minder;
use crate::tls::{TicketKeys, keep_turning};
use crate::worker::{Command, Shared, WorkerHandle};

/// Events kept for a peer that is behind; the oldest are dropped.
const EVENTS_MAX: usize = 256;

/// How an edge is started.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Where the daemon connects, such as `RUN/edge.sock`.
    pub control_socket: PathBuf,
    /// The folder of the snapshot and the access log, such as `STATE/edge`.
    pub state_folder: PathBuf,
    /// Threads that serve, one for each core; at least 1.
    pub threads: usize,
    /// How long the daemon that started this edge may take to hand over the sockets. Until it did, or this has passed, nothing is
    /// bound; zero where there is no daemon.
    pub handover_wait: Duration,
    /// From SIGTERM to the end, whatever is still in flight.
    pub drain_wait: Duration,
    /// How long clients and replicas are waited for.
    pub patience: Patience,
    /// Size and number of the access log's files.
    pub log_rotation: LogRotation,
    /// What the hello says.
    pub build: String,
}

/// Runs the edge until it is told to end.
///
/// # Errors
/// When it could not start. What goes wrong later is told to the daemon, and the edge goes on.
pub fn edge_main(config: &EdgeConfig) -> Result<(), EdgeError> {
    std::fs::create_dir_all(&config.state_folder).map_err(|source| EdgeError::Folder {
        path: config.state_folder.clone(),
        source,
    })?;
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
        .map_err(|source| EdgeError::Start {
            what: "control loop".to_owned(),
            source,
        })?;
    runtime.block_on(run(config))
}

async fn run(config: &EdgeConfig) -> Result<(), EdgeError> {
    let (events, _) = broadcast::channel(EVENTS_MAX);
    let (sink, log_thread) = LogSink::open(config.state_folder.join("access.log"), config.log_rotation)?;
    let shared = Arc::new(Shared::new(events.clone(), config.state_folder.join("money")));
    let threads = config.threads.max(1);
    let tickets = TicketKeys::shared(&config.control_socket.with_file_name("edge-ticket-keys"));
    let (done, mut when_done) = mpsc::channel(threads);
    let workers: Result<Vec<WorkerHandle>, EdgeError> = (0..threads)
        .map(|number| {
            let nothing = Arc::new(Live::nothing(config.patience, tickets.clone()));
            WorkerHandle::start(
                number,
                shared.clone(),
                nothing,
                config.patience,
                sink.clone(),
                done.clone(),
            )
        })
        .collect();
    let (drain, mut when_draining) = oneshot::channel();
    let snapshot_path = config.state_folder.join("snapshot.json");
    // A snapshot that is missing or cannot be read is no reason not to start: the daemon will send one.
    let live = std::fs::read(&snapshot_path)
        .ok()
        .and_then(|bytes| Snapshot::parse(&bytes).ok())
        .and_then(|snapshot| Live::after(&Live::nothing(config.patience, tickets.clone()), snapshot).ok())
        .map(|mut live| {
            // Without its bans it is still better served than not at all; the daemon will send another.
            let _ = live.take_bans(&Live::nothing(config.patience, tickets.clone()));
            live
        });
    let nothing = Arc::new(Live::nothing(config.patience, tickets.clone()));
    let mut control = Control {
        build: config.build.clone(),
        workers: workers?,
        shared: shared.clone(),
        sink: sink.clone(),
        snapshot_path,
        listeners: Listeners::default(),
        minder: Minder::new(shared.clone(), nothing.clone()),
        live: nothing,
        awaiting_sockets: !config.handover_wait.is_zero(),
        drain: Some(drain),
        saying: None,
    };
    if let Some(live) = live {
        control.serve(live).await;
    }
    let started = |what: &str| {
        let what = what.to_owned();
        move |source| EdgeError::Start { what, source }
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(started("signal handler"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(started("signal handler"))?;
    tokio::task::spawn_local(keep_turning(tickets));
    let control_socket = ControlSocket::listen(&config.control_socket)?;
    let control = Rc::new(Mutex::new(control));
    let mut handover = std::pin::pin!(tokio::time::sleep(config.handover_wait));
    let mut serving = std::pin::pin!(control_socket.serve(control.clone(), events));
    let mut waiting = true;
    let drain_wait = loop {
        tokio::select! {
            () = &mut serving => {}
            () = &mut handover, if waiting => {
                waiting = false;
                let mut control = control.lock().await;
                if std::mem::take(&mut control.awaiting_sockets) {
                    control.listen().await;
                }
            }
            asked = &mut when_draining => break asked.unwrap_or(config.drain_wait),
            _ = terminate.recv() => break config.drain_wait,
            _ = interrupt.recv() => break config.drain_wait,
        }
    };
    let (handles, live) = {
        let mut control = control.lock().await;
        let connections = shared.connections.load(std::sync::atomic::Ordering::Relaxed);
        shared.tell(FromEdge::Draining { connections });
        for worker in &control.workers {
            let _ = worker.commands.send(Command::Drain).await;
        }
        // Whoever else holds the sockets goes on accepting; if nobody does, clients are refused from here on.
        control.listeners = Listeners::default();
        (std::mem::take(&mut control.workers), control.live.clone())
    };
    let snapshot_path = config.state_folder.join("snapshot.json");
    let commands = handles.iter().map(|handle| handle.commands.clone()).collect();
    let mut following = std::pin::pin!(follow(snapshot_path, shared.clone(), live, commands));
    let all_done = async {
        for _ in 0..threads {
            if when_done.recv().await.is_none() {
                break;
            }
        }
    };
    let drained = tokio::select! {
        () = &mut serving => false,
        () = &mut following => false,
        outcome = tokio::time::timeout(drain_wait, all_done) => outcome.is_ok(),
    };
    // Threads that have not drained in time end with the process.
    if drained {
        for handle in handles {
            let _ = handle.thread.join();
        }
    }
    sink.finish(log_thread);
    Ok(())
}
