//! The daemon: build from what is kept and what runs, run, end. Crash-only: ending is no more than stopping to decide.
//!
//! Map: `hub` owns the controller; `steps` perform what it decides; `replicas` watches shims; `edge_link` talks to the edge, `monitor` to the monitor, `ban_files` holds what it is told of bans, and
//! `edge_counts` keeps what it counted;
//! `listeners` holds the sockets; `record` hands things to the store, past `screen`; `handler` and `answer` serve the API; `measure` looks at
//! memory and processors; `certificates` keeps those up to date; `secrets` gives replicas theirs, and `vault` reads those that are in one; `known_secrets` is what must not be shown;
//! `audit` looks through what is stored for secrets; `errand` runs a command of a stack to its end; `migrations` finds SQL files;
//! `named_files` looks at those of the edge's chapter;
//! `configuration` reads, takes and delivers those of stacks; `rotation` brings secrets from one version to the next;
//! `program` keeps the copy of this very program;
//! `way` leads to a listener of our own edge.

mod answer;
mod audit;
mod ban_files;
mod certificates;
mod configuration;
mod edge_counts;
mod edge_link;
mod errand;
mod handler;
mod hub;
mod identity;
mod known_secrets;
mod listeners;
mod measure;
mod migrations;
mod monitor;
mod named_files;
mod own_metrics;
mod program;
mod readiness;
mod record;
mod replicas;
mod rotation;
mod screen;
mod secrets;
mod shared;
mod snapshot;
mod steps;
mod vault;
mod vault_fill;
mod way;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::json;
use tend_api::{ApiError, Class, Paths};
use tend_base::{Clock, SystemClock};
use tend_core::controller::{Controller, restore};
use tend_core::journal::{Entry, Kind, Principal};
use tend_deploy::Deploy;
use tend_store::{DocumentKind, Files, Options, Reader, Seal, Store};
use tend_supervise::Supervise;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use handler::Calls;
use hub::{Chapters, Hub};
use record::Recorder;
use shared::Shared;
use steps::Performer;

/// How the daemon ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// For now.
    Stop,
    /// To go on as another program.
    GoOnAs(PathBuf),
}

/// Is the daemon until it ends; returns the exit code.
pub(crate) fn daemon(_arguments: Vec<OsString>) -> u8 {
    // A session of its own: the terminal that started it may go.
    let _ = rustix::process::setsid();
    match Paths::of_this_user()
        .map_err(|error| error.to_api_error())
        .and_then(|paths| run(&paths))
    {
        Ok(Ending::Stop) => 0,
        Ok(Ending::GoOnAs(program)) => {
            let error = go_on_as(&program);
            tell(&ApiError::from_error(Class::Unavailable, &error));
            Class::Unavailable.exit_code()
        }
        Err(error) => {
            tell(&error);
            error.class.exit_code()
        }
    }
}

/// Says on standard error why the daemon did not start; whoever starts it reads that.
fn tell(error: &ApiError) {
    let mut text = format!("error: {}\n", error.message);
    for detail in &error.details {
        text.push_str(&format!("  because: {detail}\n"));
    }
    if !error.hint.is_empty() {
        text.push_str(&format!("  next: {}\n", error.hint));
    }
    // Nobody may be listening any more.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Replaces this process by another program; returns only when that failed.
fn go_on_as(program: &Path) -> io::Error {
    use std::os::unix::process::CommandExt;
    std::process::Command::new(program).arg("daemon").exec()
}

fn run(paths: &Paths) -> Result<Ending, ApiError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Only journal queries, user commands of probes and `prepare` block; a few threads are enough, and each costs memory.
        .max_blocking_threads(8)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .build()
        .map_err(|error| ApiError::new(Class::Unavailable, format!("could not start the event loop: {error}")))?;
    let ending = runtime.block_on(build_and_serve(paths));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ending
}

/// Makes a folder of the daemon.
fn make_folder(path: &Path, mode: u32) -> Result<(), ApiError> {
    let make = || -> io::Result<()> {
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    make().map_err(|error| {
        ApiError::new(
            Class::Unavailable,
            format!("the folder `{}` cannot be used: {error}", path.display()),
        )
        .hint("make it writable for this user, or name another with TEND_STATE and TEND_RUN")
    })
}

async fn build_and_serve(paths: &Paths) -> Result<Ending, ApiError> {
    // Replicas of other users pass through to their data; only what is named 0600 or 0700 inside is private.
    for folder in ["", "bin", "data", "logs", "edge"] {
        make_folder(&paths.state.join(folder), if folder == "logs" { 0o750 } else { 0o711 })?;
    }
    for folder in ["", "r"] {
        make_folder(&paths.run.join(folder), 0o755)?;
    }
    let _lock = tend_linux::SingleInstance::acquire(&paths.run.join("daemon.lock")).map_err(|error| {
        let hint = error.hint().unwrap_or_default();
        ApiError::from_error(Class::Conflict, &error).hint(hint)
    })?;
    let unusable = |error: &dyn std::error::Error| ApiError::from_error(Class::Unavailable, error);
    let this = std::env::current_exe()
        .map_err(|error| ApiError::new(Class::Unavailable, format!("could not find the own program: {error}")))?;
    let program = program::keep_copy(&this, &paths.state).map_err(|error| {
        unusable(&error).hint("free some space where the state folder is, or name another with TEND_STATE")
    })?;
    if !program::is_this(&program) {
        // Daemon, edge and shims of one file share its pages in memory: as many megabytes as the daemon uses of its code.
        return Ok(Ending::GoOnAs(program));
    }
    let build = program::build_id(&program).map_err(|error| unusable(&error))?;
    let principal = Principal::Daemon {
        pid: std::process::id(),
        build: build.clone(),
    };
    let files = Files::of(&paths.state);
    let secrets = secrets::Secrets::new(&paths.state, &paths.run);
    let seal: Arc<dyn Seal> = Arc::new(secrets.at_rest().map_err(|error| secrets::refused(&error))?);
    let (committed, commits) = watch::channel(0);
    let mut options = Options::new(format!("tend daemon {}", env!("CARGO_PKG_VERSION")), principal.clone());
    options.seal = Some(Arc::clone(&seal));
    options.on_commit = Some(Box::new(move |head| {
        committed.send_replace(head.0);
    }));
    let store = Store::open(&files, options).map_err(|error| {
        let hint = error.hint().unwrap_or_default();
        unusable(&error).hint(hint)
    })?;
    let shared = Arc::new(Shared::new(
        paths.clone(),
        files,
        program,
        build,
        store.clone(),
        commits,
        secrets,
    ));
    let (mut revisions, mut rotations, mut notes_taken) = (Vec::new(), Vec::new(), 0);
    let world = {
        let reader = Reader::open(&shared.files.database).map_err(|error| unusable(&error))?;
        let reader = reader.opened_by(seal);
        let mut documents = Vec::new();
        for kind in DocumentKind::ALL {
            let kept = reader
                .documents::<serde_json::Value>(kind)
                .map_err(|error| unusable(&error).hint(error.hint().unwrap_or_default()))?;
            match kind {
                // Whose they are knows what to make of them.
                DocumentKind::Revision => revisions = kept,
                DocumentKind::Rotation => rotations = kept,
                DocumentKind::Monitor => notes_taken = monitor::last_taken(&kept),
                _ => documents.extend(
                    kept.into_iter()
                        .map(|(id, value)| (kind.as_str().to_owned(), id, value)),
                ),
            }
        }
        restore(shared.cores, shared.ports.clone(), documents).map_err(|why| ApiError::new(Class::Unavailable, why))?
    };
    if let Err(error) = shared.certificates.load(&world) {
        // Everything else is served all the same; the entry says what is not.
        let data = json!({ "error": error.with_causes(), "hint": error.hint() });
        let entry = Entry::new(principal.clone(), Kind::CertificateFailed);
        store.record(vec![entry.with(data)]);
    }
    let adopting = world.replicas.values().any(|replica| replica.incarnation > 0);
    let chapters: Chapters = Arc::from([
        Box::new(Deploy) as Box<dyn tend_core::controller::Chapter>,
        Box::new(Supervise),
    ]);
    let controller = Controller::new(world, chapters, principal.clone());

    let performer: Arc<OnceLock<Arc<Performer>>> = Arc::default();
    let performing = Arc::clone(&performer);
    let screening = Arc::clone(&shared);
    let recorder = Recorder::new(store.clone(), move |entry| {
        screen::screen(&screening.known_secrets, entry);
    });
    let hub = Hub::start(controller, recorder, move |step| {
        if let Some(performer) = performing.get() {
            Arc::clone(performer).perform(step);
        }
    });
    store.record(vec![Entry::new(principal.clone(), Kind::DaemonStarted).with(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "build": shared.build,
        "pid": std::process::id(),
        "mode": if adopting { "adopting" } else { "fresh" },
    }))]);
    // Set before the hub is first polled: no step can come earlier.
    let performer = performer.get_or_init(|| Arc::new(Performer::new(Arc::clone(&shared), hub.clone())));

    let socket = listen(paths)?;
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    let children = signal(SignalKind::child());
    let ((Ok(mut interrupt), Ok(mut terminate)), Ok(children)) = ((interrupt, terminate), children) else {
        return Err(ApiError::new(
            Class::Unavailable,
            "could not set up the handling of signals",
        ));
    };
    replicas::reap(Arc::clone(&shared), children);
    // What runs is looked at before the edge: it must not be told of fewer replicas than there are.
    secrets::known_of_all(&shared, &hub).await;
    replicas::adopt_all(performer).await;
    edge_link::adopt(performer).await;
    edge_link::claim_inner(performer).await;
    secrets::reconcile(&shared, &hub, &principal).await;
    // Before anything is started: it is given its configuration then.
    let configuration = configuration::start(Arc::clone(&shared), hub.clone(), revisions, principal.clone()).await?;
    hub.input(tend_core::controller::Input::Surveyed).await;
    rotation::resume(&shared, &hub, rotations)?;
    measure::start(Arc::clone(&shared), hub.clone());
    vault::start(Arc::clone(&shared), hub.clone(), principal.clone());
    monitor::start(Arc::clone(&shared), hub.clone(), principal.clone(), notes_taken);

    let (end, mut ended) = mpsc::channel(1);
    let (stop, mut stopping) = watch::channel(false);
    let calls = Arc::new(Calls {
        shared: Arc::clone(&shared),
        hub: hub.clone(),
        builds: Arc::default(),
        certificate_asks: certificates::start(Arc::clone(&shared), hub.clone()),
        configuration,
        end,
    });
    let server = tokio::spawn(tend_api::serve(socket, calls, async move {
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }));
    let ending = tokio::select! {
        ending = ended.recv() => ending.unwrap_or(Ending::Stop),
        _ = interrupt.recv() => Ending::Stop,
        _ = terminate.recv() => Ending::Stop,
    };
    // Answers under way are finished; then what was recorded is made durable. Replicas and edge go on by themselves.
    let _ = stop.send(true);
    let _ = server.await;
    let _ = std::fs::remove_file(paths.socket());
    if matches!(ending, Ending::Stop) {
        edge_link::dismiss_idle(performer).await;
    }
    let reason = match &ending {
        Ending::Stop => "asked to end".to_owned(),
        Ending::GoOnAs(program) => format!("goes on as {}", program.display()),
    };
    store.record(vec![
        Entry::new(principal, Kind::DaemonStopped).with(json!({ "reason": reason })),
    ]);
    store.close().map_err(|error| unusable(&error))?;
    Ok(ending)
}

/// Opens the API's socket. Everybody may ask; what a caller may do is decided call by call.
fn listen(paths: &Paths) -> Result<UnixListener, ApiError> {
    let path = paths.socket();
    let open = || -> io::Result<UnixListener> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
        Ok(listener)
    };
    open().map_err(|error| {
        ApiError::new(
            Class::Unavailable,
            format!("the socket `{}` cannot be opened: {error}", path.display()),
        )
        .hint("name another folder with TEND_RUN")
    })
}

/// Tells the time where no decision depends on it.
pub(crate) fn now() -> tend_base::Now {
    SystemClock.now()
}
