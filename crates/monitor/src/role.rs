//! The monitor as a process: opens the store, serves until it is told to end. What it is to do comes from the daemon that started it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tend_metrics::{MetricStore, Options};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::MonitorError;
use crate::doors;
use crate::local::{DaemonGather, EdgeGather};
use crate::machine::Machine;
use crate::outbox::Outbox;

/// How often the log of the store is synced: what is younger may be lost with the power, and not with the process.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How often the store looks whether a block is to be written.
const MAINTAIN_EVERY: Duration = Duration::from_secs(15);

/// How a monitor is started.
pub struct MonitorConfig {
    /// Where the daemon connects, such as `RUN/monitor.sock`.
    pub socket: PathBuf,
    /// Where everything is kept, such as `STATE/monitor`.
    pub folder: PathBuf,
    /// Which tend this is.
    pub build: String,
    /// Who gives what the edge counts.
    pub edge: Option<EdgeGather>,
    /// Who gives what the daemon knows of a stack.
    pub daemon: Option<DaemonGather>,
}

/// Is the monitor until it is told to end.
///
/// # Errors
/// When it could not start.
pub fn monitor_main(config: MonitorConfig) -> Result<(), MonitorError> {
    std::fs::create_dir_all(&config.folder).map_err(|source| MonitorError::Folder {
        path: config.folder.clone(),
        source,
    })?;
    // What rules, queries and the scorecard need for a moment, they need one after the other: less memory, mostly with many series.
    tend_linux::use_one_heap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Queries, rules and files of targets block; each thread costs memory.
        .max_blocking_threads(8)
        .thread_keep_alive(Duration::from_secs(5))
        .build()
        .map_err(MonitorError::Start)?;
    let ended = runtime.block_on(run(config));
    // A query that is under way is nobody's any more.
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

async fn run(config: MonitorConfig) -> Result<(), MonitorError> {
    let lock = config.socket.with_extension("lock");
    let _lock = tend_linux::SingleInstance::acquire(&lock).map_err(|_| MonitorError::Taken { path: lock })?;
    let opened = {
        let folder = config.folder.join("metrics");
        tokio::task::spawn_blocking(move || MetricStore::open(&folder, Options::default())).await
    };
    let (store, _) = opened
        .map_err(|error| MonitorError::Start(std::io::Error::other(error)))?
        .map_err(MonitorError::Store)?;
    let outbox = Arc::new(Outbox::open(config.folder.join("notes.json"), crate::now_ms()));
    // An earlier tend kept secrets there, in plain text.
    let _ = std::fs::remove_file(config.folder.join("snapshot.json"));
    let machine = Machine::new(store, outbox, config.folder, config.build, (config.edge, config.daemon));
    let listener = listen(&config.socket)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(MonitorError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(MonitorError::Start)?;
    let scraping = Arc::clone(&machine);
    tokio::select! {
        () = doors::control(Arc::clone(&machine), listener) => {}
        () = scraping.scraper.run() => {}
        () = keep(Arc::clone(&machine)) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let _ = std::fs::remove_file(&config.socket);
    // What is not on disk yet is in the log's buffer; a failing disk has said so before.
    let _ = machine.store.sync();
    Ok(())
}

/// Opens the control socket: for its owner alone, since a snapshot holds secrets.
fn listen(path: &std::path::Path) -> Result<UnixListener, MonitorError> {
    use std::os::unix::fs::PermissionsExt;
    let open = || -> std::io::Result<UnixListener> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    open().map_err(|source| MonitorError::Socket {
        path: path.to_owned(),
        source,
    })
}

/// Keeps the store: what is new is synced, what is old goes to blocks, what is too old goes.
async fn keep(machine: Arc<Machine>) {
    let mut sync = tokio::time::interval(SYNC_EVERY);
    let mut maintain = tokio::time::interval(MAINTAIN_EVERY);
    for timer in [&mut sync, &mut maintain] {
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let maintains = tokio::select! {
            _ = sync.tick() => false,
            _ = maintain.tick() => true,
        };
        let machine = Arc::clone(&machine);
        // A failing disk shows in the store's status and metrics; samples go on in memory.
        let done = tokio::task::spawn_blocking(move || {
            if maintains {
                // Before it is told how long samples are kept, the oldest could be taken away too early.
                if machine.told_at() > 0 {
                    let _ = machine.store.maintain(crate::now_ms());
                }
                machine.listen_again();
            } else {
                let _ = machine.store.sync();
                machine.outbox.keep_again();
            }
        });
        if done.await.is_err_and(|error| error.is_panic()) {
            std::process::abort();
        }
    }
}
